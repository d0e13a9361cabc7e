# wsock, window messages: one window, one plain function that every message goes through.

from __future__ import annotations

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE, WM_USER

WM_SOCKET = WM_USER + 1
EVENTS = FD_READ | FD_WRITE | FD_CLOSE


def accept(message: wsock.Message) -> None:
    """Take a connection; it inherits window, message and events of the listener."""
    message.socket.accept_nowait()


def close(message: wsock.Message) -> None:
    """The peer has ended and everything was read: what was not yet taken goes out still."""
    sock = message.socket
    if sock.data is not None and message.error == 0:
        sock.send_all_nowait(sock.data)
    sock.close()


def echo(message: wsock.Message) -> None:
    """Send back what came. Not reading again is what holds the peer back: no recv, no FD_READ."""
    sock = message.socket
    if message.event == FD_WRITE:
        if sock.data is None:
            return
        sock.send_nowait(sock.data)
        sock.data = None
    elif sock.data is not None:
        return
    try:
        data = sock.recv_nowait(READ_BYTES)
    except wsock.WSAEWOULDBLOCK:
        return
    if not data:
        return
    try:
        sock.send_nowait(data)
    except wsock.WSAEWOULDBLOCK:
        sock.data = data


def sink(message: wsock.Message) -> None:
    """Throw away what came."""
    if message.event == FD_READ:
        message.socket.recv_nowait(READ_BYTES)


def source(message: wsock.Message) -> None:
    """Send the block until the system's buffer is full; FD_WRITE says when to go on."""
    try:
        while True:
            message.socket.send_nowait(BLOCK)
    except wsock.WSAEWOULDBLOCK:
        return


async def serve(port: int, work: Work) -> None:
    """Dispatch for ever."""
    handle = {"echo": echo, "sink": sink, "source": source}[work]

    def procedure(message: wsock.Message) -> None:
        event = message.event
        try:
            if event & (FD_READ | FD_WRITE):
                handle(message)
            elif event == FD_ACCEPT:
                accept(message)
            elif event == FD_CLOSE:
                close(message)
        except wsock.WSAError:
            message.socket.close()

    listening = wsock.from_stdlib_socket(listener(port))
    async with wsock.Window() as window:
        listening.async_select(window, WM_SOCKET, EVENTS | FD_ACCEPT)
        await window.run(procedure)


if __name__ == "__main__":
    trio.run(serve, *arguments())
