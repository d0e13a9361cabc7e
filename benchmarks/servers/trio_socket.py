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
    with sock:
        try:
            while data := await sock.recv(READ_BYTES):
                await send_all(sock, data)
        except OSError:
            return


async def sink(sock: trio.socket.SocketType) -> None:
    """Throw away what comes."""
    with sock:
        try:
            while await sock.recv(READ_BYTES):
                pass
        except OSError:
            return


async def source(sock: trio.socket.SocketType) -> None:
    """Send the block, and again."""
    with sock:
        try:
            while True:
                await send_all(sock, BLOCK)
        except OSError:
            return


async def serve(port: int, work: Work) -> None:
    """Accept for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]
    listening = trio.socket.from_stdlib_socket(listener(port))
    async with trio.open_nursery() as nursery:
        while True:
            sock, _address = await listening.accept()
            nursery.start_soon(handler, sock)


if __name__ == "__main__":
    trio.run(serve, *arguments())
