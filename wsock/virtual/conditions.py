# Conditions: what one direction of a wire does to what is sent along it.
#
#   interfaces            send bytes
# > conditions            THIS FILE: when they arrive, whether, and in what shape
#   scheduler             one heap push for each arrival
#
# Rule 1: one direction, one random stream, and one draw of 256 bits for every packet, whatever is
#         switched on. Each chance has its own bits of that draw. So switching one fault on or off
#         never shifts what another one does, and two runs that differ in one fault can be compared.
# Rule 2: conditions are a value. A change makes a new value that holds for packets sent from then
#         on; packets on their way keep what they were given.
# Rule 3: a wire keeps order. Jitter alone never lets one packet overtake another; ``reorder`` does.
#
# Where the 256 bits go: loss, jitter (two), duplicate, reorder, corrupt 32 bits each, the rest 64
# to choose which bits are flipped.

"""Latency, bandwidth, queues and chance on one direction of a wire."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from wsock.virtual.scheduler import NANOSECONDS, RANK_DELIVERY, Owner, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsock.virtual.random_streams import RandomStream
    from wsock.virtual.scheduler import Scheduler

Distribution = Literal["uniform", "normal", "exponential"]

_WORD: Final = 0xFFFFFFFF
_SCALE: Final = 2.0**-32


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The state of one direction of a wire. Times in nanoseconds, sizes in bytes."""

    #: the longest packet, in bytes without the Ethernet header.
    mtu: int = 1500
    #: time on the wire, from the last bit sent to the last bit received.
    latency_ns: int = 0
    #: how far the time on the wire varies: half the width, or the standard deviation.
    jitter_ns: int = 0
    distribution: Distribution = "uniform"
    #: bits each second; 0 for a wire that takes no time to send on.
    bandwidth: int = 0
    #: bytes that may wait to be sent, the one being sent included; 0 for no limit.
    queue: int = 0
    #: chances, from 0.0 to 1.0, each for one packet.
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: how much later a reordered packet comes.
    reorder_by_ns: int = 10_000_000
    corrupt: float = 0.0
    #: how many bits a corruption flips.
    corrupt_bits: int = 1

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a chance from 0 to 1, not {getattr(self, name)!r}")
        if self.distribution not in ("uniform", "normal", "exponential"):
            raise ValueError(f"no distribution is called {self.distribution!r}")
        if self.mtu < 68 or self.mtu > 65_535:
            raise ValueError(f"an MTU is from 68 (RFC 791) to 65535 bytes, not {self.mtu}")
        for name in ("latency_ns", "jitter_ns", "bandwidth", "queue", "reorder_by_ns"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} cannot be negative")

    @property
    def is_plain(self) -> bool:
        """Whether nothing is left to chance and sending takes no time."""
        return not (
            self.bandwidth or self.jitter_ns or self.loss or self.duplicate or self.reorder
            or self.corrupt
        )  # fmt: skip


_FIELDS: Final = {field.name for field in fields(Conditions)}


def changes(**values: object) -> dict[str, Any]:
    """Turn what people write (``latency`` in seconds) into fields of :class:`Conditions`.

    ``None`` leaves a field as it is.

    Raises:
      TypeError: there is no such condition, or a text stands where seconds belong.
    """
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in ("latency", "jitter", "reorder_by"):
            if isinstance(value, str):
                raise TypeError(f"{name} is a number of seconds, not {value!r}")
            result[f"{name}_ns"] = nanoseconds(value)  # type: ignore[arg-type]
        elif name in _FIELDS:
            result[name] = value
        else:
            raise TypeError(f"{name!r} is no condition of a wire")
    return result


class Traffic:
    """How many packets of a network are on their way, and what chance did to them.

    Attributes:
      in_flight: on their way now.
      at_risk: sent under conditions that leave something to chance, or to a rate.
      lost, duplicated, reordered: of those.
    """

    __slots__ = ("at_risk", "duplicated", "in_flight", "lost", "reordered")

    def __init__(self) -> None:
        self.in_flight = 0
        self.at_risk = self.lost = self.duplicated = self.reordered = 0


