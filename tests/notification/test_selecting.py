"""Selecting: replacing, cancelling, modes, keeping alive (WSAAsyncSelect, WSAEventSelect pages)."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio

import wsock
from tests.providers import EVERYTHING, WM_SOCKET, Pair, World, events_in, messages, queued
from wsock import FD, FD_CLOSE, FD_READ, FD_WRITE, FIONBIO


async def test_second_selection_replaces_message_and_mask(pair: Pair, window: wsock.Window) -> None:
    """S1-36: one message per socket; a second selection replaces message and mask together."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.near.async_select(window, WM_SOCKET + 1, FD_CLOSE)
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert queued(window) == []
    pair.near.recv_nowait(1)
    pair.far.close()
    with trio.fail_after(5):
        message = await window.get()
    assert (message.message, message.event) == (WM_SOCKET + 1, FD_CLOSE)


async def test_mask_is_exact(pair: Pair, window: wsock.Window) -> None:
    """S1-38: any combination; just the selected events are posted, one message each."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    pair.far.send_nowait(b"a")
    assert await messages(window) == [(FD_READ, 0)]
    pair.near.recv_nowait(9)
    pair.far.close()
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_cancel(pair: Pair, window: wsock.Window) -> None:
    """S1-37: events 0 cancels; messages in the queue stay there; nothing is posted afterwards."""
    pair.near.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
    pair.near.async_select(None, 0, 0)
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert events_in(window) == [FD_WRITE]


async def test_another_window_replaces(pair: Pair, window: wsock.Window) -> None:
    """S1-35, S1-36: the new window gets the messages, the old one none."""
    async with wsock.Window() as other:
        pair.near.async_select(window, WM_SOCKET, FD_READ)
        pair.near.async_select(other, WM_SOCKET, FD_READ)
        pair.far.send_nowait(b"a")
        assert await messages(other) == [(FD_READ, 0)]
        assert queued(window) == []


async def test_a_window_that_was_replaced_ends_alone(pair: Pair, window: wsock.Window) -> None:
    """The end of a window that the socket no longer reports to leaves its selection alone."""
    async with wsock.Window() as first:
        pair.near.async_select(first, WM_SOCKET, FD_READ)
        pair.near.async_select(window, WM_SOCKET, FD_READ)
        assert (first.statistics().selected, window.statistics().selected) == (0, 1)
    pair.far.send_nowait(b"a")
    assert await messages(window) == [(FD_READ, 0)]


async def test_event_select_cancels_async_select_and_back(pair: Pair, window: wsock.Window) -> None:
    """One replaces the other: no further messages, or no further signals."""
    event = wsock.Event()
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"a")
    await pair.world.until(event.is_set)
    assert queued(window) == []
    event.reset()
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    assert events_in(window) == [FD_READ]
    pair.near.recv_nowait(9)
    pair.far.send_nowait(b"b")
    assert await messages(window) == [(FD_READ, 0)]
    assert not event.is_set()


@pytest.mark.parametrize("mask", [0, FD_READ])
async def test_selecting_makes_nonblocking(pair: Pair, window: wsock.Window, mask: int) -> None:
    """Either call, with any mask, makes the socket nonblocking; FIONBIO 0 fails while selected."""
    pair.near.async_select(window, WM_SOCKET, mask)
    assert pair.near.ioctl(FIONBIO, 1) == 0
    if mask:
        with pytest.raises(wsock.WSAEINVAL):
            pair.near.ioctl(FIONBIO, 0)
        pair.near.async_select(None, 0, 0)
    assert pair.near.ioctl(FIONBIO, 0) == 0


async def test_bad_selections(pair: Pair) -> None:
    """A mask without a window or event is WSAEINVAL, a closed socket WSAENOTSOCK."""
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.async_select(None, WM_SOCKET, FD_READ)
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.event_select(None, FD_READ)
    window = wsock.Window()
    window.close()
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.near.close()
    for call in (
        lambda: pair.near.async_select(None, 0, 0),
        lambda: pair.near.event_select(None, 0),
        pair.near.enum_network_events,
    ):
        with pytest.raises(wsock.WSAENOTSOCK):
            call()


def _select(pair: Pair, mode: str, target: object, events: object) -> None:
    if mode == "message":
        pair.near.async_select(target, WM_SOCKET + 1, events)  # type: ignore[arg-type]
    else:
        pair.near.event_select(target, events)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["message", "event"])
@pytest.mark.parametrize("events", [-1, ~FD_READ, 0x400, FD_READ | 0x8000])
async def test_a_bit_that_is_no_event_is_refused(pair: Pair, mode: str, events: int) -> None:
    """WSAEINVAL names the call, the value and what is expected."""
    async with wsock.Window() as window:
        target = window if mode == "message" else wsock.Event()
        with pytest.raises(wsock.WSAEINVAL) as caught:
            _select(pair, mode, target, events)
        name = "WSAAsyncSelect" if mode == "message" else "WSAEventSelect"
        assert name in str(caught.value)
        assert f"events {events:#x}: FD_ bits within 0x3ff are expected" in str(caught.value)


@pytest.mark.parametrize("mode", ["message", "event"])
@pytest.mark.parametrize("events", [0, FD_READ])
async def test_a_target_of_another_kind_is_refused(
    pair: Pair, window: wsock.Window, mode: str, events: int
) -> None:
    """Each call takes its own kind of target, also where it cancels: else TypeError."""
    swapped = wsock.Event() if mode == "message" else window
    expected = "WSAAsyncSelect: a Window" if mode == "message" else "WSAEventSelect: an Event"
    for target in (swapped, trio.Event(), 7, "window"):
        with pytest.raises(TypeError) as caught:
            _select(pair, mode, target, events)
        assert str(caught.value) == f"{expected} is expected, not {target!r}"


@pytest.mark.parametrize("events", ["READ", None, 1.0])
async def test_events_that_are_no_int_are_refused(pair: Pair, events: object) -> None:
    """TypeError, also where nothing would be selected."""
    for mode in ("message", "event"):
        with pytest.raises(TypeError, match="events is expected as an int"):
            _select(pair, mode, None, events)


async def test_a_message_number_that_is_no_int_is_refused(pair: Pair, window: wsock.Window) -> None:
    """TypeError at the selection, not a message that nobody can filter."""
    with pytest.raises(TypeError, match="WSAAsyncSelect: message is expected as an int"):
        pair.near.async_select(window, "WM_SOCKET", FD_READ)  # type: ignore[arg-type]


async def test_a_refused_selection_leaves_mode_and_the_earlier_one(
    pair: Pair, window: wsock.Window
) -> None:
    """Nothing is half done: the socket stays as it was, blocking or selected."""
    bad = [
        lambda: pair.near.async_select(window, WM_SOCKET + 1, -1),
        lambda: pair.near.async_select(wsock.Event(), WM_SOCKET, FD_CLOSE),  # type: ignore[arg-type]
        lambda: pair.near.event_select(wsock.Event(), 0x400),
        lambda: pair.near.event_select(window, 0),  # type: ignore[arg-type]
    ]
    for call in bad:
        with pytest.raises((wsock.WSAEINVAL, TypeError)):
            call()
    assert not any(row.selected for row in pair.near.notifications())
    assert not pair.near._endpoint.nonblocking
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    for call in bad:
        with pytest.raises((wsock.WSAEINVAL, TypeError)):
            call()
    pair.far.send_nowait(b"a")
    with trio.fail_after(5):
        message = await window.get()
    assert (message.message, message.event) == (WM_SOCKET, FD_READ)


async def test_enumerating_with_no_event_object_takes_nothing(
    pair: Pair, window: wsock.Window
) -> None:
    """TypeError for what is no Event, and the record is still there afterwards."""
    event = wsock.Event()
    pair.near.event_select(event, FD_WRITE)
    for target in (window, trio.Event(), FD_WRITE):
        with pytest.raises(TypeError) as caught:
            pair.near.enum_network_events(target)  # type: ignore[arg-type]
        assert str(caught.value) == f"WSAEnumNetworkEvents: an Event is expected, not {target!r}"
    assert pair.near.enum_network_events(event).events == FD_WRITE


async def test_failing_enumeration_resets_nothing(pair: Pair) -> None:
    """WSAEnumNetworkEvents that fails leaves record and event alone."""
    event = wsock.Event()
    event.set()
    pair.near.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        pair.near.enum_network_events(event)
    assert event.is_set()


async def test_never_selected(pair: Pair) -> None:
    """Enumerating a socket that was never selected gives no events."""
    assert pair.near.enum_network_events() == (FD(0), {})


async def test_unselected_events_wait_in_the_record(pair: Pair) -> None:
    """Event mode: what is not in the mask stays recorded and is reported when selected later."""
    event = wsock.Event()
    pair.near.event_select(event, FD_CLOSE)
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert not event.is_set()
    pair.near.event_select(event, FD_READ)
    assert event.is_set()
    assert pair.near.enum_network_events(event).events == FD_READ


async def test_another_event_may_be_reset(pair: Pair) -> None:
    """The event given to the enumeration is reset even if it is not the selected one."""
    event, other = wsock.Event(), wsock.Event()
    other.set()
    pair.near.event_select(event, FD_WRITE)
    assert pair.near.enum_network_events(other).events == FD_WRITE
    assert event.is_set()
    assert not other.is_set()


async def test_one_event_for_many_sockets(pair: Pair) -> None:
    """One event object may serve many sockets, each with its own record."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.event_select(event, FD_READ)
    pair.far.send_nowait(b"a")
    await pair.world.until(event.is_set)
    assert pair.far.enum_network_events().events == 0
    assert pair.near.enum_network_events(event).events == FD_READ


