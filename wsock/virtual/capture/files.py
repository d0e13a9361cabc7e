# Capture files: pcap with nanoseconds, and pcapng with names, directions and comments.
#
# pcapng, all numbers little-endian, every block padded to words and closed by its length again:
#
#   section header    byte order magic, version 1.0, what wrote it
#   interface         link type, name host.eth0, resolution 10^-9
#   packet            interface, time, bytes, direction flags, comments
#   name resolution   addresses and the hosts' names
#
# Written here and not by a library: about a hundred lines, and a capture needs nothing installed.
#
# Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

"""The file formats of captures."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsock.virtual.capture.packet import CapturedPacket

_PCAP_NANOSECONDS: Final = 0xA1B23C4D
_MAX_LENGTH: Final = 262_144

_SECTION_HEADER: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_NAME_RESOLUTION: Final = 4
_ENHANCED_PACKET: Final = 6

_OPTION_END: Final = 0
_OPTION_COMMENT: Final = 1
_OPTION_USER_APPLICATION: Final = 4
_OPTION_INTERFACE_NAME: Final = 2
_OPTION_TIME_RESOLUTION: Final = 9
_OPTION_PACKET_FLAGS: Final = 2
_INBOUND: Final = 1
_OUTBOUND: Final = 2
_RECORD_IPV4: Final = 1


def pcap(packets: Iterable[CapturedPacket], link_type: int, epoch_ns: int = 0) -> bytes:
    """Return a pcap file with nanosecond times; all packets are of one link type."""
    parts = [struct.pack("<IHHiIII", _PCAP_NANOSECONDS, 2, 4, 0, 0, _MAX_LENGTH, link_type)]
    for packet in packets:
        whole, part = divmod(packet.time_ns + epoch_ns, 1_000_000_000)
        length = len(packet.data)
        parts.append(struct.pack("<IIII", whole, part, length, length))
        parts.append(packet.data)
    return b"".join(parts)


def pcapng(
    packets: Iterable[CapturedPacket],
    interfaces: Sequence[tuple[str, int]],
    names: Iterable[tuple[bytes, str]] = (),
    epoch_ns: int = 0,
) -> bytes:
    """Return a pcapng file.

    Args:
      packets: each names one of the interfaces.
      interfaces: name and link type of each.
      names: addresses and names for the name resolution block.
      epoch_ns: what virtual time 0 is, in nanoseconds of Unix time.
    """
    parts = [_section_header()]
    parts += [_interface(name, link_type) for name, link_type in interfaces]
    numbers = {name: number for number, (name, _) in enumerate(interfaces)}
    resolved = b"".join(_name_record(address, name) for address, name in names)
    if resolved:
        parts.append(_block(_NAME_RESOLUTION, resolved + struct.pack("<HH", 0, 0)))
    parts += [_packet(packet, numbers[packet.interface], epoch_ns) for packet in packets]
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) & 3)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


_END: Final = struct.pack("<HH", _OPTION_END, 0)


def _section_header() -> bytes:
    fixed = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(_SECTION_HEADER, fixed + _option(_OPTION_USER_APPLICATION, b"wsock") + _END)


def _interface(name: str, link_type: int) -> bytes:
    options = _option(_OPTION_INTERFACE_NAME, name.encode())
    options += _option(_OPTION_TIME_RESOLUTION, b"\x09") + _END
    return _block(_INTERFACE, struct.pack("<HHI", link_type, 0, _MAX_LENGTH) + options)


def _name_record(address: bytes, name: str) -> bytes:
    return _option(_RECORD_IPV4, address + name.encode() + b"\0")


def _packet(packet: CapturedPacket, interface: int, epoch_ns: int) -> bytes:
    time_ns = packet.time_ns + epoch_ns
    length = len(packet.data)
    fixed = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, length, length)
    direction = _OUTBOUND if packet.outgoing else _INBOUND
    options = b"".join(_option(_OPTION_COMMENT, text.encode()) for text in packet.comments)
    options += _option(_OPTION_PACKET_FLAGS, struct.pack("<I", direction)) + _END
    return _block(_ENHANCED_PACKET, fixed + _padded(packet.data) + options)
