"""Numbered datagrams between virtual hosts: what arrives tells what a fault did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.addresses import packed
from wsock.virtual.network import Network

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore
    from wsock.virtual.udp_endpoint import UdpEndpoint


def lan(names: str = "abc", **conditions: float) -> tuple[Network, list[HostCore]]:
    """Hosts 192.0.2.1, .2, ... on one segment whose ARP caches are filled."""
    net = Network(11)
    segment = net.segment("lan", "192.0.2.0/24", **conditions)
    hosts = [net.host(name, segment) for name in names]
    for host in hosts:
        for other in hosts:
            if other is not host:
                bound(host).send(b"", packed(str(other.address)), 1)
    net.run_until_quiet()
    return net, hosts


def bound(host: HostCore, port: int = 0) -> UdpEndpoint:
    """A bound endpoint with a long queue."""
    endpoint = host.udp.open()
    assert endpoint.bind(port=port) is None
    endpoint.receive_limit = 10_000_000
    return endpoint


class Stream:
    """Sends numbered datagrams from one host to another and tells which arrive."""

    def __init__(self, net: Network, source: HostCore, destination: HostCore) -> None:
        self.net = net
        self.sender, self.receiver = bound(source), bound(destination)
        self.to = packed(str(destination.address))
        self.sent = 0

    def send(self, count: int = 1) -> None:
        """Send so many at this instant."""
        for _ in range(count):
            self.sender.send(self.sent.to_bytes(2, "big"), self.to, self.receiver.local_port)
            self.sent += 1
        while self.net.flush():
            pass

    def arrived(self) -> list[int]:
        """Run until nothing moves; return the numbers that arrived."""
        self.net.run_until_quiet(0.0)
        numbers = []
        while (datagram := self.receiver.receive()) is not None:
            numbers.append(int.from_bytes(datagram.data, "big"))
        return numbers
