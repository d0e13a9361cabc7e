"""Trap: select FD_ACCEPT on the listener and expect FD_READ from the accepted socket.

The accepted socket has the listener's selection: the same window, message, and events. FD_ACCEPT
is no use to it, so it is silent.
"""

from __future__ import annotations

import wsock
from wsock.constants import FD_ACCEPT, FD_READ

from .common import WM_SOCKET, Say, is_silent, name

RULE = "accept inherits the listener's selection, as it is."


async def accepted(window: wsock.Window, events: int) -> tuple[wsock.Socket, wsock.Socket]:
    """The two ends of a connection that was accepted at FD_ACCEPT; its client has sent b'hello'."""
    with wsock.create_server(("127.0.0.1", 0)) as listener:
        listener.async_select(window, WM_SOCKET, events)
        client = wsock.socket()
        await client.connect(listener.getsockname())
        await window.get()  # FD_ACCEPT
        near, _ = listener.accept_nowait()
        await client.send(b"hello")
        return near, client


async def trap(say: Say) -> None:
    """The listener's events are FD_ACCEPT only."""
    async with wsock.Window() as window:
        near, client = await accepted(window, FD_ACCEPT)
        with near, client:
            silent = await is_silent(window)
            say(f"listener: FD_ACCEPT; b'hello' has come: {'no message' if silent else 'FD_READ'}")


async def right(say: Say) -> None:
    """The listener's events are those of its clients, too; or each client is selected anew."""
    async with wsock.Window() as window:
        near, client = await accepted(window, FD_ACCEPT | FD_READ)
        with near, client:
            say(f"listener: FD_ACCEPT | FD_READ; b'hello' has come: {name(await window.get())}")
        near, client = await accepted(window, FD_ACCEPT)
        with near, client:
            near.async_select(window, WM_SOCKET, FD_READ)
            say(f"or the accepted socket selects FD_READ: {name(await window.get())}")
