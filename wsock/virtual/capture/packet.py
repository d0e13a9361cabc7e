# Captured packets: bytes, and their headers read on demand.
#
# Rule 1: reading is lenient. A packet with a bad checksum, or cut off in the middle, still shows
#         the headers it has: a capture exists to show what is wrong.
# Rule 2: nothing is read before it is asked for; a capture of a million packets costs their bytes.

"""A captured packet and its headers."""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual.checksum import transport_verifies, verifies
from wsock.virtual.interfaces import LINK_TYPE_ETHERNET
from wsock.virtual.layers import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP
from wsock.virtual.scheduler import seconds
from wsock.virtual.tcp.options import Options, parse_options
from wsock.virtual.tcp.segment import FLAG_NAMES
from wsock.virtual.wire import arp, ethernet, icmp
from wsock.virtual.wire.ipv4 import HEADER_LENGTH, Ipv4Packet
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    import hashlib

    from wsock.virtual.wire.arp import ArpPacket
    from wsock.virtual.wire.ethernet import Frame

_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_TCP: Final = struct.Struct("!HHIIHHHH")
_UDP: Final = struct.Struct("!HHHH")

#: The order in which people say flags: SYN-ACK, FIN-ACK, PSH-ACK, RST-ACK.
_SPOKEN: Final = ("SYN", "FIN", "RST", "PSH", "URG", "ECE", "CWR", "ACK")
_FLAG_BITS: Final = {name: 1 << bit for bit, name in enumerate(FLAG_NAMES)}


class TcpHeader(NamedTuple):
    """A TCP header as captured, sequence numbers absolute."""

    source_port: int
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    header_length: int
    options: Options
    data: memoryview

    def has(self, flag: str) -> bool:
        """Whether a flag is set: ``"SYN"``, ``"ACK"``, ..."""
        return bool(self.flags & _FLAG_BITS[flag])

    @property
    def flag_names(self) -> str:
        """The flags as people say them: ``"SYN-ACK"``; ``"none"`` without any."""
        return "-".join(name for name in _SPOKEN if self.has(name)) or "none"


class UdpHeader(NamedTuple):
    """A UDP header as captured."""

    source_port: int
    destination_port: int
    length: int
    data: memoryview