async def test_auto_reset_event_keeps_the_record(pair: Pair) -> None:
    """An auto-reset event may be selected: the wait takes it, the record stays."""
    event = wsock.Event(manual_reset=False)
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"a")
    with trio.fail_after(5):
        assert await wsock.wait_for_multiple_events([event]) == 0
    assert not event.is_set()
    assert pair.near.enum_network_events().events == FD_READ


async def test_ended_window_leaves_the_socket_working(pair: Pair) -> None:
    """A window that ends takes its selections with it; the sockets work on."""
    async with wsock.Window() as window:
        pair.near.async_select(window, WM_SOCKET, EVERYTHING)
    pair.far.send_nowait(b"a")
    assert await pair.near.recv(9) == b"a"
    assert not any(row.selected for row in pair.near.notifications())


async def test_ended_window_leaves_accepted_sockets_working(world: World) -> None:
    """Also those whose selection was inherited."""
    listener = world.listener()
    async with wsock.Window() as window:
        listener.async_select(window, WM_SOCKET, EVERYTHING)
        far = await world.connected(listener)
        near = await world.accept(listener)
        assert window.statistics().selected == 2
    far.send_nowait(b"a")
    assert await near.recv(9) == b"a"
    assert not any(row.selected for row in near.notifications())


@pytest.mark.parametrize(
    "event",
    [wsock.FD_QOS, wsock.FD_GROUP_QOS, wsock.FD_ROUTING_INTERFACE_CHANGE,
     wsock.FD_ADDRESS_LIST_CHANGE],
)  # fmt: skip
async def test_what_only_an_ioctl_asks_for_never_comes(
    pair: Pair, window: wsock.Window, event: int
) -> None:
    """FD_QOS and the like may be selected; no command here begins to watch for them."""
    pair.near.async_select(window, WM_SOCKET, event)
    recorded = wsock.Event()
    pair.far.event_select(recorded, event)
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    pair.near.recv_nowait(1)
    assert queued(window) == []
    assert pair.far.enum_network_events() == (0, {})
    assert not recorded.is_set()
    for selected in (pair.near, pair.far):
        with pytest.raises(wsock.WSAEINVAL):
            selected.ioctl(FIONBIO, 0)


