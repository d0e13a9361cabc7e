# Trio's low-level sockets, a task per connection.

from __future__ import annotations

import trio

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


async def send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    """Send every byte; the usual case is one call."""
    sent = await sock.send(data)
    while sent < len(data):
        sent += await sock.send(memoryview(data)[sent:])


async def echo(sock: trio.socket.SocketType) -> None:
    """Send back what comes."""
    while data := await sock.recv(READ_BYTES):
        await send_all(sock, data)


async def sink(sock: trio.socket.SocketType) -> None:
    """Throw away what comes."""
    while await sock.recv(READ_BYTES):
        pass


async def source(sock: trio.socket.SocketType) -> None:
    """Send the block, and again."""
    while True:
        await send_all(sock, BLOCK)


async def serve(port: int, work: Work) -> None:
    """Accept for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    async def handle(sock: trio.socket.SocketType) -> None:
        with sock:
            try:
                await handler(sock)
            except OSError:
                return

    listening = trio.socket.from_stdlib_socket(listener(port))
    async with trio.open_nursery() as nursery:
        while True:
            sock, _address = await listening.accept()
            nursery.start_soon(handle, sock)


if __name__ == "__main__":
    trio.run(serve, *arguments())
