# Building: hosts, routers, links, segments, and the common shapes with their routes.
#
# Names of hosts are unique, and so are those of media. Addresses, interface names and MAC addresses
# follow from the order of building alone.

"""How a virtual network is put together."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wsock.virtual import addresses as address_forms
from wsock.virtual.conditions import Conditions, changes
from wsock.virtual.media import Link, Segment
from wsock.virtual.network_base import NetworkBase
from wsock.virtual.node import HostCore
from wsock.virtual.profile import TcpProfile, profile_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual.addresses import Address
    from wsock.virtual.interfaces import Interface, WireInterface

#: Links get their two addresses from here unless they are given: 10.0.0.0/30, 10.0.0.4/30, ...
_FIRST_LINK_ADDRESS: Final = 10 << 24
_LINK_PREFIX_LENGTH: Final = 30


class Building(NetworkBase):
    """The part of a network that makes hosts and joins them."""

    def __init__(self, seed: int | str = 0) -> None:
        super().__init__(seed)
        self.hosts: dict[str, HostCore] = {}
        self.media: dict[str, Link | Segment] = {}
        self._adapters = 0
        self._links = 0

    def segment(
        self, name: str, prefix: str, *, mtu: int = 1500, latency: float = 0.0, **conditions: object
    ) -> Segment:
        """Make an Ethernet LAN.

        Args:
          name: unique among links and segments.
          prefix: such as ``"192.0.2.0/24"``.
          mtu: bytes of IP packet in a frame.
          latency: seconds from any port to any other.
          conditions: others, in the units of :meth:`link`.
        """
        self._check_name(name, self.media)
        values = changes(mtu=mtu, latency=latency, **conditions)
        segment = Segment(self, name, prefix, Conditions(**values))
        self.media[name] = segment
        return segment

    def link(
        self,
        a: HostCore | str,
        b: HostCore | str,
        *,
        name: str | None = None,
        addresses: tuple[Address, Address] | None = None,
        prefix_length: int | None = None,
        mtu: int = 1500,
        latency: float = 0.0,
        **conditions: object,
    ) -> Link:
        """Join two hosts by a point-to-point link; its conditions hold for both directions.

        Args:
          a: one end.
          b: the other.
          name: default ``"a-b"``.
          addresses: of both ends; default the next two of 10.0.0.0/8.
          prefix_length: of the addresses given, default 24.
          mtu: bytes of IP packet.
          latency: seconds from one end to the other.
          conditions: jitter (seconds), distribution, bandwidth (bit/s), queue (bytes), loss,
            duplicate, reorder, corrupt (chances), reorder_by (seconds), corrupt_bits.
        """
        near, far = self.host_named(a), self.host_named(b)
        name = name or self._free_name(f"{near.name}-{far.name}")
        self._check_name(name, self.media)
        length = _LINK_PREFIX_LENGTH if addresses is None else prefix_length or 24
        first, second = addresses or self._link_addresses()
        values = Conditions(**changes(mtu=mtu, latency=latency, **conditions))
        ends = ((near, address_forms.packed(first)), (far, address_forms.packed(second)))
        link = Link(self, name, ends, length, values)
        self.media[name] = link
        for node, address in ends:
            self.names.add(node.name, address)
        return link

    def _link_addresses(self) -> tuple[bytes, bytes]:
        first = _FIRST_LINK_ADDRESS + 4 * self._links + 1
        self._links += 1
        return first.to_bytes(4, "big"), (first + 1).to_bytes(4, "big")

    def host(
        self,
        name: str,
        link: Segment | None = None,
        address: Address | None = None,
        *,
        profile: str | TcpProfile = "rfc",
    ) -> HostCore:
        """Make a host, on a segment if one is given.

        Args:
          name: its name, for the resolver too.
          link: the segment of its first interface, or None for a host that links will join.
          address: on that segment; default the next free one.
          profile: ``"rfc"``, ``"linux"``, ``"windows2000"``, or a profile made by hand.
        """
        return self._add(
            self._new_host(name, profile_named(profile), forwarding=False), link, address
        )

    def router(
        self,
        name: str,
        link: Segment | None = None,
        address: Address | None = None,
        *,
        profile: str | TcpProfile = "rfc",
    ) -> HostCore:
        """Make a host that forwards; join it to more links by :meth:`join` and :meth:`link`."""
        return self._add(
            self._new_host(name, profile_named(profile), forwarding=True), link, address
        )

    def _new_host(self, name: str, profile: TcpProfile, *, forwarding: bool) -> HostCore:
        """Make the object; a subclass with tasks makes another one."""
        return HostCore(self, name, profile, forwarding=forwarding)

    def _add(self, node: HostCore, link: Segment | None, address: Address | None) -> HostCore:
        self._check_name(node.name, self.hosts)
        if link is not None:
            self.join(node, link, address)  # raises before the host is known by its name
        self.hosts[node.name] = node
        return node

    def join(
        self, host: HostCore | str, segment: Segment, address: Address | None = None
    ) -> Interface:
        """Give a host an interface on a segment."""
        node = self.host_named(host)
        port = segment.attach(node, None if address is None else address_forms.packed(address))
        self.names.add(node.name, port.address)
        return port

    def host_named(self, host: HostCore | str) -> HostCore:
        """Return the host of that name; a host itself is returned as it is.

        Raises:
          ValueError: there is none.
        """
        if isinstance(host, HostCore):
            return host
        try:
            return self.hosts[host]
        except KeyError:
            raise ValueError(f"no host is called {host!r}") from None

    def _check_name(self, name: str, taken: dict[str, Any]) -> None:
        if not name or name in taken:
            raise ValueError(f"the name {name!r} is taken" if name else "a name cannot be empty")

    def _free_name(self, name: str) -> str:
        number, free = 1, name
        while free in self.media:
            number += 1
            free = f"{name} {number}"
        return free

    def next_adapter(self) -> int:
        """Count the Ethernet adapters: MAC addresses come from this."""
        self._adapters += 1
        return self._adapters

    # Shapes.

    def star(
        self, center: HostCore | str, leaves: Sequence[HostCore | str], **conditions: object
    ) -> tuple[HostCore, list[HostCore]]:
        """Join every leaf to a router in the middle, with routes filled in.

        Args:
          center: the router, made if only its name is given.
          leaves: hosts, made if only their names are given.
          conditions: of every link, as for :meth:`link`.

        Returns:
          the router and the leaves.
        """
        router = self._made(center, forwarding=True)
        hosts = [self._made(leaf, forwarding=False) for leaf in leaves]
        for host in hosts:
            self.link(host, router, **conditions)  # type: ignore[arg-type]
        self.fill_routes()
        return router, hosts

    def chain(self, *nodes: HostCore | str, **conditions: object) -> list[HostCore]:
        """Join nodes one after the other, with routes filled in.

        Args:
          nodes: two or more; those given by name are made: hosts at the ends, routers between.
          conditions: of every link, as for :meth:`link`.
        """
        ends = (0, len(nodes) - 1)
        made = [self._made(n, forwarding=i not in ends) for i, n in enumerate(nodes)]
        for near, far in itertools.pairwise(made):
            self.link(near, far, **conditions)  # type: ignore[arg-type]
        self.fill_routes()
        return made

    def _made(self, node: HostCore | str, *, forwarding: bool) -> HostCore:
        if isinstance(node, HostCore):
            return node
        if node in self.hosts:
            return self.hosts[node]
        return self.router(node) if forwarding else self.host(node)

    def fill_routes(self) -> None:
        """Give every node routes to every prefix, by the fewest hops.

        A host with one interface and one router beside it gets a default route. Routes that are
        there already stay.
        """
        for node in self.hosts.values():
            gateways = self._gateways(node)
            wires = node.wires
            if not node.forwarding and len(wires) == 1 and len(set(gateways.values())) == 1:
                node.routes.add(0, 0, next(iter(gateways.values()))[1], wires[0])
                continue
            for (network, length), (interface, gateway) in gateways.items():
                node.routes.add(network, length, gateway, interface)

    def _gateways(self, start: HostCore) -> dict[tuple[int, int], tuple[WireInterface, bytes]]:
        """Return for each prefix that is not on a link of ``start`` where the way to it begins."""
        known = {(wire.network, wire.prefix_length) for wire in start.wires}
        found: dict[tuple[int, int], tuple[WireInterface, bytes]] = {}
        seen = {start.name}
        queue: deque[tuple[HostCore, tuple[WireInterface, bytes] | None]] = deque([(start, None)])
        while queue:
            node, first_hop = queue.popleft()
            for wire in node.wires:
                prefix = (wire.network, wire.prefix_length)
                if first_hop is not None and prefix not in known:
                    found.setdefault(prefix, first_hop)
                for other in wire.medium.interfaces:
                    if other.node.name not in seen and other.node.forwarding:
                        seen.add(other.node.name)
                        queue.append((other.node, first_hop or (wire, other.address)))
        return found
