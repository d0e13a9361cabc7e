"""FD_OOB: the urgent byte, apart from the stream (S1-33, S2-12)."""

from __future__ import annotations

import contextlib
import socket as std

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, Pair, World, events_in, messages
from wsock import FD_OOB, FD_READ


async def test_posted_when_an_urgent_byte_arrives(pair: Pair, window: wsock.Window) -> None:
    """S1-39: FD_OOB for the urgent byte; recv with MSG_OOB takes it alone."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    assert pair.near.recv_nowait(9, std.MSG_OOB) == b"!"
    assert events_in(window) == []


async def test_each_urgent_byte_that_was_read_makes_room_for_the_next(
    pair: Pair, window: wsock.Window
) -> None:
    """recv re-enables FD_OOB: the next urgent byte is reported."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    for _ in range(3):
        pair.far.send_nowait(b"!", std.MSG_OOB)
        assert await messages(window) == [(FD_OOB, 0)]
        assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"
    assert events_in(window) == []


async def test_recv_past_the_mark_keeps_the_urgent_byte(pair: Pair, window: wsock.Window) -> None:
    """Normal reading past the mark does not touch the urgent byte; recv re-enables its FD_OOB."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"a!", std.MSG_OOB)
    pair.far.send_nowait(b"b")
    assert await messages(window) == [(FD_OOB, 0)]
    assert await pair.near.recv(9) == b"a"
    assert await pair.near.recv(9) == b"b"
    assert events_in(window) == [FD_OOB, FD_OOB]
    assert pair.near.recv_nowait(9, std.MSG_OOB) == b"!"
    assert events_in(window) == []


async def test_second_urgent_byte_before_recv(pair: Pair, window: wsock.Window) -> None:
    """A second urgent byte before a recv: message mode posts nothing, both can be read."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"1", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    pair.far.send_nowait(b"2", std.MSG_OOB)
    pair.far.send_nowait(b"x")
    await pair.settle(unread=1)
    assert events_in(window) == []
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"1"
    assert events_in(window) == [FD_OOB]
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"2"


async def test_a_whole_length_reads_past_the_mark(pair: Pair, window: wsock.Window) -> None:
    """MSG_WAITALL wants its length: it does not stop where a recv would."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"ab!", std.MSG_OOB)
    pair.far.send_nowait(b"cd")
    assert await messages(window) == [(FD_OOB, 0)]
    assert await pair.near.recv(4, std.MSG_WAITALL) == b"abcd"
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"


async def test_after_own_shutdown_of_receiving_it_resets(pair: Pair, window: wsock.Window) -> None:
    """Urgent data is data: a side that receives no more resets on it."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.near.shutdown(wsock.SD_RECEIVE)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    with pytest.raises((wsock.WSAECONNRESET, wsock.WSAECONNABORTED)):
        await pair.far.recv(1)


async def test_posted_at_select(pair: Pair, window: wsock.Window) -> None:
    """An urgent byte that is unread is reported by the selection."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    assert events_in(window) == [FD_OOB]


async def test_nothing_after_own_shutdown_of_receiving(pair: Pair, window: wsock.Window) -> None:
    """Urgent data for a side that will not receive any more is not reported, nor readable."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.near.shutdown(wsock.SD_RECEIVE)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    pair.near.send_nowait(b"later")
    with contextlib.suppress(wsock.WSAECONNRESET, wsock.WSAECONNABORTED):  # or it is reset
        assert await pair.far.recv(9) == b"later"
    assert events_in(window) == []
    with pytest.raises(wsock.WSAESHUTDOWN):
        pair.near.recv_nowait(1, std.MSG_OOB)


