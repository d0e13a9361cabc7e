# The scheduler: virtual time, and the one heap that orders everything that happens in a network.
#
#   pump, manual driver   decide when time may go on (they call run_due, step, run_until)
# > scheduler             THIS FILE: integer nanoseconds, one heap, one order of ties
#   links, ip, tcp        ask to be called at a time
#
# Rule 1: time is an ``int`` of nanoseconds since the network was made. Never a float: at 1 Gbit/s
#         a full frame takes 12 us, and sums of floats differ in their order.
# Rule 2: two events at one time run by rank, then by the owner's name, then by the owner's own
#         sequence number. Never by object id, by the order of a dict or by one counter that all
#         share: those depend on the order in which tasks happened to run.
# Rule 3: nothing here waits, and nothing here imports Trio.
#
# Why timers are lazy: TCP moves its retransmission deadline with almost every acknowledgement,
# nearly always to later. Moving to later therefore only stores the deadline; the heap entry, when
# its old time comes, puts itself back. A timer has at most one live entry.

"""Virtual time: a heap of events in integer nanoseconds."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NANOSECONDS: Final = 1_000_000_000

# The order of what happens at one instant: what was on the wire arrives before a timer decides that
# it did not, and a script that changes the network acts on an instant that is otherwise over.
RANK_DELIVERY: Final = 0
RANK_TIMER: Final = 1
RANK_SCRIPT: Final = 2


def nanoseconds(seconds: float) -> int:
    """Turn seconds, as people write them, into the nanoseconds of the scheduler (rounded)."""
    return round(seconds * NANOSECONDS)


def seconds(time_ns: int) -> float:
    """Turn nanoseconds of the scheduler into seconds for people."""
    return time_ns / NANOSECONDS


class Owner:
    """Who an event belongs to: the second half of the order of ties.

    The name must be unique in its network and must not depend on the order in which tasks ran: a
    link direction, a host, a connection with both its addresses.
    """

    __slots__ = ("name", "sequence")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = 0

    def __repr__(self) -> str:
        return f"<Owner {self.name}, {self.sequence} events>"


class Timer:
    """A deadline that calls ``fn()`` once when it comes, and can be moved or stopped before.

    Made by :meth:`Scheduler.timer` (not yet running) or :meth:`Scheduler.call_at` (running).
    """

    __slots__ = ("_entry_number", "_entry_time", "_fn", "_owner", "_rank", "_scheduler",
                 "deadline")  # fmt: skip

    def __init__(
        self, scheduler: Scheduler, rank: int, owner: Owner, fn: Callable[[], object]
    ) -> None:
        self._scheduler = scheduler
        self._rank = rank
        self._owner = owner
        self._fn = fn
        self._entry_time = -1  # -1: no live entry in the heap
        self._entry_number = -1
        #: nanoseconds at which ``fn`` will be called, or None while the timer is stopped.
        self.deadline: int | None = None

    def set(self, deadline_ns: int) -> None:
        """Call ``fn`` at ``deadline_ns`` instead of whenever it was due. Times past mean now."""
        scheduler = self._scheduler
        deadline_ns = max(deadline_ns, scheduler.now)
        self.deadline = deadline_ns
        if 0 <= self._entry_time <= deadline_ns:
            return  # the entry comes first, and puts itself back
        self._push(deadline_ns)

    def stop(self) -> None:
        """Do not call ``fn``. The timer can be set again."""
        self.deadline = None

    @property
    def running(self) -> bool:
        """Whether a deadline is set and has not come."""
        return self.deadline is not None

    def _push(self, deadline_ns: int) -> None:
        self._entry_time = deadline_ns
        self._entry_number = self._scheduler.post(
            deadline_ns, self._rank, self._owner, self._fire, None, self
        )

    def _settle_entry(self, number: int) -> bool:
        """Say whether the entry at the top of the heap is due as it stands; else mend it."""
        if number != self._entry_number:
            return False  # overtaken: an earlier entry replaced this one
        deadline = self.deadline
        if deadline == self._entry_time:
            return True
        self._entry_time = self._entry_number = -1
        if deadline is not None:
            self._push(deadline)
        return False

    def _fire(self, _: None) -> None:
        deadline = self.deadline
        self._entry_time = self._entry_number = -1
        if deadline is None:
            return  # stopped while its host was paused
        if deadline > self._scheduler.now:
            self._push(deadline)
            return
        self.deadline = None
        self._fn()

    def __repr__(self) -> str:
        when = "stopped" if self.deadline is None else f"at {seconds(self.deadline):.9f} s"
        return f"<Timer of {self._owner.name} {when}>"


# (time_ns, rank, owner name, owner sequence, push number, fn, argument, timer). The push number is
# there so that a comparison never reaches the functions; it decides only between two owners of one
# name, one of which has gone (a neighbour forgotten and asked for again).
_Entry = tuple[int, int, str, int, int, "Callable[[Any], object]", Any, "Timer | None"]


class Scheduler:
    """All that is going to happen, in order. ``now`` is the time of the event being run."""

    __slots__ = ("_heap", "_pushes", "now")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._pushes = 0
        #: nanoseconds since the network was made.
        self.now = 0

    def post(
        self,
        time_ns: int,
        rank: int,
        owner: Owner,
        fn: Callable[[Any], object],
        argument: object,
        timer: Timer | None = None,
    ) -> int:
        """Call ``fn(argument)`` at ``time_ns``; cannot be taken back. One heap push, no object.

        Returns the number of the entry, different for every one.
        """
        sequence = owner.sequence = owner.sequence + 1
        number = self._pushes = self._pushes + 1
        entry = (time_ns, rank, owner.name, sequence, number, fn, argument, timer)
        heapq.heappush(self._heap, entry)
        return number

    def timer(self, owner: Owner, fn: Callable[[], object], *, rank: int = RANK_TIMER) -> Timer:
        """Make a timer that is not running yet."""
        return Timer(self, rank, owner, fn)

    def call_at(self, time_ns: int, rank: int, owner: Owner, fn: Callable[[], object]) -> Timer:
        """Call ``fn()`` at ``time_ns``; the timer returned can move or stop it."""
        timer = Timer(self, rank, owner, fn)
        timer.set(time_ns)
        return timer

    def next_time(self) -> int | None:
        """The exact time of the next event, or None if nothing will ever happen."""
        heap = self._heap
        while heap:
            time_ns, _, _, _, number, _, _, timer = heap[0]
            if timer is None or (timer.deadline == time_ns and timer._entry_number == number):
                return time_ns
            heapq.heappop(heap)
            timer._settle_entry(number)
        return None

    def step(self) -> bool:
        """Run the next event, moving ``now`` to its time. False if there is none."""
        if self.next_time() is None:
            return False
        time_ns, _, _, _, _, fn, argument, _ = heapq.heappop(self._heap)
        if time_ns > self.now:
            self.now = time_ns
        fn(argument)
        return True

    def run_due(self, time_ns: int) -> int:
        """Run every event up to and including ``time_ns``; then ``now`` is ``time_ns``.

        Events that come into being for the same span run too. Returns how many ran.
        """
        count = 0
        while (due := self.next_time()) is not None and due <= time_ns:
            self.step()
            count += 1
        self.now = max(self.now, time_ns)
        return count

    def __len__(self) -> int:
        return len(self._heap)

    def __repr__(self) -> str:
        return f"<Scheduler at {seconds(self.now):.9f} s, {len(self._heap)} entries>"


class HostClock(Scheduler):
    """A host's view of the scheduler: the same time and heap, but its timers can be halted.

    While a host is paused its timers run out without effect and are made up for on resume, in
    order; once it is switched off they never run again.
    """

    __slots__ = ("_base", "_late", "_state")

    def __init__(self, base: Scheduler) -> None:
        self._base = base
        self._heap = base._heap
        self._state = "running"
        self._late: list[tuple[Callable[[Any], object], Any]] = []

    @property
    def now(self) -> int:  # type: ignore[override]
        """The time of the network."""
        return self._base.now

    def post(
        self,
        time_ns: int,
        rank: int,
        owner: Owner,
        fn: Callable[[Any], object],
        argument: object,
        timer: Timer | None = None,
    ) -> int:
        """Call ``fn(argument)`` at ``time_ns``, if the host is running then."""
        return self._base.post(time_ns, rank, owner, self._run, (fn, argument), timer)

    def _run(self, call: tuple[Callable[[Any], object], Any]) -> None:
        if self._state == "running":
            fn, argument = call
            fn(argument)
        elif self._state == "paused":
            self._late.append(call)

    def pause(self) -> None:
        """Let no timer run until :meth:`resume`."""
        self._state = "paused"

    def resume(self) -> None:
        """Go on; what came due meanwhile runs now."""
        self._state = "running"
        late, self._late = self._late, []
        for call in late:
            self._run(call)

    def switch_off(self) -> None:
        """Let no timer of this host run, ever."""
        self._state = "off"
        self._late.clear()
