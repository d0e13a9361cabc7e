"""Every waiting call, cancelled at every step it takes: nothing is lost, nothing comes twice."""

from __future__ import annotations

import socket as std
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import wsock
    from tests.providers import Pair, World

#: No call here takes more steps than this before it is done.
STEPS = range(1, 9)


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope just before the current task's step number ``step``."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.scope, self.left = scope, step
        self.task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def cancelled_at(step: int, call: Callable[[], Awaitable[object]]) -> object:
    """The call's result, or None if it was cancelled at that step."""
    result = None
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            result = await call()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return result


async def send_in_parts(sock: wsock.Socket, parts: list[bytes]) -> None:
    for part in parts:
        sock.send_nowait(part)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("flags", [0, std.MSG_WAITALL])
@pytest.mark.parametrize("early", [True, False])
async def test_recv(pair: Pair, step: int, flags: int, early: bool) -> None:
    """What a cancelled recv did not return, the next one does."""
    parts = [b"ab", b"cd", b"ef"]
    if early:
        pair.far.send_nowait(parts.pop(0))
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_parts, pair.far, parts)
        got += await cancelled_at(step, lambda: pair.near.recv(4, flags)) or b""
    with trio.fail_after(5):
        while len(got) < 6:
            got += await pair.near.recv(9)
    assert got == b"abcdef"


@pytest.mark.parametrize("step", STEPS)
async def test_recvfrom(world: World, step: int) -> None:
    """A datagram is taken whole or not at all."""
    near, far = world.bound_datagram(), world.bound_datagram()

    async def sender() -> None:
        await trio.lowlevel.checkpoint()
        far.sendto_nowait(b"one", near.getsockname())
        far.sendto_nowait(b"two", near.getsockname())

    got = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        answer = await cancelled_at(step, lambda: near.recvfrom(9))
        if answer is not None:
            got.append(answer[0])
    with trio.fail_after(5):
        while len(got) < 2:
            got.append((await near.recvfrom(9))[0])
    assert got == [b"one", b"two"]


@pytest.mark.parametrize("step", STEPS)
async def test_accept(world: World, step: int) -> None:
    """A client is accepted by this call or by the next; none is lost."""
    listener = world.listener()
    client = world.socket()
    answer = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.connect, listener.getsockname())
        answer = await cancelled_at(step, listener.accept)
    with trio.fail_after(5):
        accepted, address = answer or await listener.accept()
    world.keep(accepted)
    assert address == client.getsockname()


@pytest.mark.parametrize("step", STEPS)
async def test_send(pair: Pair, step: int) -> None:
    """A cancelled send has done nothing, or all of it goes out: a message is never cut."""
    data = b"<" + bytes(8_000_000) + b">"
    got = bytearray()

    async def reader() -> None:
        while part := await pair.far.recv(1 << 20):
            got.extend(part)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await cancelled_at(step, lambda: pair.near.send(data))
        pair.near.close()
    assert got in (b"", data)


@pytest.mark.parametrize("step", STEPS)
async def test_connect(world: World, step: int) -> None:
    """A cancelled connect closes the socket; one that ended in time is connected."""
    listener, sock = world.listener(), world.socket()

    async def connect() -> bool:
        await sock.connect(listener.getsockname())
        return True

    done = await cancelled_at(step, connect)
    assert sock.state == ("CONNECTED" if done else "CLOSED")


@pytest.mark.parametrize("step", STEPS)
async def test_aclose(pair: Pair, step: int) -> None:
    """aclose closes whenever it is cancelled."""
    pair.near.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 20))
    pair.near.send_nowait(bytes(8_000_000))

    async def reader() -> None:
        with suppress(trio.BrokenResourceError):
            while await pair.far.recv(1 << 20):
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await cancelled_at(step, pair.near.aclose)
        assert pair.near.state == "CLOSED"
