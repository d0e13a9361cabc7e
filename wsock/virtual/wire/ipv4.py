# IPv4 packets: the header, in full, with options, fragments and checksum.
#
#    0                   1                   2                   3
#   |Version|  IHL  |  codepoint  |ECN|          total length         |
#   |         identification        |0|DF|MF|    fragment offset      |
#   |      TTL      |    protocol   |         header checksum         |
#   |                       source address                            |
#   |                     destination address                         |
#   |                     options, padded to words                    |
#
# Rule 1: a parser returns Malformed, with the counter's name, for every packet that RFC 791 and
#         RFC 1122 section 3.2.1 tell a receiver to drop unseen.
# Rule 2: the payload is a view of the packet's own bytes. Nothing is copied here.
#
# Sources: RFC 791 section 3.1; RFC 2474 (codepoint); RFC 6864 (identification).

"""IPv4 headers: build, parse, cut into fragments."""

from __future__ import annotations

import struct
from typing import Final

from wsock.virtual.checksum import verifies
from wsock.virtual.wire.malformed import Malformed

HEADER_LENGTH: Final = 20
MAX_LENGTH: Final = 65_535
MAX_OPTIONS: Final = 40
DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
OFFSET_MASK: Final = 0x1FFF

_FORMAT: Final = struct.Struct("!BBHHHBBH4s4s")
_COPIED: Final = 0x80
_END_OF_OPTIONS: Final = 0
_NO_OPERATION: Final = 1


class Ipv4Packet:
    """A parsed IPv4 packet. ``payload`` and ``header`` are views of the bytes received."""

    __slots__ = ("data", "destination", "flags_offset", "header", "identification", "payload",
                 "protocol", "source", "tos", "ttl")  # fmt: skip

    def __init__(
        self,
        data: bytes,
        header_length: int,
        total_length: int,
        fields: tuple[int, int, int, int, int, bytes, bytes],
    ) -> None:
        view = memoryview(data)
        self.data = data
        self.header = view[:header_length]
        self.payload = view[header_length:total_length]
        (self.tos, self.identification, self.flags_offset, self.ttl, self.protocol, self.source,
         self.destination) = fields  # fmt: skip

    @property
    def dscp(self) -> int:
        """The codepoint: the upper six bits of the former type of service."""
        return self.tos >> 2

    @property
    def dont_fragment(self) -> bool:
        """Whether DF is set."""
        return bool(self.flags_offset & DONT_FRAGMENT)

    @property
    def more_fragments(self) -> bool:
        """Whether MF is set: another fragment follows."""
        return bool(self.flags_offset & MORE_FRAGMENTS)

    @property
    def offset(self) -> int:
        """Where the payload belongs in the whole packet, in bytes (the field counts 8 bytes)."""
        return (self.flags_offset & OFFSET_MASK) << 3

    @property
    def is_fragment(self) -> bool:
        """Whether this is a part of a packet only."""
        return bool(self.flags_offset & (MORE_FRAGMENTS | OFFSET_MASK))

    @property
    def options(self) -> memoryview:
        """The options with their padding; empty if there are none."""
        return self.header[HEADER_LENGTH:]

    def __repr__(self) -> str:
        source, destination = (".".join(map(str, a)) for a in (self.source, self.destination))
        return (
            f"<Ipv4Packet {source} > {destination} protocol {self.protocol} ttl {self.ttl}, "
            f"{len(self.payload)} bytes>"
        )


