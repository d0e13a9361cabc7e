"""Trap: after closing a socket, or cancelling its selection, no message about it can come.

What was posted before stays in the queue. A handler that goes on using the socket then fails, and
on Windows might even meet another socket that got the same number (wsock never gives one twice).
"""

from __future__ import annotations

import trio

import wsock
from wsock.constants import FD_READ

from .common import WM_SOCKET, Say, name, pair

RULE = "Cancelling or closing takes nothing out of the queue."


async def closed_with_a_message_waiting(window: wsock.Window) -> wsock.Socket:
    """A socket that was closed after its FD_READ was posted, and before that was taken."""
    near, far = await pair()
    with far:
        near.async_select(window, WM_SOCKET, FD_READ)
        await far.send(b"hello")
        while window.peek() is None:
            await trio.lowlevel.checkpoint()
    near.close()
    return near


async def trap(say: Say) -> None:
    """Use the socket whatever happened to it."""
    async with wsock.Window() as window:
        await closed_with_a_message_waiting(window)
        message = await window.get()
        try:
            message.socket.recv_nowait(100)
        except wsock.WSAENOTSOCK as problem:
            say(f"{name(message)} for a closed socket: recv raises {problem.name}")


async def right(say: Say) -> None:
    """Look whether it is still one of ours."""
    async with wsock.Window() as window:
        await closed_with_a_message_waiting(window)
        message = await window.get()
        if message.socket.closed:
            say(f"{name(message)} for a closed socket: ignored")
