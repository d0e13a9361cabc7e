# Event objects: the second form in which Winsock notifies, and how to wait for many of them.
#
#   socket           event_select                names the event that an endpoint reports to
# > window, event    messages, event objects     THIS FILE: who is told, and how
#   afd              FD_ record                  keeps which network event it was; decides when
#
# An event object is a flag with waiters. It does not know why it was set: the record of network
# events lies with the endpoint, and ``Socket.enum_network_events`` takes it.
#
# Rule 1: ``report`` is called by endpoints on the loop's thread; it never waits and runs no user
#         code. ``set`` may be called from any thread.
# Rule 2: a wait takes (resets an auto-reset event) only in the step that ends it. A wait that is
#         cancelled, or too slow, has taken nothing; a wait for all takes from none until all are
#         set.
# Rule 3: waiters are served in the order of their coming. A wait for any is entered with each of
#         its events, a wait for all with the first one that is not set, and moves on from there.
#
# 64 events are not a limit here: that number is the size of a structure in Windows' kernel.
#
# Sources: learn.microsoft.com, WSACreateEvent, WSASetEvent, WSAWaitForMultipleEvents.

from __future__ import annotations

import math
from itertools import count
from operator import attrgetter
from threading import get_ident
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol, overload

import trio
from trio.lowlevel import Abort, cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled

from . import _handles, _timers
from .errors import WSA_INVALID_PARAMETER, WSA_WAIT_TIMEOUT, WSAEWOULDBLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Event", "wait_for_multiple_events", "wait_for_multiple_events_nowait"]


class Endpoint(Protocol):
    """What an event needs of an endpoint, besides keeping it alive."""

    #: The network events that were recorded and not enumerated.
    record: int

    def __hash__(self) -> int:
        """By identity."""

    @property
    def turn(self) -> Callable[[], bool]:
        """Look at the sockets of its stack once, without waiting; whether anything happened."""

    def check_thread(self, call: str) -> None:
        """Raise RuntimeError in another thread than that of the run that it belongs to."""


class Event:
    """A flag that tasks can wait for, and that a socket can set: Winsock's event object.

    Args:
      manual_reset: True (as WSACreateEvent makes them): once set it stays set, and releases every
        wait, until ``reset``. False: each ``set`` releases one wait, which resets the event.
    """

    __slots__ = ("__weakref__", "_endpoints", "_set", "_thread", "_waits", "manual_reset")

    kind: ClassVar[Literal["event"]] = "event"

    def __init__(self, manual_reset: bool = True) -> None:
        self.manual_reset: Final = manual_reset
        self._set = False
        self._waits: dict[_Wait, None] = {}
        self._endpoints: set[Endpoint] = set()
        #: The thread that selected it last, 0 while it is selected for nothing.
        self._thread = 0

    def __repr__(self) -> str:
        form = "manual-reset" if self.manual_reset else "auto-reset"
        state = "set" if self._set else "not set"
        waiting, sockets = len(self._waits), len(self._endpoints)
        return f"<Event {form}, {state}, {waiting} waiting, {sockets} sockets>"

    def __reduce__(self) -> str:
        raise TypeError("an Event belongs to a process and a Trio run; it does not pickle")

    @property
    def handle(self) -> int:
        """The event's number in this Trio run."""
        return _handles.handle_of(self)

    def set(self) -> None:
        """Set the event and release who waits for it; from any thread.

        Setting an event that is set changes nothing. Never a checkpoint.
        """
        self._set = True
        if self._waits:
            here = get_ident()
            # Waits of another thread's loop are looked at there, once for each loop.
            # (copy() is one step even if that loop changes the dict now; iterating is not.)
            for thread, token in {(wait.thread, wait.token) for wait in self._waits.copy()}:
                if thread == here:
                    self._release()
                else:
                    try:
                        token.run_sync_soon(self._release)
                    except trio.RunFinishedError:
                        continue  # and with the run its waits ended

    def reset(self) -> None:
        """Take the event back: not set. Never a checkpoint.

        Raises:
          RuntimeError: a socket reports to it, or a task waits for it, in another thread's loop.
        """
        if self._waits or (self._thread and self._thread != get_ident()):
            self._check_thread()
        self._set = False

    def _check_thread(self) -> None:
        here = get_ident()
        if any(wait.thread != here for wait in self._waits.copy()):
            raise RuntimeError("reset: a task of another thread's loop waits for this event")
        for endpoint in self._endpoints.copy():
            endpoint.check_thread("reset")

    def is_set(self) -> bool:
        """Whether the event is set; takes nothing. Never a checkpoint."""
        return self._set

    async def wait(self) -> None:
        """Wait until the event is set; if it is auto-reset, take it.

        Always a checkpoint. A cancelled wait has taken nothing.
        """
        await checkpoint_if_cancelled()
        if self._set:
            self._take()
            await cancel_shielded_checkpoint()
        else:
            await _AnyWait((self,)).suspend(math.inf)

    # The target of a selection

    def report(self, endpoint: Endpoint, bit: int, code: int) -> None:
        """Set the event: the endpoint has recorded a network event that is selected."""
        if not self._set:
            self._set = True
            if self._waits:
                self._release()

    def selected(self, endpoint: Endpoint) -> None:
        """From now on ``endpoint`` reports here; keep it alive."""
        self._endpoints.add(endpoint)
        self._thread = get_ident()
        turn = endpoint.turn
        turns = _turns.get(())
        if turn not in turns:
            _turns.set((*turns, turn))

    def inherited(self, endpoint: Endpoint) -> None:
        """The same for a socket that was accepted: its listener reports here already."""
        self._endpoints.add(endpoint)

    def deselected(self, endpoint: Endpoint) -> None:
        """``endpoint`` no longer reports here. The event stays as it is."""
        self._endpoints.discard(endpoint)
        if not self._endpoints:
            self._thread = 0

    def waiting(self, endpoint: Endpoint) -> int:
        """The network events of ``endpoint`` that are recorded and not enumerated."""
        return endpoint.record

    # Inside

    def _take(self) -> None:
        if not self.manual_reset:
            self._set = False

    def _release(self) -> None:
        thread = get_ident()
        for wait in sorted(self._waits, key=_arrival):
            if not self._set:
                break
            if wait.thread == thread and wait in self._waits:
                wait.event_set(self)

    def _enter(self, wait: _Wait) -> None:
        self._waits[wait] = None

    def _leave(self, wait: _Wait) -> None:
        self._waits.pop(wait, None)


