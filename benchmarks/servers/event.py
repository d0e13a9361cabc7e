# wsock, event objects: an event per connection, one wait that serves all that are set.

from __future__ import annotations

import contextlib

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE

EVENTS = FD_READ | FD_WRITE | FD_CLOSE


def echo(sock: wsock.Socket, occurred: int) -> None:
    """Send back what came; a block that finds no room waits, and reading with it."""
    if sock.data is not None:
        if not occurred & FD_WRITE:
            return
        sock.send_nowait(sock.data)
        sock.data = None
        occurred |= FD_READ
    if not occurred & FD_READ:
        return
    try:
        data = sock.recv_nowait(READ_BYTES)
    except wsock.WSAEWOULDBLOCK:
        return
    try:
        sock.send_nowait(data)
    except wsock.WSAEWOULDBLOCK:
        sock.data = data


def sink(sock: wsock.Socket, occurred: int) -> None:
    """Throw away what came."""
    if occurred & FD_READ:
        sock.recv_nowait(READ_BYTES)


def source(sock: wsock.Socket, occurred: int) -> None:
    """Send the block until there is no room."""
    if not occurred & FD_WRITE:
        return
    try:
        while True:
            sock.send_nowait(BLOCK)
    except wsock.WSAEWOULDBLOCK:
        return


class Server:
    """Two parallel lists, as in the textbook: the events waited for, and their sockets."""

    def __init__(self, listening: wsock.Socket, work: Work) -> None:
        self.handle = {"echo": echo, "sink": sink, "source": source}[work]
        self.events: list[wsock.Event] = []
        self.sockets: list[wsock.Socket] = []
        self.add(listening, FD_ACCEPT)

    def add(self, sock: wsock.Socket, events: int) -> None:
        """Give a socket an event of its own."""
        event = wsock.Event(manual_reset=True)
        sock.event_select(event, events)
        self.events.append(event)
        self.sockets.append(sock)

    async def run(self) -> None:
        """Wait for any event, then serve all that are set, without waiting in between.

        No event is set while this runs (the reactor does that), so the inner loop ends.
        """
        while True:
            index = await wsock.wait_for_multiple_events(self.events)
            with contextlib.suppress(wsock.WSAEWOULDBLOCK):
                while True:
                    self.serve(index)
                    index = wsock.wait_for_multiple_events_nowait(self.events)

    def serve(self, index: int) -> None:
        """Look what has happened on one socket."""
        sock = self.sockets[index]
        occurred = int(sock.enum_network_events(self.events[index]).events)
        try:
            if occurred & FD_ACCEPT:
                accepted, _address = sock.accept_nowait()
                self.add(accepted, EVENTS)
            if occurred & (FD_READ | FD_WRITE):
                self.handle(sock, occurred)
            if occurred & FD_CLOSE:
                if sock.data is not None:
                    sock.send_all_nowait(sock.data)
                self.close(index)
        except wsock.WSAError:
            self.close(index)

    def close(self, index: int) -> None:
        """End a connection: the last one takes its place in the lists."""
        self.sockets[index].close()
        self.sockets[index] = self.sockets[-1]
        self.events[index] = self.events[-1]
        self.sockets.pop()
        self.events.pop()


async def serve(port: int, work: Work) -> None:
    """Serve for ever."""
    await Server(wsock.from_stdlib_socket(listener(port)), work).run()


if __name__ == "__main__":
    trio.run(serve, *arguments())
