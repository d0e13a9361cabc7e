"""What the traps share: a connected pair, and looking whether a message comes."""

from __future__ import annotations

from collections.abc import Callable

import trio

import wsock
from wsock.constants import FD, WM_USER

WM_SOCKET = WM_USER + 1
QUIET_S = 0.2  # how long a silence has to be to be shown as one

Say = Callable[[str], None]


async def pair(stack: wsock.Stack | None = None) -> tuple[wsock.Socket, wsock.Socket]:
    """Two sockets of this process, connected to each other."""
    with wsock.create_server(("127.0.0.1", 0), stack=stack) as listener:
        far = wsock.socket()
        await far.connect(listener.getsockname())
        near, _ = await listener.accept()
    return near, far


def name(message: wsock.Message) -> str:
    """The name of the event a message tells."""
    return f"FD_{FD(message.event).name}"


async def is_silent(window: wsock.Window) -> bool:
    """Whether no message comes for a while. (One that comes is taken.)"""
    with trio.move_on_after(QUIET_S):
        await window.get()
        return False
    return True
