# asyncio's streams, a task per connection; uvloop_streams runs the same functions.

from __future__ import annotations

import asyncio

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


async def sink(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Throw away what comes."""
    while await reader.read(READ_BYTES):
        pass


async def source(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the block, and again."""
    while True:
        writer.write(BLOCK)
        await writer.drain()


async def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, sock=listener(port), limit=READ_BYTES)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*arguments()))
