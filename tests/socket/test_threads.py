"""Which thread may call what: the loop's alone, but for post, post_quit and set."""

from __future__ import annotations

import socket as std
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, Pair, World
from wsock import FD_READ, _hints
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS: dict[str, Callable[[wsock.Socket], Any]] = {
    "bind": lambda sock: sock.bind(("127.0.0.1", 0)),
    "listen": lambda sock: sock.listen(),
    "accept": lambda sock: sock.accept_nowait(),
    "connect": lambda sock: sock.connect_ex(("127.0.0.1", 9)),
    "getsockname": lambda sock: sock.getsockname(),
    "getpeername": lambda sock: sock.getpeername(),
    "setsockopt": lambda sock: sock.setsockopt(std.IPPROTO_TCP, std.TCP_NODELAY, 1),
    "getsockopt": lambda sock: sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR),
    "ioctl": lambda sock: sock.ioctl(wsock.FIONREAD),
    "cancel": lambda sock: sock.async_select(None, 0, 0),
    "enumerate": lambda sock: sock.enum_network_events(),
    "peek": lambda sock: sock.recv_nowait(1, std.MSG_PEEK),
    "urgent": lambda sock: sock.send_nowait(b"!", std.MSG_OOB),
    "shutdown": lambda sock: sock.shutdown(wsock.SD_SEND),
    "close": lambda sock: sock.close(),
    "reset": lambda sock: sock.reset(),
    "detach": lambda sock: sock.detach(),
}

FAST: dict[str, Callable[[wsock.Socket], Any]] = {
    "recv": lambda sock: sock.recv_nowait(1),
    "recv_into": lambda sock: sock.recv_into_nowait(bytearray(1)),
    "send": lambda sock: sock.send_nowait(b"x"),
    "send_all": lambda sock: sock.send_all_nowait(b"x"),
}


async def test_accepting_is_refused_elsewhere(world: World, window: wsock.Window) -> None:
    """A listener that a run serves accepts in that run's thread alone, and goes on to."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, wsock.FD_ACCEPT)
    await world.connected(listener)
    await window.get()
    await refused(lambda sock: sock.accept_nowait(), listener)
    world.keep(listener.accept_nowait()[0])


async def refused(call: Callable[[wsock.Socket], Any], sock: wsock.Socket) -> None:
    """Call it in another thread; it must be refused there."""

    def there() -> None:
        with pytest.raises(RuntimeError, match="belongs to the thread of its Trio run"):
            call(sock)

    await trio.to_thread.run_sync(there)


@pytest.mark.parametrize("name", CALLS)
async def test_calls_of_another_thread_are_refused(pair: Pair, name: str) -> None:
    """A RuntimeError that says so; nothing was done, and the socket goes on."""
    await refused(CALLS[name], pair.near)
    assert pair.near.state == "CONNECTED"
    pair.far.send_nowait(b"hello")
    assert await pair.near.recv(100) == b"hello"


@pytest.mark.parametrize("name", FAST)
async def test_with_hints_also_the_fast_path_looks(pair: Pair, name: str) -> None:
    """A recv or send on a connected stream does not look which thread calls; with hints it does."""
    _hints.install()
    try:
        await refused(FAST[name], pair.near)
        pair.near.send_nowait(b"hello")
        assert await pair.far.recv(100) == b"hello"
    finally:
        _hints.uninstall()


async def test_datagram_calls_are_refused(world: World) -> None:
    """Also those that move data."""
    sock, peer = world.bound_datagram(), world.bound_datagram()
    sock.async_select(wsock.Window(), WM_SOCKET, FD_READ)
    await refused(lambda sock: sock.sendto_nowait(b"x", peer.getsockname()), sock)
    await refused(lambda sock: sock.recvfrom_nowait(10), sock)


async def test_another_run_is_another_thread(pair: Pair, window: wsock.Window) -> None:
    """A socket that one run uses cannot be selected by a second run in another thread."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)

    async def steal() -> None:
        async with wsock.Window() as other:
            with pytest.raises(RuntimeError, match="belongs to the thread"):
                pair.near.async_select(other, WM_SOCKET, FD_READ)
            with pytest.raises(RuntimeError, match="belongs to the thread"):
                await pair.near.recv(1)
            with pytest.raises(RuntimeError, match="belongs to the thread"):
                await pair.near.connect(("127.0.0.1", 9))

    await trio.to_thread.run_sync(partial(trio.run, steal))
    pair.far.send_nowait(b"x")
    assert (await window.get()).event == FD_READ


def test_before_and_after_a_run_any_thread_may_call(world_free: World) -> None:
    """Nothing ties a socket that no run uses: made here, used there, closed here."""
    sock = world_free.socket()
    thread = threading.Thread(target=sock.bind, args=(("127.0.0.1", 0),))
    thread.start()
    thread.join()
    sock.listen()

    async def main() -> None:
        client = world_free.socket()
        await client.connect(sock.getsockname())
        peer, _ = await sock.accept()
        peer.close()
        client.close()

    thread = threading.Thread(target=world_free.provider.run, args=(main,))
    thread.start()
    thread.join()
    sock.close()
    assert sock.closed


async def test_windows_and_events(pair: Pair, window: wsock.Window) -> None:
    """post, post_quit and set are for any thread; reading, timers and closing are not."""
    event = wsock.Event()
    pair.near.async_select(window, WM_SOCKET, FD_READ)  # from now on it belongs to this run

    def there() -> None:
        for call in (window.get_nowait, window.peek, window.close, partial(window.kill_timer, 1)):
            with pytest.raises(RuntimeError, match="thread"):
                call()
        with pytest.raises(RuntimeError):
            window.set_timer(1, 1)
        window.post(wsock.WM_USER)
        window.post_quit(3)
        event.set()

    await trio.to_thread.run_sync(there)
    assert (await window.get()).message == wsock.WM_USER
    assert await window.run() == 3
    assert event.is_set()


async def test_an_event_that_is_in_use_is_reset_by_its_loop_alone(pair: Pair) -> None:
    """Selected or waited for it belongs to a loop's thread; before and afterwards to nobody."""
    selected, waited, free = wsock.Event(), wsock.Event(), wsock.Event()
    pair.near.event_select(selected, FD_READ)

    def refused_there(event: wsock.Event) -> None:
        event.set()
        with pytest.raises(RuntimeError, match="thread"):
            event.reset()
        assert event.is_set()

    await trio.to_thread.run_sync(refused_there, selected)
    selected.reset()
    assert not selected.is_set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waited.wait)
        await trio.testing.wait_all_tasks_blocked()

        def there() -> None:
            with pytest.raises(RuntimeError, match="thread"):
                waited.reset()

        await trio.to_thread.run_sync(there)
        waited.set()

    pair.near.event_select(None, 0)
    for event in (selected, waited, free):
        event.set()
        await trio.to_thread.run_sync(event.reset)
        assert not event.is_set()


async def test_virtual_hosts_too() -> None:
    """A socket of a virtual network belongs to the thread that moves it."""
    net = Network(seed=1)
    host = net.host("a", net.segment("lan", "10.0.0.0/24"))
    async with net.attach():
        with wsock.socket(stack=host.stack) as sock:
            sock.bind((str(host.address), 7))
            await refused(CALLS["getsockname"], sock)
            await refused(CALLS["close"], sock)
