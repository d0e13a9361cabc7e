# Interfaces: where a host meets a wire. The driver and the adapter of the notes: nothing else of a
# host touches a link.
#
#   ipv4                  send(packet, next hop)        receive(packet)
# > interfaces            THIS FILE: loopback, point to point; Ethernet is in ethernet_interface
#   media, conditions     directions of links and segments
#
# Rule 1: what crosses is bytes of a whole packet or frame. No object ever crosses a wire.
# Rule 2: every packet is seen by the taps exactly where a capture on that interface would see it:
#         going out before anything can drop it on the wire, coming in after it has arrived.
# Rule 3: gates (partitions, holds, drops by match) are asked when a packet is sent, for each
#         receiver. What is already on the wire arrives.
#
# Sources: RFC 1122 section 3.2.1.3 (loopback, directed broadcast).

"""Interfaces of virtual hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from wsock.virtual import addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual.conditions import Direction
    from wsock.virtual.node import HostCore

LINK_TYPE_ETHERNET: Final = 1
LINK_TYPE_RAW_IP: Final = 101

#: What a gate answers to keep a packet back without dropping it.
HELD: Final = "held"


class Tap(Protocol):
    """What watches an interface."""

    def packet(self, interface: Interface, data: bytes, *, outgoing: bool) -> None:
        """A packet went out, or came in."""

    def note(self, interface: Interface, data: bytes, comment: str) -> None:
        """Something is to be said about a packet seen before (these very bytes)."""


class Gate(Protocol):
    """What decides, packet by packet, whether it may enter the wire."""

    def judge(self, sender: GatedInterface, receiver: GatedInterface, data: bytes) -> str | None:
        """Return None to let it pass, ``HELD`` when the gate keeps it, else why it is dropped."""


class Medium(Protocol):
    """What joins interfaces: a link or a segment."""

    @property
    def name(self) -> str:
        """The name in the network."""

    @property
    def interfaces(self) -> Sequence[WireInterface]:
        """All that are joined, in the order of their joining."""

    def direction(self, sender: WireInterface, receiver: WireInterface) -> Direction:
        """Return the direction between two of them alone, where conditions can be changed."""


class Interface:
    """An interface of a host: its name, its IPv4 address, and what the address implies."""

    __slots__ = ("address", "broadcast", "gates", "mtu", "name", "network", "node",
                 "prefix_length", "taps", "up")  # fmt: skip

    link_type: ClassVar[int] = LINK_TYPE_RAW_IP

    def __init__(self, node: HostCore, name: str, address: bytes, prefix_length: int) -> None:
        self.node = node
        self.name = name
        self.address = address
        self.prefix_length = prefix_length
        network = int.from_bytes(address, "big") & addresses.mask(prefix_length)
        #: the prefix this interface is in, as a number.
        self.network = network
        #: the directed broadcast address; None where a prefix is too small to have one.
        self.broadcast: bytes | None = None
        if prefix_length < 31:
            last = network | ~addresses.mask(prefix_length) & 0xFFFFFFFF
            self.broadcast = last.to_bytes(4, "big")
        self.mtu = 65_535
        self.up = True
        self.taps: list[Tap] = []
        self.gates: list[Gate] = []

    @property
    def full_name(self) -> str:
        """The name with its host's: ``client.eth0``."""
        return f"{self.node.name}.{self.name}"

    @property
    def address_text(self) -> str:
        """The address as people write it."""
        return addresses.text(self.address)

    def on_link(self, address: bytes) -> bool:
        """Whether ``address`` is in this interface's prefix."""
        mask = addresses.mask(self.prefix_length)
        return int.from_bytes(address, "big") & mask == self.network

    def send(self, packet: bytes, next_hop: bytes) -> None:
        """Send an IP packet to the neighbour ``next_hop``, or to all for a broadcast or group."""
        raise NotImplementedError

    def deliver(self, data: bytes) -> None:
        """Take what arrived from the wire."""
        gate = self.node.gate
        if gate is not None and not gate.admit(self, data):
            return
        for tap in self.taps:
            tap.packet(self, data, outgoing=False)
        self.receive(data)

    def receive(self, data: bytes) -> None:
        """Handle what arrived; here: it is an IP packet."""
        self.node.ipv4.receive(data, self)

    def restart(self) -> None:
        """Forget what the stack has learned on this interface: its host was switched off."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.full_name} {self.address_text}>"


class GatedInterface(Interface):
    """An interface that sends along a direction, past gates."""

    __slots__ = ("egress",)

    def __init__(
        self, node: HostCore, name: str, address: bytes, prefix_length: int, egress: Direction
    ) -> None:
        super().__init__(node, name, address, prefix_length)
        self.egress = egress
        egress.on_change = self._conditions_changed
        self.mtu = egress.conditions.mtu

    def _conditions_changed(self) -> None:
        self.mtu = self.egress.conditions.mtu
        self.node.routes.forget()  # a route carries its MTU

    @property
    def wire_name(self) -> str:
        """What the log calls the wire."""
        raise NotImplementedError

    def emit(self, data: bytes, receivers: Sequence[GatedInterface]) -> None:
        """Put ``data`` on the wire for these receivers, unless the gates object."""
        for tap in self.taps:
            tap.packet(self, data, outgoing=True)
        if self.gates:
            receivers = [other for other in receivers if self._may_pass(other, data)]
            if not receivers:
                return
        self.carry(data, receivers)

    def carry(self, data: bytes, receivers: Sequence[GatedInterface]) -> None:
        """Send past the gates: what a hold lets go, and every packet that no gate stopped."""
        reason = self.egress.carry(data, receivers)
        if reason is not None:
            self.dropped(data, f"{self.wire_name}: {reason}")

    def _may_pass(self, receiver: GatedInterface, data: bytes) -> bool:
        for gate in self.gates:
            reason = gate.judge(self, receiver, data)
            if reason is not None:
                if reason is not HELD:
                    self.dropped(data, reason)
                return False
        return True

    def dropped(self, data: bytes, reason: str) -> None:
        """Record that the wire did not carry a packet that this interface sent."""
        self.node.wire_drop(self, data, reason)


class LoopbackInterface(GatedInterface):
    """``lo``: what is sent here arrives here, an event later."""

    __slots__ = ()

    def __init__(self, node: HostCore, egress: Direction) -> None:
        super().__init__(node, "lo", addresses.LOOPBACK, 8, egress)
        self.broadcast = None

    @property
    def wire_name(self) -> str:
        """The interface's own name: there is no wire."""
        return self.full_name

    def send(self, packet: bytes, next_hop: bytes) -> None:
        """Send a packet back to this host."""
        self.emit(packet, (self,))

    def deliver(self, data: bytes) -> None:
        """Take what came round; taps have seen it already, as tcpdump on ``lo`` shows it once."""
        gate = self.node.gate
        if gate is None or gate.admit(self, data):
            self.receive(data)


class WireInterface(GatedInterface):
    """An interface whose other end is somewhere else."""

    __slots__ = ("medium",)

    def __init__(
        self,
        node: HostCore,
        name: str,
        address: bytes,
        prefix_length: int,
        medium: Medium,
        egress: Direction,
    ) -> None:
        super().__init__(node, name, address, prefix_length, egress)
        self.medium = medium
        self._conditions_changed()

    @property
    def wire_name(self) -> str:
        """The name of the link or segment."""
        return self.medium.name


class PointToPointInterface(WireInterface):
    """One end of a link: packets cross bare, there is nobody else to address."""

    __slots__ = ("peers",)

    def __init__(
        self,
        node: HostCore,
        name: str,
        address: bytes,
        prefix_length: int,
        medium: Medium,
        egress: Direction,
    ) -> None:
        super().__init__(node, name, address, prefix_length, medium, egress)
        self.peers: tuple[GatedInterface, ...] = ()

    def send(self, packet: bytes, next_hop: bytes) -> None:
        """Send a packet to the other end."""
        self.emit(packet, self.peers)
