"""Hosts with a transport that notes what IPv4 gives it; shared by the tests of IPv4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.addresses import packed
from wsock.virtual.network import Network
from wsock.virtual.wire import ipv4
from wsock.virtual.wire.ipv4 import Ipv4Packet

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore

HERE, THERE = packed("10.0.0.1"), packed("10.0.0.2")

PROTOCOL = 253  # for experiments (RFC 3692)


class Note:
    """A transport that keeps what it is given."""

    def __init__(self, _: object = None) -> None:
        self.packets: list[bytes] = []
        self.errors: list[tuple[int, int, int]] = []

    def receive(self, packet: Ipv4Packet) -> None:
        """Keep the payload."""
        self.packets.append(bytes(packet.payload))

    def icmp_error(
        self, icmp_type: int, code: int, header: object, quoted: object, extra: int
    ) -> None:
        """Keep the error."""
        self.errors.append((icmp_type, code, extra))


def noting_network() -> Network:
    """A network whose hosts note what comes by protocol 253."""
    net = Network(5)
    net.transports[PROTOCOL] = Note
    return net


def note(host: HostCore) -> Note:
    """The noting transport of a host."""
    transport = host.transport(PROTOCOL)
    assert isinstance(transport, Note)
    return transport


def linked(**conditions: object) -> tuple[Network, HostCore, HostCore]:
    """Two hosts, a at 10.0.0.1 and b at 10.0.0.2, joined by a link."""
    net = noting_network()
    a, b = net.host("a"), net.host("b")
    net.link(a, b, **conditions)  # type: ignore[arg-type]
    return net, a, b


def routed(mtu: int = 1500) -> tuple[Network, HostCore, HostCore, HostCore]:
    """a - r - b; the link from r to b has the MTU given."""
    net = noting_network()
    a, r, b = net.host("a"), net.router("r"), net.host("b")
    net.link(a, r)
    net.link(r, b, mtu=mtu)
    a.add_route("0.0.0.0/0", r)
    b.add_route("0.0.0.0/0", r)
    return net, a, r, b


def parsed(data: bytes) -> Ipv4Packet:
    """Parse what must be a packet."""
    packet = ipv4.parse(data)
    assert isinstance(packet, Ipv4Packet), packet
    return packet
