"""What an accepted socket reports first, and what may happen before it does.

Where the transport's first report tells all that holds, accept does not look for it: so each test
does its harm between the two.
"""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import (
    PATIENCE_S,
    RESET_AT_CLOSE,
    WM_SOCKET,
    World,
    drain,
    events_in,
    fill,
    messages,
    queued,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_OOB, FD_READ, FD_WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

SELECTED = FD_READ | FD_WRITE | FD_CLOSE


async def accepted_pair(
    world: World, window: wsock.Window, sent: bytes = b"", events: int = SELECTED
) -> tuple[wsock.Socket, wsock.Socket]:
    """A socket accepted this moment, and its client, whose bytes were there before."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, events | FD_ACCEPT)
    client = await world.connected(listener)
    if sent:
        client.send_nowait(sent)
    await world.settle(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    accepted = world.keep(listener.accept_nowait()[0])
    listener.async_select(None, 0, 0)
    return accepted, client


async def test_data_is_reported_before_room(world: World, window: wsock.Window) -> None:
    """FD_READ comes before FD_WRITE, where both hold."""
    accepted, _ = await accepted_pair(world, window, b"abc")
    await world.settle(accepted, unread=3)
    assert events_in(window) == [FD_READ, FD_WRITE]


async def test_room_is_reported_before_a_reset(world: World, window: wsock.Window) -> None:
    """A client that resets at once: FD_WRITE, then FD_CLOSE with WSAECONNRESET, and no FD_READ."""
    accepted, client = await accepted_pair(world, window)
    client.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    client.close()
    await world.settle(accepted, reset=True)
    code = wsock.WSAECONNABORTED if world.windows else wsock.WSAECONNRESET
    assert queued(window) == [(FD_WRITE, 0), (FD_CLOSE, code.winerror)]


async def test_room_is_reported_before_a_release(world: World, window: wsock.Window) -> None:
    """A client that ends at once, having sent nothing: FD_WRITE, then FD_CLOSE."""
    accepted, client = await accepted_pair(world, window)
    client.shutdown(wsock.SD_SEND)
    await world.settle(accepted, ended=True)
    assert queued(window) == [(FD_WRITE, 0), (FD_CLOSE, 0)]


async def test_what_was_taken_is_not_reported(world: World, window: wsock.Window) -> None:
    """Data that is read before anybody has reported it gives no FD_READ."""
    accepted, client = await accepted_pair(world, window, b"abc")
    with trio.fail_after(PATIENCE_S):
        assert await accepted.recv(9) == b"abc"
    await world.settle(accepted)
    assert [event for event in events_in(window) if event != FD_READ] == [FD_WRITE]
    client.send_nowait(b"d")
    assert await messages(window) == [(FD_READ, 0)]


async def test_room_is_reported_once(world: World, window: wsock.Window) -> None:
    """A selection made anew reports FD_WRITE by itself; the transport does not again."""
    accepted, _ = await accepted_pair(world, window)
    events_in_the_meantime = []
    accepted.async_select(window, WM_SOCKET + 1, SELECTED)
    await world.settle(accepted)
    while (message := window.peek()) is not None:
        window.get_nowait()
        events_in_the_meantime.append((message.message, message.event))
    assert events_in_the_meantime.count((WM_SOCKET + 1, FD_WRITE)) == 1
    await world.settle(accepted)
    assert queued(window) == []


async def test_nothing_is_reported_without_a_selection(world: World, window: wsock.Window) -> None:
    """A selection that is cancelled at once; a later one is told what holds then."""
    accepted, _ = await accepted_pair(world, window, b"abc")
    accepted.async_select(None, 0, 0)
    events_in(window)
    await world.settle(accepted, unread=3)
    assert queued(window) == []
    accepted.async_select(window, WM_SOCKET, SELECTED)
    assert events_in(window) == [FD_READ, FD_WRITE]


async def test_an_event_object_takes_over(world: World, window: wsock.Window) -> None:
    """Selected for an event object at once: what comes is recorded there, and no message comes."""
    accepted, client = await accepted_pair(world, window)
    event = wsock.Event()
    accepted.event_select(event, SELECTED)
    events_in(window)
    client.send_nowait(b"abc")
    await world.settle(accepted, unread=3)
    assert event.is_set()
    assert accepted.enum_network_events(event).events & FD_READ
    assert queued(window) == []


async def test_there_is_room_before_it_is_reported(world: World, window: wsock.Window) -> None:
    """notifications() says that FD_WRITE's condition holds as soon as the socket exists."""
    accepted, _ = await accepted_pair(world, window)
    holds = {state.event: state.condition for state in accepted.notifications()}
    assert holds[wsock.FD(FD_WRITE)]


async def test_a_refused_send_waits_for_room(world: World, window: wsock.Window) -> None:
    """Filled up at once: FD_WRITE comes when the peer has made room."""
    accepted, client = await accepted_pair(world, window)
    sent = fill(accepted)
    events_in(window)
    got = await drain(client, sent)
    assert got == sent
    await world.until(lambda: window.peek() is not None)
    assert events_in(window) == [FD_WRITE]
    assert accepted.send_nowait(b"x") == 1


@pytest.mark.parametrize("direction", [wsock.SD_RECEIVE, wsock.SD_SEND])
async def test_room_is_reported_although_one_side_is_shut(
    world: World, window: wsock.Window, direction: int
) -> None:
    """One direction shut down at once: FD_WRITE had been due, and comes."""
    accepted, _ = await accepted_pair(world, window)
    accepted.shutdown(direction)
    await world.settle(accepted)
    assert events_in(window) == [FD_WRITE]


async def test_room_is_reported_before_data_is_refused(
    world: World, window: wsock.Window
) -> None:
    """Receiving shut down at once, and data comes: FD_WRITE had been due, then comes the reset."""
    accepted, client = await accepted_pair(world, window)
    accepted.shutdown(wsock.SD_RECEIVE)
    client.send_nowait(b"abc")
    events = []
    with trio.fail_after(PATIENCE_S):
        while FD_CLOSE not in events:
            events += [event for event, _ in await messages(window)]
    assert events == [FD_WRITE, FD_CLOSE]


@pytest.mark.parametrize("end", [wsock.Socket.close, wsock.Socket.reset])
async def test_closed_at_once(
    world: World, window: wsock.Window, end: Callable[[wsock.Socket], None]
) -> None:
    """Closed before anything was reported: no message comes any more, and the peer sees the end."""
    accepted, client = await accepted_pair(world, window, b"abc")
    events_in(window)
    end(accepted)
    await world.settle(client)
    assert queued(window) == []
    assert accepted.state == "CLOSED"


async def test_urgent_data_that_came_before(world: World, window: wsock.Window) -> None:
    """An urgent byte that came before accept is reported, as FD_WRITE is."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, SELECTED | FD_OOB | FD_ACCEPT)
    client = await world.connected(listener)
    client.send_nowait(b"!", std.MSG_OOB)
    await world.settle(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    accepted = world.keep(listener.accept_nowait()[0])
    with trio.fail_after(PATIENCE_S):
        assert set(await messages(window, 2)) == {(FD_OOB, 0), (FD_WRITE, 0)}
    assert accepted.recv_nowait(1, std.MSG_OOB) == b"!"


async def test_watched_from_there_on(world: World, window: wsock.Window) -> None:
    """A monitor that comes in between sees both notifications and that data has arrived."""
    recorder = Recorder()
    accepted, _ = await accepted_pair(world, window, b"abc")
    events_in_the_meantime = events_in(window) if world.provider.name != "epoll" else []
    world.stack.attach(recorder)
    try:
        await world.settle(accepted, unread=3)
        events = events_in_the_meantime + events_in(window)
    finally:
        world.stack.detach()
    assert events == [FD_READ, FD_WRITE]
    if world.provider.name == "epoll":
        assert [flags for kind, flags in recorder.rows if kind == "fd"] == [FD_READ, FD_WRITE]


async def test_a_reset_is_indicated_once(world: World, window: wsock.Window) -> None:
    """Further edges of a connection that is reset are no further TDI_EVENT_DISCONNECT."""
    accepted, client = await accepted_pair(world, window)
    recorder = Recorder()
    world.stack.attach(recorder)
    try:
        client.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
        client.close()
        await world.settle(accepted, reset=True)
        for size in (70_000, 140_000):  # the kernel makes an edge of each
            accepted.setsockopt(std.SOL_SOCKET, std.SO_SNDBUF, size)
            await world.settle(accepted)
    finally:
        world.stack.detach()
    assert recorder.requests.count("TDI_EVENT_DISCONNECT") == 1


class Recorder:
    """A tracer that keeps kind, flags and request of each row."""

    payload_bytes = 0

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []
        self.requests: list[str] = []

    def emit(self, record: wsock.tdi.TraceRecord) -> None:
        self.rows.append((record.kind, record.flags))
        self.requests.append(record.request)
