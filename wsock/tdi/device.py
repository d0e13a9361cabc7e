# A device: one provider as one stack sees it, and the place where a tracer is plugged in.
#
# Rule 1: every TDI object of a stack is made here, so that which class an object gets, the plain
#         one or the traced one, is decided in one place and costs nothing afterwards (ruling A5).
# Rule 2: a device never looks into an object it made; it only counts them.
"""The device: factory of address and connection objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
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
        "_next_context",
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
        self._next_context = _POOL | (crc32(host.encode()) & 0x7FFF) << 16

    def open_address(self, file: TransportFile, protocol: int, family: int) -> AddressObject:
        """Make an address object (IRP_MJ_CREATE); ``AddressObject.create`` takes the address."""
        self.addresses_opened += 1
        self.live_addresses += 1
        return self.address_class(self, file, protocol, family)

    def open_connection(self, number: int, *, active: bool) -> ConnectionObject:
        """Make a connection object (IRP_MJ_CREATE with a context).

        Args:
          number: its place in the listening socket's count, from 1; 0 for a client's only one.
          active: whether connect makes it, not listen or accept.
        """
        self.connections_opened += 1
        self.live_connections += 1
        self._next_context = _POOL | (self._next_context + _CONTEXT_STEP) & 0x7FFF_FFFF
        make = self.connection_class
        return make(self, self._next_context, number, active)
