"""Two ends of a connection that speak TLS: an AsyncSocket, and a filter moved by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

import wsock
from wsock import (
    FD_WRITE,
    WM_TLS_NOTIFY,
    AsyncSocket,
    TLSFilter,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from tests.providers import Pair


class Near(AsyncSocket):
    """The end under test: writes down what it is told."""

    def __init__(self, window: wsock.Window, max_bytes: int = 65536) -> None:
        super().__init__(window)
        self.log: list[tuple[str, int]] = []
        self.got = bytearray()
        self.max_bytes = max_bytes

    def on_receive(self, error: int) -> None:
        self.log.append(("receive", error))
        self.got += self.receive(self.max_bytes)

    def on_send(self, error: int) -> None:
        self.log.append(("send", error))

    def on_close(self, error: int) -> None:
        self.log.append(("close", error))


class Far:
    """The other end, by hand: a filter, and a socket whose calls wait."""

    def __init__(self, sock: wsock.Socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.tls = TLSFilter(context, server_hostname="localhost")

    async def flush(self) -> None:
        if data := self.tls.outgoing():
            await self.sock.send_all(data)

    async def pull(self) -> bytes:
        """Receive once; b"" at the end of the stream."""
        data = await self.sock.recv(65536)
        if data:
            self.tls.feed(data)
            await self.flush()
        return data

    async def pull_all(self) -> None:
        """Receive until the end of the stream."""
        while await self.pull():
            pass

    async def handshake(self) -> None:
        await self.flush()
        while not self.tls.handshake_done:
            assert await self.pull()

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def receive(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            if not self.tls.unread:
                assert await self.pull()
            elif self.tls.unread:
                got += self.tls.read(count - len(got))
        return bytes(got)

    async def close_notify(self) -> None:
        self.tls.close_notify()
        await self.flush()


@asynccontextmanager
async def served(window: wsock.Window) -> AsyncIterator[None]:
    """The window's loop runs meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)
        yield
        nursery.cancel_scope.cancel()


def deliver(window: wsock.Window) -> list[tuple[int, int]]:
    """Hand over what is about ciphertext; what the program would be told, not handed over."""
    told = []
    with suppress(wsock.WSAEWOULDBLOCK):
        while True:
            message = window.get_nowait()
            if message.message == WM_TLS_NOTIFY:
                told.append((message.event, message.error))
            else:
                message.socket.handler.dispatch(message)
    return told


def ciphertext(sock: wsock.Socket) -> int:
    """Bytes that lie in the system, still encrypted."""
    return wsock.Socket.ioctl(sock, wsock.FIONREAD)


async def delivered(pair: Pair, window: wsock.Window, unread: int = 0) -> list[tuple[int, int]]:
    """What is told once so much ciphertext has arrived, and all is quiet."""
    await pair.world.until(lambda: ciphertext(pair.near) >= unread)
    await pair.settle()
    return deliver(window)


async def shaken(pair: Pair, window: wsock.Window, far: Far) -> None:
    """The handshake without a loop; the FD_WRITE that it ends with is taken."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.handshake)
        told: list[tuple[int, int]] = []
        while (FD_WRITE, 0) not in told:
            await trio.lowlevel.checkpoint()
            pair.world.stack.turn()
            told += deliver(window)
    assert told == [(FD_WRITE, 0)]
