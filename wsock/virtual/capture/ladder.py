# Ladders: an exchange of packets as a diagram of text, time running down.
#
#        time  client                                   server
#    0.000000    |--- SYN seq=0 win=65535 mss=1460 ------>|
#    0.001000    |<-- SYN-ACK seq=0 ack=1 win=65535 ------|
#
# Each host is a column; TCP connections add the states of both ends beside the columns when the
# state changes are known. An arrow that ends in an X never arrived. A host that talks to itself has
# two columns, one for whoever sent first and one for whoever answers.

"""Ladder diagrams of captures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.capture.fields import InitialNumbers
from wsock.virtual.scheduler import seconds
from wsock.virtual.wire import arp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsock.virtual.capture.packet import CapturedPacket

_EVERYBODY: Final = "(all)"
#: From one column to the next: so much, or what the longest text needs, but never more than that.
_GAP: Final = 50
_WIDEST_GAP: Final = 72
#: The bar, the shaft's two ends, its tip.
_ARROW: Final = 7
_FIRST: Final = " (client)"
_SECOND: Final = " (server)"


class StateChange(NamedTuple):
    """A change of a connection's state, for the margin of a ladder."""

    time_ns: int
    host: str
    text: str
    #: the connection's ports, its own end first: they tell two ends on one host apart.
    ports: tuple[int, int] = (0, 0)


