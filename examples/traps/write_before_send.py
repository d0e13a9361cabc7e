"""Trap: wait for FD_WRITE before every send.

FD_WRITE does not mean "you may send now": it comes once at the beginning, and after that only
when a send was told WSAEWOULDBLOCK and there is room again.
"""

from __future__ import annotations

import wsock
from wsock.constants import FD_WRITE

from .common import WM_SOCKET, Say, is_silent, name, pair

RULE = "FD_WRITE comes once, and then only after a send that failed with WSAEWOULDBLOCK."


async def trap(say: Say) -> None:
    """One FD_WRITE, one send, and then nothing for ever."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_WRITE)
            say(f"{name(await window.get())}, send takes {near.send_nowait(b'first')} bytes")
            say(f"before the second: {'no message' if await is_silent(window) else 'FD_WRITE'}")


async def right(say: Say) -> None:
    """Send until told WSAEWOULDBLOCK; only then wait for FD_WRITE."""
    async with wsock.Window() as window:
        near, far = await pair()
        with near, far:
            near.async_select(window, WM_SOCKET, FD_WRITE)
            await window.get()  # the one at the beginning
            taken = 0
            try:
                while True:
                    taken += near.send_nowait(bytes(65536))
            except wsock.WSAEWOULDBLOCK:
                say("send until WSAEWOULDBLOCK, without waiting for any message")
            while taken:
                taken -= len(await far.recv(1 << 20))
            say(f"the other side has read: {name(await window.get())}")
