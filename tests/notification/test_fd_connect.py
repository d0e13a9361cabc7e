"""FD_CONNECT: how a connect ended, once (connect, WSAAsyncSelect pages)."""

from __future__ import annotations

import socket as std

import pytest

import wsock
from tests.providers import EVERYTHING, WM_SOCKET, World, events_in, messages, queued
from wsock import FD_CONNECT, FD_WRITE

WOULDBLOCK = wsock.WSAEWOULDBLOCK.winerror
REFUSED = wsock.WSAECONNREFUSED.winerror


async def test_connect_before_write(world: World, window: wsock.Window) -> None:
    """S1-39: FD_CONNECT with 0, then FD_WRITE, when the connection is made."""
    listener, sock = world.listener(), world.socket()
    sock.async_select(window, WM_SOCKET, EVERYTHING)
    assert sock.connect_ex(listener.getsockname()) == WOULDBLOCK
    assert await messages(window, 2) == [(FD_CONNECT, 0), (FD_WRITE, 0)]
    await world.settle(sock)
    assert queued(window) == []


async def test_refused(world: World, window: wsock.Window) -> None:
    """S1-40: a refused connect is FD_CONNECT with 10061 in the high word, and no FD_WRITE."""
    sock = world.socket()
    sock.async_select(window, WM_SOCKET, EVERYTHING)
    assert sock.connect_ex(world.free_port()) == WOULDBLOCK
    assert await messages(window) == [(FD_CONNECT, 10061)]
    assert sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 10061
    await world.settle(sock)
    assert queued(window) == []


async def test_a_later_connect_starts_anew(world: World, window: wsock.Window) -> None:
    """After a refusal connect may be called again on the same socket: a new FD_CONNECT."""
    listener, sock = world.listener(), world.socket()
    sock.async_select(window, WM_SOCKET, FD_CONNECT | FD_WRITE)
    for _ in range(2):
        sock.connect_ex(world.free_port())
        assert await messages(window) == [(FD_CONNECT, REFUSED)]
    assert sock.connect_ex(listener.getsockname()) == WOULDBLOCK
    assert await messages(window, 2) == [(FD_CONNECT, 0), (FD_WRITE, 0)]
    assert sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 0


async def test_refused_at_once_by_the_call_itself(world: World, window: wsock.Window) -> None:
    """A connect that does not go ahead says so itself; FD_CONNECT tells of those that did."""
    sock, other, event = world.socket(), world.socket(), wsock.Event()
    sock.async_select(window, WM_SOCKET, EVERYTHING)
    other.event_select(event, FD_CONNECT)
    for each in (sock, other):
        assert each.connect_ex(("255.255.255.255", 9)) not in (0, WOULDBLOCK)
        await world.settle(each)
    assert queued(window) == []
    assert other.enum_network_events(event) == (0, {})
    sock.async_select(window, WM_SOCKET, EVERYTHING)
    other.event_select(event, FD_CONNECT)
    assert queued(window) == []
    assert not event.is_set()
    assert sock.connect_ex(world.listener().getsockname()) == WOULDBLOCK
    assert await messages(window, 2) == [(FD_CONNECT, 0), (FD_WRITE, 0)]


async def test_selected_after_the_connect(world: World, window: wsock.Window) -> None:
    """A selection after the connect: FD_CONNECT by the pages, nothing of it on Windows."""
    sock = await world.connected(world.listener())
    sock.async_select(window, WM_SOCKET, FD_CONNECT | FD_WRITE)
    assert events_in(window) == [FD_CONNECT] * (not world.windows) + [FD_WRITE]


async def test_a_failure_before_the_selection(world: World, window: wsock.Window) -> None:
    """A selection tells of a connection that stands, not of an attempt that failed before."""
    sock = world.socket()
    sock.connect_ex(world.free_port())
    with pytest.raises(wsock.WSAECONNREFUSED):
        await sock.wait_connected()
    sock.async_select(window, WM_SOCKET, EVERYTHING)
    assert events_in(window) == []


async def test_reported_once(world: World, window: wsock.Window) -> None:
    """FD_CONNECT that was reported is not posted again by a later selection."""
    listener, sock = world.listener(), world.socket()
    sock.async_select(window, WM_SOCKET, FD_CONNECT)
    sock.connect_ex(listener.getsockname())
    assert await messages(window) == [(FD_CONNECT, 0)]
    sock.async_select(window, WM_SOCKET, FD_CONNECT)
    assert events_in(window) == []


async def test_accepted_sockets_have_none(world: World, window: wsock.Window) -> None:
    """An accepted socket never connected: no FD_CONNECT."""
    pair = await world.pair()
    pair.near.async_select(window, WM_SOCKET, FD_CONNECT)
    assert events_in(window) == []


async def test_event_mode_reports_a_connection_that_stands(world: World) -> None:
    """Event mode: FD_CONNECT at the selection if the connection stands and was not reported."""
    sock, event = await world.connected(world.listener()), wsock.Event()
    sock.event_select(event, FD_CONNECT)
    assert sock.enum_network_events(event) == (FD_CONNECT, {FD_CONNECT: 0})
    sock.event_select(event, FD_CONNECT)
    assert not event.is_set()


async def test_event_mode_error_code(world: World) -> None:
    """Event mode: iErrorCode of FD_CONNECT is the reason."""
    sock, event = world.socket(), wsock.Event()
    sock.event_select(event, FD_CONNECT)
    sock.connect_ex(world.free_port())
    await world.until(event.is_set)
    assert sock.enum_network_events(event) == (FD_CONNECT, {FD_CONNECT: REFUSED})


async def test_event_mode_code_of_the_last_connect(world: World) -> None:
    """Event mode: iErrorCode is that of what is recorded, not of what was before."""
    sock, event = world.socket(), wsock.Event()
    sock.event_select(event, FD_CONNECT)
    sock.connect_ex(world.free_port())
    await world.until(event.is_set)
    sock.connect_ex(world.listener().getsockname())  # takes the refusal off the record
    await world.until(lambda: sock.state == "CONNECTED")
    assert sock.enum_network_events(event) == (FD_CONNECT, {FD_CONNECT: 0})


async def test_datagram_connect(world: World, window: wsock.Window) -> None:
    """A datagram connect: FD_CONNECT and FD_WRITE by the pages, FD_WRITE on Windows."""
    sock, peer = world.bound_datagram(), world.bound_datagram()
    sock.async_select(window, WM_SOCKET, FD_CONNECT | FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    assert sock.connect_ex(peer.getsockname()) == 0
    assert events_in(window) == [FD_CONNECT] * (not world.windows) + [FD_WRITE]


async def test_a_waiting_connect_keeps_so_error_at_0(world: World) -> None:
    """After a failed blocking connect SO_ERROR is 0."""
    sock = world.socket()
    with pytest.raises(wsock.WSAECONNREFUSED):
        await sock.connect(world.free_port())
    assert sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 0
