"""Peers that misbehave, and a system that runs out: one bad connection harms no other."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import socket as std
import tracemalloc

import pytest
import trio
import trio.testing

import wsock
from tests.providers import (
    EVERYTHING,
    RESET_AT_CLOSE,
    WM_SOCKET,
    Pair,
    Provider,
    World,
    drain,
    fill,
    messages,
    queued,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ

blocked = trio.testing.wait_all_tasks_blocked


def reset(sock: wsock.Socket) -> None:
    sock.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    sock.close()


async def test_input_that_waited_when_it_was_closed(pair: Pair) -> None:
    """Both ends are full, one closes: what waits there is thrown away, so that the peer gets on."""
    pair.far.send_nowait(bytes(20_000_000))
    pair.near.send_nowait(bytes(20_000_000))
    await blocked()
    pair.near.close()
    with trio.fail_after(20):
        await pair.far.send(b"all of it, before it reads anything")
    assert await drain(pair.far, 30_000_000) == 20_000_000


async def test_the_end_is_told_although_a_copy_of_the_descriptor_lives(pair: Pair) -> None:
    """Behind the rest comes shutdown, then close: a forked child holds no peer up."""
    copy = os.dup(pair.near.fileno())
    pair.near.send_nowait(bytes(5_000_000))
    pair.near.close()
    assert pair.near.state == "CLOSING"
    with trio.fail_after(20):
        assert await drain(pair.far, 6_000_000) == 5_000_000
    os.close(copy)


async def test_bytes_are_kept_by_reference(pair: Pair) -> None:
    """What a send leaves behind costs no copy where it was given bytes."""
    data = bytes(20_000_000)
    tracemalloc.start()
    try:
        pair.near.send_nowait(data)
        pair.near.max_unsent = 1 << 30
        pair.near.send_all_nowait(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pair.near.unsent > 20_000_000
    assert peak < 1_000_000
    pair.near.reset()


async def test_a_buffer_may_be_used_again_at_once(pair: Pair) -> None:
    """Anything but bytes is copied before the call returns."""
    buffer = bytearray(b"m" * 20_000_000)
    pair.near.send_nowait(buffer)
    assert pair.near.unsent
    pair.near.max_unsent = 1 << 30
    pair.near.send_all_nowait(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    got = 0
    while got < 40_000_000:
        part = await pair.far.recv(1 << 20)
        assert part.count(b"m") == len(part)
        got += len(part)


async def test_many_connects_at_once_to_a_small_backlog(world: World) -> None:
    """A thousand connects at once to backlog 5: every client that gets through is served."""
    listener = world.listener(backlog=5)
    address = listener.getsockname()
    count = 1000
    clients = [std.socket() for _ in range(count)]
    try:
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        served = set()
        for _ in range(6):
            with trio.fail_after(10):
                accepted, peer = await listener.accept()
            accepted.send_nowait(b"hello")
            served.add(peer)
            accepted.close()
        assert len(served) == 6
        assert listener.state == "LISTENING"
    finally:
        for client in clients:
            client.close()


class few_descriptors:
    """Leaves exactly ``spare`` descriptors to open."""

    def __init__(self, spare: int) -> None:
        self.spare = spare

    def __enter__(self) -> None:
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        number = os.open(os.devnull, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (number + 100, self.limits[1]))
        self.held = [number]
        try:
            while True:
                self.held.append(os.dup(number))
        except OSError:
            for _ in range(self.spare):
                os.close(self.held.pop())

    def release(self) -> None:
        for number in self.held:
            os.close(number)
        self.held = []

    def __exit__(self, *exc: object) -> None:
        self.release()
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)


async def test_out_of_descriptors(
    world: World, window: wsock.Window, caplog: pytest.LogCaptureFixture
) -> None:
    """EMFILE on accept: survived, logged at most once a second, not spun on, then served."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    clients = [std.create_connection(listener.getsockname()) for _ in range(2)]
    with few_descriptors(0), caplog.at_level(logging.ERROR, "wsock"):
        for _ in range(50):
            with pytest.raises(wsock.WSAError) as caught:
                listener.accept_nowait()
            assert isinstance(caught.value, wsock.WSAEMFILE | wsock.WSAEWOULDBLOCK)
            await trio.lowlevel.checkpoint()
        assert queued(window) == []
        assert len([record for record in caplog.records if "accept" in record.message]) == 1
    for client in clients:
        assert await messages(window) == [(FD_ACCEPT, 0)]
        accepted, address = listener.accept_nowait()
        world.keep(accepted).async_select(None, 0, 0)
        assert address == client.getsockname()
        client.close()


