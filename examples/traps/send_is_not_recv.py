"""Trap: one send on this side, one recv on the other.

TCP carries a stream of bytes. Two sends may come in one recv, one send in several; where a message
ends is for the program to say, by a length before it or a mark behind it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from .common import Say, pair

if TYPE_CHECKING:
    import wsock

RULE = "A stream keeps the order of bytes, not the borders of sends."


async def trap(say: Say) -> None:
    """Take each recv for a message."""
    near, far = await pair()
    with near, far:
        await far.send(b"hello")
        await far.send(b"world")
        await arrived(near, 10)
        say(f"two sends, one recv: {near.recv_nowait(100)!r}")
        await far.send(bytes(100_000))
        await arrived(near, 1)
        say(f"one send of 100000 bytes, one recv of at most 4096: {len(near.recv_nowait(4096))}")


async def right(say: Say) -> None:
    """Collect what comes, and take out what is whole."""
    near, far = await pair()
    with near, far:
        for part in (b"hello\nwor", b"ld\n"):
            await far.send(part)
        buffer, lines = b"", list[bytes]()
        while len(lines) < 2:
            *whole, buffer = (buffer + await near.recv(4)).split(b"\n")
            lines += whole
        say(f"lines, however they came: {lines}")


async def arrived(sock: wsock.Socket, size: int) -> None:
    """Wait until so much can be read, without taking it."""
    while len(await sock.recv(size, socket.MSG_PEEK)) < size:
        pass