def build(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes | bytearray | memoryview,
    *,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 0,
    flags_offset: int = 0,
    options: bytes = b"",
) -> bytes:
    """Return a packet with its header checksum.

    Args:
      source: 4 bytes.
      destination: 4 bytes.
      protocol: 0 to 255.
      payload: with header and options at most 65,535 bytes.
      ttl: 0 to 255.
      tos: codepoint << 2 | ECN.
      identification: 0 to 65,535.
      flags_offset: DONT_FRAGMENT | MORE_FRAGMENTS | offset in units of 8 bytes.
      options: a multiple of 4 bytes, at most 40.

    Raises:
      ValueError: the packet would be longer than 65,535 bytes, or the options do not fit.
    """
    header_length = HEADER_LENGTH + len(options)
    total_length = header_length + len(payload)
    if total_length > MAX_LENGTH:
        raise ValueError(f"an IPv4 packet of {total_length} bytes: 65535 is the most")
    if len(options) > MAX_OPTIONS or len(options) & 3:
        raise ValueError(f"IPv4 options of {len(options)} bytes: a multiple of 4, at most 40")
    version_ihl = 0x40 | header_length >> 2
    # The checksum needs no second look at the bytes: the sum of the words is this number modulo
    # 0xFFFF, whatever word each part stands in.
    total = (
        (version_ihl << 8 | tos) + total_length + identification + flags_offset
        + (ttl << 8 | protocol)
        + int.from_bytes(source, "big") + int.from_bytes(destination, "big")
        + int.from_bytes(options, "big")
    )  # fmt: skip
    header = _FORMAT.pack(
        version_ihl, tos, total_length, identification, flags_offset, ttl, protocol,
        0xFFFF ^ (total % 0xFFFF or 0xFFFF), source, destination,
    )  # fmt: skip
    if options:
        return b"".join((header, options, payload))
    return header + payload


def parse(data: bytes) -> Ipv4Packet | Malformed:
    """Read a packet; bytes after its total length are padding of the link and are ignored."""
    length = len(data)
    if length < HEADER_LENGTH:
        return Malformed("ip too short")
    (version_ihl, tos, total_length, identification, flags_offset, ttl, protocol, _, source,
     destination) = _FORMAT.unpack_from(data)  # fmt: skip
    if version_ihl >> 4 != 4:
        return Malformed("ip version not 4")
    header_length = (version_ihl & 15) << 2
    if header_length < HEADER_LENGTH:
        return Malformed("ip header length below 5 words")
    if header_length > length or header_length > total_length:
        return Malformed("ip header cut off")
    if total_length > length:
        return Malformed("ip total length beyond the packet")
    if not verifies(data[:header_length]):
        return Malformed("ip bad checksum")
    return Ipv4Packet(
        data, header_length, total_length,
        (tos, identification, flags_offset, ttl, protocol, source, destination),
    )  # fmt: skip


def options_for_fragments(options: bytes | memoryview) -> bytes:
    """Return the options that every later fragment repeats: those with the copied flag."""
    kept = bytearray()
    position = 0
    while position < len(options):
        kind = options[position]
        if kind == _END_OF_OPTIONS:
            break
        if kind == _NO_OPERATION:
            position += 1
            continue
        length = options[position + 1] if position + 1 < len(options) else 0
        if length < 2 or position + length > len(options):
            break  # bad length: what follows cannot be read
        if kind & _COPIED:
            kept += options[position : position + length]
        position += length
    kept += bytes(-len(kept) & 3)
    return bytes(kept)


def fragments(packet: Ipv4Packet, mtu: int) -> list[bytes]:
    """Cut a packet for a link that carries ``mtu`` bytes (RFC 791 section 3.2).

    The packet may itself be a fragment; offsets and MF then continue its own. Every piece but the
    last carries a multiple of 8 bytes, and all share the identification.
    """
    result: list[bytes] = []
    start = packet.flags_offset & OFFSET_MASK
    payload = packet.payload
    options = bytes(packet.options)
    position = 0
    while position < len(payload):
        room = mtu - HEADER_LENGTH - len(options)
        last = len(payload) - position <= room
        size = len(payload) - position if last else room & ~7
        if size <= 0:
            return []  # an MTU that cannot carry 8 bytes beside the header
        flags = packet.flags_offset & MORE_FRAGMENTS if last else MORE_FRAGMENTS
        result.append(
            build(
                packet.source,
                packet.destination,
                packet.protocol,
                payload[position : position + size],
                ttl=packet.ttl,
                tos=packet.tos,
                identification=packet.identification,
                flags_offset=flags | start + (position >> 3),
                options=options,
            )
        )
        if position == 0:
            options = options_for_fragments(options)
        position += size
    return result
