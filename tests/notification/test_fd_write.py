"""FD_WRITE: when the connection is made, then only after WSAEWOULDBLOCK (winsock send page)."""

from __future__ import annotations

import socket as std

import pytest

import wsock
from tests.providers import WM_SOCKET, Pair, World, drain, events_in, fill, messages
from wsock import FD_READ, FD_WRITE


async def test_posted_at_select_of_a_connected_stream(pair: Pair, window: wsock.Window) -> None:
    """S1-39: FD_WRITE at the selection of a connected stream with room, once."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    assert pair.near.send_nowait(b"abc") == 3
    await pair.world.settle(pair.far, unread=3)
    assert events_in(window) == []


async def test_not_for_an_unconnected_stream(world: World, window: wsock.Window) -> None:
    """A stream that is not connected is not writable."""
    sock = world.socket()
    sock.async_select(window, WM_SOCKET, FD_WRITE | FD_READ)
    sock.bind((world.provider.host, 0))
    sock.async_select(window, WM_SOCKET, FD_WRITE | FD_READ)
    await world.settle(sock)
    assert events_in(window) == []


async def test_not_after_own_shutdown(pair: Pair, window: wsock.Window) -> None:
    """A stream whose own sending is shut down posts no FD_WRITE."""
    pair.near.shutdown(wsock.SD_SEND)
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == []


async def test_posted_again_after_wouldblock_and_room(pair: Pair, window: wsock.Window) -> None:
    """S1-27, S1-31, S1-34: a full buffer refuses at once; FD_WRITE follows when there is room."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    sent = fill(pair.near)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.send_nowait(b"x")
    assert events_in(window) == []
    assert await drain(pair.far, sent) == sent
    assert await messages(window) == [(FD_WRITE, 0)]
    assert pair.near.send_nowait(b"x") == 1
    await pair.world.settle(pair.far, unread=1)
    assert events_in(window) == []


async def test_selecting_while_full_posts_when_room_comes(pair: Pair, window: wsock.Window) -> None:
    """Selecting while the send buffer is full posts nothing; FD_WRITE follows."""
    sent = fill(pair.near)
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == []
    await drain(pair.far, sent)
    assert await messages(window) == [(FD_WRITE, 0)]


async def test_a_send_that_succeeds_arms_nothing(pair: Pair, window: wsock.Window) -> None:
    """S1-22: the whole buffer is taken while there is any room; no FD_WRITE for its rest."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    big = bytes(20_000_000)
    assert pair.near.send_nowait(big) == len(big)
    assert pair.near.unsent > 0
    assert await drain(pair.far, len(big)) == len(big)
    await pair.world.until(lambda: pair.near.unsent == 0)
    assert events_in(window) == []


async def test_a_send_of_nothing_needs_no_room(pair: Pair, window: wsock.Window) -> None:
    """send of 0 bytes returns 0, also with a full buffer; it arms nothing."""
    big = bytes(20_000_000)
    pair.near.send_nowait(big)
    assert pair.near.unsent > 0
    assert pair.near.send_nowait(b"") == 0
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.near.async_select(None, 0, 0)
    assert await drain(pair.far, len(big)) == len(big)
    assert events_in(window) == []


async def test_wsaenobufs_arms_as_wouldblock_does(pair: Pair, window: wsock.Window) -> None:
    """send_all_nowait: WSAENOBUFS takes nothing and arms FD_WRITE; success never arms it."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    pair.near.max_unsent = 1000
    pair.near.send_all_nowait(bytes(20_000_000))
    unsent = pair.near.unsent
    assert unsent > 1000
    with pytest.raises(wsock.WSAENOBUFS):
        pair.near.send_all_nowait(b"x")
    assert pair.near.unsent == unsent
    await drain(pair.far, 20_000_000)
    assert await messages(window) == [(FD_WRITE, 0)]


async def test_success_of_send_all_nowait_never_arms(pair: Pair, window: wsock.Window) -> None:
    """Ruling of send_all_nowait: it takes what the system has no room for, and arms nothing."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    total = fill_system(pair)
    pair.near.send_all_nowait(bytes(500))
    assert pair.near.unsent == 500
    await drain(pair.far, total + 500)
    await pair.world.until(lambda: pair.near.unsent == 0)
    assert events_in(window) == []


def fill_system(pair: Pair) -> int:
    """Fill the system's buffers to the last byte, past the socket, so that nothing is unsent."""
    total = 0
    with std.socket(fileno=pair.near.fileno()) as raw:
        try:
            for size in (65536, 1024, 1):
                try:
                    while True:
                        total += raw.send(bytes(size))
                except BlockingIOError:
                    continue
        finally:
            raw.detach()
    return total


async def test_event_mode_wouldblock_takes_it_off_the_record(pair: Pair) -> None:
    """Event mode: a send that succeeds leaves a recorded FD_WRITE; enumerating takes it."""
    event = wsock.Event()
    pair.near.event_select(event, FD_WRITE)
    pair.near.send_nowait(b"abc")
    assert pair.near.enum_network_events(event) == (FD_WRITE, {FD_WRITE: 0})
    sent = fill(pair.near)
    assert pair.near.enum_network_events(event) == (0, {})
    await drain(pair.far, sent + 3)
    await pair.world.until(event.is_set)
    assert pair.near.enum_network_events(event).events == FD_WRITE


async def test_bound_datagram_socket_at_select(world: World, window: wsock.Window) -> None:
    """A bound datagram socket is writable at the selection."""
    sock = world.bound_datagram()
    sock.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
    assert events_in(window) == [FD_WRITE]


async def test_not_for_a_datagram_socket_that_sends_no_more(
    world: World, window: wsock.Window
) -> None:
    """Its own sending is shut down: nothing can be written."""
    sock = world.bound_datagram()
    sock.shutdown(wsock.SD_SEND)
    sock.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
    assert events_in(window) == []


async def test_unbound_datagram_socket(world: World, window: wsock.Window) -> None:
    """Unbound: FD_WRITE in message mode; in event mode once the socket is bound."""
    sock = world.socket(kind=std.SOCK_DGRAM)
    sock.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
    assert events_in(window) == [FD_WRITE]
    other = world.socket(kind=std.SOCK_DGRAM)
    event = wsock.Event()
    other.event_select(event, FD_READ | FD_WRITE)
    assert not event.is_set()
    other.bind((world.provider.host, 0))
    assert event.is_set()
    assert other.enum_network_events(event).events == FD_WRITE


async def test_read_before_write_in_event_mode_codes(pair: Pair) -> None:
    """One selection may record several events, each with its code."""
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    event = wsock.Event()
    pair.near.event_select(event, FD_READ | FD_WRITE)
    assert pair.near.enum_network_events(event) == (
        FD_READ | FD_WRITE,
        {FD_READ: 0, FD_WRITE: 0},
    )
