"""Trap: close at FD_CLOSE, since "that was all".

FD_CLOSE says that the other side sends no more, not that everything was read. Windows posts it as
soon as the close arrives; wsock by default when all was read, as the pages say (this program asks
for Windows' way). The right handler is the same for both.
"""

from __future__ import annotations

import trio

import wsock
from wsock.constants import FD_CLOSE, FD_READ

from .common import WM_SOCKET, Say, pair

RULE = "FD_CLOSE may come before everything was read: recv until it gives b''."


async def until_close(window: wsock.Window, near: wsock.Socket) -> bytes:
    """Serve FD_READ with recv of four bytes, up to FD_CLOSE."""
    read = b""
    async for message in window:
        if message.event == FD_CLOSE:
            return read
        read += near.recv_nowait(4)
    raise AssertionError


def windows(say: Say) -> wsock.Stack | None:
    """Sockets that are notified as on Windows, where this system can do it."""
    try:
        return wsock.Stack(notifications="windows")
    except ValueError:
        say("cannot be shown here: it needs epoll")
        return None


async def selected(stack: wsock.Stack, window: wsock.Window) -> wsock.Socket:
    """A socket whose peer says something and closes."""
    near, far = await pair(stack)
    with far:
        await far.send(b"last words")
    while not any(row.event == FD_CLOSE and row.condition for row in near.notifications()):
        await trio.lowlevel.checkpoint()  # the close is under way
    near.async_select(window, WM_SOCKET, FD_READ | FD_CLOSE)
    return near


async def trap(say: Say) -> None:
    """Close at once."""
    stack = windows(say)
    if stack is None:
        return
    async with wsock.Window() as window:
        with await selected(stack, window) as near:
            read = await until_close(window, near)
            say(f"FD_CLOSE after {read!r}: closed, the rest is lost")


async def right(say: Say) -> None:
    """Read what is left, then close."""
    stack = windows(say)
    if stack is None:
        return
    async with wsock.Window() as window:
        with await selected(stack, window) as near:
            read = await until_close(window, near)
            while data := near.recv_nowait(4):
                read += data
            say(f"FD_CLOSE, recv until b'': {read!r}")
