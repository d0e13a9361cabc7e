# Ethernet interfaces: frames, and ARP, which finds the MAC address behind an IP address.
#
#   ipv4                  send(packet, next hop)        receive(packet)
# > ethernet interface    THIS FILE: MAC header, ARP cache, packets that wait for an answer
#   segment               frames to the ports they are for
#
#   state of an entry     what a packet does              what the timer does, each second
#   (none)                waits; broadcast request        -
#   ASKING                waits, the latest 32            request again; after three: unreachable
#   KNOWN                 leaves at once                  -
#   KNOWN, too old        leaves at once; unicast request (PROBING)
#   PROBING               leaves at once                  forget the MAC, ask by broadcast (ASKING)
#
# Rule 1: at most one request each second for an address, whatever the number of packets.
# Rule 2: an own address is answered on its own segment only, and never learned from others.
#
# Sources: RFC 826; RFC 1122 section 2.3.2 (ageing, unicast poll, one request a second, the latest
# packet kept); RFC 5227 (conflicts, announcements).

"""Ethernet interfaces and their ARP caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual import addresses
from wsock.virtual.interfaces import LINK_TYPE_ETHERNET, WireInterface
from wsock.virtual.profile import SECOND
from wsock.virtual.scheduler import Owner, Timer
from wsock.virtual.wire import arp, ethernet
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual.conditions import Direction
    from wsock.virtual.media import Segment
    from wsock.virtual.node import HostCore

MAX_TRIES: Final = 3
RETRY_NS: Final = 1 * SECOND
#: How many packets wait for one address. RFC 1122 asks for one; a fragmented datagram needs more.
MAX_WAITING: Final = 32
#: How long to stay calm between two defences of an address (RFC 5227, DEFEND_INTERVAL).
DEFEND_INTERVAL_NS: Final = 10 * SECOND

_NO_MAC: Final = bytes(6)


class ArpEntry:
    """What is known of one neighbour."""

    __slots__ = ("expires", "mac", "timer", "tries", "waiting")

    def __init__(self, timer: Timer) -> None:
        self.mac: bytes | None = None
        self.expires = 0
        self.tries = 0
        self.timer = timer
        self.waiting: list[bytes] = []


class EthernetInterface(WireInterface):
    """A port on a segment."""

    __slots__ = ("_defended", "_entries", "_segment", "mac")

    link_type = LINK_TYPE_ETHERNET

    def __init__(
        self,
        node: HostCore,
        name: str,
        address: bytes,
        prefix_length: int,
        medium: Segment,
        egress: Direction,
        mac: bytes,
    ) -> None:
        super().__init__(node, name, address, prefix_length, medium, egress)
        self._segment = medium
        self.mac = mac
        self._entries: dict[bytes, ArpEntry] = {}
        self._defended = -DEFEND_INTERVAL_NS

    @property
    def arp_cache(self) -> dict[bytes, bytes]:
        """The neighbours whose MAC address is known: IP address to MAC address."""
        return {ip: entry.mac for ip, entry in self._entries.items() if entry.mac is not None}

    def restart(self) -> None:
        """Forget every neighbour."""
        for entry in self._entries.values():
            entry.timer.stop()
        self._entries.clear()

    # Out.

    def send(self, packet: bytes, next_hop: bytes) -> None:
        """Send an IP packet in a frame; ask for the neighbour's MAC address first if need be."""
        entry = self._entries.get(next_hop)
        if entry is not None and entry.mac is not None:
            if self.node.scheduler.now >= entry.expires and not entry.timer.running:
                self._probe(next_hop, entry)
            self._send_frame(entry.mac, ethernet.TYPE_IPV4, packet)
        elif addresses.is_multicast(next_hop):
            self._send_frame(ethernet.group_address(next_hop), ethernet.TYPE_IPV4, packet)
        elif addresses.is_limited_broadcast(next_hop) or next_hop == self.broadcast:
            self._send_frame(ethernet.BROADCAST, ethernet.TYPE_IPV4, packet)
        else:
            self._wait_for(next_hop, entry, packet)

    def _send_frame(self, mac: bytes, type_: int, payload: bytes) -> None:
        frame = ethernet.build(mac, self.mac, type_, payload)
        self.emit(frame, self._segment.receivers(self, mac))

    def carry(
        self,
        data: bytes,
        receivers: Sequence[WireInterface],  # type: ignore[override]  # adapters of this segment
    ) -> None:
        """Send past the gates, by the way that each receiver has conditions for."""
        if not receivers:
            self.dropped(data, f"{self.medium.name}: nobody has this MAC address")
            return
        if not self._segment.has_pairs:
            super().carry(data, receivers)
            return
        for direction, group in self._segment.by_direction(self, receivers):
            reason = direction.carry(data, group)
            if reason is not None:
                self.dropped(data, f"{self.medium.name}: {reason}")

    # ARP: asking.

    def _wait_for(self, neighbour: bytes, entry: ArpEntry | None, packet: bytes) -> None:
        if entry is None:
            entry = self._new_entry(neighbour)
            self._ask(neighbour, entry)
        if len(entry.waiting) >= MAX_WAITING:
            self.node.drop(self, entry.waiting.pop(0), "arp queue full")
        entry.waiting.append(packet)

    def _new_entry(self, neighbour: bytes) -> ArpEntry:
        owner = Owner(f"{self.full_name}/arp/{addresses.text(neighbour)}")
        timer = self.node.scheduler.timer(owner, lambda: self._unanswered(neighbour))
        entry = self._entries[neighbour] = ArpEntry(timer)
        return entry

    def _ask(self, neighbour: bytes, entry: ArpEntry) -> None:
        entry.tries += 1
        entry.timer.set(self.node.scheduler.now + RETRY_NS)
        self._send_arp(arp.REQUEST, ethernet.BROADCAST, neighbour)

    def _probe(self, neighbour: bytes, entry: ArpEntry) -> None:
        assert entry.mac is not None
        entry.timer.set(self.node.scheduler.now + RETRY_NS)
        self._send_arp(arp.REQUEST, entry.mac, neighbour)

    def _unanswered(self, neighbour: bytes) -> None:
        entry = self._entries[neighbour]
        if entry.mac is not None:  # a probe: the neighbour may have another adapter now
            entry.mac = None
            entry.tries = 0
        if entry.tries < MAX_TRIES:
            self._ask(neighbour, entry)
            return
        del self._entries[neighbour]
        self.node.counters.count("arp no answer")
        for packet in entry.waiting:
            self.node.icmp.host_unreachable(packet, self)

    def _send_arp(self, operation: int, to_mac: bytes, target: bytes) -> None:
        target_mac = _NO_MAC if operation == arp.REQUEST else to_mac
        packet = arp.ArpPacket(operation, self.mac, self.address, target_mac, target)
        self._send_frame(to_mac, ethernet.TYPE_ARP, arp.build(packet))

    def announce(self) -> None:
        """Tell the segment who has this address: a gratuitous ARP (RFC 5227)."""
        self._send_arp(arp.REQUEST, ethernet.BROADCAST, self.address)

    # In.

    def receive(self, data: bytes) -> None:
        """Handle a frame."""
        frame = ethernet.parse(data)
        if isinstance(frame, Malformed):
            self.node.drop(self, data, frame)
        elif frame.destination != self.mac and not frame.destination[0] & 1:
            self.node.drop(self, data, "ethernet frame for another host")
        elif frame.type == ethernet.TYPE_IPV4:
            self.node.ipv4.receive(bytes(frame.payload), self)
        elif frame.type == ethernet.TYPE_ARP:
            self._receive_arp(frame.payload, data)
        else:
            self.node.drop(self, data, "ethernet type unknown")

    def _receive_arp(self, payload: memoryview, frame: bytes) -> None:
        packet = arp.parse(payload)
        if isinstance(packet, Malformed):
            self.node.drop(self, frame, packet)
            return
        if packet.sender == self.address:
            self._conflict(packet, frame)
            return
        for_us = packet.target == self.address
        if self._may_be_neighbour(packet.sender):
            self._learn(packet.sender, packet.sender_mac, add=for_us)
        if for_us and packet.operation == arp.REQUEST:
            self._send_arp_reply(packet)

    def _may_be_neighbour(self, address: bytes) -> bool:
        """Whether one host of this segment can have it: nobody's MAC may stand for a broadcast."""
        return (
            self.on_link(address)
            and address != self.broadcast
            and addresses.is_valid_source(address)
        )

    def _send_arp_reply(self, request: arp.ArpPacket) -> None:
        self._send_arp(arp.REPLY, request.sender_mac, request.sender)

    def _learn(self, neighbour: bytes, mac: bytes, *, add: bool) -> None:
        entry = self._entries.get(neighbour)
        if entry is None:
            if not add:
                return
            entry = self._new_entry(neighbour)
        entry.mac = mac
        entry.timer.stop()
        entry.expires = self.node.scheduler.now + self.node.profile.arp_entry_lifetime_ns
        waiting, entry.waiting = entry.waiting, []
        for packet in waiting:
            self._send_frame(mac, ethernet.TYPE_IPV4, packet)

    def _conflict(self, packet: arp.ArpPacket, frame: bytes) -> None:
        """Someone else uses this address: report it, and defend it once in ten seconds."""
        if packet.sender_mac == self.mac:
            return  # our own announcement, come back
        who = ethernet.text(packet.sender_mac)
        self.node.drop(self, frame, "arp address conflict", f"{who} uses our address too")
        now = self.node.scheduler.now
        if now - self._defended >= DEFEND_INTERVAL_NS:
            self._defended = now
            self.announce()
