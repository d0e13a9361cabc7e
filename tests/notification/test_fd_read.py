"""FD_READ: what reports it, and what re-enables it (WSAAsyncSelect, WSAEventSelect pages)."""

from __future__ import annotations

import socket as std
from typing import Any

import pytest
import trio

import wsock
from tests.providers import WM_SOCKET, Pair, World, events_in, messages
from wsock import FD_CLOSE, FD_READ, FD_WRITE


async def test_posted_once_until_recv(pair: Pair, window: wsock.Window) -> None:
    """S1-28, S1-39: one FD_READ for the first data; more before a recv posts nothing."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"ab")
    assert await messages(window) == [(FD_READ, 0)]
    pair.far.send_nowait(b"cd")
    await pair.settle(unread=4)
    assert events_in(window) == []


async def test_recv_that_leaves_data_posts_again(pair: Pair, window: wsock.Window) -> None:
    """recv re-enables FD_READ: what is left is reported before it returns."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abcd")
    await pair.settle(unread=4)
    assert events_in(window) == [FD_READ]
    assert pair.near.recv_nowait(2) == b"ab"
    assert events_in(window) == [FD_READ]
    assert pair.near.recv_nowait(2) == b"cd"
    assert events_in(window) == []


async def test_next_arrival_after_an_exact_recv_is_posted(pair: Pair, window: wsock.Window) -> None:
    """A recv of exactly what was there leaves FD_READ armed: the next arrival is reported."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    for _ in range(3):
        pair.far.send_nowait(b"ab")
        assert await messages(window) == [(FD_READ, 0)]
        assert pair.near.recv_nowait(2) == b"ab"


async def test_next_arrival_after_a_short_recv_is_posted(pair: Pair, window: wsock.Window) -> None:
    """S1-34: FD_READ follows the state of the receive buffer, arrival after arrival."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    for _ in range(3):
        pair.far.send_nowait(b"ab")
        assert await messages(window) == [(FD_READ, 0)]
        assert pair.near.recv_nowait(64) == b"ab"


async def test_failed_recv_re_enables(pair: Pair, window: wsock.Window) -> None:
    """recv re-enables FD_READ also when it fails with WSAEWOULDBLOCK."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"a")
    assert await messages(window) == [(FD_READ, 0)]
    assert pair.near.recv_nowait(9) == b"a"
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.recv_nowait(9)
    pair.far.send_nowait(b"b")
    assert await messages(window) == [(FD_READ, 0)]


async def test_peek_posts_again(pair: Pair, window: wsock.Window) -> None:
    """S2-10: recv with MSG_PEEK re-enables FD_READ too, and the data is left."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert events_in(window) == [FD_READ]
    assert pair.near.recv_nowait(2, std.MSG_PEEK) == b"ab"
    assert pair.near.recv_nowait(9, std.MSG_PEEK) == b"abc"
    assert events_in(window) == [FD_READ, FD_READ]
    assert pair.near.recv_nowait(9) == b"abc"
    assert events_in(window) == []


async def test_recv_into_re_enables(pair: Pair, window: wsock.Window) -> None:
    """recv_into is a recv: it re-enables FD_READ and reports what is left."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert pair.near.recv_into_nowait(bytearray(2)) == 2
    assert events_in(window) == [FD_READ, FD_READ]
    buffer = bytearray(9)
    assert pair.near.recv_into_nowait(buffer) == 1
    assert buffer[:1] == b"c"
    assert events_in(window) == []


async def test_posted_at_select_when_data_waits(pair: Pair, window: wsock.Window) -> None:
    """Data that waits already is reported by the selection, FD_READ before FD_WRITE."""
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
    assert events_in(window) == [FD_READ, FD_WRITE]


async def test_data_read_before_the_selection_posts_nothing(
    pair: Pair, window: wsock.Window
) -> None:
    """A condition that ended is not reported."""
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert pair.near.recv_nowait(9) == b"abc"
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    assert events_in(window) == []
    pair.far.send_nowait(b"d")
    assert await messages(window) == [(FD_READ, 0)]


async def test_selecting_again_posts_again(pair: Pair, window: wsock.Window) -> None:
    """Message mode posts FD_READ at each selection as long as data waits, also after a cancel."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.near.async_select(None, 0, 0)
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    assert events_in(window) == [FD_READ] * 3


async def test_recv_with_an_unknown_flag_re_enables(pair: Pair, window: wsock.Window) -> None:
    """Message mode: it fails, and FD_READ is posted again as long as data waits."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert events_in(window) == [FD_READ]
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.recv_nowait(9, 1 << 20)
    assert events_in(window) == [FD_READ]


@pytest.mark.parametrize("length", [0, -1])
async def test_recv_without_room_re_enables(pair: Pair, window: wsock.Window, length: int) -> None:
    """A recv of length 0 takes nothing, a negative one fails; both re-enable in message mode."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert events_in(window) == [FD_READ]
    if length:
        cls = wsock.WSAEFAULT if pair.world.windows else wsock.WSAEINVAL
        with pytest.raises(cls):
            pair.near.recv_nowait(length)
    else:
        assert pair.near.recv_nowait(0) == b""
    assert events_in(window) == [FD_READ]


