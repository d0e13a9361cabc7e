# Gates: the faults that look at each packet before it enters a wire.
#
#   faults                verbs: partition, hold, drop, isolate
# > gates                 THIS FILE: which packets, and what becomes of them
#   interfaces            ask every gate, for every receiver
#
# A scope says between whom: packets that one host hands directly to the other (whatever they carry:
# the cable between them), and packets addressed from the one to the other anywhere between.

"""Packet gates of the faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual.capture.packet import CapturedPacket
from wsock.virtual.ethernet_interface import EthernetInterface
from wsock.virtual.interfaces import HELD
from wsock.virtual.layers import PROTOCOL_ICMP
from wsock.virtual.scheduler import RANK_DELIVERY, Owner
from wsock.virtual.wire import ethernet, icmp, ipv4
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.capture.fields import InitialNumbers
    from wsock.virtual.interfaces import GatedInterface, Interface
    from wsock.virtual.network_base import NetworkBase
    from wsock.virtual.node import HostCore

_IP_TYPE: Final = ethernet.TYPE_IPV4.to_bytes(2, "big")


class Scope:
    """Which packets a gate looks at. None for ``senders`` or ``receivers``: whoever it is."""

    __slots__ = ("_receivers", "_senders")

    def __init__(
        self, senders: list[HostCore] | None = None, receivers: list[HostCore] | None = None
    ) -> None:
        self._senders = senders
        self._receivers = receivers

    def covers(self, sender: Interface, receiver: Interface, data: bytes) -> bool:
        """Whether a packet is between these hosts."""
        if self._receivers is None:
            return self._senders is None or sender.node in self._senders
        if receiver.node in self._receivers:
            return self._senders is None or sender.node in self._senders
        packet = ip_packet(sender, data)
        if len(packet) < ipv4.HEADER_LENGTH:
            return False
        source, destination = packet[12:16], packet[16:20]
        from_here = self._senders is None or any(
            source in node.own_addresses for node in self._senders
        )
        return from_here and any(destination in node.own_addresses for node in self._receivers)


def ip_packet(interface: Interface, data: bytes) -> bytes:
    """Return the IP packet that crosses here; empty if it is another frame."""
    if not isinstance(interface, EthernetInterface):
        return data
    return data[ethernet.HEADER_LENGTH :] if data[12:14] == _IP_TYPE else b""


class PartitionGate:
    """Lets nothing through."""

    __slots__ = ("_reason", "_scope")

    def __init__(self, scope: Scope, reason: str) -> None:
        self._scope = scope
        self._reason = reason

    def judge(self, sender: GatedInterface, receiver: GatedInterface, data: bytes) -> str | None:
        """Drop what is in the scope."""
        return self._reason if self._scope.covers(sender, receiver, data) else None


class RejectGate:
    """Lets no IP packet through, and answers ICMP 3/1; ARP passes, so that they come so far."""

    __slots__ = ("_network", "_reason", "_scope")

    def __init__(self, network: NetworkBase, scope: Scope, reason: str) -> None:
        self._network = network
        self._scope = scope
        self._reason = reason

    def judge(self, sender: GatedInterface, receiver: GatedInterface, data: bytes) -> str | None:
        """Drop IP packets in the scope, and tell their source."""
        packet = ipv4.parse(ip_packet(sender, data))
        if isinstance(packet, Malformed) or not self._scope.covers(sender, receiver, data):
            return None
        is_error = packet.protocol == PROTOCOL_ICMP and bytes(packet.payload[:1]) in _ERROR_TYPES
        node = sender.node
        if not (is_error or packet.offset) and node.ipv4.is_unicast(packet.destination):
            quote = packet.data[: icmp.MAX_QUOTE]
            message = icmp.build(icmp.UNREACHABLE, icmp.HOST_UNREACHABLE, 0, quote)
            answer = ipv4.build(receiver.address, packet.source, PROTOCOL_ICMP, message)
            deliver_soon(self._network, answer, sender, receiver)
        return self._reason


_ERROR_TYPES: Final = frozenset(bytes([kind]) for kind in icmp.ERRORS)


def deliver_soon(
    network: NetworkBase, packet: bytes, to: Interface, sender: Interface | None = None
) -> None:
    """Let an IP packet arrive at an interface, in a frame where there are frames, at this time."""
    if isinstance(to, EthernetInterface):
        source = sender.mac if isinstance(sender, EthernetInterface) else FORGED_MAC
        packet = ethernet.build(to.mac, source, ethernet.TYPE_IPV4, packet)
    owner = Owner(f"{to.full_name}/injected")
    network.scheduler.post(network.scheduler.now, RANK_DELIVERY, owner, to.deliver, packet)


#: Where frames come from that no adapter sent.
FORGED_MAC: Final = bytes.fromhex("0200000000ff")


class Turn:
    """Counts matches for all gates of one fault, and says whose turn it is."""

    __slots__ = ("_count", "_matches", "_nth")

    def __init__(self, nth: int, count: int | None) -> None:
        self._nth = nth
        self._count = count
        self._matches = 0

    def comes(self) -> bool:
        """Count one match; say whether it is to be dropped."""
        self._matches += 1
        behind = self._matches - self._nth
        return behind >= 0 and (self._count is None or behind < self._count)


class DropGate:
    """Drops the packets that match and whose turn it is."""

    __slots__ = ("_numbers", "_reason", "_scope", "_seen", "_test", "_turn")

    def __init__(
        self,
        scope: Scope,
        test: Callable[[CapturedPacket], bool],
        numbers: InitialNumbers,
        reason: str,
        turn: Turn,
    ) -> None:
        self._scope = scope
        self._test = test
        self._numbers = numbers
        self._reason = reason
        self._turn = turn
        self._seen = 0

    def judge(self, sender: GatedInterface, receiver: GatedInterface, data: bytes) -> str | None:
        """Drop what is in the scope, matches, and has its turn."""
        if not self._scope.covers(sender, receiver, data):
            return None
        self._seen += 1
        packet = captured(self._seen, sender, data)
        self._numbers.see(packet)
        return self._reason if self._test(packet) and self._turn.comes() else None


def captured(number: int, sender: Interface, data: bytes) -> CapturedPacket:
    """Return a packet as a filter wants it."""
    now = sender.node.scheduler.now
    return CapturedPacket(number, now, sender.full_name, sender.link_type, data, outgoing=True)


class HeldPacket(NamedTuple):
    """A packet that a hold keeps."""

    sender: GatedInterface
    receiver: GatedInterface
    packet: CapturedPacket


class HoldGate:
    """Keeps packets, in their order."""

    __slots__ = ("_held", "_scope", "own")

    def __init__(self, scope: Scope, held: list[HeldPacket]) -> None:
        self._scope = scope
        self._held = held
        self.own: list[HeldPacket] = []

    def judge(self, sender: GatedInterface, receiver: GatedInterface, data: bytes) -> str | None:
        """Keep what is in the scope."""
        if not self._scope.covers(sender, receiver, data):
            return None
        kept = HeldPacket(sender, receiver, captured(len(self._held) + 1, sender, data))
        self._held.append(kept)
        self.own.append(kept)
        return HELD
