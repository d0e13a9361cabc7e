"""Calls in any order on any socket, resets and cancellations between: order returns at the end."""

from __future__ import annotations

import contextlib
import random
import socket as std
from typing import TYPE_CHECKING, Any

import pytest
import trio

import wsock
from tests.providers import WM_SOCKET, Provider, World
from wsock import FD_ACCEPT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 600
SIZES = (0, 1, 1000, 1_000_000)

#: What a call may answer to a program that does not know what it does. Anything else is a fault.
ANSWERS = (wsock.WSAError, trio.BusyResourceError, trio.ClosedResourceError)


class Disorder:
    """A world in which anything is called; the seed says what, in which order."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.listener = world.listener(backlog=8)
        self.address = self.listener.getsockname()
        self.sockets = [self.listener]
        self.window = wsock.Window()
        self.event = wsock.Event(manual_reset=self.rng.random() < 0.5)

    def add(self, sock: wsock.Socket) -> None:
        self.sockets.append(self.world.keep(sock))

    def connect(self, _: wsock.Socket) -> None:
        client = self.world.socket()
        self.add(client)
        client.connect_ex(self.address)

    def end(self, sock: wsock.Socket) -> None:
        if sock is not self.listener:
            self.rng.choice((sock.close, sock.reset))()

    def at_once(self) -> list[Callable[[wsock.Socket], Any]]:
        pick = self.rng.choice
        return [
            self.connect,
            self.connect,
            self.end,
            lambda s: self.add(s.accept_nowait()[0]),
            lambda s: s.send_nowait(bytes(pick(SIZES))),
            lambda s: s.send_all_nowait(bytes(pick(SIZES))),
            lambda s: s.send_nowait(b"!", std.MSG_OOB),
            lambda s: s.recv_nowait(pick(SIZES), pick((0, 0, std.MSG_PEEK, std.MSG_OOB))),
            lambda s: s.shutdown(pick((0, 1, 2))),
            lambda s: s.async_select(self.window, WM_SOCKET, pick(range(64))),
            lambda s: s.event_select(self.event, pick(range(64))),
            lambda s: s.enum_network_events(self.event),
            lambda s: s.notifications(),
            lambda s: s.ioctl(pick((wsock.FIONREAD, wsock.SIOCATMARK))),
            lambda s: s.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (pick((0, 1)), pick((0, 1)))),
            lambda s: s.setsockopt(std.SOL_SOCKET, std.SO_OOBINLINE, pick((0, 1))),
            lambda s: s.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, pick((0, 1, 5))),
            lambda s: s.stack.netstat(),
            repr,
        ]

    def waiting(self) -> list[Callable[[wsock.Socket], Awaitable[object]]]:
        return [
            lambda s: s.recv(1000),
            lambda s: s.recv(3000, std.MSG_WAITALL),
            lambda s: s.recv_into(bytearray(100)),
            lambda s: s.send(bytes(self.rng.choice(SIZES))),
            lambda s: s.wait_send_room(),
            lambda s: s.wait_connected(),
            lambda s: s.aclose(),
        ]

    async def wait(self, sock: wsock.Socket) -> None:
        """One waiting call, cancelled after a few milliseconds."""
        call = self.rng.choice(self.waiting())
        with trio.move_on_after(self.rng.random() * 0.01):
            try:
                await call(sock)
            except ANSWERS:
                return

    def serve(self, message: wsock.Message) -> None:
        """A window procedure that does what it is told, mostly."""
        sock = message.socket
        try:
            if message.event == FD_ACCEPT:
                self.add(sock.accept_nowait()[0])
            elif self.rng.random() < 0.7:
                sock.recv_nowait(self.rng.choice(SIZES))
            elif self.rng.random() < 0.3:
                self.end(sock)
        except ANSWERS:
            return

    async def loop(self) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await self.window.run(self.serve)

    async def run(self) -> None:
        calls = self.at_once()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.loop)
            for _ in range(ROUNDS):
                sock = self.rng.choice(self.sockets)
                if self.rng.random() < 0.1:
                    nursery.start_soon(self.wait, sock)
                    continue
                with contextlib.suppress(ANSWERS):
                    self.rng.choice(calls)(sock)
                if self.rng.random() < 0.3:
                    await trio.lowlevel.checkpoint()
            self.window.close()


@pytest.mark.parametrize("seed", range(4))
async def test_anything_in_any_order(
    provider: Provider, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """Every call answers or raises what it may; the reactor survives; no socket stays behind."""
    world = World(provider)
    with trio.fail_after(60):
        disorder = Disorder(world, seed)
        await disorder.run()
        for sock in disorder.sockets:
            sock.reset()
        world.close()
        await world.until(lambda: not world.stack.endpoints)
    assert not caplog.records
