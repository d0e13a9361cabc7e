# kernel32, third part: event objects, and waiting for them and for threads.
#
# Rule 1: "not set" turns the reactor, looks again, and then waits or passes the scheduler.
# Rule 2: a wait for all takes nothing until all are set; then it takes them in one step.
#
# Sources: learn.microsoft.com, CreateEvent, WaitForMultipleObjects, Sleep.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from wsock import errors
from wsock._event import Event, wait_for_multiple_events
from wsock.win32 import _reactor, _threads
from wsock.win32._threads import Thread, current, failed
from wsock.win32.constants import (
    ERROR_ALREADY_EXISTS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    INFINITE,
    MAXIMUM_WAIT_OBJECTS,
    TRUE,
    WAIT_FAILED,
    WAIT_OBJECT_0,
    WAIT_TIMEOUT,
)

if TYPE_CHECKING:
    from collections.abc import Sequence



def CreateEvent(
    lpEventAttributes: None, bManualReset: int, bInitialState: int, lpName: str | None = None
) -> int:
    """HANDLE CreateEvent(attributes, BOOL manual_reset, BOOL initial_state, name).

    A name finds the event that was made under it in this program, as long as it has a handle
    (then GetLastError is ERROR_ALREADY_EXISTS); other processes do not see it.
    """
    thread = current()
    process = thread.process
    if lpName is not None:
        for handle, thing in process.objects.items():
            if isinstance(thing, _NamedEvent) and thing.name == lpName:
                thread.last_error = ERROR_ALREADY_EXISTS
                return handle
        event: Event = _NamedEvent(lpName, bool(bManualReset))
    else:
        event = Event(manual_reset=bool(bManualReset))
    if bInitialState:
        event.set()
    return process.add_object(event)


class _NamedEvent(Event):
    __slots__ = ("name",)

    def __init__(self, name: str, manual_reset: bool) -> None:
        super().__init__(manual_reset)
        self.name = name


def event_of(handle: int | None) -> Event | None:
    """The event object behind a handle; None for any other number."""
    found = current().process.objects.get(handle or 0)
    return found if isinstance(found, Event) else None


def SetEvent(hEvent: int) -> int:
    """BOOL SetEvent(HANDLE)."""
    event = event_of(hEvent)
    if event is None:
        return failed(ERROR_INVALID_HANDLE)
    event.set()
    return TRUE


def ResetEvent(hEvent: int) -> int:
    """BOOL ResetEvent(HANDLE)."""
    event = event_of(hEvent)
    if event is None:
        return failed(ERROR_INVALID_HANDLE)
    if event._endpoints:
        _reactor.turn()  # what has arrived before this is reset by it
    event.reset()
    return TRUE


# ---------------------------------------------------------------------------------------- waits


def seconds(milliseconds: int) -> float:
    """A C time-out for Trio: INFINITE is endless."""
    return math.inf if milliseconds == INFINITE else milliseconds / 1000


def waitables(handles: Sequence[int], wait_all: bool) -> list[Event] | int:
    """The events behind the handles of a wait, or the code with which the wait fails."""
    if not 1 <= len(handles) <= MAXIMUM_WAIT_OBJECTS:
        return ERROR_INVALID_PARAMETER
    objects = current().process.objects
    found: list[Event] = []
    for handle in handles:
        thing = objects.get(handle)
        if isinstance(thing, Thread):
            thing = thing.done
        if not isinstance(thing, Event):
            return ERROR_INVALID_HANDLE
        found.append(thing)
    if wait_all and len(set(map(id, found))) != len(found):
        return ERROR_INVALID_PARAMETER
    return found


def take_set(events: list[Event], wait_all: bool) -> int | None:
    """What a wait that finds its events set takes; the index, or None if it must wait."""
    if wait_all:
        if not all(event.is_set() for event in events):
            return None
        taken = events
    else:
        taken = [event for event in events if event.is_set()][:1]
        if not taken:
            return None
    for event in taken:
        if not event.manual_reset:
            event.reset()
    return 0 if wait_all else events.index(taken[0])


def wait_for(handles: Sequence[int], wait_all: bool, milliseconds: int) -> int:
    """WaitForMultipleObjects, for this module and for WSAWaitForMultipleEvents."""
    thread = current()
    events = waitables(handles, wait_all)
    if isinstance(events, int):
        failed(events)
        return WAIT_FAILED
    index = take_set(events, wait_all)
    if index is not None:
        _threads.succeeded(thread)
        return WAIT_OBJECT_0 + index
    _reactor.turn()
    index = take_set(events, wait_all)
    if index is None and milliseconds:
        try:
            timeout = seconds(milliseconds)
            index = _threads.wait(wait_for_multiple_events, events, wait_all, timeout) or 0
        except errors.WSA_WAIT_TIMEOUT:
            return WAIT_TIMEOUT
    else:
        _threads.pass_scheduler()
    return WAIT_TIMEOUT if index is None else WAIT_OBJECT_0 + index


def WaitForSingleObject(hHandle: int, dwMilliseconds: int) -> int:
    """DWORD WaitForSingleObject(HANDLE, DWORD milliseconds): on an event, or a thread's end."""
    return wait_for((hHandle,), False, dwMilliseconds)


def WaitForMultipleObjects(
    nCount: int, lpHandles: Sequence[int], bWaitAll: int, dwMilliseconds: int
) -> int:
    """DWORD WaitForMultipleObjects(count, handles, BOOL wait_all, DWORD milliseconds).

    At most 64 handles, as in C. A handle twice in a wait for all is ERROR_INVALID_PARAMETER.
    """
    return wait_for(list(lpHandles)[:nCount], bool(bWaitAll), dwMilliseconds)


def Sleep(dwMilliseconds: int) -> None:
    """void Sleep(DWORD milliseconds): the other threads run meanwhile; 0 lets each run once."""
    current()
    _reactor.turn()
    _threads.wait(trio.sleep, seconds(dwMilliseconds))


__all__ = [
    "CreateEvent", "ResetEvent", "SetEvent", "Sleep", "WaitForMultipleObjects",
    "WaitForSingleObject",
]  # fmt: skip
