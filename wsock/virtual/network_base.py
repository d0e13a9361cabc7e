# The base of a network: one virtual time, one seed, one log, and the flush.
#
#   network               captures                      and all of the below in one class
#   faults                what goes wrong, on purpose
#   building              hosts, links, segments
# > network base          THIS FILE: time, randomness, the log; the manual driver
#   scheduler
#
# Rule 1: application calls mark endpoints dirty; ``flush`` lets them send, in the order of their
#         keys, when an instant is over: no event of that instant is left (and, under Trio, every
#         task is blocked). So neither the random order of tasks nor the order of calls inside one
#         instant can reach a wire, and the acknowledgements of one instant become one.
# Rule 2: what a driver needs is here and has no clock of its own: ``next_time``, ``run_due``,
#         ``flush``, ``is_quiet``. ``step``, ``run_for`` and ``run_until`` are the driver without
#         Trio.

"""What a virtual network is made of: time, randomness, a log, and the order of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual.conditions import Conditions, Direction, Traffic
from wsock.virtual.names import NameTable
from wsock.virtual.random_streams import RandomStreams
from wsock.virtual.scheduler import Scheduler, nanoseconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.fault import Fault
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.ipv4_layer import Ipv4Layer
    from wsock.virtual.layers import Flushable, Transport
    from wsock.virtual.node import HostCore

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


class NetworkBase:
    """Time, randomness, the log, and the endpoints that have something to send."""

    def __init__(self, seed: int | str = 0) -> None:
        self.seed = seed
        self.scheduler = Scheduler()
        self.random_streams = RandomStreams(seed)
        self.traffic = Traffic()
        self.names = NameTable()
        self.log: list[LogEntry] = []
        #: the faults in force, oldest first.
        self.faults: list[Fault] = []
        self.transports: dict[int, Callable[[Ipv4Layer], Transport]] = {}
        self.loopback_conditions = Conditions(mtu=65_535)
        #: How often programs were told "not now": so a driver finds out that they poll.
        self.polls = 0
        #: The thread that moves this network, as ``threading.get_ident`` has it; 0 while none does.
        self.thread = 0
        self._dirty: dict[Flushable, HostCore] = {}

    # What happens.

    def new_direction(self, name: str, base: Conditions | Direction) -> Direction:
        """Make one direction of a wire, with its own random stream. Media call this."""
        stream = self.random_streams.stream("wire", name)
        return Direction(name, self.scheduler, stream, self.traffic, base)

    def interface_added(self, interface: Interface) -> None:
        """A host has a new interface; a network that watches everything begins to here."""

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

    @property
    def is_dirty_or_due(self) -> bool:
        """Whether this instant is not over yet: something is to be sent, or is due."""
        if self._dirty:
            return True
        due = self.scheduler.next_time()
        return due is not None and due <= self.scheduler.now

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
