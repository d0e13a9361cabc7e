"""The waiting calls: they wait this task only, are checkpoints, and can be cancelled anywhere."""

from __future__ import annotations

import gc
import socket as std
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import wsock
from tests.providers import Pair, World, drain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

blocked = trio.testing.wait_all_tasks_blocked


async def cancelled_while_waiting(call: Callable[[], Awaitable[object]]) -> None:
    """Run ``call`` until it waits, then cancel it there."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: call())
            await blocked()
            scope.cancel()
    assert scope.cancelled_caught


async def cancelled_before(call: Callable[[], Awaitable[object]]) -> None:
    """Make ``call`` in a scope that is cancelled already: its first checkpoint must notice."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await call()
    assert scope.cancelled_caught


async def test_recv_waits_and_others_run(pair: Pair) -> None:
    """S1-26, S1-32: a blocking recv does not return while empty; other tasks go on running."""
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await pair.near.recv(9))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await blocked()
        assert got == []
        await pair.far.send(b"abc")
    assert got == [b"abc"]


@pytest.mark.parametrize("cancel", [cancelled_before, cancelled_while_waiting])
async def test_cancelled_recv_has_taken_nothing(pair: Pair, cancel: Callable) -> None:
    """A cancelled recv has taken nothing: the next one gets everything."""
    await cancel(lambda: pair.near.recv(9))
    await pair.far.send(b"abc")
    await pair.settle(unread=3)
    await cancelled_before(lambda: pair.near.recv(9))
    assert await pair.near.recv(9) == b"abc"


async def test_recv_is_always_a_checkpoint(pair: Pair) -> None:
    """recv, send and accept checkpoint also when they need not wait."""
    await pair.far.send(b"abc")
    await pair.settle(unread=3)
    with trio.testing.assert_checkpoints():
        await pair.near.recv(1)
    with trio.testing.assert_checkpoints():
        await pair.near.recv(1, std.MSG_PEEK)
    with trio.testing.assert_checkpoints():
        await pair.near.recv_into(bytearray(1))
    with trio.testing.assert_checkpoints():
        await pair.near.send(b"x")
    with trio.testing.assert_checkpoints():
        await pair.near.aclose()


async def test_calls_on_datagrams_are_checkpoints(world: World) -> None:
    """sendto, recvfrom and connect checkpoint also when they need not wait."""
    near, far = world.bound_datagram(), world.bound_datagram()
    with trio.testing.assert_checkpoints():
        await far.sendto(b"abc", near.getsockname())
    await world.settle(near, unread=3)
    with trio.testing.assert_checkpoints():
        assert await near.recvfrom(9) == (b"abc", far.getsockname())
    with trio.testing.assert_checkpoints():
        await near.connect(far.getsockname())


@pytest.mark.parametrize("cancel", [cancelled_before, cancelled_while_waiting])
async def test_cancelled_accept_has_taken_nobody(world: World, cancel: Callable) -> None:
    """S1-18: accept blocks until a client comes; cancelled, it has taken nobody."""
    listener = world.listener()
    await cancel(listener.accept)
    client = await world.connected(listener)
    await cancelled_before(listener.accept)
    accepted = await world.accept(listener)
    assert accepted.getpeername() == client.getsockname()


async def test_send_cancelled_before_the_first_byte(pair: Pair) -> None:
    """Cancelled before its first byte a send has done nothing."""
    sent = await pair.world.fill(pair.near)
    await cancelled_while_waiting(lambda: pair.near.send(b"never"))
    await cancelled_before(lambda: pair.near.send(b"never"))
    assert await drain(pair.far, sent) == sent
    await pair.near.send(b"next")
    assert await pair.far.recv(9) == b"next"


async def test_send_cancelled_later_is_accepted(pair: Pair) -> None:
    """Cancelled after its first byte the whole buffer goes on in the background."""
    data = bytearray(b"m" * 20_000_000)
    await cancelled_while_waiting(lambda: pair.near.send(data))
    data[:] = bytes(len(data))
    got = b""
    while len(got) < len(data):
        part = await pair.far.recv(1 << 20)
        assert part.count(b"m") == len(part)
        got += part
    await pair.near.send(b"after")
    assert await pair.far.recv(9) == b"after"


