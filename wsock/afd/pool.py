# The backlog pool: connection objects made before anybody connects.
#
# Rule 1: free + in handshake + pending == backlog, always (NOTES R2): listen makes ``backlog``
#         objects, an offer takes one, accept replaces the one that it hands out.
# Rule 2: free objects are served last in, first out (R3); pending ones first in, first out.
# Rule 3: an offer that finds no free object is refused with INSUFFICIENT_RESOURCES (R4).
#
# Sources: the traces of listen, accept and close (facts S0-18 to S0-22, S0-33); Q295079.
"""The connection objects of a listening socket."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..tdi import AddressObject, ConnectionClient, ConnectionObject, Device

__all__ = ["MAX_BACKLOG", "BacklogPool"]

#: The server limit of Windows 2000's time (NOTES R4). The kernel gets the backlog as it was given;
#: without a bound listen(SOMAXCONN) would make thousands of objects (ruling A9).
MAX_BACKLOG: Final = 200


class BacklogPool:
    """The places kept for clients that nobody has accepted yet."""

    __slots__ = (
        "address",
        "backlog",
        "client",
        "device",
        "free",
        "in_handshake",
        "made",
        "pending",
    )

    def __init__(self, device: Device, address: AddressObject, client: ConnectionClient) -> None:
        self.device = device
        self.address = address
        self.client = client
        self.backlog = 0
        self.made = 0
        self.free: list[ConnectionObject] = []
        self.in_handshake: dict[ConnectionObject, None] = {}
        self.pending: deque[ConnectionObject] = deque()

    def resize(self, backlog: int) -> None:
        """Make the pool ``backlog`` places large (1 to MAX_BACKLOG); used places stay used."""
        self.backlog = min(max(backlog, 1), MAX_BACKLOG)
        used = len(self.in_handshake) + len(self.pending)
        while len(self.free) + used < self.backlog:
            self.add()
        while self.free and len(self.free) + used > self.backlog:
            self.release(self.free.pop())

    def add(self) -> None:
        """Create and associate one more object and put it on top of the free ones."""
        self.made += 1
        connection = self.device.open_connection(self.made)
        connection.client = self.client
        connection.associate(self.address)
        self.free.append(connection)

    def take(self) -> ConnectionObject | None:
        """Take the free object made last for an offer; None if there is none."""
        if not self.free:
            return None
        connection = self.free.pop()
        self.in_handshake[connection] = None
        return connection

    def established(self, connection: ConnectionObject) -> None:
        """The handshake of ``connection`` is complete: it waits to be accepted."""
        del self.in_handshake[connection]
        self.pending.append(connection)

    def failed(self, connection: ConnectionObject) -> None:
        """The peer was gone before the handshake ended: the object is free again."""
        del self.in_handshake[connection]
        connection.file = None
        connection.remote = b""
        self.free.append(connection)

    def accept(self) -> ConnectionObject:
        """Take the connection that has waited longest and make its replacement."""
        connection = self.pending.popleft()
        if len(self.free) + len(self.in_handshake) + len(self.pending) < self.backlog:
            self.add()
        return connection

    def release(self, connection: ConnectionObject) -> None:
        """Give one object back (DISASSOCIATE, CLEANUP, CLOSE)."""
        connection.disassociate()
        connection.cleanup()
        connection.close()
