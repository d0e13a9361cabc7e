# wsock, AsyncSocket: a class per connection whose on_... methods a window dispatches.

from __future__ import annotations

from typing import ClassVar

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


class Echo(wsock.AsyncSocket):
    """Send back what comes; a block that finds no room waits, and reading with it."""

    __slots__ = ("waiting",)

    def __init__(self, window: wsock.Window) -> None:
        super().__init__(window)
        self.waiting = b""

    def on_receive(self, error: int) -> None:
        """Read once: what is left is told of again."""
        if error:
            self.close()
        elif not self.waiting:
            data = self.receive(READ_BYTES)
            try:
                self.send(data)
            except wsock.WSAEWOULDBLOCK:
                self.waiting = data

    def on_send(self, error: int) -> None:
        """There is room again."""
        if self.waiting:
            self.send(self.waiting)
            self.waiting = b""
            try:
                self.on_receive(error)
            except wsock.WSAEWOULDBLOCK:
                return

    def on_close(self, error: int) -> None:
        """The peer has ended and everything was read."""
        if self.waiting and not error:
            self.socket.send_all_nowait(self.waiting)
        self.close()

    def on_error(self, exception: BaseException) -> None:
        """A connection that fails costs nobody else anything."""
        if not isinstance(exception, wsock.WSAError):
            raise exception
        self.close()


class Sink(Echo):
    """Throw away what comes."""

    __slots__ = ()

    def on_receive(self, error: int) -> None:
        """Read once."""
        self.receive(READ_BYTES)


class Source(Echo):
    """Send the block until there is no room."""

    __slots__ = ()

    def on_send(self, error: int) -> None:
        """There is room."""
        try:
            while True:
                self.send(BLOCK)
        except wsock.WSAEWOULDBLOCK:
            return


class Listener(wsock.AsyncSocket):
    """Take connections."""

    connection_class: ClassVar[type[Echo]] = Echo

    def on_accept(self, error: int) -> None:
        """Take one."""
        self.accept()


async def serve(port: int, work: Work) -> None:
    """Dispatch for ever."""
    async with wsock.Window() as window:
        listening = Listener(window)
        listening.accepted_class = {"echo": Echo, "sink": Sink, "source": Source}[work]
        listening.attach(wsock.from_stdlib_socket(listener(port)))
        await window.run()


if __name__ == "__main__":
    trio.run(serve, *arguments())
