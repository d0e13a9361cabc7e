# asyncio's callbacks on the loop of the standard library; uvloop_protocol runs the same class.

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.servers.common import BLOCK, Work, arguments, listener


class Echo(asyncio.Protocol):
    """Send back what comes; stop reading while the peer does."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)

    def pause_writing(self) -> None:
        """The peer does not read: nor do we."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self.transport.resume_reading()


class Sink(Echo):
    """Throw away what comes."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Nothing."""


class Source(Echo):
    """Send the block whenever everything before is with the system."""

    __slots__ = ("paused",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send until told to pause."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=0)
        self.resume_writing()

    def pause_writing(self) -> None:
        """The system's buffer is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """It has room again."""
        self.paused = False
        while not self.paused and not self.transport.is_closing():
            self.transport.write(BLOCK)


async def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    factory = {"echo": Echo, "sink": Sink, "source": Source}[work]
    server = await asyncio.get_running_loop().create_server(factory, sock=listener(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*arguments()))
