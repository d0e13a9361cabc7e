"""Echo, window messages: sockets post FD_ messages, one procedure serves them all.

Watch: accepting inherits the selection, so there is nothing to register; each FD_READ is one
message and one ``recv``, and that ``recv`` is what makes the next FD_READ come. A client that does
not read its echo is not read either: memory stays bounded.
"""

from __future__ import annotations

from contextlib import suppress

import trio

import wsock
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE, WM_USER

WM_SOCKET = WM_USER + 1


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Hand messages to the procedure, for ever."""
    clients: set[wsock.Socket] = set()
    async with wsock.Window() as window:
        with wsock.create_server(("127.0.0.1", port)) as listener:
            listener.async_select(window, WM_SOCKET, FD_ACCEPT | FD_READ | FD_WRITE | FD_CLOSE)
            task_status.started(listener.getsockname()[1])
            try:
                await window.run(lambda message: on_message(message, clients))
            finally:
                for sock in clients:
                    sock.close()


def on_message(message: wsock.Message, clients: set[wsock.Socket]) -> None:
    """The window procedure: it never waits."""
    sock = message.socket
    if message.event == FD_ACCEPT:
        with suppress(wsock.WSAEWOULDBLOCK):  # it has gone again
            clients.add(sock.accept_nowait()[0])
    elif sock in clients:  # else closed: what was in the queue still comes
        with suppress(wsock.WSAEWOULDBLOCK, ConnectionError):  # FD_WRITE or FD_CLOSE follows
            if message.event != FD_CLOSE:
                echo(sock)
            elif sock.data:
                sock.send_all_nowait(sock.data)  # close() still delivers it
        if message.event == FD_CLOSE:
            clients.discard(sock)
            sock.close()


def echo(sock: wsock.Socket) -> None:
    """Send what is owed, then read once; what cannot go now waits for FD_WRITE."""
    if sock.data:
        sock.send_nowait(sock.data)
        sock.data = None  # before the recv: it may raise
    sock.data = sock.recv_nowait(65536)
    sock.send_nowait(sock.data)
    sock.data = None
