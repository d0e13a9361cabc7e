# ARP for IPv4 over Ethernet (RFC 826): the only combination this network has.

"""ARP packets."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from wsock.virtual.wire.malformed import Malformed

REQUEST: Final = 1
REPLY: Final = 2

_FORMAT: Final = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET: Final = 1
_IPV4: Final = 0x0800


class ArpPacket(NamedTuple):
    """An ARP request or reply."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes


def build(packet: ArpPacket) -> bytes:
    """Return the 28 bytes of an ARP packet."""
    operation, sender_mac, sender, target_mac, target = packet
    return _FORMAT.pack(_ETHERNET, _IPV4, 6, 4, operation, sender_mac, sender, target_mac, target)


def parse(data: bytes | memoryview) -> ArpPacket | Malformed:
    """Read an ARP packet; what follows the 28 bytes is padding."""
    if len(data) < _FORMAT.size:
        return Malformed("arp too short")
    hardware, protocol, hardware_length, protocol_length, *rest = _FORMAT.unpack_from(data)
    if (hardware, protocol, hardware_length, protocol_length) != (_ETHERNET, _IPV4, 6, 4):
        return Malformed("arp for another network")
    packet = ArpPacket(*rest)
    if packet.operation not in (REQUEST, REPLY):
        return Malformed("arp operation unknown")
    return packet
