# The network: everything that is simulated together, in one class.
#
#   host, pump, trio_face   drive it under Trio         (other files)
# > network                 THIS FILE: captures and digests, on top of
#   faults                  what goes wrong, on purpose
#   building                hosts, links, segments
#   network base            time, randomness, log, flush

"""A virtual network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wsock.virtual.addresses import Address, packed, text
from wsock.virtual.capture import Capture
from wsock.virtual.capture.ladder import StateChange
from wsock.virtual.conditions import Conditions, changes
from wsock.virtual.faults import Faults
from wsock.virtual.media import Link, Segment
from wsock.virtual.node import HostCore
from wsock.virtual.tap import Tap

if TYPE_CHECKING:
    from wsock.virtual.interfaces import Interface


class Network(Faults):
    """Hosts, routers, links and segments that share one virtual time.

    Attributes:
      seed: of all chance in it.
      scheduler: virtual time.
      names: who is called what.
      hosts: hosts and routers by name, in the order of their making.
      media: links and segments by name.
      log: what was dropped, where and why, and other things worth knowing.
      captures: all that were made, in order.
      transports: factories of other transports than UDP and TCP, by protocol number. A host gets
        those that are there when it is made.
    """

    def __init__(self, seed: int | str = 0) -> None:
        super().__init__(seed)
        self.captures: list[Capture] = []

    def tap(
        self,
        host: HostCore | str,
        descriptor: int,
        addresses: tuple[Address, Address],
        *,
        name: str = "linux",
        prefix_length: int = 24,
        mtu: int = 1500,
        latency: float = 0.0,
        **conditions: object,
    ) -> Tap:
        """Join a host to Linux by a TUN device. Needs real time.

        Args:
          host: the virtual end.
          descriptor: of the device, as :func:`wsock.virtual.tap.open_tun` returns it.
          addresses: of the virtual end, and the one that Linux' end was given.
          name: of the node that stands for Linux.
          prefix_length: of the addresses.
          mtu: of the link; the device has its own.
          latency: seconds from one end to the other.
          conditions: as for :meth:`link`.
        """
        near, linux = self.host_named(host), self.host(name)
        medium = self._free_name(f"{near.name}-{name}")
        ends = ((near, packed(addresses[0])), (linux, packed(addresses[1])))
        values = Conditions(**changes(mtu=mtu, latency=latency, **conditions))
        tap = Tap(self, medium, ends, prefix_length, values, descriptor)
        self.media[medium] = tap
        for node, address in ends:
            self.names.add(node.name, address)
        return tap

    def capture(
        self, *points: Interface | HostCore | Link | Segment, merged: bool = False
    ) -> Capture:
        """Watch an interface (a host stands for its only one) from now on.

        Args:
          points: one interface; with ``merged`` any number of interfaces, hosts, links, segments.
          merged: put several interfaces into one capture. Every packet between two of them is then
            in it twice, which makes tshark report retransmissions.

        Raises:
          ValueError: not exactly one interface, and not merged.
        """
        interfaces: list[Interface] = []
        for point in points:
            if isinstance(point, HostCore):
                interfaces += point.outer_interfaces
            elif isinstance(point, Link | Segment):
                interfaces += point.interfaces
            else:
                interfaces.append(point)
        if not merged and len(interfaces) != 1:
            names = ", ".join(interface.full_name for interface in interfaces)
            raise ValueError(f"a capture watches one interface, not {names or 'none'}; or merged")
        capture = Capture(self, list(dict.fromkeys(interfaces)))
        self.captures.append(capture)
        return capture

    def digest(self) -> str:
        """Return SHA-256 over all captured bytes and their times: equal runs, equal digests.

        Only captures count: a network without any has the digest of nothing.
        """
        digest = hashlib.sha256()
        for capture in self.captures:
            capture.feed_digest(digest)
        return digest.hexdigest()

    def state_changes(self) -> list[StateChange]:
        """Return the state changes of all TCP connections, by time, for ladders."""
        found = [
            StateChange(
                change.time_ns, node.name, str(change.new), (trace.local[1], trace.remote[1])
            )
            for node in self.hosts.values()
            for trace in node.traces
            for change in trace.changes
            if change.old is not change.new
        ]
        return sorted(found, key=lambda change: change.time_ns)

    def name_of(self, address: bytes) -> str:
        """Return the name of the host that has an address, else the address as text."""
        try:
            return self.names.reverse(address)
        except OSError:
            return text(address)

    def __repr__(self) -> str:
        return f"<Network seed={self.seed!r} at {self.time:.9f} s, {len(self.hosts)} hosts>"
