# A device: one provider as one stack sees it, and the place where a tracer is plugged in.
#
# Rule 1: every TDI object of a stack is made here, so that which class an object gets, the plain
#         one or the traced one, is decided in one place and costs nothing afterwards (ruling A5).
# Rule 2: a device never looks into an object it made; it only counts them.
"""The device: factory of address and connection objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary
from zlib import crc32

from .address import AddressObject
from .connection import ConnectionObject

if TYPE_CHECKING:
    from .provider import Provider, TransportFile
    from .trace import Tracer

__all__ = ["Device"]

# Contexts look like the pool addresses that the old monitor printed. Each host counts in a region
# of its own, chosen by its name: distinct in a trace of several hosts, the same in every run.
_POOL: Final = 0x8000_0000
_CONTEXT_STEP: Final = 8


class Device:
    """Makes the TDI objects of one stack and knows who watches them.

    Args:
      host: the name that records show as the machine.
      provider: the transport below.
    """

    __slots__ = (
        "_contexts",
        "_last_context",
        "address_class",
        "addresses_opened",
        "connection_class",
        "connections_opened",
        "host",
        "live_addresses",
        "live_connections",
        "provider",
        "tracer",
    )

    def __init__(self, host: str, provider: Provider) -> None:
        self.host = host
        self.provider = provider
        self.tracer: Tracer | None = None
        self.address_class: type[AddressObject] = AddressObject
        self.connection_class: type[ConnectionObject] = ConnectionObject
        self.addresses_opened = 0
        self.connections_opened = 0
        self.live_addresses = 0
        self.live_connections = 0
        #: Given when first asked for: nobody but a tracer does, and an int of that size takes 32
        #: bytes for each connection.
        self._contexts: WeakKeyDictionary[ConnectionObject, int] = WeakKeyDictionary()
        self._last_context = _POOL | (crc32(host.encode()) & 0x7FFF) << 16

    def open_address(self, file: TransportFile, protocol: int, family: int) -> AddressObject:
        """Make an address object (IRP_MJ_CREATE); ``AddressObject.create`` takes the address."""
        self.addresses_opened += 1
        self.live_addresses += 1
        return self.address_class(self, file, protocol, family)

    def open_connection(self, number: int) -> ConnectionObject:
        """Make a connection object (IRP_MJ_CREATE with a context).

        Args:
          number: its place in the listening socket's count, from 1; 0 for the only one that a
            client has: connect makes it, not listen or accept.
        """
        self.connections_opened += 1
        self.live_connections += 1
        make = self.connection_class
        return make(self, number)

    def context_of(self, connection: ConnectionObject) -> int:
        """Return what ``connection`` is called in records, the same each time."""
        context = self._contexts.get(connection)
        if context is None:
            context = _POOL | (self._last_context + _CONTEXT_STEP) & 0x7FFF_FFFF
            self._last_context = self._contexts[connection] = context
        return context
