# Watching: a trace for the length of a block.
#
# > watching     watch                        THIS FILE
#   trace        Trace.attach, detach         the same without a block
"""``with tdimon.watch() as trace``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wsock.tdimon.ring import CAPACITY
from wsock.tdimon.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["watch"]


@contextlib.contextmanager
def watch(*targets: object, capacity: int = CAPACITY, payload_bytes: int = 0) -> Iterator[Trace]:
    """Watch stacks, hosts, networks or sockets while the block runs.

    ``with tdimon.watch() as trace:`` watches everything, also stacks that are made meanwhile. The
    trace can be read during the block and afterwards. Never a checkpoint; the program gives the
    same results with and without it.

    Args:
      targets: what to watch; nothing named means everything.
      capacity: how many records are kept.
      payload_bytes: how many of the bytes that a call moves are kept; none unless asked for.

    Raises:
      TypeError: a target is nothing that can be watched.
    """
    trace = Trace(capacity, payload_bytes)
    try:
        trace.attach(*targets)
        yield trace
    finally:
        trace.detach()
