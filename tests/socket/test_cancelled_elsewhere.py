"""The waiting calls of windows, events and streams, and the rarer ones of sockets, cancelled at
every step: nothing is lost, nothing is left behind, the next call works."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, Pair, World, fill
from tests.socket.test_cancelled_anywhere import STEPS, cancelled_at, send_in_parts
from wsock import FD_READ, SocketListener, SocketStream, open_tcp_stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Procedure = Callable[[wsock.Message], None]

pytestmark = pytest.mark.parametrize("step", STEPS)


async def soon(call: Callable[[], object], after: int = 2) -> None:
    """Call it some steps later, while the other task waits (or just before)."""
    for _ in range(after):
        await trio.lowlevel.checkpoint()
    call()


async def test_recv_into(pair: Pair, step: int) -> None:
    """What a cancelled recv_into did not count is still there."""
    buffer, got = bytearray(2), b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_parts, pair.far, [b"ab", b"cd"])
        count = await cancelled_at(step, lambda: pair.near.recv_into(buffer))
        got += bytes(buffer[: count or 0])
    with trio.fail_after(5):
        while len(got) < 4:
            got += await pair.near.recv(9)
    assert got == b"abcd"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_sendto(world: World, step: int, host: str) -> None:
    """A datagram went out once, or not at all; also where its address has to be resolved first."""
    near, far = world.bound_datagram(), world.bound_datagram()
    sent = await cancelled_at(step, lambda: far.sendto(b"one", (host, near.getsockname()[1])))
    far.sendto_nowait(b"two", near.getsockname())
    got = [await near.recv(9)]
    while got[-1] != b"two":
        got.append(await near.recv(9))
    assert got == ([b"one", b"two"] if sent else [b"two"])


async def test_wait_send_room(pair: Pair, step: int) -> None:
    """It sends nothing, so cancelling undoes nothing; the next one waits again."""
    total = fill(pair.near)

    async def read() -> None:
        got = 0
        while got < total:
            got += len(await pair.far.recv(1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await cancelled_at(step, pair.near.wait_send_room)
        with trio.fail_after(5):
            await pair.near.wait_send_room()
    assert pair.near.send_nowait(b"x") == 1


async def test_wait_turn(pair: Pair, step: int) -> None:
    """A place in the line is given up; who stands behind gets the news."""
    got = []

    async def behind() -> None:
        await pair.near.wait_turn("recv")
        got.append(pair.near.recv_nowait(9))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def first() -> None:
            with scope:
                await pair.near.wait_turn("recv")
                with suppress(wsock.WSAEWOULDBLOCK):
                    got.append(pair.near.recv_nowait(1))

        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(behind)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(soon, scope.cancel, after=step))
        nursery.start_soon(partial(soon, lambda: pair.far.send_nowait(b"ab"), after=3))
    assert b"".join(got) == b"ab"


async def test_wait_connected(world: World, step: int) -> None:
    """It only watches: the connect goes on, and the next one tells its end."""
    listener, sock = world.listener(), world.socket()
    assert sock.connect_ex(listener.getsockname()) == wsock.WSAEWOULDBLOCK.winerror
    await cancelled_at(step, sock.wait_connected)
    with trio.fail_after(5):
        await sock.wait_connected()
    assert sock.state == "CONNECTED"


async def test_connect_by_name(world: World, step: int) -> None:
    """Also while the name is being resolved: the socket is closed, or connected."""
    listener, sock = world.listener(), world.socket()

    async def connect() -> bool:
        await sock.connect(("localhost", listener.getsockname()[1]))
        return True

    done = await cancelled_at(step, connect)
    assert sock.state == ("CONNECTED" if done else "CLOSED")


async def test_window_get(pair: Pair, window: wsock.Window, step: int) -> None:
    """A message is taken by this get or by the next, and the window has a reader again."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(soon, lambda: pair.far.send_nowait(b"x"))
        message = await cancelled_at(step, window.get)
        if message is None:
            with trio.fail_after(5):
                message = await window.get()
    assert message.event == FD_READ  # type: ignore[attr-defined]
    assert window.peek() is None


async def run(window: wsock.Window, procedure: Procedure) -> None:
    await window.run(procedure)