async def test_waitall(pair: Pair) -> None:
    """MSG_WAITALL waits for the whole length."""
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await pair.near.recv(6, std.MSG_WAITALL))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for part in (b"ab", b"cd", b"efgh"):
            await blocked()
            assert got == []
            pair.far.send_nowait(part)
    assert got == [b"abcdef"]
    assert await pair.near.recv(9) == b"gh"


async def test_cancelled_waitall_keeps_what_it_gathered(pair: Pair) -> None:
    """A cancelled MSG_WAITALL leaves what it gathered to the next recv."""
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    await cancelled_while_waiting(lambda: pair.near.recv(6, std.MSG_WAITALL))
    assert pair.near.ioctl(wsock.FIONREAD) == 3
    with trio.fail_after(5):
        assert await pair.near.recv(2) == b"ab"
        pair.far.send_nowait(b"def")
        assert await pair.near.recv(4, std.MSG_WAITALL) == b"cdef"


async def test_waitall_ends_at_the_end(pair: Pair) -> None:
    """MSG_WAITALL gives what there is when the peer has ended; recv_into fills what it can."""
    pair.far.send_nowait(b"abc")
    pair.far.close()
    assert await pair.near.recv(6, std.MSG_WAITALL) == b"abc"
    assert await pair.near.recv(6, std.MSG_WAITALL) == b""


async def test_waitall_without_waiting(pair: Pair) -> None:
    """The nonblocking call with MSG_WAITALL is WSAEOPNOTSUPP."""
    with pytest.raises(wsock.WSAEOPNOTSUPP):
        pair.near.recv_nowait(6, std.MSG_WAITALL)
    buffer = bytearray(4)
    pair.far.send_nowait(b"abcd")
    assert await pair.near.recv_into(buffer, 4, std.MSG_WAITALL) == 4
    assert buffer == b"abcd"


async def test_second_waiter_is_refused(pair: Pair) -> None:
    """A second task on one direction: trio.BusyResourceError; the other direction is free."""
    await pair.world.fill(pair.near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.near.recv, 9)
        nursery.start_soon(pair.near.send, b"x")
        await blocked()
        with pytest.raises(trio.BusyResourceError):
            await pair.near.recv(9)
        with pytest.raises(trio.BusyResourceError):
            await pair.near.send(b"y")
        nursery.cancel_scope.cancel()


async def test_second_accept_is_refused(world: World) -> None:
    """A second task in accept: trio.BusyResourceError."""
    listener = world.listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.accept)
        await blocked()
        with pytest.raises(trio.BusyResourceError):
            await listener.accept()
        nursery.cancel_scope.cancel()


async def expect_eintr(call: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(wsock.WSAEINTR) as caught:
        await call()
    assert isinstance(caught.value, trio.ClosedResourceError)


async def test_close_wakes_who_waits(pair: Pair) -> None:
    """Closing wakes whoever waits with WSAEINTR, in both directions."""
    await pair.world.fill(pair.near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, lambda: pair.near.recv(9))
        nursery.start_soon(expect_eintr, lambda: pair.near.send(b"x"))
        await blocked()
        pair.near.close()


async def receive_all(sock: wsock.Socket) -> bytes:
    data = b""
    with trio.fail_after(20):
        while piece := await sock.recv(1 << 20):
            data += piece
    return data


async def test_close_drops_what_a_waiting_send_had_left(pair: Pair) -> None:
    """close() while a send waits: WSAEINTR, and what had not gone out of it is dropped (B6)."""
    data = bytes(range(256)) * 40_000  # more than loopback takes at once
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, lambda: pair.near.send(data))
        await blocked()
        assert pair.near.unsent
        pair.near.close()
    got = await receive_all(pair.far)
    assert got == data[: len(got)]
    assert len(got) < len(data)