class Ladder:
    """Draws packets between columns of hosts."""

    def __init__(
        self,
        packets: Sequence[CapturedPacket],
        name_of: Callable[[bytes], str],
        changes: Sequence[StateChange] = (),
        *,
        relative: bool = True,
    ) -> None:
        self._packets = packets
        self._name_of = name_of
        self._changes = sorted(changes, key=lambda change: change.time_ns)
        self._numbers = InitialNumbers()
        self._relative = relative
        #: for each host that talks to itself: who sent first, by the ports of both ends.
        self._first: dict[str, dict[frozenset[int], int]] = {}
        self._columns: list[str] = []
        self._gap = _GAP
        for packet in packets:
            for name in self._ends(packet):
                if name not in self._columns:
                    self._columns.append(name)
        if _EVERYBODY in self._columns:
            self._columns.remove(_EVERYBODY)
            self._columns.append(_EVERYBODY)

    def lines(self) -> list[str]:
        """Return the lines of the diagram."""
        texts = []
        for packet in self._packets:
            self._numbers.see(packet)
            texts.append(f" {self._text(packet)} ")
            self._make_room(packet, len(texts[-1]) + _ARROW)
        result = [self._header()]
        pending = list(self._changes)
        for packet, text in zip(self._packets, texts, strict=True):
            while pending and pending[0].time_ns < packet.time_ns:
                result.append(self._margin(pending.pop(0)))
            result.append(self._arrow(packet, text))
        result += [self._margin(change) for change in pending]
        return [line.rstrip() for line in result]

    def _make_room(self, packet: CapturedPacket, width: int) -> None:
        first, last = (self._columns.index(name) for name in self._ends(packet))
        needed = -(-width // (abs(first - last) or 1))
        self._gap = max(self._gap, min(needed, _WIDEST_GAP))

    def _ends(self, packet: CapturedPacket) -> tuple[str, str]:
        if packet.arp is not None:
            message = packet.arp
            if message.sender == message.target:  # an announcement
                return self._name_of(message.sender), _EVERYBODY
            return self._name_of(message.sender), self._name_of(message.target)
        if packet.ip is None:
            return packet.interface, _EVERYBODY
        if packet.frame is not None and packet.frame.destination[0] & 1:
            return self._name_of(packet.ip.source), _EVERYBODY
        source, destination = self._name_of(packet.ip.source), self._name_of(packet.ip.destination)
        ports = packet.ports
        if source != destination or ports is None:
            return source, destination
        self._first.setdefault(source, {}).setdefault(frozenset(ports), ports[0])
        return self._column(source, ports), self._column(source, ports[::-1])

    def _column(self, host: str, ports: tuple[int, int]) -> str:
        """Return the column of one end, by its own port and the other's."""
        openers = self._first.get(host)
        if openers is None:
            return host
        return host + (_FIRST if openers.get(frozenset(ports)) == ports[0] else _SECOND)

    def _position(self, name: str) -> int:
        return self._columns.index(name) * self._gap

    def _header(self) -> str:
        names = "".join(name[: self._gap - 2].ljust(self._gap) for name in self._columns)
        return f"{'time':>12}  {names}"

    def _bars(self) -> list[str]:
        row = [" "] * (self._gap * max(len(self._columns) - 1, 0) + 1)
        for place in range(0, len(row), self._gap):
            row[place] = "|"
        return row

    def _margin(self, change: StateChange) -> str:
        row = self._bars()
        column = self._column(change.host, change.ports)
        if column in self._columns:
            start = self._position(column) + 2
            text = change.text
            row += [" "] * (start + len(text) - len(row))
            row[start : start + len(text)] = text
            return f"{seconds(change.time_ns):12.6f}  {''.join(row)}"
        return f"{seconds(change.time_ns):12.6f}  {''.join(row)}  {change.host}: {change.text}"

    def _arrow(self, packet: CapturedPacket, text: str) -> str:
        sender, receiver = self._ends(packet)
        start, end = self._position(sender), self._position(receiver)
        row = self._bars()
        lost = any(comment.startswith("dropped") for comment in packet.comments)
        remark = "".join(f"  [{comment}]" for comment in packet.comments)
        rest = ""
        if start == end:
            body = f"{''.join(row)} (to itself){text}"
        else:
            low, high = min(start, end) + 1, max(start, end)
            width = high - low
            if len(text) > width - 6:  # the words that fit; the others stand behind the arrow
                cut = text.rindex(" ", 1, width - 6)
                text, rest = text[: cut + 1], f"  ...{text[cut + 1 :].rstrip()}"
            shaft = text.center(width - 2, "-")
            tip = "X" if lost else ">" if start < end else "<"
            row[low:high] = f"-{shaft}{tip}" if start < end else f"{tip}{shaft}-"
            body = "".join(row) + rest
        return f"{packet.time:12.6f}  {body}{remark}"

    def _text(self, packet: CapturedPacket) -> str:
        tcp = packet.tcp
        if tcp is not None:
            return self._tcp_text(packet)
        if packet.udp is not None:
            udp = packet.udp
            return f"UDP {udp.source_port}>{udp.destination_port} len={len(udp.data)}"
        if packet.arp is not None:
            if packet.arp.operation == arp.REQUEST:
                return f"ARP who has {addresses.text(packet.arp.target)}?"
            return f"ARP {addresses.text(packet.arp.sender)} is here"
        if packet.icmp is not None and packet.icmp.type in (0, 8):
            return f"{packet.name} seq={packet.icmp.sequence}"
        return packet.name

    def _tcp_text(self, packet: CapturedPacket) -> str:
        tcp = packet.tcp
        assert tcp is not None
        seq = self._numbers.seq(packet) if self._relative else tcp.seq
        parts = [*self._which(packet), tcp.flag_names, f"seq={seq}"]
        if tcp.has("ACK"):
            parts.append(f"ack={self._numbers.ack(packet) if self._relative else tcp.ack}")
        if len(tcp.data):
            parts.append(f"len={len(tcp.data)}")
        parts.append(f"win={tcp.window}")
        if tcp.has("SYN") and tcp.options.mss is not None:
            parts.append(f"mss={tcp.options.mss}")
        return " ".join(parts)

    def _which(self, packet: CapturedPacket) -> list[str]:
        """Return the ports, where several connections share two columns of one host."""
        ports = packet.ports
        if ports is None or not any(
            frozenset(ports) in pairs and len(pairs) > 1 for pairs in self._first.values()
        ):
            return []
        return [f"{ports[0]}>{ports[1]}"]
