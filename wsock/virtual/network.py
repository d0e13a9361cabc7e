# The network: everything that is simulated together: one time, one seed, one log.
#
#   host, pump, trio_face   drive it under Trio         (other files)
# > network                 THIS FILE: names, wires, nodes; the manual driver; the flush
#   node, media, scheduler
#
# Rule 1: application calls mark endpoints dirty; ``flush`` lets them send, in the order of their
#         keys, when an instant is over: no event of that instant is left (and, under Trio, every
#         task is blocked). So neither the random order of tasks nor the order of calls inside one
#         instant can reach a wire, and the acknowledgements of one instant become one.
# Rule 2: what a driver needs is here and has no clock of its own: ``next_time``, ``run_due``,
#         ``flush``, ``is_quiet``. ``step``, ``run_for`` and ``run_until`` are the driver without
#         Trio.

"""A virtual network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.capture import Capture
from wsock.virtual.conditions import Conditions, Direction, Traffic, changes
from wsock.virtual.media import Link, Segment
from wsock.virtual.names import NameTable
from wsock.virtual.node import HostCore
from wsock.virtual.profile import TcpProfile, profile_named
from wsock.virtual.random_streams import RandomStreams
from wsock.virtual.scheduler import Scheduler, nanoseconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.addresses import Address
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.layers import Flushable, NetworkLayer, Transport

#: Links get their two addresses from here unless they are given: 10.0.0.0/30, 10.0.0.4/30, ...
_FIRST_LINK_ADDRESS: Final = 10 << 24
_LINK_PREFIX_LENGTH: Final = 30
#: Lines of the log that are kept; the oldest go first.
LOG_LIMIT: Final = 100_000


class LogEntry(NamedTuple):
    """A line of the network's log."""

    time_ns: int
    where: str
    text: str
    data: bytes

    def __str__(self) -> str:
        return f"{seconds(self.time_ns):.9f} {self.where} {self.text}"


