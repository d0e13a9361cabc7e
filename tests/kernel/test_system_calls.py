"""What the life of a connection asks of the system: an edge says it, so nobody looks beside it."""

from __future__ import annotations

import errno
import os
import select
import socket as std
from typing import TYPE_CHECKING, Any

import pytest

import wsock
from tests.providers import WM_SOCKET, Epoll, World, events_in, messages
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE
from wsock.kernel import files
from wsock.kernel import stream as stream_module

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    not hasattr(select, "epoll"), reason="this system has no epoll: a wait says less than an edge"
)

SELECTED = FD_READ | FD_WRITE | FD_CLOSE


@pytest.fixture
def world() -> Iterator[World]:
    world = World(Epoll())
    yield world
    world.close()


async def accepted_pair(world: World, window: wsock.Window) -> tuple[wsock.Socket, wsock.Socket]:
    """A socket accepted this moment, and a client that has sent three bytes before."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, SELECTED | FD_ACCEPT)
    client = await world.connected(listener)
    client.send_nowait(b"abc")
    assert await messages(window) == [(FD_ACCEPT, 0)]
    accepted = world.keep(listener.accept_nowait()[0])
    listener.async_select(None, 0, 0)
    return accepted, client


async def read_pair(world: World, window: wsock.Window) -> tuple[wsock.Socket, wsock.Socket]:
    """The same once both messages are taken and the bytes are read."""
    accepted, client = await accepted_pair(world, window)
    assert await messages(window, 2) == [(FD_READ, 0), (FD_WRITE, 0)]
    assert accepted.recv_nowait(9) == b"abc"
    return accepted, client


async def test_nobody_asks_how_many_bytes_wait(
    world: World, window: wsock.Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From accept to close with data, its echo and the peer's end: FIONREAD is never called."""
    if world.stack.device.tracer is not None:
        pytest.skip("under a monitor, which asks itself (ruling A5)")
    asked: list[Any] = []

    def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return ioctl(*arguments)

    ioctl = files.ioctl
    monkeypatch.setattr(files, "ioctl", counted)
    accepted, client = await accepted_pair(world, window)
    assert await messages(window, 2) == [(FD_READ, 0), (FD_WRITE, 0)]
    accepted.send_nowait(accepted.recv_nowait(9))
    client.shutdown(wsock.SD_SEND)
    assert await messages(window) == [(FD_CLOSE, 0)]
    accepted.close()
    assert asked == []
    accepted, _ = await accepted_pair(world, window)
    assert accepted.ioctl(wsock.FIONREAD) == 3
    assert len(asked) == 1  # so it would have been seen


async def test_a_reset_met_at_the_peers_end(
    world: World, window: wsock.Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look whether bytes wait before the end meets a reset, and clears it: it is told."""
    accepted, client = await read_pair(world, window)

    def reset(file: object, size: int, flags: int) -> bytes:
        assert (size, flags) == (1, std.MSG_PEEK)
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr(stream_module, "_recv", reset)
    client.close()
    assert await messages(window) == [(FD_CLOSE, wsock.WSAECONNRESET.winerror)]
    with pytest.raises(wsock.WSAECONNRESET):
        accepted.recv_nowait(9)


async def test_nothing_met_at_the_peers_end(
    world: World, window: wsock.Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look finds that nothing waits, in whichever way: that is no error."""
    accepted, client = await read_pair(world, window)

    def nothing(*_: object) -> bytes:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(stream_module, "_recv", nothing)
    client.shutdown(wsock.SD_SEND)
    assert await messages(window) == [(FD_CLOSE, 0)]
    assert accepted.recv_nowait(9) == b""


async def test_bytes_before_the_peers_end_come_first(world: World, window: wsock.Window) -> None:
    """Bytes and the end in one edge: FD_READ, and FD_CLOSE when they are read."""
    accepted, client = await read_pair(world, window)
    client.send_nowait(b"d")
    client.close()
    await world.settle(accepted, ended=True)
    assert events_in(window) == [FD_READ]
    assert accepted.recv_nowait(9) == b"d"
    assert await messages(window) == [(FD_CLOSE, 0)]