async def in_batches(window: wsock.Window, procedure: Procedure) -> None:
    async for batch in window.batches():
        for message in batch:
            procedure(message)


async def one_by_one(window: wsock.Window, procedure: Procedure) -> None:
    async for message in window:
        procedure(message)


@pytest.mark.parametrize("loop", [run, in_batches, one_by_one])
async def test_window_loops(
    window: wsock.Window, step: int, loop: Callable[[wsock.Window, Procedure], Awaitable[object]]
) -> None:
    """What a cancelled loop did not hand out is handed out by the next one, in order."""
    seen: list[object] = []

    def procedure(message: wsock.Message) -> None:
        seen.append(message.wparam)

    async def post() -> None:
        for number in range(6):
            window.post(wsock.WM_USER, number)
            await trio.lowlevel.checkpoint()
        window.post_quit()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(post)
        await cancelled_at(step, lambda: loop(window, procedure))
    if len(seen) < 6 or window.peek() is not None:
        with trio.fail_after(5):
            await loop(window, procedure)
    assert seen == list(range(6))


@pytest.mark.parametrize("manual", [True, False])
async def test_event_wait(step: int, manual: bool) -> None:
    """A cancelled wait has taken nothing: an auto-reset event is still set for the next."""
    event = wsock.Event(manual_reset=manual)

    async def wait() -> bool:
        await event.wait()
        return True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(soon, event.set)
        took = await cancelled_at(step, wait)
    assert event.is_set() == (manual or not took)


@pytest.mark.parametrize("wait_all", [True, False])
async def test_wait_for_multiple_events(step: int, wait_all: bool) -> None:
    """All or none of them are taken; nobody is left in the line."""
    events = [wsock.Event(manual_reset=False) for _ in range(3)]

    async def wait() -> bool:
        await wsock.wait_for_multiple_events(events, wait_all)
        return True

    def set_all() -> None:
        for event in events:
            event.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(soon, set_all)
        took = await cancelled_at(step, wait)
    left = [event.is_set() for event in events]
    if took:
        assert left == ([False] * 3 if wait_all else [False, True, True])
    else:
        assert left == [True] * 3
    assert not any(event._waits for event in events)


async def test_stream_receive_some(pair: Pair, step: int) -> None:
    """As recv."""
    stream = SocketStream(pair.near)
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_parts, pair.far, [b"ab", b"cd"])
        got += await cancelled_at(step, stream.receive_some) or b""
    with trio.fail_after(5):
        while len(got) < 4:
            got += await stream.receive_some()
    assert got == b"abcd"


async def test_stream_send_all(pair: Pair, step: int) -> None:
    """A message is never cut, and the stream can be closed whatever happened."""
    data = b"<" + bytes(8_000_000) + b">"
    got = bytearray()

    async def reader() -> None:
        while part := await pair.far.recv(1 << 20):
            got.extend(part)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        stream = SocketStream(pair.near)
        await cancelled_at(step, lambda: stream.send_all(data))
        await stream.aclose()
    assert got in (b"", data)


async def test_stream_aclose(pair: Pair, step: int) -> None:
    """Closed, whenever it is cancelled."""
    await cancelled_at(step, SocketStream(pair.near).aclose)
    assert pair.near.closed


async def test_listener_accept(world: World, step: int) -> None:
    """A client is accepted by this call or by the next."""
    sock = world.listener()
    listener = SocketListener(sock)
    client = world.socket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.connect, sock.getsockname())
        stream = await cancelled_at(step, listener.accept)
    with trio.fail_after(5):
        accepted = stream or await listener.accept()
    world.keep(accepted.socket)  # type: ignore[attr-defined]
    assert accepted.socket.getpeername() == client.getsockname()  # type: ignore[attr-defined]


async def test_open_tcp_stream(world: World, step: int) -> None:
    """A stream, or nothing that stays open."""
    listener = world.listener()
    endpoints = wsock.current_stack().endpoints
    before = len(endpoints)
    stream = await cancelled_at(step, lambda: open_tcp_stream(*listener.getsockname()))
    if stream is None:
        # A virtual host's endpoint that is closed waits for its peer's release.
        assert len([end for end in endpoints.values() if end.state != "CLOSING"]) == before
    else:
        await stream.aclose()  # type: ignore[attr-defined]
