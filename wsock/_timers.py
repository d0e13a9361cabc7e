# Timers: plain functions called at a time, all from one task.
#
#   socket, window, event    SO_RCVTIMEO, WM_TIMER, time-outs of waits
# > timers                   THIS FILE: one heap, one task, one deadline in Trio
#
# A cancel scope for each timed wait costs 4.8 us; an entry in this heap costs 0.7 us, and
# cancelling it 0.1 us. The task is a system task (infrastructure, as Trio's own): it starts with
# the first timer of a run and ends with the run, so a timer never outlives the main task.
#
# Rule 1: functions are plain and quick: no waiting, no user code. One that raises is logged and the
#         others go on; nothing leaves the task.
# Rule 2: deletion is lazy. A cancelled entry stays in the heap until its time comes, or until
#         cancelled entries are the larger half; so the deadline in Trio moves only when an earlier
#         timer comes, and a server that cancels a minute's time-out per message stays small.

from __future__ import annotations

import logging
import math
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timer", "call_at", "call_later"]

COMPACT_FROM: Final = 64  # cancelled entries; fewer are not worth a pass over the heap

_logger: Final = logging.getLogger("wsock")


class Timer:
    """One call to come. ``deadline`` is in :func:`trio.current_time` seconds."""

    __slots__ = ("_fn", "_table", "deadline")

    def __init__(self, table: TimerTable, deadline: float, fn: Callable[[], object]) -> None:
        self.deadline = deadline
        self._fn: Callable[[], object] | None = fn
        self._table = table

    @property
    def pending(self) -> bool:
        """Whether the call is still to come."""
        return self._fn is not None

    def cancel(self) -> None:
        """Do not call; nothing happens if it was called or cancelled before."""
        if self._fn is not None:
            self._fn = None
            self._table.entry_cancelled()

    def fire(self) -> None:
        """Make the call now, in the table's task."""
        fn, self._fn = self._fn, None
        if fn is not None:
            try:
                fn()
            except Exception:
                _logger.exception("a timer's function failed")

    def __repr__(self) -> str:
        state = f"due at {self.deadline:.3f}" if self.pending else "done"
        return f"<Timer {state}>"


class TimerTable:
    """All timers of one Trio run."""

    __slots__ = ("_cancelled", "_heap", "_numbers", "_scope")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0  # at least as many as there are in the heap
        self._scope = trio.CancelScope()

    def call_at(self, deadline: float, fn: Callable[[], object]) -> Timer:
        """See the function of the same name."""
        timer = Timer(self, deadline, fn)
        heap = self._heap
        heappush(heap, (deadline, next(self._numbers), timer))
        if heap[0][2] is timer:
            self._scope.deadline = deadline
        return timer

    def entry_cancelled(self) -> None:
        """Count a cancelled entry, and clear them out once they are the larger half."""
        self._cancelled += 1
        if self._cancelled > COMPACT_FROM and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].pending]
            heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Call what is due, until the run ends."""
        while True:
            with self._scope:
                await trio.sleep_forever()
            # The next scope is there before anything is called, since a call may add timers.
            self._scope = trio.CancelScope()
            for timer in self._take_due(trio.current_time()):
                timer.fire()
            self._drop_cancelled()
            self._scope.deadline = self._heap[0][0] if self._heap else math.inf

    def _take_due(self, now: float) -> list[Timer]:
        # All are taken first: what a call adds waits for the next turn, even if it is due.
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heappop(self._heap)[2])
        return due

    def _drop_cancelled(self) -> None:
        while self._heap and not self._heap[0][2].pending:
            heappop(self._heap)

    def __len__(self) -> int:
        return len(self._heap)


_table: Final[trio.lowlevel.RunVar[TimerTable]] = trio.lowlevel.RunVar("wsock timers")


def current_table() -> TimerTable:
    """The timers of the Trio run that is calling; starts their task if there is none."""
    try:
        return _table.get()
    except LookupError:
        table = TimerTable()
        _table.set(table)
        trio.lowlevel.spawn_system_task(table.run, name="wsock timers")
        return table


def call_at(deadline: float, fn: Callable[[], object]) -> Timer:
    """Call ``fn()`` once :func:`trio.current_time` has reached ``deadline``.

    Timers of one deadline are called in the order in which they were made. Never a checkpoint.

    Args:
      deadline: seconds on Trio's clock; a time that is past means the next scheduler pass.
      fn: plain function, quick, no user code. What it raises is logged, not propagated.

    Returns:
      the timer, for :meth:`Timer.cancel`.

    Raises:
      RuntimeError: called outside a Trio run.
    """
    return current_table().call_at(deadline, fn)


def call_later(seconds: float, fn: Callable[[], object]) -> Timer:
    """Call ``fn()`` after ``seconds``; otherwise as :func:`call_at`."""
    return current_table().call_at(trio.current_time() + seconds, fn)
