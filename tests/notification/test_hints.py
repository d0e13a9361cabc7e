"""WSOCK_HINTS=1: one line when somebody waits, and an event waits for its re-enabling call."""

from __future__ import annotations

import os
import socket as std
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import WM_SOCKET, Pair, World
from wsock import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE, _event, _hints

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _hinting() -> Iterator[None]:
    _hints.install()
    yield
    _hints.uninstall()


async def take(window: wsock.Window, events: int) -> None:
    """Take messages without doing what they ask for, until all of ``events`` have come."""
    with trio.fail_after(10):
        while events:
            events &= ~(await window.get()).event


async def idle(window: wsock.Window) -> None:
    """Let ``window`` wait for a message that does not come, longer than a hint takes."""
    with trio.move_on_after(2 * _hints.IDLE_S):
        await window.get()


async def test_read(pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]) -> None:
    """FD_READ taken and no recv made: nothing more is posted, and the hint says so, once."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"hello")
    await take(window, FD_READ)
    await idle(window)
    await idle(window)
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"wsock hint: {pair.near!r}: FD_READ was posted and data is unread;")
    assert "only after: recv or recvfrom" in err
    assert err.isascii()


async def test_read_again(
    pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each notification may be answered by one hint."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"hello")
    await take(window, FD_READ)
    await idle(window)
    pair.near.recv_nowait(1)  # leaves bytes: posted again
    await take(window, FD_READ)
    await idle(window)
    assert capsys.readouterr().err.count("FD_READ was posted") == 2


async def test_nothing_is_wrong(
    pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that receives what it is told of gets no hint, nor does an unselected event."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"hello")
    await take(window, FD_READ)
    pair.near.recv_nowait(100)
    await idle(window)
    pair.far.send_nowait(b"hello")
    await take(window, FD_READ)
    pair.near.async_select(None, 0, 0)
    await idle(window)
    assert capsys.readouterr().err == ""


async def test_another_task_receives(
    pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """A handler that hands its socket to another task is not in the trap: the hint waits 50 ms."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"hello")
    await take(window, FD_READ)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.near.recv, 100)
        await idle(window)
    assert capsys.readouterr().err == ""


async def test_in_the_queue(
    pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """A notification that the reader's filter keeps back is waiting, not disabled."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    pair.far.send_nowait(b"hello")
    await pair.settle(unread=5)
    with trio.move_on_after(2 * _hints.IDLE_S):
        await window.get(wsock.WM_TIMER, wsock.WM_TIMER)
    assert capsys.readouterr().err == ""


async def test_write(pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]) -> None:
    """Who waits for a second FD_WRITE learns that only a failed send brings it."""
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    await take(window, FD_WRITE)
    await idle(window)
    err = capsys.readouterr().err
    assert err.count("FD_WRITE was posted and there is room to send") == 1
    assert "send or sendto that fails with WSAEWOULDBLOCK" in err


async def test_write_is_owed(
    world: World, pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a refused send FD_WRITE is on its way: no hint."""
    await world.fill(pair.near)
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    await idle(window)
    assert capsys.readouterr().err == ""


async def test_urgent(pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str]) -> None:
    """FD_OOB taken and the urgent byte left."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    pair.far.send_nowait(b"!", std.MSG_OOB)
    await take(window, FD_OOB)
    await idle(window)
    assert capsys.readouterr().err.count("FD_OOB was posted and urgent data is unread") == 1


async def test_accept(
    world: World, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """FD_ACCEPT taken and nobody accepted."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    await take(window, FD_ACCEPT)
    await idle(window)
    err = capsys.readouterr().err
    assert err.count("FD_ACCEPT was posted and a connection waits") == 1
    assert "accept, also failing" in err


