"""FD_ACCEPT and what an accepted socket takes over (accept, WSAAsyncSelect pages)."""

from __future__ import annotations

import socket as std

import pytest
import trio

import wsock
from tests.providers import (
    EVERYTHING,
    WM_SOCKET,
    World,
    events_in,
    messages,
    queued,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE


async def test_posted_once_until_accept(world: World, window: wsock.Window) -> None:
    """S1-39: one FD_ACCEPT for the first client; accept reports the next that waits."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    for _ in range(3):
        await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    await world.settle(listener)
    assert events_in(window) == []
    for left in (2, 1, 0):
        world.keep(listener.accept_nowait()[0]).async_select(None, 0, 0)
        assert events_in(window) == [FD_ACCEPT] * bool(left)


async def test_never_without_a_client(world: World, window: wsock.Window) -> None:
    """An FD_ACCEPT is posted only with a connection in hand: accept then succeeds."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    for _ in range(4):
        await world.connected(listener)
        assert await messages(window) == [(FD_ACCEPT, 0)]
        world.keep(listener.accept_nowait()[0]).async_select(None, 0, 0)
        with pytest.raises(wsock.WSAEWOULDBLOCK):
            listener.accept_nowait()
        assert events_in(window) == []


async def test_at_select_a_pending_client_is_posted(world: World, window: wsock.Window) -> None:
    """A client that waits is reported by the selection, and by each later one."""
    listener = world.listener()
    await world.connected(listener)
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    assert events_in(window) == [FD_ACCEPT]


async def test_accepted_before_the_selection(world: World, window: wsock.Window) -> None:
    """A connect that was accepted before the selection leaves nothing to post."""
    listener = world.listener()
    await world.connected(listener)
    await world.accept(listener)
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.settle(listener)
    assert events_in(window) == []


async def test_failing_accept_re_enables(world: World, window: wsock.Window) -> None:
    """accept re-enables FD_ACCEPT also when it fails."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        listener.accept_nowait()
    await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]


async def test_event_mode_second_client(world: World) -> None:
    """Event mode, a second client before accept: Windows records again, the pages wait for it."""
    listener, event = world.listener(), wsock.Event()
    listener.event_select(event, FD_ACCEPT)
    await world.connected(listener)
    await world.until(event.is_set)
    assert listener.enum_network_events(event).events == FD_ACCEPT
    await world.connected(listener)
    await world.settle(listener)
    assert bool(listener.enum_network_events(event).events) is world.windows
    first = world.keep(listener.accept_nowait()[0])
    assert listener.enum_network_events(event).events == FD_ACCEPT
    world.keep(listener.accept_nowait()[0])
    assert listener.enum_network_events().events == 0
    assert first.enum_network_events().events == 0


async def test_accept_is_first_come_first_served(world: World) -> None:
    """S2-6, S2-7: clients are accepted in the order of their coming, one for each accept."""
    listener = world.listener()
    clients = [await world.connected(listener) for _ in range(4)]
    for client in clients:
        _, address = await accept_of(world, listener)
        assert address == client.getsockname()


async def accept_of(world: World, listener: wsock.Socket) -> tuple[wsock.Socket, object]:
    with trio.fail_after(5):
        sock, address = await listener.accept()
    return world.keep(sock), address


async def test_inherits_the_message_selection(world: World, window: wsock.Window) -> None:
    """The accepted socket takes over window, message and mask; FD_WRITE is there at a look."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT | FD_READ | FD_WRITE | FD_CLOSE)
    client = await world.connected(listener)
    await messages(window)
    accepted = world.keep(listener.accept_nowait()[0])
    message = window.get_nowait()
    assert (message.message, message.socket, message.event) == (WM_SOCKET, accepted, FD_WRITE)
    assert accepted.ioctl(wsock.FIONBIO, 1) == 0
    with pytest.raises(wsock.WSAEINVAL):
        accepted.ioctl(wsock.FIONBIO, 0)
    client.send_nowait(b"a")
    assert await messages(window) == [(FD_READ, 0)]
    client.close()
    accepted.recv_nowait(9)
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_reports_data_that_came_before_accept(world: World, window: wsock.Window) -> None:
    """Data and release that came before accept are reported after it, in order."""
    listener = world.listener()
    client = await world.connected(listener)
    client.send_nowait(b"abc")
    client.shutdown(wsock.SD_SEND)
    await world.settle(listener)
    listener.async_select(window, WM_SOCKET, EVERYTHING)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    accepted = world.keep(listener.accept_nowait()[0])
    await world.settle(accepted, ended=True)
    expected = [FD_READ, FD_WRITE] + [FD_CLOSE] * world.windows
    assert events_in(window) == expected
    assert accepted.recv_nowait(9) == b"abc"
    if not world.windows:
        assert await messages(window) == [(FD_CLOSE, 0)]


async def test_inherits_the_event_selection(world: World) -> None:
    """Event mode: the accepted socket shares the event object and has a record of its own."""
    listener, event = world.listener(), wsock.Event()
    listener.event_select(event, FD_ACCEPT | FD_WRITE)
    await world.connected(listener)
    await world.until(event.is_set)
    assert listener.enum_network_events(event).events == FD_ACCEPT
    accepted = world.keep(listener.accept_nowait()[0])
    assert event.is_set()
    assert listener.enum_network_events().events == 0
    assert accepted.enum_network_events(event) == (FD_WRITE, {FD_WRITE: 0})


async def test_later_selections_do_not_touch_each_other(world: World, window: wsock.Window) -> None:
    """Selecting on the accepted socket leaves the listener's selection alone, and the reverse."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    await messages(window)
    accepted = world.keep(listener.accept_nowait()[0])
    accepted.async_select(window, WM_SOCKET + 1, FD_WRITE)
    message = window.get_nowait()
    assert (message.message, message.event) == (WM_SOCKET + 1, FD_WRITE)
    await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    listener.async_select(None, 0, 0)
    accepted.async_select(window, WM_SOCKET + 1, FD_WRITE)
    assert events_in(window) == [FD_WRITE]


async def test_options_are_inherited(world: World) -> None:
    """The accepted socket has the listener's options as of the moment of accept."""
    listener = world.listener()
    options = {
        (std.SOL_SOCKET, std.SO_REUSEADDR): 1,
        (std.SOL_SOCKET, std.SO_KEEPALIVE): 1,
        (std.SOL_SOCKET, std.SO_OOBINLINE): 1,
        (std.SOL_SOCKET, std.SO_SNDBUF): 5000,
        (std.SOL_SOCKET, std.SO_RCVBUF): 6000,
        (std.SOL_SOCKET, std.SO_SNDTIMEO): 7000,
        (std.SOL_SOCKET, std.SO_RCVTIMEO): 8000,
        (std.IPPROTO_TCP, std.TCP_NODELAY): 1,
    }
    for (level, option), value in options.items():
        listener.setsockopt(level, option, value)
    listener.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 9))
    await world.connected(listener)
    accepted = await world.accept(listener)
    for (level, option), value in options.items():
        assert accepted.getsockopt(level, option) == value
    assert accepted.getsockopt(std.SOL_SOCKET, std.SO_LINGER) == bytes([1, 0, 0, 0, 9, 0, 0, 0])
    assert accepted.getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN) == 0


