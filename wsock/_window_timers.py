# WM_TIMER: the timers that programs set on a window.
#
# > window_timers    SetTimer, KillTimer          THIS FILE: which timers have elapsed
#   timers           one wake-up per deadline     wakes the reader when the earliest is due
#
# Rule 1: a timer makes no message by itself. Whoever looks at the queue asks what has elapsed, so a
#         tick costs nothing, and a timer that elapsed many times is one message.
# Rule 2: periods keep their phase: after a late look the next message is due at a whole period.
#
# Sources: learn.microsoft.com, SetTimer, KillTimer, WM_TIMER.

from __future__ import annotations

import math
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio

from .constants import WM_TIMER

if TYPE_CHECKING:
    from typing import TypeAlias

    from ._window import Window

    Filters: TypeAlias = "tuple[Window | _EveryWindow | None, int, int]"

__all__ = ["EVERY_WINDOW", "WindowTimers", "passes"]

MINIMUM_PERIOD: Final = 0.010
"""Seconds; shorter timers count as this (USER_TIMER_MINIMUM)."""


class _EveryWindow:
    def __repr__(self) -> str:
        return "EVERY_WINDOW"


EVERY_WINDOW: Final = _EveryWindow()
"""No filter by window. (None is a filter: it passes what was posted to no window.)"""


def passes(filters: Filters, window: Window | None, number: int) -> bool:
    """Whether a message to ``window`` with this number passes (window, minimum, maximum)."""
    wanted, minimum, maximum = filters
    if wanted is not EVERY_WINDOW and wanted is not window:
        return False
    return (minimum <= number <= maximum) or not (minimum or maximum)


class WindowTimer:
    __slots__ = ("due", "identifier", "period", "window")

    def __init__(self, window: Window | None, identifier: Any, period: float, now: float) -> None:
        self.window = window
        self.identifier = identifier
        self.period = period
        self.due = now + period


class WindowTimers:
    """SetTimer's timers of one queue. A timer that elapsed many times is one message."""

    __slots__ = ("_heap", "_numbers", "table")

    def __init__(self) -> None:
        #: The timers that are set.
        self.table: dict[tuple[Window | None, Any], WindowTimer] = {}
        # Lazy deletion: an entry counts if its timer is still in the table and due then.
        self._heap: list[tuple[float, int, WindowTimer]] = []
        self._numbers = count()

    def set(self, window: Window | None, identifier: Any, seconds: float, now: float) -> None:
        """Start or replace a timer."""
        timer = WindowTimer(window, identifier, max(seconds, MINIMUM_PERIOD), now)
        self.table[window, identifier] = timer
        self._push(timer)
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self.table):
            self._heap = sorted(entry for entry in self._heap if self._counts(entry))

    def kill(self, window: Window | None, identifier: Any) -> bool:
        """End a timer; False if there is none."""
        return self.table.pop((window, identifier), None) is not None

    def discard(self, window: Window) -> None:
        """End all timers of a window."""
        for key in [key for key in self.table if key[0] is window]:
            del self.table[key]

    def clear(self) -> None:
        """End all timers."""
        self.table.clear()

    def next_due(self, filters: Filters = (EVERY_WINDOW, 0, 0)) -> float:
        """When the earliest timer whose message passes elapses; infinity without one."""
        heap = self._heap
        while heap and not self._counts(heap[0]):
            heappop(heap)
        if not heap or passes(filters, heap[0][2].window, WM_TIMER):
            return heap[0][0] if heap else math.inf
        passing = (
            entry[0]
            for entry in heap
            if self._counts(entry) and passes(filters, entry[2].window, WM_TIMER)
        )
        return min(passing, default=math.inf)

    def elapsed(self, filters: Filters) -> WindowTimer | None:
        """The timer that elapsed first, of those whose message passes."""
        if not self.table:
            return None
        now = trio.current_time()
        if self.next_due() > now:
            return None
        due = (entry for entry in self._heap if entry[0] <= now and self._counts(entry))
        passing = (entry for entry in due if passes(filters, entry[2].window, WM_TIMER))
        first = min(passing, default=None)
        return None if first is None else first[2]

    def restart(self, timer: WindowTimer) -> None:
        """Its message was taken: the next one is due at the next whole period."""
        now = trio.current_time()
        timer.due += ((now - timer.due) // timer.period + 1) * timer.period
        if timer.due <= now:  # the division was rounded
            timer.due += timer.period
        self._push(timer)

    def _push(self, timer: WindowTimer) -> None:
        heappush(self._heap, (timer.due, next(self._numbers), timer))

    def _counts(self, entry: tuple[float, int, WindowTimer]) -> bool:
        timer = entry[2]
        return timer.due == entry[0] and self.table.get((timer.window, timer.identifier)) is timer
