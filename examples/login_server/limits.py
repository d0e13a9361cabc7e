# Limits: how much of anything one client, one peer or everybody may have.
#
# Rule 1: every number has a finite default, and every table here a largest size. What a stranger
#         can make grow, he will.
# Rule 2: time is handed in as a function, in seconds; nothing here reads a clock of its own.
# Rule 3: an attempt counts as failed from its beginning and is forgiven afterwards. Counting at
#         the end would let fifty connections guess fifty passwords at once.
"""The server's limits, the back-off after failures, and who counts as one peer."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_Number = TypeVar("_Number", int, float)


def _limit(default: _Number, text: str) -> _Number:
    made: _Number = field(default=default, metadata={"help": text})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits. Each is an option of the command line too (``--idle-seconds`` and so on)."""

    line_bytes: int = _limit(1024, "longest line a client may send")
    bad_lines: int = _limit(20, "lines that are no command before a client is closed")
    idle_seconds: float = _limit(300.0, "longest time between two complete commands")
    login_seconds: float = _limit(60.0, "time a new connection has to log in")
    handshake_seconds: float = _limit(10.0, "time a new connection has for the TLS handshake")
    drain_seconds: float = _limit(2.0, "how long a closing client may take to close its side")
    connections: int = _limit(1000, "connections at a time")
    connections_per_peer: int = _limit(100, "connections at a time from one peer")
    failures_per_peer: int = _limit(10, "failed logins of a peer before it has to wait")
    failures_per_name: int = _limit(5, "failed logins for a name before it has to wait")
    backoff_seconds: float = _limit(1.0, "the first wait after failures; it doubles each time")
    backoff_peer_seconds: float = _limit(900.0, "the longest wait of a peer")
    backoff_name_seconds: float = _limit(60.0, "the longest wait of a name")
    forget_seconds: float = _limit(3600.0, "failures are forgotten after this time without one")
    tracked_keys: int = _limit(10_000, "peers, and names, whose failures are remembered")
    registrations_per_peer: int = _limit(50, "registrations of a peer before it has to wait")
    hash_threads: int = _limit(2, "passwords hashed at a time (19 MiB and a CPU each)")
    hash_waiting: int = _limit(64, "passwords waiting for that; above it the answer is BUSY")
    hash_waiting_per_peer: int = _limit(32, "of these, how many may be one peer's")
    database_threads: int = _limit(4, "database calls at a time")
    token_seconds: float = _limit(43_200.0, "how long a token is good for")
    tokens_per_account: int = _limit(16, "tokens of an account; the oldest ends for a new one")
    stop_seconds: float = _limit(10.0, "how long a graceful stop may take")

    def __post_init__(self) -> None:
        """Refuse what would mean no limit, or no service."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be finite and above 0, not {value}")


def peer_key(host: str) -> str:
    """Who counts as one peer: an IPv4 address, or a /64 of IPv6.

    A home or a rented machine gets a whole /64, so single IPv6 addresses would be no limit at all.
    An IPv4 address in IPv6 clothes (``::ffff:192.0.2.1``) is that IPv4 address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class Backoff:
    """Failures per key, and how long a key has to wait because of them.

    The first ``free`` failures cost nothing; from then on each doubles the wait, up to ``longest``
    seconds. A key is forgotten ``forget`` seconds after its last failure; when there are more than
    ``max_keys`` the one whose last failure is oldest goes first.
    """

    __slots__ = ("_clock", "_first", "_forget", "_free", "_keys", "_longest", "_max_keys")

    def __init__(
        self,
        *,
        free: int,
        first: float,
        longest: float,
        forget: float,
        max_keys: int,
        clock: Callable[[], float],
    ) -> None:
        self._free = free
        self._first = first
        self._longest = longest
        self._forget = forget
        self._max_keys = max_keys
        self._clock = clock
        # In the order of the last failure, oldest first.
        self._keys: OrderedDict[Hashable, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def wait(self, key: Hashable) -> float:
        """Seconds until ``key`` may try again; 0.0 if it may now."""
        entry = self._current(key)
        if entry is None or entry.count < self._free:
            return 0.0
        doublings = min(entry.count - self._free, 60)  # enough for any ``longest``, no overflow
        delay = min(self._first * 2.0**doublings, self._longest)
        return max(0.0, entry.last + delay - self._clock())

    def begin(self, key: Hashable) -> None:
        """Count an attempt as a failure, until ``forgive`` or ``clear`` says otherwise."""
        entry = self._current(key)
        count = 1 if entry is None else entry.count + 1
        self._keys[key] = _Failures(count, self._clock())
        self._keys.move_to_end(key)
        self._trim()

    def forgive(self, key: Hashable) -> None:
        """One attempt was no failure after all."""
        entry = self._current(key)
        if entry is None:
            return
        entry.count -= 1
        if entry.count <= 0:
            del self._keys[key]

    def clear(self, key: Hashable) -> None:
        """Forget all failures of ``key``."""
        self._keys.pop(key, None)

    def _current(self, key: Hashable) -> _Failures | None:
        entry = self._keys.get(key)
        if entry is not None and entry.last + self._forget <= self._clock():
            del self._keys[key]
            return None
        return entry

    def _trim(self) -> None:
        now = self._clock()
        while self._keys:
            oldest = next(iter(self._keys))
            full = len(self._keys) > self._max_keys
            if not full and self._keys[oldest].last + self._forget > now:
                return
            del self._keys[oldest]


class RecentSet:
    """Remembers the latest ``max_keys`` keys added."""

    __slots__ = ("_keys", "_max_keys")

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: Hashable) -> None:
        """Remember ``key`` as the latest."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)


class LoginGuard:
    """Who may try to log in now: back-off per peer and per name.

    The wait of a name would let a stranger keep its owner out, so it is short, and a peer from
    which the owner has logged in before answers for itself alone: it waits for its own failures,
    also for those on this name, but not for those of strangers.
    """

    __slots__ = ("_known", "_names", "_peers")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        def table(free: int, longest: float) -> Backoff:
            return Backoff(
                free=free,
                first=limits.backoff_seconds,
                longest=longest,
                forget=limits.forget_seconds,
                max_keys=limits.tracked_keys,
                clock=clock,
            )

        self._peers = table(limits.failures_per_peer, limits.backoff_peer_seconds)
        self._names = table(limits.failures_per_name, limits.backoff_name_seconds)
        self._known = RecentSet(limits.tracked_keys)

    def wait(self, peer: str, name: str) -> float:
        """Seconds until this peer may try this name again; 0.0 if it may now."""
        return max(self._peers.wait(peer), self._names.wait(self._name_key(peer, name)))

    def begin(self, peer: str, name: str) -> None:
        """An attempt begins; it counts as failed until told otherwise."""
        self._peers.begin(peer)
        self._names.begin(self._name_key(peer, name))

    def forgive(self, peer: str, name: str) -> None:
        """The attempt was not made at all (the server was busy)."""
        self._peers.forgive(peer)
        self._names.forgive(self._name_key(peer, name))

    def succeeded(self, peer: str, name: str) -> None:
        """The password was right.

        The name's failures are forgotten, the peer's are not, but for this attempt: otherwise a
        login to an account of one's own would buy ten more guesses at other people's.
        """
        self._peers.forgive(peer)
        self._names.clear(self._name_key(peer, name))
        self._known.add((peer, name))

    def _name_key(self, peer: str, name: str) -> Hashable:
        return (peer, name) if (peer, name) in self._known else name


class PeerCount:
    """Connections at a time, in all and per peer. As large as the connections it counts."""

    __slots__ = ("_peer_limit", "_per_peer", "_total", "_total_limit")

    def __init__(self, limits: Limits) -> None:
        self._total_limit: Final = limits.connections
        self._peer_limit: Final = limits.connections_per_peer
        self._per_peer: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def enter(self, peer: str) -> str:
        """Count a connection in. Returns "" or, when it is one too many, why; then not counted."""
        count = self._per_peer.get(peer, 0)
        if self._total >= self._total_limit:
            return "the server has all the connections it may have"
        if count >= self._peer_limit:
            return "too many connections from your address"
        self._per_peer[peer] = count + 1
        self._total += 1
        return ""

    def leave(self, peer: str) -> None:
        """Count a connection out."""
        self._total -= 1
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
