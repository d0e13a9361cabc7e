# Ethernet II frames: the MAC header that a Segment carries.
#
# Frames are kept as a capture on their sender shows them: no preamble, no frame check sequence, no
# padding to 60 bytes. A receiver must therefore trust lengths inside the payload, not len(frame).
#
# Sources: RFC 894, RFC 1112 section 6.4 (group addresses).

"""Ethernet frames."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsock.virtual.wire.malformed import Malformed

HEADER_LENGTH: Final = 14
TYPE_IPV4: Final = 0x0800
TYPE_ARP: Final = 0x0806
BROADCAST: Final = b"\xff" * 6


class Frame(NamedTuple):
    """An Ethernet frame."""

    destination: bytes
    source: bytes
    type: int
    payload: memoryview


def build(destination: bytes, source: bytes, type_: int, payload: bytes) -> bytes:
    """Return a frame."""
    return destination + source + type_.to_bytes(2, "big") + payload


def parse(data: bytes) -> Frame | Malformed:
    """Read a frame."""
    if len(data) < HEADER_LENGTH:
        return Malformed("ethernet frame too short")
    return Frame(data[:6], data[6:12], data[12] << 8 | data[13], memoryview(data)[HEADER_LENGTH:])


def group_address(group: bytes) -> bytes:
    """Return the MAC address that frames to an IPv4 multicast group carry (RFC 1112)."""
    return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))


def text(address: bytes) -> str:
    """Return a MAC address as people write it."""
    return address.hex(":")
