# Segments: the bytes of a TCP header and its data, and the record that is read from them.
#
#   layer             finds the connection a segment is for
# > segment           THIS FILE: header, flags, checksum with pseudo-header
#   options, seq      what stands behind the header; arithmetic on what stands in it
#
# Rule 1: ``parse`` takes any bytes and never raises: a Segment, or a Malformed that names the
#         counter.
# Rule 2: bytes are the truth. Every segment is built whole, checksum included, and read again by
#         the receiver; no object crosses a wire.
# Rule 3: ``data`` is a view into the packet. Who keeps it copies it.
#
# Sources: RFC 9293 section 3.1.

"""TCP segments: built and parsed."""

from __future__ import annotations

import struct
from typing import Final

from wsock.virtual.layers import PROTOCOL_TCP
from wsock.virtual.tcp.options import NO_OPTIONS, Options, parse_options
from wsock.virtual.wire.malformed import Malformed

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

FLAG_NAMES: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")

HEADER_LENGTH: Final = 20

_HEADER: Final = struct.Struct("!HHIIHHHH")
_CHECKSUM: Final = struct.Struct("!H")


def flags_text(flags: int) -> str:
    """Return the flags as the RFC writes them: ``SYN,ACK``."""
    order = (SYN, FIN, RST, PSH, ACK, URG, ECE, CWR)
    return ",".join(FLAG_NAMES[flag.bit_length() - 1] for flag in order if flags & flag)


class Segment:
    """A received segment: SEG.SEQ, SEG.ACK and the rest, with the addresses it came by."""

    __slots__ = (
        "ack", "data", "destination", "destination_port", "flags", "options", "seq", "source",
        "source_port", "urgent", "window",
    )  # fmt: skip

    def __init__(
        self,
        source: bytes,
        destination: bytes,
        source_port: int,
        destination_port: int,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        urgent: int = 0,
        options: Options = NO_OPTIONS,
        data: memoryview = memoryview(b""),  # noqa: B008 (empty, and cannot be written to)
    ) -> None:
        self.source = source
        self.destination = destination
        self.source_port = source_port
        self.destination_port = destination_port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        #: SEG.WND as it stands in the header, unscaled.
        self.window = window
        #: the urgent pointer: relative to ``seq``.
        self.urgent = urgent
        self.options = options
        self.data = data

    @property
    def length(self) -> int:
        """SEG.LEN: bytes of data, SYN and FIN counted as one each."""
        flags = self.flags
        return len(self.data) + (flags & FIN) + (flags >> 1 & 1)

    def __repr__(self) -> str:
        text = f"<Segment {flags_text(self.flags) or '-'} seq={self.seq} ack={self.ack}"
        return f"{text} window={self.window} {len(self.data)} bytes {self.options!r}>"


def build(
    source: bytes,
    destination: bytes,
    source_port: int,
    destination_port: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    urgent: int = 0,
    options: bytes = b"",
    data: bytes | memoryview = b"",
) -> bytearray:
    """Return the bytes of a segment, its checksum in place.

    Args:
      source: 4 bytes, for the pseudo-header, as ``destination``.
      destination: see ``source``.
      source_port: 0 to 65535, as ``destination_port``, ``window`` and ``urgent``.
      destination_port: see ``source_port``.
      seq: 0 to 2**32 - 1, as ``ack``.
      ack: see ``seq``.
      flags: the eight control bits.
      window: as it stands in the header, scaled already.
      urgent: the urgent pointer.
      options: encoded, a multiple of four bytes.
      data: the text.
    """
    offset_and_flags = (5 << 12) + (len(options) << 10) | flags
    raw = bytearray(
        _HEADER.pack(source_port, destination_port, seq, ack, offset_and_flags, window, 0, urgent)
    )
    raw += options
    raw += data
    length = len(raw)
    # checksum.transport_checksum, written out so that only remainders are added and shifted: one
    # pass over the bytes instead of three, 4 us less for a full segment there and back.
    value = int.from_bytes(raw, "big") % 0xFFFF
    if length & 1:
        value <<= 8
    value += int.from_bytes(source + destination, "big") + PROTOCOL_TCP + length
    _CHECKSUM.pack_into(raw, 16, 0xFFFF ^ (value % 0xFFFF or 0xFFFF))
    return raw


def parse(source: bytes, destination: bytes, raw: memoryview) -> Segment | Malformed:
    """Read a segment that came in a packet from ``source`` to ``destination``; never raises."""
    length = len(raw)
    if length < HEADER_LENGTH:
        return Malformed("tcp too short")
    value = int.from_bytes(raw, "big") % 0xFFFF
    if length & 1:
        value <<= 8
    value += int.from_bytes(source + destination, "big") + PROTOCOL_TCP + length
    if value % 0xFFFF:
        return Malformed("tcp bad checksum")
    (source_port, destination_port, seq, ack, offset_and_flags, window, _, urgent) = (
        _HEADER.unpack_from(raw)
    )
    header_length = (offset_and_flags >> 12) << 2
    if header_length == HEADER_LENGTH:
        options = NO_OPTIONS
    elif HEADER_LENGTH < header_length <= length:
        options = parse_options(raw[HEADER_LENGTH:header_length])
    else:
        return Malformed("tcp bad data offset")
    return Segment(
        source, destination, source_port, destination_port, seq, ack, offset_and_flags & 0xFF,
        window, urgent, options, raw[header_length:],
    )  # fmt: skip
