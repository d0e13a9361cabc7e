# UDP datagrams (RFC 768). A checksum of 0 means the sender made none; one that comes out as 0 is
# therefore sent as 0xFFFF, which is the same number in one's complement.

"""UDP datagrams."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from wsock.virtual.checksum import transport_checksum, transport_verifies
from wsock.virtual.layers import PROTOCOL_UDP
from wsock.virtual.wire.malformed import Malformed

HEADER_LENGTH: Final = 8
MAX_DATA: Final = 65_535 - 20 - HEADER_LENGTH

_FORMAT: Final = struct.Struct("!HHHH")


class Datagram(NamedTuple):
    """A UDP datagram."""

    source_port: int
    destination_port: int
    data: memoryview


def build(
    source: bytes,
    source_port: int,
    destination: bytes,
    destination_port: int,
    data: bytes | bytearray | memoryview,
) -> bytes:
    """Return a datagram with its checksum over header, data and pseudo-header."""
    length = HEADER_LENGTH + len(data)
    plain = _FORMAT.pack(source_port, destination_port, length, 0) + data
    value = transport_checksum(source, destination, PROTOCOL_UDP, plain) or 0xFFFF
    return _FORMAT.pack(source_port, destination_port, length, value) + data


def parse(source: bytes, destination: bytes, payload: memoryview) -> Datagram | Malformed:
    """Read a datagram out of the payload of a packet between these addresses."""
    if len(payload) < HEADER_LENGTH:
        return Malformed("udp too short")
    source_port, destination_port, length, value = _FORMAT.unpack_from(payload)
    if length < HEADER_LENGTH or length > len(payload):
        return Malformed("udp length wrong")
    payload = payload[:length]
    if value and not transport_verifies(source, destination, PROTOCOL_UDP, payload):
        return Malformed("udp bad checksum")
    return Datagram(source_port, destination_port, payload[HEADER_LENGTH:])
