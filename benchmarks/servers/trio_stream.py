# Trio's SocketStream under serve_listeners: what a Trio program is told to use.

from __future__ import annotations

import trio

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes."""
    while data := await stream.receive_some(READ_BYTES):
        await stream.send_all(data)


async def sink(stream: trio.SocketStream) -> None:
    """Throw away what comes."""
    while await stream.receive_some(READ_BYTES):
        pass


async def source(stream: trio.SocketStream) -> None:
    """Send the block, and again."""
    while True:
        await stream.send_all(BLOCK)


async def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except trio.BrokenResourceError:
            return

    listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener(port)))
    await trio.serve_listeners(handle, [listening])


if __name__ == "__main__":
    trio.run(serve, *arguments())