class CapturedPacket:
    """One packet of a capture.

    Attributes:
      number: from 1, in the order of the capture.
      time_ns: virtual nanoseconds.
      interface: where it was seen: ``"client.eth0"``.
      link_type: 1 for Ethernet frames, 101 for bare IP packets.
      data: all its bytes.
      outgoing: whether the interface's host sent it.
      comments: what became of it: drops with their reasons, and remarks.
    """

    number: int
    time_ns: int
    interface: str
    link_type: int
    data: bytes
    outgoing: bool
    comments: list[str]

    def __init__(
        self,
        number: int,
        time_ns: int,
        interface: str,
        link_type: int,
        data: bytes,
        *,
        outgoing: bool,
    ) -> None:
        self.number = number
        self.time_ns = time_ns
        self.interface = interface
        self.link_type = link_type
        self.data = data
        self.outgoing = outgoing
        self.comments = []

    @property
    def time(self) -> float:
        """Virtual seconds."""
        return seconds(self.time_ns)

    @cached_property
    def frame(self) -> Frame | None:
        """The Ethernet frame, if it is one."""
        if self.link_type != LINK_TYPE_ETHERNET:
            return None
        frame = ethernet.parse(self.data)
        return None if isinstance(frame, Malformed) else frame

    @cached_property
    def arp(self) -> ArpPacket | None:
        """The ARP packet in it."""
        frame = self.frame
        if frame is None or frame.type != ethernet.TYPE_ARP:
            return None
        packet = arp.parse(frame.payload)
        return None if isinstance(packet, Malformed) else packet

    @cached_property
    def ip(self) -> Ipv4Packet | None:
        """The IPv4 packet in it; its checksum may be wrong (see ``ip_checksum_good``)."""
        frame = self.frame
        if frame is None:
            return None if self.link_type == LINK_TYPE_ETHERNET else lenient_ipv4(self.data)
        if frame.type != ethernet.TYPE_IPV4:
            return None
        return lenient_ipv4(bytes(frame.payload))

    @property
    def ip_checksum_good(self) -> bool:
        """Whether there is an IP header and its checksum is right."""
        return self.ip is not None and verifies(self.ip.header)

    def _transport(self, protocol: int, least: int) -> memoryview | None:
        """Return the payload of the IP packet if a header of this protocol begins in it."""
        ip = self.ip
        if ip is None or ip.protocol != protocol or ip.offset or len(ip.payload) < least:
            return None
        return ip.payload

    @cached_property
    def tcp(self) -> TcpHeader | None:
        """The TCP header in it."""
        payload = self._transport(PROTOCOL_TCP, _TCP.size)
        if payload is None:
            return None
        source, destination, seq, ack, offset_flags, window, _, urgent = _TCP.unpack_from(payload)
        length = min(max(offset_flags >> 12 << 2, _TCP.size), len(payload))
        options = parse_options(payload[_TCP.size : length])
        return TcpHeader(
            source, destination, seq, ack, offset_flags & 0xFF, window, urgent, length, options,
            payload[length:],
        )  # fmt: skip

    @cached_property
    def udp(self) -> UdpHeader | None:
        """The UDP header in it."""
        payload = self._transport(PROTOCOL_UDP, _UDP.size)
        if payload is None:
            return None
        source, destination, length, _ = _UDP.unpack_from(payload)
        return UdpHeader(source, destination, length, payload[_UDP.size : max(length, _UDP.size)])

    @cached_property
    def icmp(self) -> icmp.IcmpMessage | None:
        """The ICMP message in it."""
        payload = self._transport(PROTOCOL_ICMP, icmp.HEADER_LENGTH)
        if payload is None:
            return None
        rest = int.from_bytes(payload[4:8], "big")
        return icmp.IcmpMessage(payload[0], payload[1], rest, payload[8:])

    @property
    def transport_checksum_good(self) -> bool | None:
        """Whether the TCP, UDP or ICMP checksum is right; None if there is none to check."""
        ip = self.ip
        if ip is None or ip.is_fragment:
            return None
        if self.tcp is not None:
            return transport_verifies(ip.source, ip.destination, PROTOCOL_TCP, ip.payload)
        if self.udp is not None:
            if not any(ip.payload[6:8]):
                return None
            return transport_verifies(ip.source, ip.destination, PROTOCOL_UDP, ip.payload)
        return verifies(ip.payload) if self.icmp is not None else None

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination port, if it is TCP or UDP."""
        header = self.tcp or self.udp
        return None if header is None else (header.source_port, header.destination_port)

    @property
    def name(self) -> str:
        """What kind of packet it is, in a word or two: ``SYN-ACK``, ``UDP``, ``ARP request``."""
        if self.tcp is not None:
            return self.tcp.flag_names
        if self.udp is not None:
            return "UDP"
        if self.icmp is not None:
            return f"ICMP {icmp_name(self.icmp.type, self.icmp.code)}"
        if self.arp is not None:
            return "ARP request" if self.arp.operation == arp.REQUEST else "ARP reply"
        if self.ip is not None:
            fragment = f" fragment at {self.ip.offset}" if self.ip.is_fragment else ""
            return f"IP protocol {self.ip.protocol}{fragment}"
        return "frame" if self.frame is not None else "bytes"

    def feed_digest(self, digest: hashlib._Hash) -> None:
        """Add its time and bytes, and where it was seen, to a digest."""
        head = f"{self.time_ns} {self.interface} {self.outgoing} {len(self.data)}\n"
        digest.update(head.encode())
        digest.update(self.data)

    def __repr__(self) -> str:
        return f"<CapturedPacket {self.number} at {self.time:.6f} {self.interface} {self.name}>"


def lenient_ipv4(data: bytes) -> Ipv4Packet | None:
    """Read an IPv4 header whatever its checksum says; None if there is none to read."""
    if len(data) < HEADER_LENGTH or data[0] >> 4 != 4:
        return None
    (version_ihl, tos, total_length, identification, flags_offset, ttl, protocol, _, source,
     destination) = _IPV4.unpack_from(data)  # fmt: skip
    header_length = min(max((version_ihl & 15) << 2, HEADER_LENGTH), len(data))
    total_length = min(max(total_length, header_length), len(data))
    return Ipv4Packet(
        data, header_length, total_length,
        (tos, identification, flags_offset, ttl, protocol, source, destination),
    )  # fmt: skip


_UNREACHABLE: Final = {
    icmp.NETWORK_UNREACHABLE: "network unreachable",
    icmp.HOST_UNREACHABLE: "host unreachable",
    icmp.PROTOCOL_UNREACHABLE: "protocol unreachable",
    icmp.PORT_UNREACHABLE: "port unreachable",
    icmp.FRAGMENTATION_NEEDED: "fragmentation needed",
}
_ICMP_NAMES: Final = {
    icmp.ECHO_REPLY: "echo reply",
    icmp.SOURCE_QUENCH: "source quench",
    icmp.REDIRECT: "redirect",
    icmp.ECHO_REQUEST: "echo request",
    icmp.TIME_EXCEEDED: "time exceeded",
    icmp.PARAMETER_PROBLEM: "parameter problem",
}


def icmp_name(type_: int, code: int) -> str:
    """Return what an ICMP type and code mean."""
    if type_ == icmp.UNREACHABLE:
        return _UNREACHABLE.get(code, f"unreachable, code {code}")
    return _ICMP_NAMES.get(type_, f"type {type_} code {code}")
