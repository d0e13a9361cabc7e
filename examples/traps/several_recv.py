"""Trap: read in a loop until WSAEWOULDBLOCK, at each FD_READ.

Each recv that leaves something posts another FD_READ. When their turn comes everything has been
read already; a handler that takes the WSAEWOULDBLOCK for an error then closes a good connection.
"""

from __future__ import annotations

import wsock
from wsock.constants import FD_READ

from .common import WM_SOCKET, Say, pair

RULE = "A recv that leaves bytes posts FD_READ again: one recv for each message is enough."


async def trap(say: Say) -> None:
    """Four recv of one byte at the first message."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ)
            await far.send(b"four")
            await window.get()
            for _ in range(4):
                near.recv_nowait(1)
            say("one FD_READ, four recv: all is read")
            empty = 0
            while window.peek() is not None:
                await window.get()
                try:
                    near.recv_nowait(1)
                except wsock.WSAEWOULDBLOCK:
                    empty += 1
            say(f"{empty} more FD_READ come, each with WSAEWOULDBLOCK")


async def right(say: Say) -> None:
    """One recv for each message, as small as one likes."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ)
            await far.send(b"four")
            read = b""
            while len(read) < 4:
                await window.get()
                read += near.recv_nowait(1)
            say(f"four FD_READ, four recv: {read!r}, and {window.peek()} is left in the queue")
