"""recv with MSG_OOB that waits: for the urgent byte, or for the end behind which none can come."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import wsock

if TYPE_CHECKING:
    from tests.providers import Pair

blocked = trio.testing.wait_all_tasks_blocked


async def test_recv_waits_for_urgent_data(pair: Pair) -> None:
    """recv with MSG_OOB waits for the urgent byte, past normal data, and without a selection."""
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await pair.near.recv(1, std.MSG_OOB))

    with trio.fail_after(5):
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader)
                await blocked()
                pair.far.send_nowait(b"normal")
                await blocked()
                pair.far.send_nowait(b"!", std.MSG_OOB)
    assert got == [b"!", b"!"]


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("early", [True, False])
async def test_recv_of_urgent_data_ends_with_the_stream(
    pair: Pair, half: bool, early: bool
) -> None:
    """Nothing urgent can come behind the peer's end: recv with MSG_OOB then gives 0, as any recv.

    (Without epoll an end behind unread data gives no wake-up.)
    """
    got: list[object] = []
    normal = b"" if pair.world.provider.name == "waits" else b"normal"

    async def reader() -> None:
        got.append(await pair.near.recv(1, std.MSG_OOB))
        got.append(await pair.near.recv_into(bytearray(1), 1, std.MSG_OOB))
        got.append(await pair.near.recvfrom(1, std.MSG_OOB))

    def end() -> None:
        pair.far.send_nowait(normal)
        if half:
            pair.far.shutdown(wsock.SD_SEND)
        else:
            pair.far.close()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            if early:
                end()
                await pair.settle(ended=True)
            nursery.start_soon(reader)
            await blocked()
            if not early:
                end()
    assert got == [b"", 0, (b"", None)]
    assert await pair.near.recv(9) == normal
