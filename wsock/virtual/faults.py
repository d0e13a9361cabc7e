# Faults: what goes wrong in a network, on purpose.
#
#   scripts, tests        with net.partition(a, b): ...     net.at(5.0, net.loss, 0.1, a, b)
# > faults                THIS FILE: the verbs
#   gates, conditions     how they are done
#
# Rule 1: every verb acts at once and returns a Fault, which ends when its ``with`` block does, when
#         ``end`` is called, or after ``lasting`` seconds.
# Rule 2: faults end in any order; what one changed is taken back whatever came after it.
# Rule 3: ``a`` and ``b`` say where: hosts (objects or names, or several), or a segment or link;
#         none for everywhere. ``both=False`` means from ``a`` to ``b`` only. A host with only
#         its loopback has that for a wire, and so has any host with itself.
# Rule 4: a fault concerns the interfaces that exist when it begins.

"""Partitions, losses, delays and other faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsock.virtual.capture.fields import InitialNumbers, matcher
from wsock.virtual.conditions import changes
from wsock.virtual.fault import Fault
from wsock.virtual.gates import (
    DropGate,
    HeldPacket,
    HoldGate,
    PartitionGate,
    RejectGate,
    Scope,
    Turn,
    deliver_soon,
)
from wsock.virtual.layers import PROTOCOL_TCP
from wsock.virtual.node import HostCore
from wsock.virtual.places import Match, Place, Places, place_key, place_text
from wsock.virtual.random_streams import shuffled
from wsock.virtual.scheduler import RANK_DELIVERY, RANK_SCRIPT, Owner, nanoseconds
from wsock.virtual.tcp.segment import RST
from wsock.virtual.tcp.segment import build as build_segment
from wsock.virtual.wire import ipv4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsock.virtual.conditions import Distribution
    from wsock.virtual.interfaces import Gate, GatedInterface, Interface
    from wsock.virtual.tcp import Connection


class Faults(Places):
    """The part of a network that breaks things."""

    def __init__(self, seed: int | str = 0) -> None:
        super().__init__(seed)
        #: the packets that holds keep, oldest first.
        self.held: list[HeldPacket] = []
        self._script = Owner("script")
        self._partitions: list[tuple[Fault, frozenset[str]]] = []
        self._holds: list[tuple[Fault, frozenset[str]]] = []

    # Whole connections.

    def partition(self, a: Place, b: Place = None, *, both: bool = True) -> Fault:
        """Drop everything between ``a`` and ``b``, silently. TCP survives a short one."""
        text = f"partition {place_text(a)} {place_text(b)}".rstrip()
        fault = self._gated(text, a, b, both, lambda scope: PartitionGate(scope, text))
        self._remember(self._partitions, fault, place_key(a, b))
        return fault

    def heal(self, a: Place = None, b: Place = None) -> None:
        """End the partitions and isolations between ``a`` and ``b``; all of them without names."""
        self._partitions = _end_those(self._partitions, a, b)

    def isolate(self, host: Place, *, reject: bool = False) -> Fault:
        """Cut hosts off from everything.

        Args:
          host: one or several hosts.
          reject: answer with ICMP host unreachable instead of silence.
        """
        text = f"isolate {place_text(host)}"
        if reject:
            fault = self._gated(text, host, None, True, lambda scope: RejectGate(self, scope, text))
        else:
            fault = self._gated(text, host, None, True, lambda scope: PartitionGate(scope, text))
        self._remember(self._partitions, fault, place_key(host, None))
        return fault

    def hold(self, a: Place = None, b: Place = None, *, both: bool = True) -> Fault:
        """Keep packets back, in order, in ``net.held``; they go on when the hold ends."""
        gates: list[HoldGate] = []

        def make(scope: Scope) -> Gate:
            gates.append(HoldGate(scope, self.held))
            return gates[-1]

        fault = self._gated(f"hold {place_text(a)} {place_text(b)}".rstrip(), a, b, both, make)
        fault.on_end = lambda: self._let_go(gates)
        self._remember(self._holds, fault, place_key(a, b))
        return fault

    def _let_go(self, gates: list[HoldGate]) -> None:
        going = [kept for kept in self.held if any(kept in gate.own for gate in gates)]
        for kept in going:
            self.held.remove(kept)
        for kept in going:
            kept.sender.carry(kept.packet.data, (kept.receiver,))

    def release(self, a: Place = None, b: Place = None, *, drop: Match | None = None) -> None:
        """End the holds between ``a`` and ``b`` (all without names).

        Args:
          a: as it was given to :meth:`hold`.
          b: likewise.
          drop: held packets that match, of any hold, are thrown away instead of going on.
        """
        if drop is not None:
            test = matcher(drop)
            for kept in [kept for kept in self.held if test(kept.packet)]:
                self.held.remove(kept)
                kept.sender.dropped(kept.packet.data, "release")
        self._holds = _end_those(self._holds, a, b)

    def drop(
        self,
        match: Match,
        a: Place = None,
        b: Place = None,
        *,
        nth: int = 1,
        count: int | None = None,
        both: bool = True,
    ) -> Fault:
        """Drop the packets that match, as they enter a wire.

        Args:
          match: a Wireshark display filter (``"tcp.flags.syn == 1 && tcp.flags.ack == 1"``) or a
            function of a captured packet.
          a: where; without it on every wire, so that a packet is looked at on each one it crosses.
          b: the other end.
          nth: begin with the nth that matches.
          count: drop so many; default all.
          both: in both directions.
        """
        numbers = InitialNumbers()
        test = matcher(match, numbers)
        text = f"drop {match if isinstance(match, str) else getattr(match, '__name__', 'match')}"
        turn = Turn(nth, count)
        return self._gated(
            text, a, b, both, lambda scope: DropGate(scope, test, numbers, text, turn)
        )

    def blackhole_icmp(self, a: Place = None, b: Place = None) -> Fault:
        """Drop all ICMP, as firewalls do that do not know better: path MTU discovery then fails."""
        return self.drop("icmp", a, b)

    # Conditions.

    def latency(
        self,
        latency: float,
        a: Place = None,
        b: Place = None,
        *,
        jitter: float | None = None,
        distribution: Distribution | None = None,
        both: bool = True,
    ) -> Fault:
        """Let packets take ``latency`` seconds from now on; those on their way keep their time."""
        change = changes(latency=latency, jitter=jitter, distribution=distribution)
        return self._changed(f"latency {latency}", change, a, b, both)

    def bandwidth(
        self, bits_per_second: int, a: Place = None, b: Place = None, *, both: bool = True
    ) -> Fault:
        """Let wires carry so many bits a second; 0 for any number."""
        change = changes(bandwidth=bits_per_second)
        return self._changed(f"bandwidth {bits_per_second}", change, a, b, both)

    def queue(self, size: int, a: Place = None, b: Place = None, *, both: bool = True) -> Fault:
        """Let so many bytes wait before a wire with a bandwidth; what does not fit is dropped."""
        return self._changed(f"queue {size}", changes(queue=size), a, b, both)

    def mtu(self, mtu: int, a: Place = None, b: Place = None, *, both: bool = True) -> Fault:
        """Change the MTU of links, or of all ports of a segment."""
        return self._changed(f"mtu {mtu}", changes(mtu=mtu), a, b, both)

    def loss(self, p: float, a: Place = None, b: Place = None, *, both: bool = True) -> Fault:
        """Lose packets at random, each with chance ``p``."""
        return self._changed(f"loss {p}", changes(loss=p), a, b, both)

    def duplicate(self, p: float, a: Place = None, b: Place = None, *, both: bool = True) -> Fault:
        """Deliver packets twice, each with chance ``p``."""
        return self._changed(f"duplicate {p}", changes(duplicate=p), a, b, both)

    def reorder(
        self, p: float, a: Place = None, b: Place = None, *, by: float = 0.01, both: bool = True
    ) -> Fault:
        """Hold packets back ``by`` seconds while others pass, each with chance ``p``."""
        return self._changed(f"reorder {p}", changes(reorder=p, reorder_by=by), a, b, both)

    def corrupt(
        self, p: float, a: Place = None, b: Place = None, *, bits: int = 1, both: bool = True
    ) -> Fault:
        """Flip bits of packets after their checksums were made, each packet with chance ``p``."""
        change = changes(corrupt=p, corrupt_bits=bits)
        return self._changed(f"corrupt {p}", change, a, b, both)

    # Forgery.

    def inject(self, data: bytes, into: Interface | HostCore | str, *, frame: bool = False) -> None:
        """Let any bytes arrive at an interface (of a host: its first one) at this instant.

        Args:
          data: an IP packet, good or bad; on a segment it is put into a frame.
          into: where.
          frame: ``data`` is the whole frame already.
        """
        if isinstance(into, HostCore | str):
            into = self.host_named(into).outer_interfaces[0]
        self.note(into.full_name, "injected", data)
        if frame:
            owner = Owner(f"{into.full_name}/injected")
            self.scheduler.post(self.scheduler.now, RANK_DELIVERY, owner, into.deliver, data)
        else:
            deliver_soon(self, data, into)

    def reset(self, connection: Connection) -> None:
        """Forge a RST: it reaches this end of a connection as if its peer had sent it.

        Its sequence number is exactly the next one expected, the only one that resets at once
        (RFC 5961 section 3); a blind attacker would have to guess it.
        """
        segment = build_segment(
            connection.remote,
            connection.local,
            connection.remote_port,
            connection.local_port,
            connection.rcv_nxt,
            0,
            RST,
            0,
        )
        node = self.host_named(connection.layer.name)
        route = node.ipv4.find_route(connection.remote, connection.local)
        if route is None:
            raise ValueError(f"{node.name} has no route to the peer of {connection!r}")
        packet = ipv4.build(connection.remote, connection.local, PROTOCOL_TCP, segment)
        self.note(route.interface.full_name, f"forged RST for {connection!r}", packet)
        deliver_soon(self, packet, route.interface)

    # Time.

    def at(
        self, time: float, verb: Callable[..., Any], *args: object, lasting: float | None = None,
        **kwargs: object,
    ) -> None:  # fmt: skip
        """Do something at a virtual time: ``net.at(5.0, net.partition, a, b, lasting=2.0)``.

        Args:
          time: virtual seconds since the network was made.
          verb: any plain function; an instant's packets and timers come before it.
          args: its arguments.
          lasting: seconds after which the fault it returns ends.
          kwargs: its named arguments.
        """

        def act(_: None) -> None:
            fault = verb(*args, **kwargs)
            if lasting is not None:
                end = self.scheduler.now + nanoseconds(lasting)
                self.scheduler.post(end, RANK_SCRIPT, self._script, lambda _: fault.end(), None)

        self.scheduler.post(nanoseconds(time), RANK_SCRIPT, self._script, act, None)

    def swizzle(self, hosts: Iterable[HostCore | str], *, interval: float = 1.0) -> Fault:
        """Isolate hosts one by one, then heal them one by one in another order, by the seed.

        The first is cut off now, the next after ``interval`` seconds, and so on. The fault that is
        returned ends by itself with the last healing, or at once, and then all are healed.
        """
        nodes = [self.host_named(host) for host in hosts]
        stream = self.random_streams.stream("swizzle", " ".join(node.name for node in nodes))
        order, back = shuffled(nodes, stream), shuffled(nodes, stream)
        start = self.time
        faults: list[Fault] = []

        def cut_off(node: HostCore) -> None:
            if whole.active:
                faults.append(self.isolate(node))

        def restore(node: HostCore) -> None:
            self.heal(node)
            if node is back[-1]:
                whole.end()

        def end_all() -> None:
            for fault in faults:
                fault.end()

        whole = Fault(self, f"swizzle {place_text(nodes)}", end_all)
        for place, node in enumerate(order):
            self.at(start + place * interval, cut_off, node)
        for place, node in enumerate(back):
            self.at(start + (len(order) + place) * interval, restore, node)
        return whole

    # How.

    def _remember(
        self, known: list[tuple[Fault, frozenset[str]]], fault: Fault, where: frozenset[str]
    ) -> None:
        """Keep a fault that can be ended by its places; forget those that have ended."""
        known[:] = [(other, place) for other, place in known if other.active]
        known.append((fault, where))

    def _gated(
        self, text: str, a: Place, b: Place, both: bool, make: Callable[[Scope], Gate]
    ) -> Fault:
        installed: list[tuple[GatedInterface, Gate]] = []
        for wires, scope in self.gate_scopes(a, b, both):
            gate = make(scope)
            for wire in wires:
                wire.gates.append(gate)
                installed.append((wire, gate))

        def undo() -> None:
            for wire, gate in installed:
                wire.gates.remove(gate)

        return Fault(self, text, undo)

    def _changed(self, text: str, change: dict[str, Any], a: Place, b: Place, both: bool) -> Fault:
        directions = self.wire_directions(a, b, both)
        for direction in directions:
            direction.change(change)

        def undo() -> None:
            for direction in directions:
                direction.undo(change)

        return Fault(self, f"{text} {place_text(a)} {place_text(b)}".rstrip(), undo)


def _end_those(
    known: list[tuple[Fault, frozenset[str]]], a: Place, b: Place
) -> list[tuple[Fault, frozenset[str]]]:
    """End the faults between ``a`` and ``b``, or all; return those that stay."""
    key = place_key(a, b)
    for fault, where in known:
        if not key or where == key:
            fault.end()
    return [(fault, where) for fault, where in known if fault.active]