async def test_out_of_descriptors_while_a_task_waits(world: World) -> None:
    """A task that waits in accept is served once descriptors are there again."""
    listener = world.listener()
    accepted: list[wsock.Socket] = []

    async def server() -> None:
        accepted.append(await world.accept(listener))

    with std.socket() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server)
            await blocked()
            with few_descriptors(0):
                client.connect(listener.getsockname())
                await blocked()
                assert accepted == []
        assert accepted[0].getpeername() == client.getsockname()


async def test_out_of_descriptors_for_socket(world: World) -> None:
    """socket() without a descriptor left is WSAEMFILE."""
    with few_descriptors(0), pytest.raises(wsock.WSAEMFILE):
        world.socket()


async def test_a_fault_of_ours_fails_that_endpoint_only(
    world: World, window: wsock.Window, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while one file is served fails that endpoint: FD_CLOSE; others go on."""
    first, second = await world.pair(), await world.pair()
    first.near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)

    class Broken:
        def on_readable(self) -> None:
            raise ZeroDivisionError

    first.near._endpoint.file.reader = Broken()
    with caplog.at_level(logging.ERROR, "wsock"):
        first.far.send_nowait(b"a")
        assert await messages(window) == [(FD_CLOSE, wsock.WSAECONNABORTED.winerror)]
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(wsock.WSAECONNABORTED):
        first.near.recv_nowait(1)
    assert first.near.fileno() == -1
    with pytest.raises(wsock.WSAECONNRESET):
        await first.far.recv(1)
    second.far.send_nowait(b"b")
    assert await second.near.recv(9) == b"b"


async def test_a_fault_of_ours_in_a_listener(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while a listener is served ends its accepts with a WSAError, not with a hang."""
    listener = world.listener()

    async def server() -> None:
        with pytest.raises(wsock.WSAError), trio.fail_after(5):
            await listener.accept()

    address = listener.getsockname()
    listener._endpoint.address.handlers[0] = lambda *_: 1 // 0
    async with trio.open_nursery() as nursery:
        with caplog.at_level(logging.ERROR, "wsock"), std.socket() as client:
            nursery.start_soon(server)
            await blocked()
            client.connect(address)
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(wsock.WSAError):
        listener.accept_nowait()
    listener.close()


async def test_a_fault_of_ours_in_a_listener_that_has_accepted(
    world: World, window: wsock.Window, caplog: pytest.LogCaptureFixture
) -> None:
    """Its FD_ACCEPT carries the error, although those before carried none."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    world.keep(listener.accept_nowait()[0])
    listener._endpoint.address.handlers[0] = lambda *_: 1 // 0
    with caplog.at_level(logging.ERROR, "wsock"), std.socket() as client:
        client.connect(listener.getsockname())
        assert await messages(window) == [(FD_ACCEPT, wsock.WSAENETDOWN.winerror)]
    listener.close()


async def test_urgent_data_never_overtakes_a_rest(pair: Pair) -> None:
    """While bytes wait here MSG_OOB would block, also where the system has room again."""
    pair.near.send_nowait(bytes(20_000_000))
    got = 0
    with contextlib.suppress(wsock.WSAEWOULDBLOCK):
        while True:
            got += len(pair.far.recv_nowait(1 << 20))
    assert got
    assert pair.near.unsent
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        pair.near.send_nowait(b"!", std.MSG_OOB)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.near.send, b"!", std.MSG_OOB)
        assert got + await drain(pair.far, 20_000_000 - got) == 20_000_000
    assert await pair.far.recv(1, std.MSG_OOB) == b"!"


async def test_flush_timeout(provider: Provider, mock_clock: trio.testing.MockClock) -> None:
    """A closed socket whose peer reads nothing is aborted after flush_timeout, and counted."""
    world = World(provider, flush_timeout=7.0)
    pair = await world.pair()
    fill(pair.near)
    pair.near.close()
    mock_clock.jump(6.9)
    await blocked()
    assert pair.near.state == "CLOSING"
    assert [row["state"] for row in world.stack.netstat()].count("CLOSING") == 1
    mock_clock.jump(0.2)
    await blocked()
    assert pair.near.state == "CLOSED"
    assert world.stack.provider.flushes_given_up == 1
    with pytest.raises(wsock.WSAECONNRESET):
        await drain(pair.far, 1 << 40)
    world.close()


async def test_progress_extends_the_flush_timeout(
    provider: Provider, mock_clock: trio.testing.MockClock
) -> None:
    """flush_timeout counts from the last progress: a slow reader gets everything."""
    world = World(provider, flush_timeout=7.0)
    pair = await world.pair()
    pair.near.send_nowait(bytes(20_000_000))
    pair.near.close()
    for _ in range(5):
        await drain(pair.far, 4_000_000)
        await blocked()
        mock_clock.jump(6.0)
        await blocked()
    assert await pair.far.recv(1) == b""
    assert pair.near.state == "CLOSED"
    assert world.stack.provider.flushes_given_up == 0
    world.close()


@pytest.mark.parametrize("shutdown_first", [False, True])
async def test_linger_bounds_the_background_flush(
    provider: Provider, mock_clock: trio.testing.MockClock, shutdown_first: bool
) -> None:
    """SO_LINGER with seconds bounds what goes out behind close(), then a reset."""
    world = World(provider)
    pair = await world.pair()
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 3))
    fill(pair.near)
    if shutdown_first:
        pair.near.shutdown(wsock.SD_SEND)
    pair.near.close()
    mock_clock.jump(2.9)
    await blocked()
    assert pair.near.state == "CLOSING"
    mock_clock.jump(0.2)
    await blocked()
    assert pair.near.state == "CLOSED"
    with pytest.raises(wsock.WSAECONNRESET):
        await drain(pair.far, 1 << 40)
    world.close()


@pytest.mark.parametrize("words", [b"", b"bye"])
async def test_reset_before_the_client_looks(
    world: World, window: wsock.Window, words: bytes
) -> None:
    """Connected, perhaps told something, and reset, all before the client's loop turns: a connect
    that succeeded, the bytes, then the reset. (Refused is another thing, and has its own code.)"""
    with std.create_server((world.provider.host, 0)) as raw:
        client = world.socket()
        client.async_select(window, WM_SOCKET, EVERYTHING)
        assert client.connect_ex(raw.getsockname()) == wsock.WSAEWOULDBLOCK.winerror
        peer, _ = raw.accept()
        peer.send(words)
        peer.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
        peer.close()
        told = await messages(window, 2)
        while told[-1][0] != FD_CLOSE:
            told += await messages(window)
    events = [event for event, _ in told if event != wsock.FD_WRITE]
    assert events == [wsock.FD_CONNECT, *([FD_READ] if words else []), FD_CLOSE]
    assert dict(told)[wsock.FD_CONNECT] == 0
    assert dict(told)[FD_CLOSE] == wsock.WSAECONNRESET.winerror
    if words:
        assert client.recv_nowait(9) == words
    with pytest.raises(wsock.WSAECONNRESET):
        client.recv_nowait(9)


def test_what_a_signal_handler_raises_while_the_loop_serves_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler may run in any step, also in the reactor's: its SystemExit is not swallowed."""
    if not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")

    def exits(file: object, events: int) -> None:
        raise SystemExit(3)

    async def main() -> None:
        near, far = std.socketpair()
        with far, wsock.from_stdlib_socket(near, stack=wsock.Stack(engine="epoll")) as sock:
            monkeypatch.setattr(type(sock._endpoint.file), "ready", exits)
            far.send(b"x")
            await sock.recv(2)
            far.shutdown(std.SHUT_WR)
            await sock.recv(2)

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main)
    cause = caught.value.__cause__
    assert isinstance(cause, BaseExceptionGroup)
    assert cause.subgroup(SystemExit) is not None