_arrivals: Final = count()

# How to look at the sockets that events are selected for: one function for each stack.
_turns: Final[trio.lowlevel.RunVar[tuple[Callable[[], bool], ...]]] = trio.lowlevel.RunVar(
    "wsock event turns"
)


class _Wait:
    """A task that waits for events; subclasses say what ends the wait."""

    __slots__ = ("arrival", "events", "index", "task", "thread", "timed_out", "timer", "token")

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = tuple(events)
        self.arrival = next(_arrivals)
        self.index: int | None = None
        self.thread = get_ident()
        self.token = trio.lowlevel.current_trio_token()
        self.timed_out = False
        self.timer: _timers.Timer | None = None
        self.task = trio.lowlevel.current_task()

    def satisfied(self) -> bool:
        """Enter with what is not set; if enough is set already, take it and say True."""
        raise NotImplementedError

    def event_set(self, event: Event) -> None:
        """One of the events this wait is entered with was set."""
        raise NotImplementedError

    def withdraw(self) -> None:
        """Leave every event; nothing was taken."""
        raise NotImplementedError

    async def suspend(self, timeout: float) -> int | None:
        if self.satisfied():  # another thread set one while we entered
            await cancel_shielded_checkpoint()
            return self.index
        if timeout != math.inf:
            self.timer = _timers.call_later(timeout, self._expire)

        def abort(_: object) -> Abort:
            self._stop()
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if self.timed_out:
            raise _too_slow(self.events, timeout)
        return self.index

    def _stop(self) -> None:
        self.withdraw()
        if self.timer is not None:
            self.timer.cancel()

    def _expire(self) -> None:
        self.timed_out = True
        self.withdraw()
        trio.lowlevel.reschedule(self.task)

    def _finish(self) -> None:
        self._stop()
        trio.lowlevel.reschedule(self.task)


class _AnyWait(_Wait):
    __slots__ = ()

    def satisfied(self) -> bool:
        # Entering comes before looking: a thread sets the flag before it looks for waits, so one
        # of the two sees the other.
        for event in self.events:
            event._waits[self] = None
            if event._set:
                self.withdraw()
                self.index = _take_first(self.events)
                return self.index is not None
        return False

    def event_set(self, event: Event) -> None:
        event._take()
        self.index = self.events.index(event)
        self._finish()

    def withdraw(self) -> None:
        for event in self.events:
            event._waits.pop(self, None)


