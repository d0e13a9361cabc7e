# gevent: a greenlet per connection, blocking calls.

from __future__ import annotations

from gevent import socket
from gevent.server import StreamServer

from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener


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
    """Serve for ever."""
    handler = {"echo": echo, "sink": sink, "source": source}[work]

    def handle(sock: socket.socket, _address: object) -> None:
        try:
            handler(sock)
        except OSError:
            return

    plain = listener(port)
    listening = socket.socket(fileno=plain.detach())
    StreamServer(listening, handle).serve_forever()


if __name__ == "__main__":
    serve(*arguments())