async def test_close_keeps_what_was_accepted_before_a_waiting_send(pair: Pair) -> None:
    """Only the interrupted send is cut short; what an earlier call took arrives, whole."""
    data = bytes(range(256)) * 40_000
    pair.near.send_nowait(b"accepted before")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, lambda: pair.near.send(data))
        await blocked()
        pair.near.close()
    got = await receive_all(pair.far)
    assert got == (b"accepted before" + data)[: len(got)]
    assert len(got) > len(b"accepted before")


async def test_close_keeps_what_another_task_queued_behind_a_waiting_send(pair: Pair) -> None:
    """Accepted by send_all_nowait is delivered, behind all of the send: a stream has no holes."""
    data = bytes(range(256)) * 40_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, lambda: pair.near.send(data))
        await blocked()
        pair.near.max_unsent = 1 << 30
        pair.near.send_all_nowait(b"queued behind")
        pair.near.close()
    assert await receive_all(pair.far) == data + b"queued behind"


async def test_close_keeps_what_was_queued_when_the_send_itself_is_out(pair: Pair) -> None:
    """The send waits on, since something was queued behind it; close drops nothing of that."""
    data = bytes(range(256)) * 40_000
    more = b"m" * 20_000_000  # it cannot go out all at once
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, lambda: pair.near.send(data))
        await blocked()
        pair.near.max_unsent = 1 << 30
        pair.near.send_all_nowait(more)
        got = 0
        while pair.near.unsent > len(more):
            got += len(await pair.far.recv(65536))
            pair.near.stack.turn()
        pair.near.close()
    assert got + len(await receive_all(pair.far)) == len(data) + len(more)


class JustBefore(trio.abc.Instrument):
    """Another task runs in the pass in which ``task`` is woken, and ``act`` is what it does."""

    def __init__(self, task: trio.lowlevel.Task, act: Callable[[], object]) -> None:
        self.task = task
        self.act = act
        self.acted = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task and not self.acted:
            self.acted = True
            self.act()


