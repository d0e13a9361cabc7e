"""Echo, select-like: one wait for all sockets, then a look at each of them.

Watch: one event object for everybody, so the wait says that something happened and not where; the
scan over all sockets is what makes select slow with many of them. Compare ``event``, which has an
object per socket, and ``message``, which is told the socket.
"""

from __future__ import annotations

from contextlib import suppress

import trio

import wsock
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Wait for all, look at all, for ever."""
    something = wsock.Event()
    with wsock.create_server(("127.0.0.1", port)) as listener:
        listener.event_select(something, FD_ACCEPT | FD_READ | FD_WRITE | FD_CLOSE)
        task_status.started(listener.getsockname()[1])
        sockets = [listener]
        try:
            while True:
                await something.wait()
                something.reset()  # before looking: what comes later sets it again
                for sock in sockets.copy():
                    look_at(sock, sockets)
        finally:
            for sock in sockets:
                sock.close()


def look_at(sock: wsock.Socket, sockets: list[wsock.Socket]) -> None:
    """Do what this socket's record says; most have nothing."""
    events = sock.enum_network_events().events
    with suppress(wsock.WSAEWOULDBLOCK, ConnectionError):  # FD_READ, FD_WRITE or FD_CLOSE follows
        if events & FD_ACCEPT:
            sockets.append(sock.accept_nowait()[0])  # inherits event and mask
        if events & (FD_READ | FD_WRITE):
            echo(sock)
    if events & FD_CLOSE:
        sockets.remove(sock)
        with suppress(ConnectionError):
            sock.send_all_nowait(sock.data or b"")  # close() still delivers it
        sock.close()


def echo(sock: wsock.Socket) -> None:
    """Send what is owed, then read once; what cannot go now waits for FD_WRITE."""
    if sock.data:
        sock.send_nowait(sock.data)
        sock.data = None  # before the recv: it may raise
    sock.data = sock.recv_nowait(65536)
    sock.send_nowait(sock.data)
    sock.data = None
