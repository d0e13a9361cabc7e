# IPv4 of one host: builds and reads packets, routes, cuts, joins and forwards them.
#
#   tcp, udp, raw, icmp   Transport
# > ipv4                  THIS FILE: NetworkLayer
#   interfaces            send(packet, next hop)
#
# Rule 1: whatever arrives, nothing raises: a packet is delivered, forwarded, or dropped by a name.
# Rule 2: the host model is the weak one of RFC 1122 section 3.3.4.2: a packet to any own address is
#         taken on any interface. 127/8 never comes in from a wire, and never goes out to one.
# Rule 3: a host that is no router never forwards. A router decrements TTL, mends the checksum as
#         RFC 1624 says, and cuts what the next link cannot carry unless DF forbids it.
#
# Sources: RFC 791; RFC 1122 section 3.2; RFC 1812 section 5; RFC 6864 (identification).

"""The IPv4 layer of a virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual import addresses, checksum
from wsock.virtual.layers import (
    LIMITED_BROADCAST,
    PROTOCOL_ICMP,
    PROTOCOL_TCP,
    LocalError,
    Route,
)
from wsock.virtual.reassembly import Reassembler
from wsock.virtual.routes import HostRoute, RouteTable, as_route
from wsock.virtual.wire import icmp, ipv4
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.layers import Counters, Flushable, Packet, Transport
    from wsock.virtual.node import HostCore
    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.random_streams import RandomStream
    from wsock.virtual.scheduler import Scheduler
    from wsock.virtual.wire.ipv4 import Ipv4Packet

#: TTL of a packet to a group unless its sender says otherwise (RFC 1112 section 6.1).
MULTICAST_TTL: Final = 1


class Ipv4Layer:
    """What :class:`~wsock.virtual.layers.NetworkLayer` promises, for one host."""

    __slots__ = ("_identifications", "_node", "_reassembler", "counters", "groups", "profile",
                 "routes", "scheduler", "transports")  # fmt: skip

    def __init__(self, node: HostCore, routes: RouteTable) -> None:
        self._node = node
        self.scheduler: Scheduler = node.scheduler
        self.profile: TcpProfile = node.profile
        self.counters: Counters = node.counters
        self.routes = routes
        self.transports: dict[int, Transport] = {}
        #: how many endpoints want packets of a group on an interface: (interface name, group).
        self.groups: dict[tuple[str, bytes], int] = {}
        self._identifications: dict[tuple[bytes, bytes, int], int] = {}
        self._reassembler = Reassembler(node)

    @property
    def name(self) -> str:
        """The host's name."""
        return self._node.name

    def random(self, purpose: str) -> RandomStream:
        """Return this host's random stream for one purpose."""
        return self._node.random(purpose)

    def mark_dirty(self, endpoint: Flushable) -> None:
        """Have ``endpoint.flush()`` called when this instant's events are over."""
        self._node.mark_dirty(endpoint)

    def learn_path_mtu(self, destination: bytes, mtu: int) -> None:
        """Believe that the path to ``destination`` carries no more than ``mtu`` bytes."""
        self.routes.learn_path_mtu(destination, mtu, self.scheduler.now)

    def report_unreachable(self, packet: Packet, code: int) -> None:
        """Answer ``packet`` with ICMP 3/``code``, if the rules allow one."""
        self._node.icmp.send_error(icmp.UNREACHABLE, code, packet)

    # Addresses.

    def is_local(self, address: bytes) -> bool:
        """Whether a packet to ``address`` stays in this host."""
        return address in self._node.own_addresses or address[0] == 127

    def is_unicast(self, address: bytes) -> bool:
        """Whether one host has this address."""
        if not 0 < address[0] < 224:
            return False
        return all(address != i.broadcast for i in self._node.interfaces.values())

    def is_broadcast(self, address: bytes) -> bool:
        """Whether every host of a link is meant."""
        return address == LIMITED_BROADCAST or any(
            address == i.broadcast for i in self._node.interfaces.values()
        )

    # Out.

    def route(self, destination: bytes) -> Route | None:
        """Return the way to ``destination``, or None."""
        route = self.find_route(destination, None)
        return None if route is None else as_route(route)

    def find_route(self, destination: bytes, source: bytes | None) -> HostRoute | None:
        """Return the way to ``destination``; ``source`` may choose the interface of a group."""
        node = self._node
        if self.is_local(destination):
            lo = node.interfaces["lo"]
            own = addresses.LOOPBACK if destination[0] == 127 else destination
            return HostRoute(lo, destination, lo.mtu, own)
        if addresses.is_multicast(destination) or destination == LIMITED_BROADCAST:
            interface = node.interface_for_groups(source)
            if interface is None:
                return None
            return HostRoute(interface, destination, interface.mtu, interface.address)
        return self.routes.lookup(destination, self.scheduler.now)

    def send(
        self,
        protocol: int,
        source: bytes | None,
        destination: bytes,
        payload: bytes | bytearray | memoryview,
        *,
        ttl: int | None = None,
        dscp: int = 0,
        dont_fragment: bool = False,
        options: bytes = b"",
        multicast_loop: bool = True,
    ) -> LocalError | None:
        """Build one packet and send it now. See :class:`~wsock.virtual.layers.NetworkLayer`.

        ``multicast_loop``: whether members of the group on this host get a copy.
        """
        route = self.routes.ways.get((source, destination))
        if route is None:
            found = self._find_way(source, destination)
            if isinstance(found, LocalError):
                return found
            route = found
        if source is None:
            source = route.source
        length = ipv4.HEADER_LENGTH + len(options) + len(payload)
        if length > ipv4.MAX_LENGTH or (length > route.mtu and dont_fragment):
            return LocalError.EMSGSIZE
        to_many = destination[0] >= 224 or destination == route.interface.broadcast
        if ttl is None:
            group = to_many and addresses.is_multicast(destination)
            ttl = MULTICAST_TTL if group else self.profile.time_to_live
        elif not 0 <= ttl <= 255:
            return LocalError.EINVAL
        if not 0 <= dscp <= 63:
            return LocalError.EINVAL
        packet = ipv4.build(
            source,
            destination,
            protocol,
            payload,
            ttl=ttl,
            tos=dscp << 2,
            identification=0 if dont_fragment else self.identify(source, destination, protocol),
            flags_offset=ipv4.DONT_FRAGMENT if dont_fragment else 0,
            options=options,
        )
        if to_many:
            self._send_to_self(packet, destination, route.interface, loop=multicast_loop)
        if ttl:  # one that may not live at all stays in the host
            self.transmit(packet, route)
        return None

    def _find_way(self, source: bytes | None, destination: bytes) -> HostRoute | LocalError:
        """Return the way from ``source`` to ``destination``, remembering it for the next packet."""
        route = self.find_route(destination, source)
        if route is None:
            return LocalError.ENETUNREACH
        if source is not None and not self.is_local(source):
            return LocalError.EADDRNOTAVAIL
        inside = self.is_local(destination) or route.interface.name == "lo"
        if source is not None and source[0] == 127 and not inside:
            return LocalError.EINVAL
        if self.routes.is_steady(destination):
            self.routes.ways[source, destination] = route
        return route

    def identify(self, source: bytes, destination: bytes, protocol: int) -> int:
        """Return the next identification of this flow: no two alike within 65,536 packets."""
        key = (source, destination, protocol)
        value = self._identifications.get(key)
        if value is None:
            purpose = f"ip identification {addresses.text(source)} {addresses.text(destination)}"
            value = self.random(f"{purpose} {protocol}").getrandbits(16)
        self._identifications[key] = (value + 1) & 0xFFFF
        return value

    def transmit(self, packet: bytes, route: HostRoute) -> None:
        """Send a finished packet, cut to the route's MTU if DF does not forbid it."""
        if len(packet) <= route.mtu:
            route.interface.send(packet, route.next_hop)
            return
        parsed = ipv4.parse(packet)
        assert isinstance(parsed, ipv4.Ipv4Packet)
        for piece in ipv4.fragments(parsed, route.mtu):
            route.interface.send(piece, route.next_hop)

    def _send_to_self(
        self, packet: bytes, destination: bytes, interface: Interface, *, loop: bool
    ) -> None:
        """Give this host its copy of what it sends to a group it is in, or to everybody."""
        if interface.name == "lo":
            return
        member = loop and (interface.name, destination) in self.groups
        if member or self.is_broadcast(destination):
            self._node.loop_back(packet)

    # In.

    def receive(self, data: bytes, interface: Interface) -> None:
        """Take a packet from an interface."""
        packet = ipv4.parse(data)
        if isinstance(packet, Malformed):
            self._node.drop(interface, data, packet)
            return
        destination = packet.destination
        if interface.name != "lo":
            first = packet.source[0]
            if not 0 < first < 224 or first == 127:  # addresses.is_valid_source, on the hot path
                self._node.drop(interface, data, "ip source address invalid")
                return
            if destination[0] == 127:
                self._node.drop(interface, data, "ip loopback address on a wire")
                return
        if destination in self._node.own_addresses or self._is_for_all(destination, interface):
            self._deliver(packet, interface)
        elif self._node.forwarding and not addresses.is_multicast(destination):
            self._forward(packet, interface)
        else:
            self._node.drop(interface, data, "ip not for this host")

    def _is_for_all(self, destination: bytes, interface: Interface) -> bool:
        """Whether a group, a broadcast or the loopback network includes this host here."""
        if addresses.is_multicast(destination):
            if interface.name == "lo":  # a copy of what this host sent itself
                return any(group == destination for _, group in self.groups)
            return (interface.name, destination) in self.groups
        if interface.name == "lo":
            return destination[0] == 127 or self.is_broadcast(destination)
        return destination in (LIMITED_BROADCAST, interface.broadcast)

    def _deliver(self, packet: Ipv4Packet, interface: Interface) -> None:
        if packet.is_fragment:
            whole = self._reassembler.add(packet, interface)
            if whole is None:
                return
            packet = whole
        node = self._node
        wanted = node.raw.receive(packet) if node.raw.is_used else False
        if packet.protocol == PROTOCOL_ICMP:
            node.icmp.receive(packet, interface)
            return
        transport = self.transports.get(packet.protocol)
        if transport is not None:
            transport.receive(packet)
        elif not wanted:
            node.drop(interface, packet.data, "ip protocol unknown")
            self.report_unreachable(packet, icmp.PROTOCOL_UNREACHABLE)

    # Through.

    def _forward(self, packet: Ipv4Packet, interface: Interface) -> None:
        node = self._node
        destination = packet.destination
        if not addresses.is_valid_source(destination) or self.is_broadcast(destination):
            node.drop(interface, packet.data, "ip not to be forwarded")
            return
        if packet.ttl <= 1:
            node.drop(interface, packet.data, "ip ttl exceeded")
            node.icmp.send_error(icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, packet)
            return
        route = self.routes.lookup(destination, self.scheduler.now)
        if route is None:
            node.drop(interface, packet.data, "ip no route")
            node.icmp.send_error(icmp.UNREACHABLE, icmp.NETWORK_UNREACHABLE, packet)
            return
        length = len(packet.header) + len(packet.payload)
        if length > route.mtu and packet.dont_fragment:
            node.drop(interface, packet.data, "ip too long and must not be fragmented")
            node.icmp.send_error(
                icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, packet, rest=route.mtu
            )
            return
        self.counters.count("ip forwarded")
        self.transmit(_one_hop_less(packet.data[:length]), route)

    def icmp_error_for(
        self, protocol: int, icmp_type: int, code: int,
        quoted_header: memoryview, quoted: memoryview, extra: int,
    ) -> None:  # fmt: skip
        """Hand an ICMP error to the transport whose packet it is about."""
        if (icmp_type, code) == (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED) and (
            protocol != PROTOCOL_TCP  # TCP first looks whether the quoted bytes are in flight
        ):
            destination = bytes(quoted_header[16:20])
            length = int.from_bytes(quoted_header[2:4], "big")
            self.learn_path_mtu(destination, extra or plateau_below(length))
        self._node.raw.icmp_error(icmp_type, code, quoted_header, quoted, extra)
        transport = self.transports.get(protocol)
        if transport is not None:
            transport.icmp_error(icmp_type, code, quoted_header, quoted, extra)


#: Likely MTUs, for routers that do not tell theirs (RFC 1191 section 7.1).
_PLATEAUS: Final = (32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68)


def plateau_below(length: int) -> int:
    """Return the next likely MTU below a packet length that was too long."""
    return next((mtu for mtu in _PLATEAUS if mtu < length), _PLATEAUS[-1])


def _one_hop_less(data: bytes) -> bytes:
    """Return a packet with TTL one lower and the checksum mended, not made anew (RFC 1624)."""
    old_word = data[8] << 8 | data[9]
    value = checksum.updated(data[10] << 8 | data[11], old_word, old_word - 0x100)
    return b"".join((data[:8], bytes((data[8] - 1, data[9])), value.to_bytes(2, "big"), data[12:]))