class Network:
    """Hosts, routers, links and segments that share one virtual time.

    Attributes:
      seed: of all chance in it.
      scheduler: virtual time.
      names: who is called what.
      hosts: hosts and routers by name, in the order of their making.
      media: links and segments by name.
      log: what was dropped, where and why, and other things worth knowing.
      state_changes: of connections, as their hosts report them; ladders show them.
      captures: all that were made, in order.
      transports: factories of the transports above IPv4 beside UDP, by protocol number. A host gets
        those that are there when it is made.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self.seed = seed
        self.scheduler = Scheduler()
        self.random_streams = RandomStreams(seed)
        self.traffic = Traffic()
        self.names = NameTable()
        self.hosts: dict[str, HostCore] = {}
        self.media: dict[str, Link | Segment] = {}
        self.log: list[LogEntry] = []
        self.state_changes: list[LogEntry] = []
        self.captures: list[Capture] = []
        self.transports: dict[int, Callable[[NetworkLayer], Transport]] = dict(
            _default_transports()
        )
        self.loopback_conditions = Conditions(mtu=65_535)
        self._dirty: dict[Flushable, HostCore] = {}
        self._adapters = 0
        self._links = 0

    # Building.

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
        ends = ((near, _packed(first)), (far, _packed(second)))
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
        self.hosts[node.name] = node
        if link is not None:
            self.join(node, link, address)
        return node

    def join(
        self, host: HostCore | str, segment: Segment, address: Address | None = None
    ) -> Interface:
        """Give a host an interface on a segment."""
        node = self.host_named(host)
        port = segment.attach(node, None if address is None else _packed(address))
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

    def new_direction(self, name: str, conditions: Conditions) -> Direction:
        """Make one direction of a wire, with its own random stream. Media call this."""
        stream = self.random_streams.stream("wire", name)
        return Direction(name, self.scheduler, stream, self.traffic, conditions)

    def next_adapter(self) -> int:
        """Count the Ethernet adapters: MAC addresses come from this."""
        self._adapters += 1
        return self._adapters

    # Watching.

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
                interfaces += point.wires or [point.interfaces["lo"]]
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

    def name_of(self, address: bytes) -> str:
        """Return the name of the host that has an address, else the address as text."""
        try:
            return self.names.reverse(address)
        except OSError:
            return addresses.text(address)

    def record_state(self, where: str, text: str) -> None:
        """Note a change of a connection's state on a host, for ladders."""
        self.state_changes.append(LogEntry(self.scheduler.now, where, text, b""))

    # What happens.

    def record_drop(self, interface: Interface, data: bytes, comment: str) -> None:
        """Write a drop into the log and into the captures that saw the packet."""
        self.note(interface.full_name, comment, data)
        for tap in interface.taps:
            tap.note(interface, data, comment)

    def note(self, where: str, text: str, data: bytes = b"") -> None:
        """Write a line into the log."""
        if len(self.log) >= LOG_LIMIT:
            del self.log[: LOG_LIMIT // 10]
        self.log.append(LogEntry(self.scheduler.now, where, text, data))

    def mark_dirty(self, endpoint: Flushable, node: HostCore) -> None:
        """Have ``endpoint`` flushed when this instant's events are over."""
        self._dirty[endpoint] = node

    def forget_dirty(self, node: HostCore) -> None:
        """Forget the endpoints of a host that was switched off."""
        self._dirty = {e: owner for e, owner in self._dirty.items() if owner is not node}

    # Time.

    @property
    def time(self) -> float:
        """Virtual seconds since the network was made."""
        return seconds(self.scheduler.now)

    @property
    def is_dirty(self) -> bool:
        """Whether an endpoint of a running host has something to send."""
        return any(node.is_running for node in self._dirty.values())

    def flush(self) -> bool:
        """Let every dirty endpoint send, in the order of their keys. False if there is none.

        Endpoints of paused hosts stay dirty.
        """
        ready = [endpoint for endpoint, node in self._dirty.items() if node.is_running]
        if not ready:
            return False
        for endpoint in ready:
            del self._dirty[endpoint]
        ready.sort(key=lambda endpoint: endpoint.flush_key)
        for endpoint in ready:
            endpoint.flush()
        return True

    def next_time(self) -> int | None:
        """The nanosecond of the next event; None if nothing will ever happen by itself."""
        return self.scheduler.next_time()

    def is_quiet(self, bound_ns: int) -> bool:
        """Whether nothing is dirty, in flight, or due within ``bound_ns`` (for ``settle``)."""
        if self.is_dirty or self.traffic.in_flight:
            return False
        due = self.next_time()
        return due is None or due > self.scheduler.now + bound_ns

    def run_due(self, time_ns: int) -> None:
        """Run everything up to and including ``time_ns``, flushing as each instant ends."""
        while True:
            due = self.next_time()
            if due is not None and due <= self.scheduler.now:
                self.scheduler.step()
            elif not self.flush():
                if due is None or due > time_ns:
                    break
                self.scheduler.step()
        self.scheduler.now = max(self.scheduler.now, time_ns)

    def step(self) -> bool:
        """Do the next thing: an event, or, when an instant is over, the flush.

        Returns False when nothing is left to do.
        """
        due = self.next_time()
        if due is not None and due <= self.scheduler.now:
            return self.scheduler.step()
        return self.flush() or self.scheduler.step()

    def run_for(self, duration: float) -> None:
        """Run ``duration`` virtual seconds."""
        self.run_due(self.scheduler.now + nanoseconds(duration))

    def run_until(self, condition: Callable[[], bool], *, limit: float = 3600.0) -> None:
        """Run until ``condition()`` holds, asked after every step.

        Raises:
          TimeoutError: it does not hold after ``limit`` virtual seconds, or nothing happens any
            more.
        """
        last = self.scheduler.now + nanoseconds(limit)
        while not condition():
            due = self.next_time()
            if not self.is_dirty and (due is None or due > last):
                why = "nothing happens any more" if due is None else f"{limit} s have passed"
                raise TimeoutError(f"the condition does not hold and {why} (t = {self.time} s)")
            self.step()

    def run_until_quiet(self, bound: float = 1.0, *, limit: float = 3600.0) -> None:
        """Run until nothing is in flight or due within ``bound`` virtual seconds."""
        self.run_until(lambda: self.is_quiet(nanoseconds(bound)), limit=limit)

    def __repr__(self) -> str:
        return f"<Network seed={self.seed!r} at {self.time:.9f} s, {len(self.hosts)} hosts>"


_packed = addresses.packed


def _default_transports() -> dict[int, Callable[[NetworkLayer], Transport]]:
    return {}
