# anyio's streams on its default backend, asyncio.

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener

if TYPE_CHECKING:
    from anyio.abc import SocketStream


async def echo(stream: SocketStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send(data)


async def sink(stream: SocketStream) -> None:
    """Throw away what comes."""
    while await stream.receive(READ_BYTES):
        pass


async def source(stream: SocketStream) -> None:
    """Send the block, and again."""
    while True:
        await stream.send(BLOCK)


async def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                await handler(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listening = await anyio.abc.SocketListener.from_socket(listener(port))
    await listening.serve(handle)


if __name__ == "__main__":
    anyio.run(serve, *arguments())
