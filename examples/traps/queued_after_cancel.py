"""Trap: after cancelling a selection, or closing its socket, no message about it can come.

What was posted before stays in the queue. A handler that goes on using the socket then fails, and
on Windows might even meet another socket that got the same number (wsock never gives one twice).
"""

from __future__ import annotations

import trio

import wsock
from wsock.constants import FD_READ

from .common import WM_SOCKET, Say, name, pair

RULE = "Cancelling or closing takes nothing out of the queue."


async def with_a_message_waiting(window: wsock.Window) -> wsock.Socket:
    """A socket whose FD_READ was posted and not taken yet."""
    near, far = await pair()
    with far:
        near.async_select(window, WM_SOCKET, FD_READ)
        await far.send(b"hello")
        while window.peek() is None:
            await trio.lowlevel.checkpoint()
    return near


async def trap(say: Say) -> None:
    """Use the socket whatever happened to it."""
    async with wsock.Window() as window:
        with await with_a_message_waiting(window) as cancelled:
            cancelled.async_select(None, 0, 0)
            say(f"cancelled, and {name(await window.get())} comes all the same")
        closed = await with_a_message_waiting(window)
        closed.close()
        message = await window.get()
        try:
            message.socket.recv_nowait(100)
        except wsock.WSAENOTSOCK as problem:
            say(f"{name(message)} for a closed socket: recv raises {problem.name}")


async def right(say: Say) -> None:
    """Look whether it is still one of ours."""
    served: set[wsock.Socket] = set()
    async with wsock.Window() as window:
        with await with_a_message_waiting(window) as cancelled:
            served.add(cancelled)
            cancelled.async_select(None, 0, 0)
            served.remove(cancelled)
            message = await window.get()
            if message.socket not in served:
                say(f"cancelled, and {name(message)} comes: not one of ours, ignored")
        closed = await with_a_message_waiting(window)
        closed.close()
        message = await window.get()
        if message.socket.closed:
            say(f"{name(message)} for a closed socket: ignored")
