"""Trap: keep what could not be sent, and forget the FD_READ that came meanwhile.

While bytes wait to be sent one should not read more. But the FD_READ that is answered without a
recv was the last one: when FD_WRITE has come and the rest is sent, somebody must read again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

import wsock
from wsock.constants import FD_READ, FD_WRITE

from .common import QUIET_S, WM_SOCKET, Say, pair

Handler = Callable[[wsock.Socket, int], None]

RULE = "Whoever answers FD_READ without recv has to recv later; FD_WRITE is the time for it."


def stalling(sock: wsock.Socket, event: int) -> None:
    """Echo: at FD_WRITE the rest is sent, and that is all."""
    with suppress(wsock.WSAEWOULDBLOCK):
        if sock.data:
            sock.send_nowait(sock.data)
            sock.data = None
        elif event == FD_READ:
            sock.data = sock.recv_nowait(65536)
            sock.send_nowait(sock.data)
            sock.data = None


def going_on(sock: wsock.Socket, event: int) -> None:
    """Echo: after the rest is sent, read again, whatever the event was."""
    with suppress(wsock.WSAEWOULDBLOCK):
        if sock.data:
            sock.send_nowait(sock.data)
            sock.data = None
        sock.data = sock.recv_nowait(65536)
        sock.send_nowait(sock.data)
        sock.data = None


async def play(handler: Handler, patience_s: float) -> str:
    """A client sends until nothing goes any more, then reads until nothing comes any more."""
    async with wsock.Window() as window, trio.open_nursery() as nursery:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
            nursery.start_soon(window.run, lambda message: handler(message.socket, message.event))
            sent, full = 0, False
            while not (full and near.data):  # both directions are full
                try:
                    sent += far.send_nowait(bytes(65536))
                except wsock.WSAEWOULDBLOCK:
                    full = True
                await trio.lowlevel.checkpoint()
            back = 0
            with trio.move_on_after(patience_s) as quiet:
                while back < sent:
                    back += len(await far.recv(1 << 20))
                    quiet.deadline = trio.current_time() + patience_s
        nursery.cancel_scope.cancel()
    return "all came back" if back == sent else "some came back, then nothing more: a stall"


async def trap(say: Say) -> None:
    """At FD_WRITE only send."""
    say(await play(stalling, QUIET_S))


async def right(say: Say) -> None:
    """At FD_WRITE send, and read again."""
    say(await play(going_on, 30.0))
