"""Urgent bytes on a virtual host, where a kernel could not keep up."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest

import wsock
from tests.providers import Virtual, World
from wsock.virtual.tdi_stream import MOST_URGENT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(Virtual().ready(request))
    yield world
    world.close()


async def test_urgent_bytes_side_by_side(world: World) -> None:
    """Where nothing stands between two marks, nothing is read there: no end of the stream.

    Linux leaves an urgent byte in the stream when the next one comes (README, limits).
    """
    pair = await world.pair()
    pair.far.send_nowait(b"a")
    await pair.settle()
    for byte in (b"1", b"2"):
        pair.far.send_nowait(byte, std.MSG_OOB)
        await pair.settle()
    pair.far.send_nowait(b"b")
    await pair.settle()
    assert pair.near.recv_nowait(9) == b"a"
    assert pair.near.recv_nowait(9) == b"b"
    assert pair.near.recv_nowait(9, std.MSG_OOB) == b"12"
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.recv_nowait(9)


async def test_a_flood_of_urgent_bytes_is_bounded(world: World) -> None:
    """So many are kept, the newest; the stream does not suffer, and the mark leaves no trace."""
    pair = await world.pair()
    flood = MOST_URGENT + 100
    for _ in range(flood):
        pair.far.send_nowait(b"!", std.MSG_OOB)
        await pair.settle()
    pair.far.send_nowait(b"end")
    await pair.settle()
    assert pair.near.recv_nowait(99) == b"end"
    assert len(pair.near.recv_nowait(2 * flood, std.MSG_OOB)) == MOST_URGENT
    assert pair.near.ioctl(wsock.SIOCATMARK) == 1
