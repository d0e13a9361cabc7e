# Explain: one packet, header by header, each with the OSI layer it belongs to.

"""A packet's headers in words, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual import addresses
from wsock.virtual.wire import arp, ethernet

if TYPE_CHECKING:
    from wsock.virtual.capture.packet import CapturedPacket

#: The seven layers and what each has to do.
OSI_LAYERS: tuple[tuple[int, str, str], ...] = (
    (7, "application", "what the programs say to each other"),
    (6, "presentation", "how data are written as bytes"),
    (5, "session", "which conversation of which program"),
    (4, "transport", "how to send: TCP, UDP; ports choose the program"),
    (3, "network", "from whom to whom: IP, ICMP; routing and fragmenting"),
    (2, "data link", "from adapter to adapter: Ethernet, ARP"),
    (1, "physical", "the line itself"),
)

_TYPES = {ethernet.TYPE_IPV4: "IPv4", ethernet.TYPE_ARP: "ARP"}


def explain(packet: CapturedPacket) -> str:
    """Return several lines: what each layer added to this packet, from the wire upwards."""
    way = "sent by" if packet.outgoing else "received on"
    lines = [
        f"packet {packet.number}: {packet.name}, {way} {packet.interface} at {packet.time:.9f} s",
        _line(1, f"{len(packet.data)} bytes"),
    ]
    for part in (_data_link, _network, _transport, _application):
        lines += part(packet)
    lines += [f"  remark: {comment}" for comment in packet.comments]
    return "\n".join(lines)


def _line(number: int, text: str) -> str:
    name = next(name for layer, name, _ in OSI_LAYERS if layer == number)
    return f"  layer {number} ({name}): {text}"


def _good(good: bool | None) -> str:
    return {True: "good", False: "BAD", None: "absent"}[good]


def _data_link(packet: CapturedPacket) -> list[str]:
    frame = packet.frame
    if frame is None:
        return []
    kind = _TYPES.get(frame.type, "unknown")
    source, destination = ethernet.text(frame.source), ethernet.text(frame.destination)
    lines = [
        _line(2, f"Ethernet (MAC header) {source} > {destination}, type 0x{frame.type:04x} {kind}")
    ]
    message = packet.arp
    if message is not None:
        sender, target = addresses.text(message.sender), addresses.text(message.target)
        if message.operation == arp.REQUEST:
            lines.append(_line(2, f"ARP: who has {target}? tell {sender}"))
        else:
            mac = ethernet.text(message.sender_mac)
            lines.append(_line(2, f"ARP: {sender} is at {mac}"))
    return lines


def _network(packet: CapturedPacket) -> list[str]:
    ip = packet.ip
    if ip is None:
        return []
    source, destination = addresses.text(ip.source), addresses.text(ip.destination)
    flags = "".join([" DF" * ip.dont_fragment, " MF" * ip.more_fragments])
    text = (
        f"IPv4 {source} > {destination}, header {len(ip.header)} bytes, total "
        f"{len(ip.header) + len(ip.payload)}, id {ip.identification},{flags or ' no flags'}, "
        f"offset {ip.offset}, TTL {ip.ttl}, protocol {ip.protocol}, DSCP {ip.dscp}, "
        f"checksum {_good(packet.ip_checksum_good)}"
    )
    lines = [_line(3, text)]
    if packet.icmp is not None:
        good = _good(packet.transport_checksum_good)
        lines.append(_line(3, f"{packet.name}, checksum {good}"))
    return lines


def _transport(packet: CapturedPacket) -> list[str]:
    tcp, udp = packet.tcp, packet.udp
    good = _good(packet.transport_checksum_good)
    if tcp is not None:
        return [
            _line(
                4,
                f"TCP {tcp.source_port} > {tcp.destination_port}, {tcp.flag_names}, "
                f"SEQ {tcp.seq}, ACK {tcp.ack}, header {tcp.header_length} bytes, "
                f"window {tcp.window}, checksum {good}",
            )
        ]
    if udp is not None:
        text = f"UDP {udp.source_port} > {udp.destination_port}, length {udp.length}"
        return [_line(4, f"{text}, checksum {good}")]
    return []


def _application(packet: CapturedPacket) -> list[str]:
    header = packet.tcp or packet.udp
    if header is None:
        return []
    data = bytes(header.data)
    if not data:
        return ["  layers 5 to 7: no data, control information only"]
    shown = data[:40].decode("ascii", "replace").replace("\r", "\\r").replace("\n", "\\n")
    shown = "".join(c if c.isprintable() else "." for c in shown)
    more = "..." if len(data) > 40 else ""
    return [
        f'  layers 5 to 7 (session, presentation, application): {len(data)} bytes "{shown}"{more}'
    ]