async def test_close_keeps_what_was_sent_after_a_waiting_send_was_done(pair: Pair) -> None:
    """Woken because all of it is with the system, the send is over: close finds another's bytes."""
    data = bytes(range(256)) * 40_000
    more = b"m" * 20_000_000  # it cannot go out all at once
    counts: list[int] = []
    instrument: list[JustBefore] = []

    def send_and_close() -> None:
        counts.append(pair.near.send_nowait(more))
        pair.near.close()

    async def send() -> None:
        instrument.append(JustBefore(trio.lowlevel.current_task(), send_and_close))
        counts.append(await pair.near.send(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await blocked()
        trio.lowlevel.add_instrument(instrument[0])
        got = await receive_all(pair.far)
        trio.lowlevel.remove_instrument(instrument[0])
    assert len(got) == len(data) + len(more)
    assert counts == [len(more), len(data)]


async def test_a_send_does_not_wait_for_what_another_task_sent_after_it(pair: Pair) -> None:
    """It returns when its own bytes are with the system, and close drops none of the others."""
    data = bytes(range(256)) * 40_000
    more = b"m" * 20_000_000
    counts: list[int] = []
    instrument: list[JustBefore] = []

    async def send() -> None:
        act = partial(pair.near.send_nowait, more)
        instrument.append(JustBefore(trio.lowlevel.current_task(), act))
        counts.append(await pair.near.send(data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await blocked()
        trio.lowlevel.add_instrument(instrument[0])
        got = 0
        while not instrument[0].acted:
            got += len(await pair.far.recv(65536))
        trio.lowlevel.remove_instrument(instrument[0])
        await blocked()
        assert counts == [len(data)]
    pair.near.close()
    assert got + len(await receive_all(pair.far)) == len(data) + len(more)


async def test_close_wakes_accept_connect_and_recvfrom(world: World) -> None:
    """Closing wakes accept, connect and recvfrom with WSAEINTR."""
    listener, datagram = world.listener(backlog=1), world.bound_datagram()
    connecting = world.socket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_eintr, listener.accept)
        nursery.start_soon(expect_eintr, lambda: datagram.recvfrom(9))
        await blocked()
        listener.close()
        datagram.close()
    with world.provider.unanswered() as address:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_eintr, lambda: connecting.connect(address))
            await blocked()
            connecting.close()


async def test_cancelled_connect_closes(world: World) -> None:
    """Cancelled, the attempt to connect ends and the socket is closed, as in Trio."""
    sock = world.socket()
    with world.provider.unanswered() as address:
        await cancelled_while_waiting(lambda: sock.connect(address))
    assert sock.closed
    assert sock.fileno() == -1


async def test_connect_states(world: World) -> None:
    """While connecting: WSAEALREADY, send and recv WSAENOTCONN, listen refused."""
    sock = world.socket()
    with world.provider.unanswered() as address:
        assert sock.connect_ex(address) == wsock.WSAEWOULDBLOCK.winerror
        assert sock.state == "CONNECTING"
        assert sock.connect_ex(address) == wsock.WSAEALREADY.winerror
        with pytest.raises(wsock.WSAENOTCONN):
            sock.recv_nowait(1)
        with pytest.raises(wsock.WSAENOTCONN):
            sock.send_nowait(b"x")
        with pytest.raises(wsock.WSAENOTCONN):
            sock.getpeername()
        with pytest.raises(wsock.WSAENOTCONN):
            await sock.recv(1)
        sock.close()


@pytest.mark.parametrize("flags", [0, std.MSG_WAITALL, std.MSG_PEEK])
async def test_receive_time_out(pair: Pair, flags: int) -> None:
    """SO_RCVTIMEO bounds the waiting recv: WSAETIMEDOUT, nothing taken."""
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, 10)
    with pytest.raises(wsock.WSAETIMEDOUT):
        await pair.near.recv(9, flags)
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    assert await pair.near.recv(3, flags) == b"abc"


async def test_send_and_accept_time_out(world: World) -> None:
    """SO_SNDTIMEO bounds send, SO_RCVTIMEO accept and recvfrom."""
    pair = await world.pair()
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_SNDTIMEO, 10)
    await pair.world.fill(pair.near)
    with pytest.raises(wsock.WSAETIMEDOUT):
        await pair.near.send(b"x")
    listener, datagram = world.listener(), world.bound_datagram()
    for sock in (listener, datagram):
        sock.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, 10)
    with pytest.raises(wsock.WSAETIMEDOUT):
        await listener.accept()
    with pytest.raises(wsock.WSAETIMEDOUT):
        await datagram.recvfrom(9)


CALLS_OF_A_CLOSED_SOCKET: dict[str, tuple[object, ...]] = {
    "recv": (1,),
    "recv_into": (bytearray(1),),
    "recvfrom": (1,),
    "send": (b"x",),
    "send_all": (b"x",),
    "sendto": (b"x", ("127.0.0.1", 9)),
    "connect": (("127.0.0.1", 9),),
    "accept": (),
    "wait_connected": (),
    "wait_send_room": (),
    "wait_turn": ("recv",),
}


@pytest.mark.parametrize("call", CALLS_OF_A_CLOSED_SOCKET)
async def test_closed_socket(world: World, call: str) -> None:
    """S1-24: every call on a closed socket is WSAENOTSOCK; closing twice is fine."""
    pair = await world.pair()
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert pair.near.recv_nowait(9) == b"a"
    pair.near.close()
    pair.near.close()
    with pytest.raises(wsock.WSAENOTSOCK), trio.fail_after(2):
        await getattr(pair.near, call)(*CALLS_OF_A_CLOSED_SOCKET[call])