async def test_peek_keeps_the_urgent_byte(pair: Pair, window: wsock.Window) -> None:
    """MSG_OOB with MSG_PEEK leaves the byte, and FD_OOB comes again."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    assert pair.near.recv_nowait(1, std.MSG_OOB | std.MSG_PEEK) == b"!"
    assert events_in(window) == [FD_OOB]
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"
    assert events_in(window) == []


async def test_inline_urgent_data_is_read(pair: Pair, window: wsock.Window) -> None:
    """SO_OOBINLINE: the byte comes in the stream, as FD_READ; MSG_OOB is WSAEINVAL."""
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 1)
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    assert await messages(window) == [(FD_READ, 0)]
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.recv_nowait(1, std.MSG_OOB)
    assert await pair.near.recv(9) == b"!"
    for _ in range(2):
        pair.far.send_nowait(b"!", std.MSG_OOB)
        await pair.settle(unread=1)
        assert pair.near.recv_nowait(9) == b"!"


async def test_made_inline_after_it_came(pair: Pair, window: wsock.Window) -> None:
    """SO_OOBINLINE set while an urgent byte waits: no FD_OOB any more, and it comes once.

    A kernel puts it into the stream; a virtual host has it apart already, and keeps it there.
    """
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"ab!", std.MSG_OOB)
    pair.far.send_nowait(b"cd")
    assert await messages(window) == [(FD_OOB, 0)]
    await pair.settle(unread=2)
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 1)
    assert pair.near.ioctl(wsock.SIOCATMARK) == 1
    kept_apart = pair.world.provider.name == "virtual"
    expected = b"abcd" if kept_apart else b"ab!cd"
    got = b""
    with trio.fail_after(5):
        while len(got) < len(expected):
            got += await pair.near.recv(9)
    assert got == expected
    assert events_in(window) == []
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 0)
    if kept_apart:
        assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.recv_nowait(1, std.MSG_OOB)


@pytest.mark.parametrize("before", [b"", b"ab"])
@pytest.mark.parametrize("behind", [b"", b"cd"])
@pytest.mark.parametrize("selected", [0, FD_OOB, FD_READ | FD_OOB])
async def test_made_inline_after_it_was_received(
    pair: Pair, window: wsock.Window, before: bytes, behind: bytes, selected: int
) -> None:
    """An urgent byte received with MSG_OOB does not come again when SO_OOBINLINE is set."""
    pair.near.async_select(window, WM_SOCKET, selected)
    pair.far.send_nowait(before + b"!", std.MSG_OOB)
    if behind:
        pair.far.send_nowait(behind)
    with trio.fail_after(5):
        assert await pair.near.recv(1, std.MSG_OOB) == b"!"
    if before or behind:
        await pair.settle(unread=len(before or behind))
    events_in(window)
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 1)
    pair.far.send_nowait(b"ef?", std.MSG_OOB)  # the next one comes in the stream
    pair.far.send_nowait(b"gh")
    expected = before + behind + b"ef?gh"
    got = b""
    with trio.fail_after(5):
        while len(got) < len(expected):
            got += await pair.near.recv(9)
    assert got == expected
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.recv_nowait(9)


async def test_data_behind_an_urgent_byte_received_before_it_was_told(pair: Pair) -> None:
    """FIONREAD counts it, and it is FD_READ, although a kernel's count ends at the mark."""
    event = wsock.Event()
    pair.far.send_nowait(b"!", std.MSG_OOB)
    with trio.fail_after(5):
        assert await pair.near.recv(1, std.MSG_OOB) == b"!"
        pair.far.send_nowait(b"cd")
        await pair.world.until(lambda: pair.near.ioctl(wsock.FIONREAD))
    assert pair.near.ioctl(wsock.FIONREAD) == 2
    pair.near.event_select(event, FD_READ)
    assert event.is_set()


async def test_made_inline_past_the_mark(pair: Pair) -> None:
    """SO_OOBINLINE set when the mark lies behind: nothing is dropped."""
    pair.far.send_nowait(b"ab!", std.MSG_OOB)
    pair.far.send_nowait(b"cd")
    with trio.fail_after(5):
        assert await pair.near.recv(1, std.MSG_OOB) == b"!"
        got = b""
        while len(got) < 3:
            got += await pair.near.recv(3 - len(got))
        assert got == b"abc"
        await pair.settle(unread=1)
        pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 1)
        pair.far.send_nowait(b"?e", 0)
        got = b""
        while len(got) < 3:
            got += await pair.near.recv(9)
        assert got == b"d?e"


@pytest.mark.parametrize("mode", ["message", "event", "waiting"])
async def test_bytes_before_the_mark_are_told_after_it_was_made_inline(
    pair: Pair, window: wsock.Window, mode: str
) -> None:
    """FD_READ holds for what lies before the byte that was received apart, also right then."""
    pair.far.send_nowait(b"ab!", std.MSG_OOB)
    with trio.fail_after(5):
        assert await pair.near.recv(1, std.MSG_OOB) == b"!"
        await pair.settle(unread=2)
        pair.near.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, 1)
        if mode == "message":
            pair.near.async_select(window, WM_SOCKET, FD_READ)
            assert events_in(window) == [FD_READ]
        elif mode == "event":
            event = wsock.Event()
            pair.near.event_select(event, FD_READ)
            assert event.is_set()
        assert pair.near.ioctl(wsock.FIONREAD) == 2
        assert await pair.near.recv(9) == b"ab"
        pair.far.send_nowait(b"cd")
        if mode == "message":
            assert await messages(window) == [(FD_READ, 0)]
        elif mode == "event":
            await pair.world.until(lambda: pair.near.enum_network_events().events & FD_READ)
        assert await pair.near.recv(9) == b"cd"


