# wsock, blocking: a task per connection, plain calls that wait.

from __future__ import annotations

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


async def echo(sock: wsock.Socket) -> None:
    """Send back what comes."""
    with sock:
        try:
            while data := await sock.recv(READ_BYTES):
                await sock.send(data)
        except wsock.WSAError:
            return


async def sink(sock: wsock.Socket) -> None:
    """Throw away what comes."""
    with sock:
        try:
            while await sock.recv(READ_BYTES):
                pass
        except wsock.WSAError:
            return


async def source(sock: wsock.Socket) -> None:
    """Send the block, and again."""
    with sock:
        try:
            while True:
                await sock.send(BLOCK)
        except wsock.WSAError:
            return


async def serve(port: int, work: Work) -> None:
    """Accept for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]
    listening = wsock.from_stdlib_socket(listener(port))
    async with trio.open_nursery() as nursery:
        while True:
            sock, _address = await listening.accept()
            nursery.start_soon(handler, sock)


if __name__ == "__main__":
    trio.run(serve, *arguments())