@pytest.mark.parametrize("mode", [0, 1])
async def test_the_nonblocking_mode_is_inherited(world: World, mode: int) -> None:
    """As ioctlsocket set it on the listener; the C face's calls on the accepted socket obey it."""
    listener = world.listener()
    assert listener.ioctl(wsock.FIONBIO, mode) == 0
    await world.connected(listener)
    accepted = await world.accept(listener)
    assert accepted._endpoint.nonblocking == bool(mode)


async def test_wparam_and_lparam(world: World, window: wsock.Window) -> None:
    """S1-40: wParam is the socket, the low word of lParam the event, the high word the error."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    with trio.fail_after(5):
        message = await window.get()
    assert message.wparam == listener.handle
    assert (message.lparam & 0xFFFF, message.lparam >> 16) == (FD_ACCEPT, 0)


async def test_pending_clients_are_reset_when_the_listener_closes(
    world: World, window: wsock.Window
) -> None:
    """S1-24: closing the listener resets who was not accepted; a server goes on."""
    listener = world.listener()
    clients = [await world.connected(listener) for _ in range(3)]
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await messages(window)
    listener.close()
    for client in clients:
        with pytest.raises(wsock.WSAECONNRESET), trio.fail_after(5):
            await client.recv(1)
    assert queued(window) == []


async def test_stop_accepting_leaves_what_was_taken(world: World, window: wsock.Window) -> None:
    """A client in hand may still be accepted; no further one is taken."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    assert listener.stop_accepting() == 1
    world.keep(listener.accept_nowait()[0]).async_select(None, 0, 0)
    assert listener.stop_accepting() == 0
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        listener.accept_nowait()
    assert events_in(window) == []


async def test_listen_again_accepts_again(world: World, window: wsock.Window) -> None:
    """What stop_accepting ended begins anew with the next listen."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    assert listener.stop_accepting() == 0
    listener.listen(16)
    await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]


async def test_defer_accepting_asks_before_each_connection(
    world: World, window: wsock.Window
) -> None:
    """After the delay the connection is taken, if no other process has taken it."""
    asked = []

    def delay() -> float:
        asked.append(len(asked))
        return 0.001 * (len(asked) % 2)

    listener = world.listener()
    listener.defer_accepting(delay)
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    for _ in range(3):
        await world.connected(listener)
        assert await messages(window) == [(FD_ACCEPT, 0)]
        world.keep(listener.accept_nowait()[0]).async_select(None, 0, 0)
    assert len(asked) >= 3


async def test_defer_accepting_ends_with_none(world: World, window: wsock.Window) -> None:
    """A connection that was left to others is taken at once then."""
    listener = world.listener()
    listener.defer_accepting(lambda: 3600.0)
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    await world.settle(listener)
    assert events_in(window) == []
    listener.defer_accepting(None)
    assert await messages(window) == [(FD_ACCEPT, 0)]


async def test_stop_accepting_needs_a_listener(world: World) -> None:
    """WSAEINVAL on a socket that does not listen, WSAENOTSOCK on a closed one."""
    sock = world.socket()
    with pytest.raises(wsock.WSAEINVAL, match="not listening"):
        sock.stop_accepting()
    sock.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        sock.stop_accepting()