async def test_who_waits_for_urgent_data_takes_no_fd_read(pair: Pair, window: wsock.Window) -> None:
    """Normal data is reported although a task waits in recv with MSG_OOB: it took none of it."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await pair.near.recv(1, std.MSG_OOB))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        pair.far.send_nowait(b"abc")
        assert await messages(window) == [(FD_READ, 0)]
        assert pair.near.recv_nowait(9) == b"abc"
        pair.far.send_nowait(b"!", std.MSG_OOB)
    assert got == [b"!"]
    assert events_in(window) == []


async def test_nothing_urgent(pair: Pair) -> None:
    """S2-12: MSG_OOB with only normal data waiting is WSAEWOULDBLOCK, and takes none of it."""
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.recv_nowait(9, std.MSG_OOB)
    assert pair.near.recv_nowait(9) == b"abc"


async def test_urgent_byte_apart_from_normal_data(pair: Pair, window: wsock.Window) -> None:
    """S1-33, S2-9: the urgent byte arrives apart; recv stops at the mark and loses nothing."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"ab")
    pair.far.send_nowait(b"!", std.MSG_OOB)
    pair.far.send_nowait(b"cd")
    assert await messages(window) == [(FD_OOB, 0)]
    assert pair.near.recv_nowait(9, std.MSG_OOB) == b"!"
    got = b""
    while len(got) < 4:
        got += await pair.near.recv(9)
    assert got == b"abcd"


async def test_at_mark(pair: Pair, window: wsock.Window) -> None:
    """SIOCATMARK: 1 at first, 0 while an urgent byte is unread ahead."""
    assert pair.near.ioctl(wsock.SIOCATMARK) == 1
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"ab!", std.MSG_OOB)
    await messages(window)
    assert pair.near.ioctl(wsock.SIOCATMARK) == 0
    assert await pair.near.recv(9) == b"ab"
    assert pair.near.ioctl(wsock.SIOCATMARK) == 0
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"
    assert pair.near.ioctl(wsock.SIOCATMARK) == 1


async def test_event_mode(pair: Pair) -> None:
    """Event mode: recorded; MSG_OOB takes it off the record."""
    event = wsock.Event()
    pair.near.event_select(event, FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    await pair.world.until(event.is_set)
    assert pair.near.recv_nowait(1, std.MSG_OOB) == b"!"
    assert pair.near.enum_network_events(event) == (0, {})


async def test_event_mode_second_urgent_byte(pair: Pair) -> None:
    """Event mode, a second urgent byte before a recv: Windows records again, the pages wait."""
    event = wsock.Event()
    pair.near.event_select(event, FD_OOB)
    pair.far.send_nowait(b"1", std.MSG_OOB)
    await pair.world.until(event.is_set)
    assert pair.near.enum_network_events(event).events == FD_OOB
    pair.far.send_nowait(b"2", std.MSG_OOB)
    pair.far.send_nowait(b"x")
    await pair.settle(unread=1)
    assert event.is_set() is pair.world.windows
    assert bool(pair.near.enum_network_events(event).events) is pair.world.windows


async def test_selected_before_the_connection(world: World, window: wsock.Window) -> None:
    """A selection made before connect, or inherited by accept, tells of urgent data too."""
    listener, far = world.listener(), world.socket()
    listener.async_select(window, WM_SOCKET, FD_OOB)
    far.async_select(window, WM_SOCKET, FD_OOB)
    await far.connect(listener.getsockname())
    near = await world.accept(listener)
    far.send_nowait(b"!", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    assert near.recv_nowait(1, std.MSG_OOB) == b"!"
    near.send_nowait(b"?", std.MSG_OOB)
    assert await messages(window) == [(FD_OOB, 0)]
    assert far.recv_nowait(1, std.MSG_OOB) == b"?"