@pytest.mark.parametrize("arguments", [(-1,), (9, 1 << 20)], ids=["length", "flag"])
async def test_event_mode_bad_arguments(pair: Pair, arguments: tuple[int, ...]) -> None:
    """Event mode: by the pages a failing recv records FD_READ again; Windows records nothing."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert pair.near.enum_network_events(event) == (FD_READ, {FD_READ: 0})
    with pytest.raises(wsock.WSAError):
        pair.near.recv_nowait(*arguments)
    assert bool(pair.near.enum_network_events(event).events) is not pair.world.windows


async def test_event_mode_records_until_recv(pair: Pair) -> None:
    """Event mode: FD_READ is recorded once; recv takes it off the record, the event stays set."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert event.is_set()
    assert pair.near.recv_nowait(9) == b"abc"
    assert event.is_set()
    assert pair.near.enum_network_events(event) == (0, {})
    assert not event.is_set()


async def test_event_mode_second_arrival(pair: Pair) -> None:
    """Event mode, more data before a recv: Windows records again, the pages wait for the recv."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"ab")
    await pair.settle(unread=2)
    assert pair.near.enum_network_events(event).events == FD_READ
    pair.far.send_nowait(b"cd")
    await pair.settle(unread=4)
    assert event.is_set() is pair.world.windows
    assert bool(pair.near.enum_network_events(event).events) is pair.world.windows


async def test_event_mode_recv_that_leaves_data_records_again(pair: Pair) -> None:
    """Event mode: recv re-enables, and what is left sets the event again."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert pair.near.enum_network_events(event).events == FD_READ
    assert pair.near.recv_nowait(1) == b"a"
    assert event.is_set()
    assert pair.near.enum_network_events(event).events == FD_READ


async def test_asking_re_enables_nothing(pair: Pair, window: wsock.Window) -> None:
    """FIONREAD, SIOCATMARK, getsockopt and the names re-enable nothing."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert events_in(window) == [FD_READ]
    assert pair.near.ioctl(wsock.FIONREAD) == 3
    assert pair.near.ioctl(wsock.SIOCATMARK) == 1
    pair.near.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
    pair.near.getpeername()
    assert events_in(window) == []


async def test_close_is_never_reported_as_read(pair: Pair, window: wsock.Window) -> None:
    """The end of the stream is FD_CLOSE alone."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    pair.far.close()
    assert await messages(window) == [(FD_CLOSE, 0)]
    assert pair.near.recv_nowait(9) == b""
    assert events_in(window) == []


async def test_waiting_task_is_served_first(world: World, window: wsock.Window) -> None:
    """A task that waits on a selected socket gets the data; only what it leaves is reported."""

    pair = await world.pair()
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    got = []

    async def reader() -> None:
        got.append(await pair.near.recv(2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        pair.far.send_nowait(b"ab")
    assert got == [b"ab"]
    assert events_in(window) == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        pair.far.send_nowait(b"abcd")
    assert got == [b"ab", b"ab"]
    assert events_in(window) == [FD_READ]


async def test_empty_datagram_is_data(world: World, window: wsock.Window) -> None:
    """An empty datagram is reported as FD_READ and received with length 0."""
    near, far = world.bound_datagram(), world.bound_datagram()
    near.async_select(window, WM_SOCKET, FD_READ)
    far.sendto_nowait(b"", near.getsockname())
    assert await messages(window) == [(FD_READ, 0)]
    assert near.recvfrom_nowait(9) == (b"", far.getsockname())
    assert events_in(window) == []


async def test_each_datagram_left_is_posted(world: World, window: wsock.Window) -> None:
    """recvfrom re-enables FD_READ: the next datagram that waits is reported at once."""
    near, far = world.bound_datagram(), world.bound_datagram()
    near.async_select(window, WM_SOCKET, FD_READ)
    far.sendto_nowait(b"one", near.getsockname())
    far.sendto_nowait(b"two", near.getsockname())
    assert await messages(window) == [(FD_READ, 0)]
    await world.settle(near)
    assert near.recvfrom_nowait(9)[0] == b"one"
    assert events_in(window) == [FD_READ]
    assert near.recvfrom_nowait(9)[0] == b"two"
    assert events_in(window) == []
    far.sendto_nowait(b"three", near.getsockname())
    assert await messages(window) == [(FD_READ, 0)]


async def test_an_error_that_came_back_is_read_too(world: World, window: wsock.Window) -> None:
    """A port unreachable that waits is FD_READ, at the selection and after a recv that left it."""
    sock, event = world.bound_datagram(), wsock.Event()
    sock.connect_ex(world.free_port())
    sock.event_select(event, FD_READ)
    sock.send_nowait(b"x")
    await world.until(event.is_set)
    sock.async_select(window, WM_SOCKET, FD_READ)
    assert events_in(window) == [FD_READ]
    with pytest.raises(wsock.WSAECONNRESET):
        sock.recv_nowait(9, std.MSG_PEEK)
    assert events_in(window) == [FD_READ]
    with pytest.raises(wsock.WSAECONNRESET):
        sock.recv_nowait(9)
    assert events_in(window) == []


async def test_a_windows_own_report_hears_of_each(pair: Pair) -> None:
    """A subclass of Window may look at, or drop, whatever is reported; also what comes again."""
    heard = []

    class Listening(wsock.Window):
        def report(self, endpoint: Any, bit: int, code: int) -> None:
            heard.append(bit)
            super().report(endpoint, bit, code)

    async with Listening() as window:
        pair.near.async_select(window, WM_SOCKET, FD_READ)
        for _ in range(3):
            pair.far.send_nowait(b"a")
            assert await messages(window) == [(FD_READ, 0)]
            pair.near.recv_nowait(9)
    assert heard == [FD_READ] * 3
