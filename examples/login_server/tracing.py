# The transport's requests and events in the log: what --trace shows.
#
# Rule 1: no payload is recorded, so no password and no token can be in a row.
# Rule 2: rows are written now and then, not as they are made: the hooks run inside socket calls,
#         where nothing may wait for a disk.
"""The TDI trace of the login server, as log lines."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from wsock import tdimon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .log import Log

PAUSE_SECONDS: Final = 0.02  # so that lines of other events stand where they belong, nearly


@asynccontextmanager
async def traced(log: Log, *, wanted: bool) -> AsyncIterator[None]:
    """Write a line for each TDI request and event while the block runs, if ``wanted``."""
    if not wanted:
        yield
        return
    with tdimon.watch(payload_bytes=0) as trace:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_on, trace, log)
            yield
            nursery.cancel_scope.cancel()
        _write(trace, log)


async def _write_on(trace: tdimon.Trace, log: Log) -> None:
    while True:
        await trio.sleep(PAUSE_SECONDS)
        _write(trace, log)


def _write(trace: tdimon.Trace, log: Log) -> None:
    """Write what was recorded since the last time: requests, events, and who is told of them."""
    for row in trace.new_rows("tdi or row.kind == fd", profile="all"):
        log.write("tdi", **{name: value.strip() for name, value in row._asdict().items() if value})
