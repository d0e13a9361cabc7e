"""Trap: add FD_WRITE to a selection by selecting FD_WRITE.

A selection is not added to the one before, it replaces it: FD_READ is no longer told.
"""

from __future__ import annotations

import wsock
from wsock.constants import FD_READ, FD_WRITE

from .common import WM_SOCKET, Say, is_silent, name, pair

RULE = "Selecting again replaces window, message and events; nothing is added up."


async def trap(say: Say) -> None:
    """Select one after the other."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ)
            near.async_select(window, WM_SOCKET, FD_WRITE)
            say(f"FD_READ selected, then FD_WRITE: {name(await window.get())} comes")
            await far.send(b"hello")
            say(f"b'hello' has come: {'no message' if await is_silent(window) else 'FD_READ'}")


async def right(say: Say) -> None:
    """Select both together."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_READ | FD_WRITE)
            say(f"FD_READ | FD_WRITE selected: {name(await window.get())} comes")
            await far.send(b"hello")
            say(f"b'hello' has come: {name(await window.get())}")
