# Ethernet II frames: the MAC header that a Segment carries.
#
# Frames are kept as a capture on their sender shows them: no preamble, no frame check sequence, no
# padding to 60 bytes. A receiver must therefore trust lengths inside the payload, not len(frame).
# The adapters of a Segment do without the check: what its wires corrupt is what a check had missed,
# so that the checksums above have something to find.
#
# Sources: RFC 894, RFC 1112 section 6.4 (group addresses), IEEE 802.3 (the check sequence).

"""Ethernet frames."""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

from wsock.virtual.wire.malformed import Malformed

HEADER_LENGTH: Final = 14
SHORTEST: Final = 60
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


def on_the_line(frame: bytes) -> bytes:
    """Return what an adapter puts on the line: padded to 60 bytes, then the check sequence.

    The check sequence is CRC-32 (IEEE 802.3 section 3.2.9), lowest byte first.
    """
    padded = frame.ljust(SHORTEST, b"\0")
    return padded + zlib.crc32(padded).to_bytes(4, "little")


def from_the_line(data: bytes) -> Frame | Malformed:
    """Check and take off what :func:`on_the_line` added; padding stays."""
    body, sequence = data[:-4], data[-4:]
    if len(body) < SHORTEST or zlib.crc32(body).to_bytes(4, "little") != sequence:
        return Malformed("bad frame check sequence")
    return parse(body)
