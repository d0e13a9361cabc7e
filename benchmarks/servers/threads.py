# A thread per connection with blocking sockets, the oldest model.

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener

if TYPE_CHECKING:
    import socket

STACK_BYTES = 256 * 1024


def echo(sock: socket.socket) -> None:
    """Send back what comes."""
    while data := sock.recv(READ_BYTES):
        sock.sendall(data)


def sink(sock: socket.socket) -> None:
    """Throw away what comes."""
    while sock.recv(READ_BYTES):
        pass


def source(sock: socket.socket) -> None:
    """Send the block, and again."""
    while True:
        sock.sendall(BLOCK)


def serve(port: int, work: Work) -> None:
    """Accept for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    def handle(sock: socket.socket) -> None:
        with sock:
            try:
                handler(sock)
            except OSError:
                return

    threading.stack_size(STACK_BYTES)
    listening = listener(port)
    listening.setblocking(True)
    while True:
        sock, _address = listening.accept()
        threading.Thread(target=handle, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    serve(*arguments())
