"""Echo, AsyncSocket: MFC's CAsyncSocket, the shortest way to write a server.

Watch: an object per client, a method per event, and no loop of one's own.
"""

from __future__ import annotations

import trio

import wsock


class Echo(wsock.AsyncSocket):
    """The listener, and each accepted client: on_accept makes another one of these."""

    def on_accept(self, error: int) -> None:
        """A client has connected."""
        self.accept()

    def on_receive(self, error: int) -> None:
        """Something has arrived: send what is owed, then read once and echo it."""
        sock = self.socket
        try:
            if sock.data:
                sock.send_nowait(sock.data)
            sock.data = self.receive(65536)
            sock.send_nowait(sock.data)
            sock.data = None
        except wsock.WSAEWOULDBLOCK:
            pass  # on_receive or on_send will be called

    def on_send(self, error: int) -> None:
        """There is room again: go on."""
        self.on_receive(error)

    def on_close(self, error: int) -> None:
        """The client has gone; what it still waits for is delivered by close()."""
        if self.socket.data and not error:
            self.socket.send_all_nowait(self.socket.data)
        self.close()

    def on_error(self, error: Exception) -> None:
        """One client's trouble is not the server's."""
        print(f"client lost: {error}")
        self.close()


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Dispatch to the objects, for ever."""
    async with wsock.Window() as window:
        listener = Echo(window)
        listener.create(port, address="127.0.0.1")
        listener.listen()
        task_status.started(listener.socket.getsockname()[1])
        await window.run()
