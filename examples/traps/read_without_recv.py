"""Trap: FD_READ is left alone, because "the next one will come anyway".

It does not: FD_READ is posted once, and only a recv makes the next one possible.
"""

from __future__ import annotations

import wsock
from wsock.constants import FD_READ

from .common import WM_SOCKET, Say, is_silent, name, pair

RULE = "FD_READ is posted again only after a recv (WSAAsyncSelect, re-enabling function)."


async def trap(say: Say) -> None:
    """Look at the message, do not read."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ)
            await far.send(b"one")
            say(f"{name(await window.get())} for b'one', left without recv")
            await far.send(b"two")
            say(f"b'two' has come: {'no message' if await is_silent(window) else 'FD_READ'}")


async def right(say: Say) -> None:
    """Read once for each message."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ)
            for data in (b"one", b"two"):
                await far.send(data)
                say(f"{name(await window.get())}, recv gives {near.recv_nowait(100)!r}")
