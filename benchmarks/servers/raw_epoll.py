# A bare epoll loop in Python: what an event loop could cost if it did nothing but its work.

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener

if TYPE_CHECKING:
    import socket


class Server:
    """Level-triggered; a connection waits either for input or, with a rest to send, for room."""

    def __init__(self, listening: socket.socket, work: Work) -> None:
        self.listening = listening
        self.work = work
        self.epoll = select.epoll()
        self.epoll.register(listening.fileno(), select.EPOLLIN)
        self.connections: dict[int, socket.socket] = {}
        self.rests: dict[int, memoryview] = {}

    def run(self) -> None:
        """Serve for ever."""
        handle = {"echo": self.echo, "sink": self.sink, "source": self.source}[self.work]
        listening = self.listening.fileno()
        poll = self.epoll.poll
        while True:
            for fd, _events in poll():
                if fd == listening:
                    self.accept()
                    continue
                try:
                    handle(fd, self.connections[fd])
                except BlockingIOError:
                    continue
                except OSError:
                    self.close(fd)

    def accept(self) -> None:
        """Take one connection."""
        sock, _address = self.listening.accept()
        sock.setblocking(False)
        fd = sock.fileno()
        self.connections[fd] = sock
        self.epoll.register(fd, select.EPOLLOUT if self.work == "source" else select.EPOLLIN)

    def echo(self, fd: int, sock: socket.socket) -> None:
        """Send back what came; what does not fit waits, and reading with it."""
        if fd in self.rests:
            self.send_rest(fd, sock)
            return
        data = sock.recv(READ_BYTES)
        if not data:
            self.close(fd)
            return
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.rests[fd] = memoryview(data)[sent:]
            self.epoll.modify(fd, select.EPOLLOUT)

    def send_rest(self, fd: int, sock: socket.socket) -> None:
        """Go on with what did not fit."""
        rest = self.rests[fd]
        rest = rest[sock.send(rest) :]
        self.rests[fd] = rest
        if not rest:
            del self.rests[fd]
            self.epoll.modify(fd, select.EPOLLIN)

    def sink(self, fd: int, sock: socket.socket) -> None:
        """Throw away what came."""
        if not sock.recv(READ_BYTES):
            self.close(fd)

    def source(self, fd: int, sock: socket.socket) -> None:
        """Send the block, and again."""
        rest = self.rests.get(fd) or memoryview(BLOCK)
        self.rests[fd] = rest[sock.send(rest) :]

    def close(self, fd: int) -> None:
        """End a connection."""
        self.epoll.unregister(fd)
        self.rests.pop(fd, None)
        self.connections.pop(fd).close()


if __name__ == "__main__":
    port, work = arguments()
    Server(listener(port), work).run()
