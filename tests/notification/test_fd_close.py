"""FD_CLOSE: the connection with the peer is gone, once (winsock closesocket, shutdown pages)."""

from __future__ import annotations

import socket as std

import pytest

import wsock
from tests.providers import (
    EVERYTHING,
    RESET_AT_CLOSE,
    WM_SOCKET,
    Pair,
    events_in,
    messages,
    queued,
)
from wsock import FD_CLOSE, FD_READ, FD_WRITE


def reset(sock: wsock.Socket) -> None:
    sock.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    sock.close()


def reset_code(pair: Pair) -> int:
    cls = wsock.WSAECONNABORTED if pair.world.windows else wsock.WSAECONNRESET
    return cls.winerror


@pytest.mark.parametrize("half", [True, False])
async def test_graceful(pair: Pair, window: wsock.Window, half: bool) -> None:
    """S1-39: peer closes or shuts down sending: FD_CLOSE with 0, recv then gives 0 every time."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    if half:
        pair.far.shutdown(wsock.SD_SEND)
    else:
        pair.far.close()
    assert await messages(window) == [(FD_CLOSE, 0)]
    assert [pair.near.recv_nowait(9) for _ in range(3)] == [b""] * 3
    assert queued(window) == []


async def test_half_close_still_sends(pair: Pair, window: wsock.Window) -> None:
    """After the peer's half close sending works; its later close posts nothing more."""
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    pair.far.shutdown(wsock.SD_SEND)
    assert await messages(window) == [(FD_CLOSE, 0)]
    assert pair.near.send_nowait(b"bye") == 3
    assert await pair.far.recv(9) == b"bye"
    pair.far.close()
    await pair.settle(ended=True)
    assert pair.near.recv_nowait(9) == b""
    assert queued(window) == []


async def test_an_end_behind_unread_data_is_no_arrival(pair: Pair) -> None:
    """In event mode Windows records each arrival of data again; a FIN behind it is none."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ | FD_CLOSE)
    pair.far.send_nowait(b"data")
    await pair.settle(unread=4)
    assert pair.near.enum_network_events(event).events == FD_READ
    pair.far.shutdown(wsock.SD_SEND)
    await pair.settle(ended=True)
    assert pair.near.enum_network_events(event).events == FD_CLOSE * pair.world.windows
    assert await pair.near.recv(2) == b"da"
    assert pair.near.enum_network_events(event).events == FD_READ


async def test_close_with_data_unread(pair: Pair, window: wsock.Window) -> None:
    """Data, then the close: FD_CLOSE after the last byte was read (pages), at once (Windows)."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    pair.far.send_nowait(b"abc")
    pair.far.close()
    await pair.settle(ended=True)
    assert events_in(window) == [FD_READ] + [FD_CLOSE] * pair.world.windows
    assert pair.near.recv_nowait(2) == b"ab"
    assert events_in(window) == [FD_READ]
    assert pair.near.recv_nowait(1) == b"c"
    if not pair.world.windows:
        assert await messages(window) == [(FD_CLOSE, 0)]
    assert pair.near.recv_nowait(9) == b""
    assert queued(window) == []