async def test_recv_that_need_not_wait_never_does(pair: Pair) -> None:
    """recv of length 0, after own shutdown, or of a negative length answers at once."""
    pair.far.send_nowait(b"a")
    await pair.settle(unread=1)
    assert pair.near.recv_nowait(9) == b"a"
    with trio.fail_after(2):
        assert await pair.near.recv(0) == b""
        with pytest.raises(wsock.WSAEINVAL):
            await pair.near.recv(-1)
        pair.near.shutdown(wsock.SD_RECEIVE)
        with pytest.raises(wsock.WSAESHUTDOWN):
            await pair.near.recv(1)


async def test_shutdown_wakes_the_reader(pair: Pair) -> None:
    """Own shutdown(SD_RECEIVE) wakes the task that waits in recv: WSAESHUTDOWN."""

    async def reader() -> None:
        with pytest.raises(wsock.WSAESHUTDOWN):
            await pair.near.recv(9)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await blocked()
        pair.near.shutdown(wsock.SD_RECEIVE)


async def test_aclose_waits_for_the_rest(pair: Pair) -> None:
    """aclose with SO_LINGER and seconds waits for what is unsent; close never waits."""
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 20))
    pair.near.send_nowait(bytes(20_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, pair.far, 20_000_000)
        await pair.near.aclose()
    assert pair.near.state == "CLOSED"


@pytest.mark.parametrize("who", ["near", "far"])
@pytest.mark.parametrize("shutdown_first", [False, True])
async def test_aclose_does_not_wait_for_the_peers_end(
    pair: Pair, who: str, shutdown_first: bool
) -> None:
    """It ends when the rest and the end are out, though the peer goes on for hours."""
    closer, peer = (pair.near, pair.far) if who == "near" else (pair.far, pair.near)
    closer.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 20))
    closer.send_nowait(bytes(20_000_000))
    if shutdown_first:
        closer.shutdown(wsock.SD_SEND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain, peer, 20_000_000)
        with trio.fail_after(15):
            await closer.aclose()
    assert await peer.recv(1) == b""
    assert peer.state == "CONNECTED"


async def test_cancelled_aclose_resets(pair: Pair) -> None:
    """aclose closes also when cancelled; then what is unsent is reset away."""
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 20))
    pair.near.send_nowait(bytes(20_000_000))
    await cancelled_while_waiting(pair.near.aclose)
    assert pair.near.state == "CLOSED"
    with pytest.raises(wsock.WSAECONNRESET):
        await drain(pair.far, 20_000_000)


async def test_tasks_in_line(pair: Pair) -> None:
    """wait_turn: any number of tasks wait in line, first come first served."""
    order: list[int] = []

    async def reader(number: int) -> None:
        while True:
            await pair.near.wait_turn("recv")
            try:
                pair.near.recv_nowait(1)
            except wsock.WSAEWOULDBLOCK:
                continue
            order.append(number)
            return

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(reader, number)
            await blocked()
        pair.far.send_nowait(b"abc")
    assert order == [0, 1, 2]


async def test_waits_of_several_tasks_one_after_the_other(pair: Pair) -> None:
    """What a socket keeps of a wait serves the next one, whichever task waits, however it ends."""
    await cancelled_while_waiting(lambda: pair.near.recv(9))
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await pair.near.recv(9))

    for data in (b"first", b"second"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await blocked()
            with pytest.raises(trio.BusyResourceError):
                await pair.near.recv(9)
            await pair.far.send(data)
        await cancelled_while_waiting(lambda: pair.near.recv(9))
    assert got == [b"first", b"second"]


async def test_a_socket_that_waited_needs_no_collector(world: World) -> None:
    """Reset and forgotten, all of it is gone at once: a wait leaves no cycle of references."""
    listener = world.listener()
    await world.connected(listener)
    sock, _ = await listener.accept()
    await cancelled_while_waiting(partial(sock.recv, 9))
    parts = [weakref.ref(sock), weakref.ref(sock._endpoint)]
    await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    gc.disable()
    try:
        sock.reset()
        del sock
        assert [part() for part in parts] == [None, None]
    finally:
        gc.enable()
