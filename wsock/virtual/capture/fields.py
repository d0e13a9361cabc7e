# Fields: Wireshark's names for what stands in a packet, so that its display filters work here.
#
# One table: name, type, and how to read it from a CapturedPacket (None: the packet has no such
# field). Sequence numbers are the raw ones under ``tcp.seq_raw``; ``tcp.seq`` and ``tcp.ack`` are
# relative, as Wireshark shows them, and need an ``InitialNumbers`` that has seen the conversation.

"""Display-filter fields of captured packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock._filters import FieldType, compile_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.capture.packet import CapturedPacket
    from wsock.virtual.wire import ethernet, ipv4

_NUMBER: Final = FieldType.NUMBER
_BOOL: Final = FieldType.BOOL
_ADDRESS: Final = FieldType.ADDRESS
_BYTES: Final = FieldType.BYTES
_STRING: Final = FieldType.STRING
_PROTOCOL: Final = FieldType.PROTOCOL


def _of_frame(read: Callable[[ethernet.Frame], object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.frame is None else read(packet.frame)


def _of_arp(read: Callable[..., object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.arp is None else read(packet.arp)


def _of_ip(read: Callable[[ipv4.Ipv4Packet], object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.ip is None else read(packet.ip)


def _of_tcp(read: Callable[..., object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.tcp is None else read(packet.tcp)


def _of_udp(read: Callable[..., object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.udp is None else read(packet.udp)


def _of_icmp(read: Callable[..., object]) -> Callable[[CapturedPacket], object]:
    return lambda packet: None if packet.icmp is None else read(packet.icmp)


def _flag(name: str) -> Callable[[CapturedPacket], object]:
    return _of_tcp(lambda tcp: tcp.has(name))


def _data(packet: CapturedPacket) -> object:
    header = packet.tcp or packet.udp
    return bytes(header.data) if header is not None and len(header.data) else None


def _echo(packet: CapturedPacket) -> bool:
    return packet.icmp is not None and packet.icmp.type in (0, 8)


#: name: (type, how to read it)
_TABLE: Final[dict[str, tuple[FieldType, Callable[[CapturedPacket], object]]]] = {
    "frame": (_PROTOCOL, lambda packet: packet.data),
    "frame.number": (_NUMBER, lambda packet: packet.number),
    "frame.len": (_NUMBER, lambda packet: len(packet.data)),
    "frame.time_relative": (_NUMBER, lambda packet: packet.time),
    "frame.interface_name": (_STRING, lambda packet: packet.interface),
    "frame.comment": (_STRING, lambda packet: tuple(packet.comments)),
    "eth": (_PROTOCOL, lambda packet: packet.data if packet.frame else None),
    "eth.src": (_BYTES, _of_frame(lambda frame: frame.source)),
    "eth.dst": (_BYTES, _of_frame(lambda frame: frame.destination)),
    "eth.addr": (_BYTES, _of_frame(lambda frame: (frame.source, frame.destination))),
    "eth.type": (_NUMBER, _of_frame(lambda frame: frame.type)),
    "arp": (_PROTOCOL, lambda p: bytes(p.frame.payload) if p.frame and p.arp else None),
    "arp.opcode": (_NUMBER, _of_arp(lambda arp: arp.operation)),
    "arp.src.hw_mac": (_BYTES, _of_arp(lambda arp: arp.sender_mac)),
    "arp.dst.hw_mac": (_BYTES, _of_arp(lambda arp: arp.target_mac)),
    "arp.src.proto_ipv4": (_ADDRESS, _of_arp(lambda arp: arp.sender)),
    "arp.dst.proto_ipv4": (_ADDRESS, _of_arp(lambda arp: arp.target)),
    "ip": (_PROTOCOL, _of_ip(lambda ip: bytes(ip.header))),
    "ip.version": (_NUMBER, _of_ip(lambda ip: 4)),
    "ip.hdr_len": (_NUMBER, _of_ip(lambda ip: len(ip.header))),
    "ip.dsfield.dscp": (_NUMBER, _of_ip(lambda ip: ip.dscp)),
    "ip.len": (_NUMBER, _of_ip(lambda ip: len(ip.header) + len(ip.payload))),
    "ip.id": (_NUMBER, _of_ip(lambda ip: ip.identification)),
    "ip.flags.df": (_BOOL, _of_ip(lambda ip: ip.dont_fragment)),
    "ip.flags.mf": (_BOOL, _of_ip(lambda ip: ip.more_fragments)),
    "ip.frag_offset": (_NUMBER, _of_ip(lambda ip: ip.offset)),
    "ip.ttl": (_NUMBER, _of_ip(lambda ip: ip.ttl)),
    "ip.proto": (_NUMBER, _of_ip(lambda ip: ip.protocol)),
    "ip.src": (_ADDRESS, _of_ip(lambda ip: ip.source)),
    "ip.dst": (_ADDRESS, _of_ip(lambda ip: ip.destination)),
    "ip.addr": (_ADDRESS, _of_ip(lambda ip: (ip.source, ip.destination))),
    "tcp": (_PROTOCOL, lambda p: bytes(p.ip.payload) if p.ip and p.tcp else None),
    "tcp.srcport": (_NUMBER, _of_tcp(lambda tcp: tcp.source_port)),
    "tcp.dstport": (_NUMBER, _of_tcp(lambda tcp: tcp.destination_port)),
    "tcp.port": (_NUMBER, _of_tcp(lambda tcp: (tcp.source_port, tcp.destination_port))),
    "tcp.seq_raw": (_NUMBER, _of_tcp(lambda tcp: tcp.seq)),
    "tcp.ack_raw": (_NUMBER, _of_tcp(lambda tcp: tcp.ack)),
    "tcp.flags": (_NUMBER, _of_tcp(lambda tcp: tcp.flags)),
    "tcp.flags.fin": (_BOOL, _flag("FIN")),
    "tcp.flags.syn": (_BOOL, _flag("SYN")),
    "tcp.flags.reset": (_BOOL, _flag("RST")),
    "tcp.flags.push": (_BOOL, _flag("PSH")),
    "tcp.flags.ack": (_BOOL, _flag("ACK")),
    "tcp.flags.urg": (_BOOL, _flag("URG")),
    "tcp.flags.ece": (_BOOL, _flag("ECE")),
    "tcp.flags.cwr": (_BOOL, _flag("CWR")),
    "tcp.len": (_NUMBER, _of_tcp(lambda tcp: len(tcp.data))),
    "tcp.hdr_len": (_NUMBER, _of_tcp(lambda tcp: tcp.header_length)),
    "tcp.window_size_value": (_NUMBER, _of_tcp(lambda tcp: tcp.window)),
    "tcp.urgent_pointer": (_NUMBER, _of_tcp(lambda tcp: tcp.urgent)),
    "tcp.options.mss_val": (_NUMBER, _of_tcp(lambda tcp: tcp.options.mss)),
    "tcp.options.wscale.shift": (_NUMBER, _of_tcp(lambda tcp: tcp.options.window_shift)),
    "tcp.payload": (_BYTES, _of_tcp(lambda tcp: bytes(tcp.data) or None)),
    "udp": (_PROTOCOL, lambda p: bytes(p.ip.payload) if p.ip and p.udp else None),
    "udp.srcport": (_NUMBER, _of_udp(lambda udp: udp.source_port)),
    "udp.dstport": (_NUMBER, _of_udp(lambda udp: udp.destination_port)),
    "udp.port": (_NUMBER, _of_udp(lambda udp: (udp.source_port, udp.destination_port))),
    "udp.length": (_NUMBER, _of_udp(lambda udp: udp.length)),
    "udp.payload": (_BYTES, _of_udp(lambda udp: bytes(udp.data) or None)),
    "icmp": (_PROTOCOL, lambda p: bytes(p.ip.payload) if p.ip and p.icmp else None),
    "icmp.type": (_NUMBER, _of_icmp(lambda icmp: icmp.type)),
    "icmp.code": (_NUMBER, _of_icmp(lambda icmp: icmp.code)),
    "icmp.ident": (_NUMBER, lambda p: p.icmp.identifier if p.icmp and _echo(p) else None),
    "icmp.seq": (_NUMBER, lambda p: p.icmp.sequence if p.icmp and _echo(p) else None),
    "icmp.mtu": (
        _NUMBER,
        _of_icmp(lambda m: m.next_hop_mtu if (m.type, m.code) == (3, 4) else None),
    ),
    "data": (_PROTOCOL, _data),
    "data.data": (_BYTES, _data),
}

_MODULUS: Final = 1 << 32


class InitialNumbers:
    """The first sequence number of each direction of each TCP connection seen."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: dict[tuple[bytes, int, bytes, int], int] = {}

    def see(self, packet: CapturedPacket) -> None:
        """Learn from a packet: a SYN tells, else the first segment seen stands for it."""
        tcp, ip = packet.tcp, packet.ip
        if tcp is None or ip is None:
            return
        key = (ip.source, tcp.source_port, ip.destination, tcp.destination_port)
        if tcp.has("SYN"):
            self._first[key] = tcp.seq
        elif key not in self._first and not tcp.has("RST"):
            self._first[key] = (tcp.seq - 1) % _MODULUS
        back = (ip.destination, tcp.destination_port, ip.source, tcp.source_port)
        if tcp.has("ACK") and back not in self._first and not tcp.has("RST"):
            self._first[back] = (tcp.ack - 1) % _MODULUS

    def seq(self, packet: CapturedPacket) -> int | None:
        """Return SEG.SEQ counted from the first sequence number."""
        tcp, ip = packet.tcp, packet.ip
        if tcp is None or ip is None:
            return None
        key = (ip.source, tcp.source_port, ip.destination, tcp.destination_port)
        return (tcp.seq - self._first.get(key, 0)) % _MODULUS

    def ack(self, packet: CapturedPacket) -> int | None:
        """Return SEG.ACK counted from the peer's first sequence number; None without ACK."""
        tcp, ip = packet.tcp, packet.ip
        if tcp is None or ip is None or not tcp.has("ACK"):
            return None
        key = (ip.destination, tcp.destination_port, ip.source, tcp.source_port)
        return (tcp.ack - self._first.get(key, 0)) % _MODULUS


FIELDS: Final = {name: kind for name, (kind, _) in _TABLE.items()} | {
    "tcp.seq": FieldType.NUMBER,
    "tcp.ack": FieldType.NUMBER,
}


def matcher(
    match: str | Callable[[CapturedPacket], bool], numbers: InitialNumbers | None = None
) -> Callable[[CapturedPacket], bool]:
    """Return a test of packets from a display filter, or from a function.

    Args:
      match: ``"tcp.flags.syn == 1 && ip.src == 10.0.0.1"``, or any callable.
      numbers: where ``tcp.seq`` and ``tcp.ack`` count from; whoever calls lets it see the packets.

    Raises:
      FilterSyntaxError: the text is no filter; the error points at the column.
    """
    if not isinstance(match, str):
        return match
    known = numbers or InitialNumbers()

    def read(packet: CapturedPacket, name: str) -> object:
        if name == "tcp.seq":
            return known.seq(packet)
        if name == "tcp.ack":
            return known.ack(packet)
        return _TABLE[name][1](packet)

    return compile_filter(match, FIELDS, read)