async def test_only_close_selected_and_data_unread(pair: Pair, window: wsock.Window) -> None:
    """With FD_CLOSE alone selected, the end behind data is still told once the data is read."""
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    pair.far.send_nowait(b"abc")
    pair.far.close()
    await pair.settle(ended=True)
    assert pair.near.recv_nowait(3) == b"abc"
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_reset(pair: Pair, window: wsock.Window) -> None:
    """S1-39: a reset is FD_CLOSE with its code; recv, send fail every time; SO_ERROR is 0."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    reset(pair.far)
    assert await messages(window) == [(FD_CLOSE, reset_code(pair))]
    for _ in range(2):
        with pytest.raises(wsock.WSAECONNRESET):
            pair.near.recv_nowait(9)
        with pytest.raises(wsock.WSAECONNRESET):
            pair.near.send_nowait(b"x")
    assert pair.near.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 0
    assert pair.near.getpeername()
    assert queued(window) == []


async def test_reset_behind_unread_data(pair: Pair, window: wsock.Window) -> None:
    """A reset is told when it arrives; bytes before it stay readable, then WSAECONNRESET.

    Without epoll a reset behind unread data gives no wake-up; it is told when they are read.
    """
    by_itself = pair.world.provider.name != "waits"
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert events_in(window) == [FD_READ]
    reset(pair.far)
    if by_itself:
        assert await messages(window) == [(FD_CLOSE, reset_code(pair))]
    assert pair.near.recv_nowait(9) == b"abc"
    if not by_itself:
        assert await messages(window) == [(FD_CLOSE, reset_code(pair))]
    for _ in range(2):
        with pytest.raises(wsock.WSAECONNRESET):
            pair.near.recv_nowait(9)


async def test_selecting_again_posts_it_again(pair: Pair, window: wsock.Window) -> None:
    """FD_CLOSE comes once, but each later WSAAsyncSelect posts it again, with its code."""
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    reset(pair.far)
    code = reset_code(pair)
    assert await messages(window) == [(FD_CLOSE, code)]
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    pair.near.async_select(None, 0, 0)
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE | FD_WRITE)
    assert queued(window) == [(FD_CLOSE, code)] * 2


async def test_closed_before_the_selection(pair: Pair, window: wsock.Window) -> None:
    """A connection that is closed already is reported by the selection."""
    pair.far.close()
    await pair.settle(ended=True)
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_own_close_is_never_reported(pair: Pair, window: wsock.Window) -> None:
    """closesocket posts no FD_CLOSE for the socket itself and leaves its event alone."""
    event = wsock.Event()
    pair.near.async_select(window, WM_SOCKET, EVERYTHING)
    pair.far.event_select(event, FD_CLOSE)
    events_in(window)
    pair.near.close()
    assert queued(window) == []
    await pair.world.until(event.is_set)
    pair.far.close()
    assert event.is_set()


@pytest.mark.parametrize("how", [wsock.SD_RECEIVE, wsock.SD_SEND, wsock.SD_BOTH])
async def test_own_shutdown_is_never_reported(pair: Pair, window: wsock.Window, how: int) -> None:
    """Own shutdown of any kind posts no FD_CLOSE; the peer's close afterwards does."""
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    pair.near.shutdown(how)
    await pair.settle()
    assert queued(window) == []
    pair.far.close()
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_peers_shutdown_of_receiving_is_not_seen(pair: Pair, window: wsock.Window) -> None:
    """The peer's shutdown(SD_RECEIVE) sends nothing over the network: no FD_CLOSE."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    pair.far.shutdown(wsock.SD_RECEIVE)
    pair.far.send_nowait(b"a")
    assert await messages(window) == [(FD_READ, 0)]
    assert queued(window) == []


async def test_event_mode(pair: Pair) -> None:
    """Event mode: recorded once with its code; the pages' iErrorCode of a reset."""
    event = wsock.Event()
    pair.near.event_select(event, FD_CLOSE | FD_READ)
    reset(pair.far)
    await pair.world.until(event.is_set)
    assert pair.near.enum_network_events(event) == (FD_CLOSE, {FD_CLOSE: reset_code(pair)})
    pair.near.event_select(event, FD_CLOSE)
    assert not event.is_set()


async def test_own_send_provoked_the_reset(pair: Pair) -> None:
    """The peer is gone and an own send provoked its reset: WSAECONNABORTED."""
    pair.far.close()
    await pair.settle(ended=True)
    assert pair.near.recv_nowait(9) == b""
    pair.near.send_nowait(b"anybody there?")
    await pair.settle(reset=True)
    for _ in range(2):
        with pytest.raises(wsock.WSAECONNABORTED):
            pair.near.recv_nowait(9)
        with pytest.raises(wsock.WSAECONNABORTED):
            pair.near.send_nowait(b"x")


async def test_shutdown_codes(pair: Pair) -> None:
    """Own shutdowns: WSAESHUTDOWN; twice is fine; names still answer; connect WSAEISCONN."""
    near = pair.near
    near.shutdown(wsock.SD_BOTH)
    near.shutdown(wsock.SD_BOTH)
    with pytest.raises(wsock.WSAESHUTDOWN):
        near.recv_nowait(1)
    with pytest.raises(wsock.WSAESHUTDOWN):
        near.send_nowait(b"x")
    assert near.getpeername() == pair.far.getsockname()
    assert near.connect_ex(pair.far.getsockname()) == wsock.WSAEISCONN.winerror


async def test_shutdown_of_receiving_resets_on_data(pair: Pair) -> None:
    """After shutdown(SD_RECEIVE) data that still comes in resets the connection."""
    pair.near.shutdown(wsock.SD_RECEIVE)
    pair.far.send_nowait(b"unwanted")
    with pytest.raises((wsock.WSAECONNRESET, wsock.WSAECONNABORTED)):
        await pair.far.recv(1)


async def test_shutdown_of_receiving_with_data_unread(pair: Pair) -> None:
    """shutdown(SD_RECEIVE) with data unread resets the connection."""
    pair.far.send_nowait(b"unread")
    await pair.settle(unread=6)
    pair.near.shutdown(wsock.SD_RECEIVE)
    with pytest.raises((wsock.WSAECONNRESET, wsock.WSAECONNABORTED)):
        await pair.far.recv(1)
