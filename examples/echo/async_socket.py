"""Echo, AsyncSocket: MFC's CAsyncSocket, the shortest way to write a server.

Watch: an object per client, a method per event, and no loop of one's own.
"""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakSet

import trio

import wsock

clients: WeakSet[wsock.AsyncSocket] = WeakSet()


class Echo(wsock.AsyncSocket):
    """The listener, and each accepted client."""

    owed = b""  # read, but not sent yet: the client has to read first

    def on_accept(self, error: int) -> None:
        """A client has connected."""
        clients.add(self.accept())

    def on_receive(self, error: int) -> None:
        """Something has arrived: send what is owed, then read once and echo it."""
        with suppress(wsock.WSAEWOULDBLOCK):  # on_receive or on_send will be called
            self.send(self.owed)
            self.owed = b""  # before the receive: it may raise
            self.owed = self.receive()
            self.send(self.owed)
            self.owed = b""

    on_send = on_receive  # there is room again: go on

    def on_close(self, error: int) -> None:
        """The client has gone; what it still waits for is delivered by close()."""
        if not error:
            self.send_all(self.owed)
        self.close()

    def on_error(self, error: Exception) -> None:
        """One client's trouble is not the server's."""
        self.close()


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Dispatch to the objects, for ever."""
    async with wsock.Window() as window:
        listener = Echo(window)
        listener.create(port, address="127.0.0.1")
        listener.listen()
        task_status.started(listener.socket.getsockname()[1])
        try:
            await window.run()
        finally:
            for sock in [listener, *clients]:
                sock.close()