class _AllWait(_Wait):
    __slots__ = ("position",)

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__(events)
        self.position = 0  # of the event this wait is entered with

    def satisfied(self) -> bool:
        events, start = self.events, self.position
        for position in (*range(start, len(events)), *range(start)):
            event = events[position]
            if not event._set:
                self.position = position
                event._enter(self)
                if not event._set:
                    return False
                event._leave(self)  # set by another thread in between
        for event in events:
            event._take()
        return True

    def event_set(self, event: Event) -> None:
        event._leave(self)
        if self.satisfied():
            self._finish()

    def withdraw(self) -> None:
        self.events[self.position]._leave(self)


_arrival: Final = attrgetter("arrival")


def _take_first(events: Sequence[Event]) -> int | None:
    """Take the first event that is set; its index, or None."""
    for event in events:
        if event._set:
            if not event.manual_reset:
                event._set = False
            return events.index(event)
    return None


def _turn() -> bool:
    """Look at the sockets before a wait sleeps; whether anything happened.

    Under load something has, and a scheduler pass for the reactor and one to wake the waiting task
    are saved for each wait.
    """
    happened = False
    for turn in _turns.get(()):
        happened |= turn()
    return happened


def _too_slow(events: Sequence[Event], timeout: float) -> WSA_WAIT_TIMEOUT:
    detail = f"{len(events)} events, {timeout:g} s"
    return WSA_WAIT_TIMEOUT("wait_for_multiple_events", "", detail)


def _refuse(detail: str) -> WSA_INVALID_PARAMETER:
    return WSA_INVALID_PARAMETER("wait_for_multiple_events", "", detail)


@overload
async def wait_for_multiple_events(
    events: Sequence[Event], wait_all: Literal[False] = False, timeout: float = math.inf
) -> int: ...
@overload
async def wait_for_multiple_events(
    events: Sequence[Event], wait_all: Literal[True], timeout: float = math.inf
) -> None: ...
@overload
async def wait_for_multiple_events(
    events: Sequence[Event], wait_all: bool, timeout: float = math.inf
) -> int | None: ...
async def wait_for_multiple_events(
    events: Sequence[Event], wait_all: bool = False, timeout: float = math.inf
) -> int | None:
    """Wait until one of the events is set, or all of them: WSAWaitForMultipleEvents.

    Always a checkpoint. A wait that is cancelled or too slow has taken nothing from any event.

    Args:
      events: any number of events, at least one; the same one may be there twice.
      wait_all: wait until all are set at the same time, and take them in one step.
      timeout: seconds; 0 lets other tasks run once, looks, and does not wait.

    Returns:
      the lowest index of an event that is set. Only that one is reset, if it is auto-reset. For
      ``wait_all`` None.

    Raises:
      trio.TooSlowError: the time is over; as WSA_WAIT_TIMEOUT, a WSAError too.
      WSA_INVALID_PARAMETER: no events.
    """
    await checkpoint_if_cancelled()
    if not wait_all:
        index = _take_first(events)
        if index is None and _turn():
            index = _take_first(events)
        if index is not None:
            await cancel_shielded_checkpoint()
            return index
    if not events:
        raise _refuse("no events")
    if timeout <= 0:
        return await _poll(events, wait_all, timeout)
    wait = _AllWait(events) if wait_all else _AnyWait(events)
    return await wait.suspend(timeout)


async def _poll(events: Sequence[Event], wait_all: bool, timeout: float) -> int | None:
    await checkpoint()  # first: what it lets happen counts
    if wait_all:
        _turn()
        if all(event._set for event in events):
            for event in events:
                event._take()
            return None
    else:
        index = _take_first(events)
        if index is not None:
            return index
    raise _too_slow(events, timeout)


def wait_for_multiple_events_nowait(events: Sequence[Event]) -> int:
    """Take the first event that is set, without waiting.

    For serving a batch: one wait, then this until it raises. Never a checkpoint.

    Returns:
      the lowest index of an event that is set; it is reset if it is auto-reset.

    Raises:
      WSAEWOULDBLOCK: none is set.
    """
    index = _take_first(events)
    if index is None and _turn():
        index = _take_first(events)
    if index is None:
        raise WSAEWOULDBLOCK("wait_for_multiple_events_nowait")
    return index