async def test_selected_socket_is_kept_alive(world: World, window: wsock.Window) -> None:
    """A selection keeps its socket as a handle would: the message still names it."""
    listener = world.listener()
    far = await world.connected(listener)
    near = (await listener.accept())[0]
    near.async_select(window, WM_SOCKET, FD_READ)
    weak = weakref.ref(near)
    del near
    gc.collect()
    far.send_nowait(b"a")
    with trio.fail_after(5):
        message = await window.get()
    assert message.socket is weak()
    assert message.socket.recv_nowait(9) == b"a"
    message.socket.close()
    del message
    gc.collect()
    assert weak() is None


async def test_messages_of_a_closed_socket_stay(pair: Pair, window: wsock.Window) -> None:
    """closesocket leaves messages that are queued already; they name the closed socket."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    pair.near.close()
    message = window.get_nowait()
    assert message.event == FD_WRITE
    assert message.socket.closed


async def test_order_in_the_queue(pair: Pair, window: wsock.Window) -> None:
    """Socket messages are posted messages: first in, first out among all."""
    window.post(wsock.WM_USER, 1)
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    window.post(wsock.WM_USER, 2)
    numbers = [window.get_nowait().message for _ in range(3)]
    assert numbers == [wsock.WM_USER, WM_SOCKET, wsock.WM_USER]


async def test_notifications_says_why_no_message_comes(pair: Pair, window: wsock.Window) -> None:
    """Per event: selected, condition, idle, posted or disabled, and what re-enables it."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    rows = {row.event: row for row in pair.near.notifications()}
    assert (rows[FD_READ].state, rows[FD_READ].selected) == ("idle", True)
    assert (rows[FD_WRITE].state, rows[FD_WRITE].selected) == ("idle", False)
    assert rows[FD_WRITE].condition
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    rows = {row.event: row for row in pair.near.notifications()}
    assert (rows[FD_READ].state, rows[FD_READ].condition) == ("posted", True)
    await messages(window)
    rows = {row.event: row for row in pair.near.notifications()}
    assert (rows[FD_READ].state, rows[FD_READ].condition) == ("disabled", True)
    assert "recv" in rows[FD_READ].re_enabled_by
    assert rows[FD_CLOSE].re_enabled_by == "nothing"
    pair.near.recv_nowait(100)
    rows = {row.event: row for row in pair.near.notifications()}
    assert (rows[FD_READ].state, rows[FD_READ].condition) == ("idle", False)


