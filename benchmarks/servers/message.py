# wsock, window messages: one window, one plain function that every message goes through.
#
# Each work selects what it uses. The echo adds FD_WRITE to a connection at its first refused send:
# most never have one, as most never have asyncio call ``pause_writing``.

from __future__ import annotations

import trio

import wsock
from benchmarks.servers.common import BLOCK, READ_BYTES, Work, arguments, listener
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, FD_WRITE, WM_USER

WM_SOCKET = WM_USER + 1
SELECTED = {
    "echo": FD_READ | FD_CLOSE,
    "sink": FD_READ | FD_CLOSE,
    "source": FD_WRITE | FD_READ | FD_CLOSE,
}
READS_AT_ONCE = 32


def echo(message: wsock.Message) -> None:
    """Send back what came. Not reading again is what holds the peer back: no recv, no FD_READ.

    ``sock.data``: None, or the bytes that are still to be sent, once FD_WRITE is selected.
    """
    sock = message.socket
    try:
        if message.event == FD_READ:
            if sock.data:
                return
        elif message.event == FD_WRITE:
            if not sock.data:
                return
            sock.send_nowait(sock.data)
            sock.data = b""
        else:
            begin_or_end(message)
            return
        data = sock.recv_nowait(READ_BYTES)
        try:
            sock.send_nowait(data)
        except wsock.WSAEWOULDBLOCK:
            if sock.data is None:
                sock.async_select(message.window, WM_SOCKET, FD_READ | FD_WRITE | FD_CLOSE)
            sock.data = data
    except wsock.WSAEWOULDBLOCK:
        return  # the message came late: it was read already
    except wsock.WSAError:
        sock.close()


def sink(message: wsock.Message) -> None:
    """Throw away what came: all of it, as uvloop reads on while there is more."""
    sock = message.socket
    try:
        if message.event == FD_READ:
            for _ in range(READS_AT_ONCE):
                if len(sock.recv_nowait(READ_BYTES)) < READ_BYTES:
                    break
        else:
            begin_or_end(message)
    except wsock.WSAEWOULDBLOCK:
        return
    except wsock.WSAError:
        sock.close()


def source(message: wsock.Message) -> None:
    """Send the block until the system's buffer is full; FD_WRITE says when to go on."""
    sock = message.socket
    try:
        if message.event == FD_WRITE:
            while True:
                sock.send_nowait(BLOCK)
        begin_or_end(message)
    except wsock.WSAEWOULDBLOCK:
        return
    except wsock.WSAError:
        sock.close()


def begin_or_end(message: wsock.Message) -> None:
    """Take a connection, which inherits window, message and events of the listener; or end one.

    What was not yet taken of a connection whose peer has ended goes out still.
    """
    sock = message.socket
    if message.event == FD_ACCEPT:
        sock.accept_nowait()
    elif message.event == FD_CLOSE:
        if sock.data and message.error == 0:
            sock.send_all_nowait(sock.data)
        sock.close()


async def serve(port: int, work: Work) -> None:
    """Dispatch for ever."""
    procedure = {"echo": echo, "sink": sink, "source": source}[work]
    listening = wsock.from_stdlib_socket(listener(port))
    async with wsock.Window() as window:
        listening.async_select(window, WM_SOCKET, SELECTED[work] | FD_ACCEPT)
        await window.run(procedure)


if __name__ == "__main__":
    trio.run(serve, *arguments())
