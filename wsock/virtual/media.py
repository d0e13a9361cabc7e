# Media: links, which join two interfaces, and segments, which join many.
#
#   interfaces            emit(data, receivers)
# > media                 THIS FILE: who receives, and by which direction
#   conditions            when it arrives
#
# A segment is a switch that knows its ports from the start: a frame for one MAC address reaches one
# port, a broadcast reaches all others. Each port has one direction into the switch, with its own
# conditions; where two hosts on a segment are to have conditions of their own, the pair gets a
# direction of its own (made on demand: a thousand hosts have a million pairs).

"""Links and segments."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from wsock.virtual import addresses
from wsock.virtual.ethernet_interface import EthernetInterface
from wsock.virtual.interfaces import PointToPointInterface, WireInterface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual.building import Building
    from wsock.virtual.conditions import Conditions, Direction
    from wsock.virtual.node import HostCore

_FIRST_MAC = 0x02_00_00_00_00_00  # locally administered


class Link:
    """A point-to-point link: two directions, each with its own conditions."""

    __slots__ = ("_ends", "name", "network")

    def __init__(
        self,
        network: Building,
        name: str,
        ends: tuple[tuple[HostCore, bytes], tuple[HostCore, bytes]],
        prefix_length: int,
        conditions: Conditions,
    ) -> None:
        self.network = network
        self.name = name
        made = []
        for place, (node, address) in enumerate(ends):
            egress = network.new_direction(f"{name} from {node.name}", conditions)
            interface = self._interface_class(place)(
                node, node.next_interface_name(), address, prefix_length, self, egress
            )
            node.add_interface(interface)
            made.append(interface)
        near, far = made
        near.peers, far.peers = (far,), (near,)
        self._ends = (near, far)

    def _interface_class(self, place: int) -> type[PointToPointInterface]:
        """Return what the first (0) or second (1) end is made of."""
        return PointToPointInterface

    @property
    def interfaces(self) -> Sequence[WireInterface]:
        """Both ends, in the order given."""
        return self._ends

    def direction(self, sender: WireInterface, receiver: WireInterface) -> Direction:
        """Return the direction that leaves ``sender``."""
        return sender.egress

    def directions(self) -> list[Direction]:
        """Return both directions; the first one leads from the first end."""
        return [end.egress for end in self._ends]

    def __repr__(self) -> str:
        return f"<Link {self.name}>"


class Segment:
    """An Ethernet LAN: a prefix, a switch, and the ports of the hosts on it."""

    __slots__ = (
        "_conditions",
        "_last_given",
        "_pairs",
        "_ports",
        "_ports_by_mac",
        "_taken",
        "name",
        "network",
        "prefix",
    )

    def __init__(self, network: Building, name: str, prefix: str, conditions: Conditions) -> None:
        self.network = network
        self.name = name
        self.prefix = ipaddress.IPv4Network(prefix)
        self._conditions = conditions
        self._ports: list[EthernetInterface] = []
        self._ports_by_mac: dict[bytes, EthernetInterface] = {}
        self._pairs: dict[tuple[str, str], Direction] = {}
        self._taken: set[bytes] = set()
        self._last_given = 0

    @property
    def interfaces(self) -> Sequence[WireInterface]:
        """The ports, in the order of their joining."""
        return self._ports

    @property
    def has_pairs(self) -> bool:
        """Whether some pair of ports has conditions of its own."""
        return bool(self._pairs)

    def attach(self, node: HostCore, address: bytes | None = None) -> EthernetInterface:
        """Join ``node`` to the segment with the address given, or the next free one.

        Raises:
          ValueError: the address is outside the prefix, or no address is left.
        """
        if address is None:
            address = self._next_address()
        text = addresses.text(address)
        if ipaddress.IPv4Address(address) not in self.prefix:
            raise ValueError(f"{text} is not in {self.prefix} of segment {self.name!r}")
        if address in self._taken or address == self.prefix.broadcast_address.packed:
            raise ValueError(f"{text} is taken on segment {self.name!r}")
        egress = self.network.new_direction(f"{self.name} from {node.name}", self._conditions)
        mac = (_FIRST_MAC + self.network.next_adapter()).to_bytes(6, "big")
        port = EthernetInterface(
            node, node.next_interface_name(), address, self.prefix.prefixlen, self, egress, mac
        )
        node.add_interface(port)
        self._ports.append(port)
        self._ports_by_mac[mac] = port
        self._taken.add(address)
        return port

    def _next_address(self) -> bytes:
        first = int(self.prefix.network_address)
        while True:
            self._last_given += 1
            address = (first + self._last_given).to_bytes(4, "big")
            if address not in self._taken:
                return address

    def receivers(self, sender: EthernetInterface, mac: bytes) -> Sequence[WireInterface]:
        """Return the ports that a frame from ``sender`` to ``mac`` reaches."""
        if mac[0] & 1:
            return [port for port in self._ports if port is not sender]
        port = self._ports_by_mac.get(mac)
        return () if port is None else (port,)

    def direction(self, sender: WireInterface, receiver: WireInterface) -> Direction:
        """Return the direction for this pair alone, with a queue of its own; made if need be.

        It has the conditions of the sender's port, and whatever is changed for the pair on top.
        """
        key = (sender.full_name, receiver.full_name)
        direction = self._pairs.get(key)
        if direction is None:
            name = f"{self.name} from {sender.node.name} to {receiver.node.name}"
            direction = self.network.new_direction(name, sender.egress)
            self._pairs[key] = direction
        return direction

    def by_direction(
        self, sender: WireInterface, receivers: Sequence[WireInterface]
    ) -> list[tuple[Direction, Sequence[WireInterface]]]:
        """Sort receivers by the direction that leads to them: the port's own one first."""
        common: list[WireInterface] = []
        special: list[tuple[Direction, Sequence[WireInterface]]] = []
        for receiver in receivers:
            pair = self._pairs.get((sender.full_name, receiver.full_name))
            if pair is None:
                common.append(receiver)
            else:
                special.append((pair, (receiver,)))
        return [(sender.egress, common), *special] if common else special

    def directions(self) -> list[Direction]:
        """Return the directions of the ports; those of pairs follow them."""
        return [port.egress for port in self._ports]

    def __repr__(self) -> str:
        return f"<Segment {self.name} {self.prefix}, {len(self._ports)} hosts>"
