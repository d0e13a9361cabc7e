# Routes: which interface and which neighbour lead to a destination.
#
# Rule 1: the longest prefix wins; among equal ones the first added. 0.0.0.0/0 is the default route.
# Rule 2: nothing is learned here but path MTUs, and those fade after ten minutes (RFC 1191 section
#         6.3). A redirect changes nothing.
#
# Sources: RFC 1122 section 3.3.1; RFC 1191.

"""The route table of one host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.layers import Route
from wsock.virtual.profile import MINUTE

if TYPE_CHECKING:
    from wsock.virtual.interfaces import Interface

PATH_MTU_LIFETIME_NS: Final = 10 * MINUTE
#: The least MTU that is believed; below it RFC 791 would not let a fragment pass.
LEAST_PATH_MTU: Final = 68


class HostRoute(NamedTuple):
    """A route with the interface as the object it is."""

    interface: Interface
    next_hop: bytes
    mtu: int
    source: bytes


class _Entry(NamedTuple):
    network: int
    prefix_length: int
    gateway: bytes | None
    interface: Interface


class RouteTable:
    """Longest-prefix lookup with a cache for the hot path."""

    __slots__ = ("_cache", "_entries", "_path_mtu", "ways")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._cache: dict[bytes, HostRoute | None] = {}
        self._path_mtu: dict[bytes, tuple[int, int]] = {}
        #: what IPv4 has found out about a source and a destination; forgotten with the routes.
        self.ways: dict[tuple[bytes | None, bytes], HostRoute] = {}

    def add(
        self, network: int, prefix_length: int, gateway: bytes | None, interface: Interface
    ) -> None:
        """Add a route; ``gateway`` None means that the prefix is on the link itself."""
        entry = _Entry(network & addresses.mask(prefix_length), prefix_length, gateway, interface)
        self._entries.append(entry)
        self._entries.sort(key=lambda entry: -entry.prefix_length)
        self.forget()

    def remove(self, network: int, prefix_length: int) -> bool:
        """Take away the routes to a prefix; False if there is none."""
        network &= addresses.mask(prefix_length)
        kept = [
            e for e in self._entries if (e.network, e.prefix_length) != (network, prefix_length)
        ]
        removed = len(kept) != len(self._entries)
        self._entries = kept
        self.forget()
        return removed

    def forget(self) -> None:
        """Look everything up anew: a route, an interface or an MTU has changed."""
        self._cache.clear()
        self.ways.clear()

    def forget_path_mtus(self) -> None:
        """Forget what ICMP told of paths."""
        self._path_mtu.clear()
        self.forget()

    def lookup(self, destination: bytes, now: int) -> HostRoute | None:
        """Return the way to ``destination``, or None."""
        if self._path_mtu:
            known = self._path_mtu.get(destination)
            if known is not None and now >= known[1]:
                del self._path_mtu[destination]
                self._cache.pop(destination, None)
        try:
            return self._cache[destination]
        except KeyError:
            route = self._cache[destination] = self._find(destination)
            return route

    def _find(self, destination: bytes) -> HostRoute | None:
        value = int.from_bytes(destination, "big")
        for network, prefix_length, gateway, interface in self._entries:
            if interface.up and value & addresses.mask(prefix_length) == network:
                mtu = interface.mtu
                if destination in self._path_mtu:
                    mtu = min(mtu, self._path_mtu[destination][0])
                next_hop = destination if gateway is None else gateway
                return HostRoute(interface, next_hop, mtu, interface.address)
        return None

    def learn_path_mtu(self, destination: bytes, mtu: int, now: int) -> None:
        """Believe that the path to ``destination`` carries no more than ``mtu``, for a while."""
        mtu = max(mtu, LEAST_PATH_MTU)
        known = self._path_mtu.get(destination)
        if known is None or mtu < known[0]:
            self._path_mtu[destination] = (mtu, now + PATH_MTU_LIFETIME_NS)
            self._cache.pop(destination, None)
            self.ways.clear()

    def is_steady(self, destination: bytes) -> bool:
        """Whether the route to ``destination`` stays as it is until something is changed."""
        return destination not in self._path_mtu

    def lines(self) -> list[str]:
        """Return the table as text, the most particular route first."""
        return [
            f"{addresses.text(e.network.to_bytes(4, 'big'))}/{e.prefix_length} "
            f"{'on link' if e.gateway is None else 'via ' + addresses.text(e.gateway)} "
            f"dev {e.interface.name}"
            for e in self._entries
        ]


def as_route(route: HostRoute) -> Route:
    """Return the route as transports know it."""
    return Route(*route)
