"""Echo, event objects: each socket sets its own, one task waits for any of them.

Watch: the wait returns the lowest index that is set, so a busy first client could starve others;
serving all that are set before waiting again is the cure. ``enum_network_events`` says what it was.
"""

from __future__ import annotations

from contextlib import suppress

import trio

import wsock
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE

MASK = FD_ACCEPT | FD_READ | FD_WRITE | FD_CLOSE
Sockets = dict[wsock.Event, wsock.Socket]


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Wait for any event, then serve all that are set, for ever."""
    sockets: Sockets = {}
    with wsock.create_server(("127.0.0.1", port)) as listener:
        watch(listener, sockets)
        task_status.started(listener.getsockname()[1])
        try:
            while True:
                await wsock.wait_for_multiple_events(list(sockets))
                for event in [event for event in sockets if event.is_set()]:
                    look_at(sockets[event], event, sockets)
        finally:
            for sock in sockets.values():
                sock.close()


def watch(sock: wsock.Socket, sockets: Sockets) -> None:
    """Give the socket an event object of its own."""
    event = wsock.Event()
    sock.event_select(event, MASK)
    sockets[event] = sock


def look_at(sock: wsock.Socket, event: wsock.Event, sockets: Sockets) -> None:
    """Do what this socket's record says; what cannot go now waits for FD_WRITE."""
    events = sock.enum_network_events(event).events
    with suppress(wsock.WSAEWOULDBLOCK, ConnectionError):  # FD_READ, FD_WRITE or FD_CLOSE follows
        if events & FD_ACCEPT:
            watch(sock.accept_nowait()[0], sockets)
        if events & (FD_READ | FD_WRITE):
            sock.send_nowait(sock.data or b"")  # what is owed
            sock.data = None
            sock.data = sock.recv_nowait(65536)
            sock.send_nowait(sock.data)
            sock.data = None
    if events & FD_CLOSE:
        del sockets[event]
        with suppress(ConnectionError):
            sock.send_all_nowait(sock.data or b"")  # close() still delivers it
        sock.close()
