# Places: what ``a`` and ``b`` of a fault mean, in interfaces and directions of wires.
#
#   faults                verbs
# > places                THIS FILE: where a verb acts
#   building              hosts and media

"""Where faults act."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from wsock.virtual.building import Building
from wsock.virtual.capture.packet import CapturedPacket
from wsock.virtual.gates import Scope
from wsock.virtual.media import Link, Segment
from wsock.virtual.node import HostCore

if TYPE_CHECKING:
    from wsock.virtual.conditions import Direction
    from wsock.virtual.interfaces import GatedInterface

Place = HostCore | str | Link | Segment | Collection[HostCore | str] | None
Match = str | Callable[[CapturedPacket], bool]


class Places(Building):
    """The part of a network that finds the wires between hosts."""

    def _nodes(self, place: Place) -> list[HostCore]:
        if isinstance(place, HostCore | str):
            return [self.host_named(place)]
        assert place is not None
        assert not isinstance(place, Link | Segment)
        return sorted((self.host_named(host) for host in place), key=lambda node: node.name)

    def _all_outer(self) -> list[GatedInterface]:
        return [port for node in self.hosts.values() for port in node.outer_interfaces]

    def gate_scopes(
        self, a: Place, b: Place, both: bool
    ) -> list[tuple[list[GatedInterface], Scope]]:
        """Return where gates go, and what each of them looks at."""
        if a is None:
            return [(self._all_outer(), Scope())]
        if isinstance(a, Link | Segment):
            ends: list[GatedInterface] = list(a.interfaces)
            return [(ends if both else ends[:1], Scope())]
        near = self._nodes(a)
        out = [port for node in near for port in node.outer_interfaces]
        if b is None:
            inside = [port for port in self._all_outer() if port.node not in near]
            scopes = [(out, Scope(near))]
            return [*scopes, (inside, Scope(None, near))] if both else scopes
        if isinstance(b, Link | Segment):
            # Between hosts and a medium: the hosts' own ports on it.
            ports: list[GatedInterface] = [wire for wire in b.interfaces if wire.node in near]
            others: list[GatedInterface] = [w for w in b.interfaces if w.node not in near]
            scopes = [(ports, Scope(near))]
            return [*scopes, (others, Scope(None, near))] if both else scopes
        far = self._nodes(b)
        if far == near and len(near) == 1:
            return [([near[0].loopback], Scope())]
        scopes = [(out, Scope(near, far))]
        if both:
            back = [port for node in far for port in node.outer_interfaces]
            scopes.append((back, Scope(far, near)))
        return scopes

    def wire_directions(self, a: Place, b: Place, both: bool) -> list[Direction]:
        """Return the directions whose conditions a fault changes.

        Raises:
          ValueError: two hosts are named that share no link.
        """
        if a is None:
            alone = [node.loopback.egress for node in self.hosts.values() if not node.wires]
            return [d for medium in self.media.values() for d in medium.directions()] + alone
        if isinstance(a, Link):
            return a.directions() if both else a.directions()[:1]
        if isinstance(a, Segment):
            return a.directions()
        found: list[Direction] = []
        near = self._nodes(a)
        if b is None or isinstance(b, Link | Segment):
            found += [node.loopback.egress for node in near if b is None and not node.wires]
            for wire in [wire for node in near for wire in node.wires]:
                if b is None or wire.medium is b:
                    found.append(wire.egress)
                    others = [o for o in wire.medium.interfaces if both and o is not wire]
                    found += [wire.medium.direction(other, wire) for other in others]
            return found
        for here in near:
            for there in self._nodes(b):
                found += _between(here, there)
                found += _between(there, here) if both and here is not there else []
        if not found:
            raise ValueError(
                f"{place_text(a)} and {place_text(b)} share no link; name the link instead"
            )
        return found


def _between(here: HostCore, there: HostCore) -> list[Direction]:
    """Return the directions from one host to another over the media they share."""
    if here is there:
        return [here.loopback.egress]
    return [
        wire.medium.direction(wire, other)
        for wire in here.wires
        for other in wire.medium.interfaces
        if other.node is there
    ]


def place_text(place: Place) -> str:
    """Return what the log calls a place."""
    if place is None:
        return ""
    if isinstance(place, str):
        return place
    if isinstance(place, HostCore | Link | Segment):
        return place.name
    return "{" + ", ".join(sorted(place_text(item) for item in place)) + "}"


def place_key(a: Place, b: Place) -> frozenset[str]:
    """Return what stands for two places in either order."""
    return frozenset(text for text in (place_text(a), place_text(b)) if text)