async def test_notifications_of_an_event_object(pair: Pair) -> None:
    """Recorded and not enumerated counts as posted; enumerated and not received as disabled."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert {row.event: row.state for row in pair.near.notifications()}[FD_READ] == "posted"
    pair.near.enum_network_events(event)
    assert {row.event: row.state for row in pair.near.notifications()}[FD_READ] == "disabled"


async def test_selection_outside_a_run() -> None:
    """A selection needs the thread of a Trio run: else RuntimeError."""
    sock = wsock.socket()
    window = wsock.Window()

    def select() -> None:
        with pytest.raises(RuntimeError, match="Trio run"):
            sock.async_select(window, WM_SOCKET, FD_READ)

    await trio.to_thread.run_sync(select)
    sock.close()


async def test_a_procedure_that_raises(pair: Pair, window: wsock.Window) -> None:
    """What a window procedure raises leaves through run(); the other messages stay queued."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    pair.far.async_select(window, WM_SOCKET, FD_WRITE)

    def procedure(message: wsock.Message) -> None:
        raise KeyError(message.event)

    with pytest.raises(KeyError):
        await window.run(procedure)
    assert events_in(window) == [FD_WRITE]


async def test_on_error_resets_that_client_alone(pair: Pair, window: wsock.Window) -> None:
    """on_error gets the exception and the message; the loop goes on for everybody else."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    pair.far.async_select(window, WM_SOCKET, FD_WRITE)
    served, failed = [], []

    def procedure(message: wsock.Message) -> None:
        if message.socket is pair.near:
            raise KeyError(message.event)
        served.append(message.socket)
        window.post_quit(7)

    code = await window.run(procedure, lambda error, message: failed.append((error, message)))
    assert code == 7
    assert served == [pair.far]
    assert isinstance(failed[0][0], KeyError)
