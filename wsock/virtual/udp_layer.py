# UDP of one host: the table of ports, and who receives what.
#
#   udp endpoint          one socket
# > udp layer             THIS FILE
#   ipv4                  send(packet)                  receive(packet)
#
# Who receives (unicast): the endpoint connected to the sender; else one bound to the exact address;
# else one bound to all addresses; among equals the one bound last. A broadcast or a datagram to a
# group reaches every endpoint of the port that wants it.
#
# Sources: RFC 768; RFC 1122 section 4.1.

"""The UDP layer of a virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual import addresses
from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.ports import EphemeralPorts
from wsock.virtual.udp_endpoint import Received, UdpEndpoint
from wsock.virtual.wire import icmp, udp
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from wsock.virtual.ipv4_layer import Ipv4Layer
    from wsock.virtual.layers import Packet


class UdpLayer:
    """UDP of one host: the table of ports, and the way from packets to endpoints."""

    __slots__ = ("_made", "_ports", "_table", "ip")

    def __init__(self, ip: Ipv4Layer) -> None:
        self.ip = ip
        self._table: dict[int, list[UdpEndpoint]] = {}
        self._ports = EphemeralPorts(ip.profile.ephemeral_ports, ip.random("udp ports"))
        self._made = 0

    def open(self) -> UdpEndpoint:
        """Make an endpoint that is not bound yet."""
        self._made += 1
        return UdpEndpoint(self, self._made)

    @property
    def endpoints(self) -> list[UdpEndpoint]:
        """All bound endpoints, by port and age."""
        return [endpoint for port in sorted(self._table) for endpoint in self._table[port]]

    def bind(self, endpoint: UdpEndpoint, local: bytes, port: int) -> LocalError | None:
        """Enter ``endpoint`` in the table. See :meth:`UdpEndpoint.bind`."""
        if endpoint.local_port:
            return LocalError.EINVAL
        special = addresses.is_multicast(local) or self.ip.is_broadcast(local)
        if local != ANY_ADDRESS and not special and not self.ip.is_local(local):
            return LocalError.EADDRNOTAVAIL
        if not port:
            chosen = self._ports.choose(local, lambda free: free not in self._table)
            if chosen is None:
                return LocalError.EADDRINUSE
            port = chosen
        elif any(_conflict(endpoint, local, other) for other in self._table.get(port, ())):
            return LocalError.EADDRINUSE
        endpoint.local, endpoint.local_port = local, port
        self._table.setdefault(port, []).append(endpoint)
        return None

    def release(self, endpoint: UdpEndpoint) -> None:
        """Take ``endpoint`` out of the table."""
        holders = self._table.get(endpoint.local_port)
        if holders and endpoint in holders:
            holders.remove(endpoint)
            if not holders:
                del self._table[endpoint.local_port]

    def group_key(self, group: bytes, interface_address: bytes) -> tuple[str, bytes] | LocalError:
        """Return what stands for a group on an interface."""
        if not addresses.is_multicast(group):
            return LocalError.EINVAL
        if interface_address != ANY_ADDRESS and not self.ip.is_local(interface_address):
            return LocalError.EADDRNOTAVAIL
        source = None if interface_address == ANY_ADDRESS else interface_address
        route = self.ip.find_route(group, source)
        return LocalError.ENETUNREACH if route is None else (route.interface.name, group)

    # In.

    def receive(self, packet: Packet) -> None:
        """Take a UDP packet."""
        datagram = udp.parse(packet.source, packet.destination, packet.payload)
        if isinstance(datagram, Malformed):
            self.ip.counters.count(datagram)
            return
        holders = self._table.get(datagram.destination_port, [])
        received = Received(
            bytes(datagram.data), packet.source, datagram.source_port, packet.destination,
            packet.ttl,
        )  # fmt: skip
        if self.ip.is_local(packet.destination):
            best = max(
                ((score, place, endpoint) for place, endpoint in enumerate(holders)
                 if (score := _score(endpoint, received)) is not None),
                default=None,
            )  # fmt: skip
            chosen = [] if best is None else [best[2]]
        else:
            chosen = [e for e in holders if self._wants(e, received)]
        self.ip.counters.count("udp received" if chosen else "udp no port")
        for endpoint in chosen:
            endpoint.arrive(received)
        if not chosen:
            self.ip.report_unreachable(packet, icmp.PORT_UNREACHABLE)

    def _wants(self, endpoint: UdpEndpoint, received: Received) -> bool:
        """Whether an endpoint gets a datagram that was sent to many."""
        if endpoint.local not in (ANY_ADDRESS, received.destination):
            return False  # bound to one address it hears no broadcast, as on Linux
        if not _is_peer(endpoint, received):
            return False
        if addresses.is_multicast(received.destination):
            return any(group == received.destination for _, group in endpoint.groups)
        return True

    def icmp_error(
        self, icmp_type: int, code: int, quoted_header: memoryview, quoted: memoryview, extra: int
    ) -> None:
        """Tell the endpoint that sent the quoted datagram (RFC 1122 section 4.1.3.3)."""
        source, destination = bytes(quoted_header[12:16]), bytes(quoted_header[16:20])
        source_port = quoted[0] << 8 | quoted[1]
        port = quoted[2] << 8 | quoted[3]
        error = error_of(icmp_type, code)
        self.ip.counters.count(f"udp icmp error {icmp_type}/{code}")
        if error is None:
            return
        for endpoint in self._table.get(source_port, []):
            if endpoint.local not in (ANY_ADDRESS, source):
                continue
            if not endpoint.remote_port or (
                (endpoint.remote, endpoint.remote_port) == (destination, port)
            ):
                endpoint.fail(error, destination, port)
                return


_UNREACHABLE_ERRORS: Final = {
    icmp.NETWORK_UNREACHABLE: LocalError.ENETUNREACH,
    icmp.HOST_UNREACHABLE: LocalError.EHOSTUNREACH,
    icmp.PROTOCOL_UNREACHABLE: LocalError.ECONNREFUSED,
    icmp.PORT_UNREACHABLE: LocalError.ECONNREFUSED,
    icmp.FRAGMENTATION_NEEDED: LocalError.EMSGSIZE,
}


def error_of(icmp_type: int, code: int) -> LocalError | None:
    """Return the error that an ICMP message means to a datagram socket; None for no matter."""
    if icmp_type == icmp.UNREACHABLE:
        return _UNREACHABLE_ERRORS.get(code, LocalError.EHOSTUNREACH)
    if icmp_type == icmp.TIME_EXCEEDED:
        return LocalError.EHOSTUNREACH
    if icmp_type == icmp.PARAMETER_PROBLEM:
        return LocalError.EPROTO
    return None  # source quench means nothing any more (RFC 6633)


def _conflict(endpoint: UdpEndpoint, local: bytes, other: UdpEndpoint) -> bool:
    """Whether two endpoints cannot have the same port."""
    exclusive = endpoint.exclusive or other.exclusive
    shared = endpoint.reuse and other.reuse and not exclusive
    overlaps = ANY_ADDRESS in (local, other.local) or local == other.local
    return overlaps and not shared


def _is_peer(endpoint: UdpEndpoint, received: Received) -> bool:
    if not endpoint.remote_port:
        return True
    return (endpoint.remote, endpoint.remote_port) == (received.source, received.source_port)


def _score(endpoint: UdpEndpoint, received: Received) -> int | None:
    """Say how well an endpoint fits a unicast datagram; None if it does not."""
    if endpoint.local not in (ANY_ADDRESS, received.destination):
        return None
    if not _is_peer(endpoint, received):
        return None
    return 2 * bool(endpoint.remote_port) + (endpoint.local != ANY_ADDRESS)
