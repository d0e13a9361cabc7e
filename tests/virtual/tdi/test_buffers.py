"""SO_RCVBUF and SO_SNDBUF are what AFD buffers (S1-29): on virtual hosts they bound, when set."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, Virtual, World, events_in, messages
from wsock import FD_READ, FD_WRITE
from wsock.afd.states import REFUSED

if TYPE_CHECKING:
    from wsock.virtual.testing import LocalNetwork

#: What a packet of the loopback carries.
ONE_SEGMENT = 65536

blocked = trio.testing.wait_all_tasks_blocked


@pytest.fixture
def provider(virtual_network: LocalNetwork) -> Virtual:
    """Only here: a kernel has buffers of its own, and is given what it may be given."""
    return Virtual(virtual_network)


async def connected(
    world: World, option: int, value: int, when: str
) -> tuple[wsock.Socket, wsock.Socket]:
    """Two connected sockets; the option is set on the first, before it connects or afterwards."""
    listener, near = world.listener(), world.socket()
    if when == "before":
        near.setsockopt(std.SOL_SOCKET, option, value)
    await near.connect(listener.getsockname())
    far = await world.accept(listener)
    if when == "after":
        near.setsockopt(std.SOL_SOCKET, option, value)
    return near, far


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_send_is_taken_below_the_send_buffer(world: World, when: str) -> None:
    """While less than SO_SNDBUF is unsent a send is taken, whole; then it would block."""
    near, far = await connected(world, std.SO_SNDBUF, 1000, when)
    assert near.send_nowait(bytes(999)) == 999
    assert near.send_nowait(bytes(5000)) == 5000
    for size in (1, 5000):
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            near.send_nowait(bytes(size))
    await world.settle(far)
    assert near.unsent == 0
    assert near.send_nowait(bytes(1000)) == 1000
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.send_nowait(b"x")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_without_a_send_buffer_a_send_waits_for_its_own_end(world: World, when: str) -> None:
    """SO_SNDBUF 0: await send returns when the transport is done with every byte."""
    near, far = await connected(world, std.SO_SNDBUF, 0, when)
    assert await near.send(b"abc") == 3
    assert near.unsent == 0
    assert await far.recv(9) == b"abc"


async def test_a_larger_send_buffer_makes_room(world: World, window: wsock.Window) -> None:
    """Who was refused, and who waits, hears of it."""
    near, _ = await connected(world, std.SO_SNDBUF, 1000, "after")
    near.send_nowait(bytes(2000))
    near.async_select(window, WM_SOCKET, FD_WRITE)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.send_nowait(b"x")
    assert events_in(window) == []
    near.setsockopt(std.SOL_SOCKET, std.SO_SNDBUF, 3000)
    assert await messages(window) == [(FD_WRITE, 0)]
    assert near.send_nowait(b"x") == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("size", [0, 1, 3000])
async def test_no_more_than_the_receive_buffer_is_taken(world: World, size: int, when: str) -> None:
    """Beyond SO_RCVBUF (and the rest of a segment) the transport keeps the data, and all comes."""
    near, far = await connected(world, std.SO_RCVBUF, size, when)
    data = bytes(range(256)) * 2000
    far.send_nowait(data)
    await world.settle(near)
    assert near._endpoint.rx_count < size + (ONE_SEGMENT if size else 1)
    assert near._endpoint.attention & REFUSED
    got = b""
    with trio.fail_after(30):
        while len(got) < len(data):
            got += await near.recv(9000)
    assert got == data


async def test_without_a_receive_buffer_data_is_told_and_taken(
    world: World, window: wsock.Window
) -> None:
    """SO_RCVBUF 0: nothing is buffered, yet FD_READ tells of it and a recv takes what it asks."""
    near, far = await connected(world, std.SO_RCVBUF, 0, "after")
    near.async_select(window, WM_SOCKET, FD_READ)
    far.send_nowait(b"abcdef")
    assert await messages(window) == [(FD_READ, 0)]
    assert near.ioctl(wsock.FIONREAD) == 6
    assert near.recv_nowait(4, std.MSG_PEEK) == b"abcd"
    assert events_in(window) == [FD_READ]
    assert near.recv_nowait(4) == b"abcd"
    assert events_in(window) == [FD_READ]
    assert near.recv_nowait(9) == b"ef"
    assert events_in(window) == []
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.recv_nowait(9)
    far.shutdown(wsock.SD_SEND)
    assert await near.recv(9) == b""


async def test_a_task_that_waits_takes_past_the_buffer(world: World) -> None:
    """SO_RCVBUF 0 and a waiting recv: what arrives goes to it."""
    near, far = await connected(world, std.SO_RCVBUF, 0, "after")
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await near.recv(9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await blocked()
        far.send_nowait(b"abc")
    assert got == [b"abc"]


@pytest.mark.parametrize("size", [0, 1000, 100_000])
@pytest.mark.parametrize("early", [True, False])
async def test_a_whole_length_beyond_the_buffer(world: World, size: int, early: bool) -> None:
    """MSG_WAITALL for more than SO_RCVBUF holds: it comes, whether it was there before or not."""
    near, far = await connected(world, std.SO_RCVBUF, size, "after")
    data = bytes(range(256)) * 400
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await near.recv(100_000, std.MSG_WAITALL))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            if not early:
                nursery.start_soon(reader)
                await blocked()
            nursery.start_soon(far.send_all, data)
            if early:
                await world.settle(near)
                nursery.start_soon(reader)
    assert got == [data[:100_000]]
    rest = await near.recv(9999)
    while len(rest) < 2400:
        rest += await near.recv(9999)
    assert rest == data[100_000:]