async def test_connect(
    world: World, window: wsock.Window, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused connect that nobody acts on is told; a connect that succeeded is not."""
    listener = world.listener()
    client, refused = world.socket(), world.socket()
    for sock, address in ((client, listener.getsockname()), (refused, world.free_port())):
        sock.async_select(window, WM_SOCKET, FD_CONNECT)
        sock.connect_ex(address)
        await take(window, FD_CONNECT)
    await idle(window)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "FD_CONNECT was posted and the connect has failed (WSAECONNREFUSED)" in err
    assert "a later connect" in err


@pytest.mark.parametrize("reset", [False, True])
async def test_close(
    pair: Pair, window: wsock.Window, capsys: pytest.CaptureFixture[str], reset: bool
) -> None:
    """FD_CLOSE taken and the socket not closed: nothing will ever come again."""
    pair.near.async_select(window, WM_SOCKET, FD_CLOSE)
    if reset:
        pair.far.reset()
    pair.far.close()
    await take(window, FD_CLOSE)
    await idle(window)
    err = capsys.readouterr().err
    assert err.count("FD_CLOSE was posted and this socket is still open") == 1
    assert "nothing re-enables it" in err
    pair.near.close()
    await idle(window)
    assert capsys.readouterr().err == ""


async def test_event_objects(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a wait: enumerated, and no recv made."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"hello")
    await event.wait()
    pair.near.enum_network_events(event)
    with pytest.raises(trio.TooSlowError):
        await wsock.wait_for_multiple_events([event], timeout=2 * _hints.IDLE_S)
    assert capsys.readouterr().err.count("FD_READ was recorded and data is unread") == 1


async def test_event_reset_by_hand(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """An event that is reset without enumerating stays silent: the record is still there."""
    event = wsock.Event(manual_reset=False)  # the wait resets it
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"hello")
    await event.wait()
    with trio.move_on_after(2 * _hints.IDLE_S):
        await event.wait()
    err = capsys.readouterr().err
    assert err.count("FD_READ is recorded, but its event object was reset") == 1
    assert "enum_network_events" in err


async def test_event_that_is_served(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """Who enumerates and receives gets no hint."""
    event = wsock.Event()
    pair.near.event_select(event, FD_READ)
    pair.far.send_nowait(b"hello")
    await event.wait()
    pair.near.enum_network_events(event)
    pair.near.recv_nowait(100)
    with trio.move_on_after(2 * _hints.IDLE_S):
        await event.wait()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["message", "event"])
async def test_last_posted(pair: Pair, window: wsock.Window, form: str) -> None:
    """notifications() tells when each event was last posted, in Trio's time."""
    if form == "message":
        pair.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    else:
        pair.near.event_select(wsock.Event(), FD_READ | FD_CLOSE)
    before = trio.current_time()
    pair.far.send_nowait(b"hello")
    await pair.settle(unread=5)
    after = trio.current_time()
    rows = {row.event: row for row in pair.near.notifications()}
    assert before <= rows[FD_READ].last_posted <= after
    assert rows[FD_CLOSE].last_posted is None


async def test_last_posted_is_the_latest(pair: Pair, window: wsock.Window) -> None:
    """FD_READ is posted again and again, each time at another moment."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    told = []
    for _ in range(3):
        pair.far.send_nowait(b"hello")
        await take(window, FD_READ)
        told.append({row.event: row for row in pair.near.notifications()}[FD_READ].last_posted)
        pair.near.recv_nowait(100)
        await trio.sleep(_hints.IDLE_S)
    assert sorted(set(told)) == told


async def test_off_nothing_is_left(pair: Pair, window: wsock.Window) -> None:
    """Without hints the methods of windows and events are their own: there is nothing to pay."""
    _hints.uninstall()
    assert wsock.Window.report.__module__ == "wsock._window"
    assert wsock.MessageQueue._sleep.__module__ == "wsock._message_queue"
    assert wsock.Event.report.__module__ == "wsock._event"
    assert _event._Wait.suspend.__module__ == "wsock._event"
    pair.near.async_select(window, WM_SOCKET, FD_WRITE)
    await take(window, FD_WRITE)
    assert {row.last_posted for row in pair.near.notifications()} == {None}


PROGRAM = """
import trio, wsock

async def main():
    listener = wsock.create_server(("127.0.0.1", 0))
    with wsock.socket() as client, listener:
        await client.connect(listener.getsockname())
        client.send_nowait(b"hello")
        async with wsock.Window() as window:
            listener.async_select(window, wsock.WM_USER, wsock.FD_ACCEPT | wsock.FD_READ)
            def forgetful(message):
                if message.event == wsock.FD_ACCEPT:
                    kept.append(message.socket.accept_nowait())
                    return
                assert message.event == wsock.FD_READ
                trio.lowlevel.current_root_task()  # and no recv
            with trio.move_on_after(0.5):
                await window.run(forgetful)
    for sock, _ in kept:
        sock.close()

kept = []
trio.run(main)
"""


@pytest.mark.parametrize(("value", "lines"), [("1", 1), ("0", 0), ("", 0), (None, 0)])
def test_the_variable(value: str | None, lines: int) -> None:
    """WSOCK_HINTS=1 turns the hints on; unset, empty or 0 they are off."""
    environment = {name: text for name, text in os.environ.items() if name != "WSOCK_HINTS"}
    if value is not None:
        environment["WSOCK_HINTS"] = value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == ""
    assert done.stderr.count("FD_READ was posted and data is unread") == lines
    assert len(done.stderr.splitlines()) == lines