class Direction:
    """One direction of a wire: takes bytes, and delivers them later, or never.

    Attributes:
      name: unique in the network; the owner of its events and of its random stream.
      conditions: what holds now: the base and every change that is in force. The base is a value,
        or another direction, whose conditions are followed as they change.
    """

    __slots__ = (
        "_base",
        "_busy_until",
        "_changes",
        "_followers",
        "_last_arrival",
        "_owner",
        "_plain",
        "_scheduler",
        "_stream",
        "_traffic",
        "conditions",
        "name",
        "on_change",
    )

    conditions: Conditions

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        stream: RandomStream,
        traffic: Traffic,
        base: Conditions | Direction,
    ) -> None:
        self.name = name
        self._scheduler = scheduler
        self._stream = stream
        self._traffic = traffic
        self._owner = Owner(name)
        self._base = base
        self._followers: list[Direction] = []
        if isinstance(base, Direction):
            base._followers.append(self)
        self._changes: list[dict[str, Any]] = []
        self._busy_until = 0
        self._last_arrival = 0
        self.on_change: Callable[[], object] | None = None
        self._settle_conditions()

    def change(self, change: dict[str, Any]) -> None:
        """Put a change in force on top of the others, until :meth:`undo`."""
        replace(self.conditions, **change)  # a bad value is refused before anything changes
        self._changes.append(change)
        self._settle_conditions()

    def undo(self, change: dict[str, Any]) -> None:
        """Take back a change, whatever came after it."""
        self._changes = [other for other in self._changes if other is not change]
        self._settle_conditions()

    def _settle_conditions(self) -> None:
        base = self._base
        conditions = base if isinstance(base, Conditions) else base.conditions
        for change in self._changes:
            conditions = replace(conditions, **change)
        self.conditions = conditions
        self._plain = conditions.is_plain
        self._last_arrival = 0  # new packets may come before those under the old conditions
        for follower in self._followers:
            follower._settle_conditions()
        if self.on_change is not None:
            self.on_change()

    def carry(self, data: bytes, receivers: Sequence[Any]) -> str | None:
        """Send ``data`` to every receiver's ``deliver``; return why it was dropped, or None."""
        scheduler = self._scheduler
        bits = self._stream.getrandbits(256)
        arrival = scheduler.now + self.conditions.latency_ns
        if self._plain:
            arrival = max(arrival, self._last_arrival)
            self._last_arrival = arrival
            self._post(arrival, data, receivers)
            return None
        return self._carry_by_chance(bits, data, receivers)

    def _carry_by_chance(self, bits: int, data: bytes, receivers: Sequence[Any]) -> str | None:
        conditions, traffic = self.conditions, self._traffic
        traffic.at_risk += 1
        departure = self._serialize(len(data))
        if departure is None:
            return "queue full"
        if _chance(bits, 0) < conditions.loss:
            traffic.lost += 1
            return "loss"
        arrival = departure + conditions.latency_ns + self._jitter(bits)
        if _chance(bits, 5) < conditions.corrupt:
            data = _corrupted(data, bits >> 192, conditions.corrupt_bits)
        if _chance(bits, 4) < conditions.reorder:
            traffic.reordered += 1
            self._post(arrival + conditions.reorder_by_ns, data, receivers)
            return None
        arrival = self._last_arrival = max(arrival, self._last_arrival)
        self._post(arrival, data, receivers)
        if _chance(bits, 3) < conditions.duplicate:
            traffic.duplicated += 1
            self._post(arrival, data, receivers)
        return None

    def _serialize(self, size: int) -> int | None:
        """Return when the last bit will have been sent; None if the queue has no room."""
        now = self._scheduler.now
        conditions = self.conditions
        if not conditions.bandwidth:
            return now
        start = max(now, self._busy_until)
        if conditions.queue:
            waiting = (start - now) * conditions.bandwidth // (8 * NANOSECONDS)
            if waiting + size > conditions.queue:
                return None
        self._busy_until = start + -(-size * 8 * NANOSECONDS // conditions.bandwidth)
        return self._busy_until

    def _jitter(self, bits: int) -> int:
        """Return how much later (or earlier, never before it was sent) than the latency."""
        conditions = self.conditions
        if not conditions.jitter_ns:
            return 0
        first = _chance(bits, 1)
        if conditions.distribution == "uniform":
            factor = 2.0 * first - 1.0
        elif conditions.distribution == "exponential":
            factor = -math.log(1.0 - first)
        else:
            turn = 2.0 * math.pi * _chance(bits, 2)
            factor = math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(turn)
        return max(round(conditions.jitter_ns * factor), -conditions.latency_ns)

    def _post(self, time_ns: int, data: bytes, receivers: Sequence[Any]) -> None:
        self._traffic.in_flight += 1
        self._scheduler.post(time_ns, RANK_DELIVERY, self._owner, self._arrive, (data, receivers))

    def _arrive(self, crossing: tuple[bytes, Sequence[Any]]) -> None:
        self._traffic.in_flight -= 1
        data, receivers = crossing
        for receiver in receivers:
            receiver.deliver(data)

    def __repr__(self) -> str:
        return f"<Direction {self.name} {self.conditions}>"


def _chance(bits: int, word: int) -> float:
    """Return one of the draw's 32-bit words as a number from 0.0 up to, not including, 1.0."""
    return (bits >> (32 * word) & _WORD) * _SCALE


def _corrupted(data: bytes, draw: int, count: int) -> bytes:
    """Flip ``count`` bits chosen by ``draw``: a linear congruential walk over the packet's bits.

    The bits are different ones as long as the packet has that many.
    """
    size = len(data) * 8
    value = int.from_bytes(data, "big")
    flipped: set[int] = set()
    while len(flipped) < min(count, size):
        draw = (draw * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        flipped.add((draw >> 32) % size)
    for position in flipped:
        value ^= 1 << position
    return value.to_bytes(len(data), "big")
