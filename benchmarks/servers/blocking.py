# wsock, blocking: a task per connection, plain calls that wait.

from __future__ import annotations

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


async def echo(sock: wsock.Socket) -> None:
    """Send back what comes."""
    while data := await sock.recv(READ_BYTES):
        await sock.send(data)


async def sink(sock: wsock.Socket) -> None:
    """Throw away what comes."""
    while await sock.recv(READ_BYTES):
        pass


async def source(sock: wsock.Socket) -> None:
    """Send the block, and again."""
    while True:
        await sock.send(BLOCK)


async def serve(port: int, work: Work) -> None:
    """Accept for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    async def handle(sock: wsock.Socket) -> None:
        with sock:
            try:
                await handler(sock)
            except wsock.WSAError:
                return

    listening = wsock.from_stdlib_socket(listener(port))
    async with trio.open_nursery() as nursery:
        while True:
            sock, _address = await listening.accept()
            nursery.start_soon(handle, sock)


if __name__ == "__main__":
    trio.run(serve, *arguments())
