"""The machine's own sockets, for tests that watch them, and the story on them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import wsock

from .story import golden_lines, steps

if TYPE_CHECKING:
    from wsock._stack import Stack
    from wsock.tdimon import Row, Trace


async def connected(
    stack: Stack | None = None, backlog: int = 2
) -> tuple[wsock.Socket, wsock.Socket, wsock.Socket]:
    """A listener, a client and the accepted socket; both sides bound."""
    listener = wsock.socket(stack=stack)
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    client = wsock.socket(stack=stack)
    client.bind(("127.0.0.1", 0))
    await client.connect(listener.getsockname())
    accepted, _ = await listener.accept()
    return listener, client, accepted


async def receive(sock: wsock.Socket, count: int) -> int:
    taken = 0
    while taken < count:
        taken += len(await sock.recv(count - taken))
    return taken


async def closed_by_peer(sock: wsock.Socket) -> None:
    assert await sock.recv(1) == b""


async def run_story(order: int, stack: Stack | None = None) -> None:
    """The golden story on loopback, closed in the given order."""
    listener, client, accepted = await connected(stack)
    for size in (1000, 2000):
        await client.send(bytes(size))
        await receive(accepted, size)
    if order == 1:
        client.close()
        await closed_by_peer(accepted)
        accepted.close()
        listener.close()
    else:
        accepted.close()
        await closed_by_peer(client)
        listener.close()
        client.close()


def golden_rows(order: int) -> list[list[str]]:
    files = [step[f"{side}_file"] for step in steps(order) for side in ("client", "server")]
    return [line.split("\t") for name in files if name != "-" for line in golden_lines(name)]


#: Rows of data: how the kernel cuts what arrives is its own affair; the sum of bytes is not.
DATA = {"TDI_EVENT_RECEIVE", "TDI_RECEIVE"}


def without_data(rows: list[Row] | list[list[str]]) -> Counter[tuple[str, ...]]:
    """Object, request, result and kind of handler of each row, in any order."""
    return Counter(
        (row[0], row[1], row[4], row[5] if "Event" in row[5] or row[1] == "TDI_SEND" else "")
        for row in rows
        if row[1] not in DATA
    )


def indicated(trace: Trace) -> int:
    return sum(record.length for record in trace.records() if record.request in DATA)
