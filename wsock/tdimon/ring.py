# The ring: where records go while the program runs.
#
#   Trace      rows, files, pictures           reads copies
# > ring       the newest records              THIS FILE: numbers them, counts what it drops
#   tdi.trace  traced objects                  emit one record a row
#
# Rule 1: emit is on the program's way. It numbers and keeps; no text, no branch that is not needed.
#         `python -m benchmarks.tracing` measures what a row costs.
# Rule 2: records come from any thread (two Trio runs; a message that another thread posts) and from
#         signal handlers, so the lock is one that its holder may take again.
"""The bounded ring of trace records."""

from __future__ import annotations

import copy
import operator
import threading
from collections import deque
from itertools import takewhile
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from wsock.tdi.trace import TraceRecord

if TYPE_CHECKING:
    from wsock.tdi.trace import Tracer

__all__ = ["CAPACITY", "Calls", "Fan", "OneSocket", "Ring"]

CAPACITY: Final = 100_000
#: Kinds of records that no packet causes: a task does.
_BEGUN_BY_TASKS: Final = frozenset({"call", "message"})


class Calls:
    """Which Winsock call is running, so that what happens meanwhile can name it as its cause.

    A call's record is emitted when the call begins, with a negative duration until it returns.
    """

    __slots__ = ("_threads",)

    def __init__(self) -> None:
        self._threads: dict[int, list[TraceRecord]] = {}

    def cause_of(self, record: TraceRecord) -> TraceRecord | None:
        """Return this thread's running call, which ``record`` happens in; note one that begins."""
        running = self._threads.get(get_ident())
        if running is None:
            running = self._threads.setdefault(get_ident(), [])
        while running and running[-1].duration_ns >= 0:
            running.pop()
        cause = running[-1] if running else None
        if record.kind == "call" and record.duration_ns < 0:
            running.append(record)
        return cause


class Ring:
    """Keeps the newest ``capacity`` records.

    ``count`` is how many there ever were, ``forgotten`` how many of them before the last clear.
    ``payload_bytes``: how many bytes of what a call moves are kept in its record.
    """

    __slots__ = (
        "_append",
        "_calls",
        "_lock",
        "_records",
        "_sockets",
        "count",
        "forgotten",
        "payload_bytes",
    )

    def __init__(self, capacity: int = CAPACITY, payload_bytes: int = 0) -> None:
        if capacity < 1:
            raise ValueError("a ring holds at least one record")
        self._records: deque[TraceRecord] = deque(maxlen=capacity)
        self._append = self._records.append
        self._calls = Calls()
        self._lock = threading.RLock()
        #: Which socket an object of tdi belongs to: its last rows come when nobody else knows.
        self._sockets: dict[int, int] = {}
        self.count = 0
        self.forgotten = 0
        self.payload_bytes = payload_bytes

    def emit(self, record: TraceRecord) -> None:
        """Take a record: number it, name its cause, drop the oldest one if the ring is full."""
        with self._lock:
            self.count = record.sequence = self.count + 1
            cause = self._calls.cause_of(record)
            if cause is not None:
                record.cause = cause.request
                record.task = cause.task
            elif record.kind not in _BEGUN_BY_TASKS:
                record.cause = "network"
            if record.kind == "tdi":
                self._name_socket(record, cause)
            self._append(record)

    def _name_socket(self, record: TraceRecord, cause: TraceRecord | None) -> None:
        key = record.object_id
        number = record.socket or self._sockets.get(key, 0)
        if not number and cause is not None:
            number = cause.socket
        record.socket = number
        if record.request == "IRP_MJ_CLOSE":
            self._sockets.pop(key, None)
        else:
            self._sockets[key] = number

    def refill(self, records: list[TraceRecord]) -> None:
        """Take records that are numbered already: those of a saved trace."""
        self._records.extend(records)
        self.count = self._records[-1].sequence if self._records else 0

    @property
    def lost(self) -> int:
        """How many records were dropped because the ring was full."""
        return self.count - self.forgotten - len(self._records)

    def since(self, sequence: int) -> list[TraceRecord]:
        """Return a copy of the records behind that number, oldest first; from any thread.

        A call that another thread is in has no result yet: it ends the list, and comes next time
        with what follows it.
        """
        with self._lock:
            found = list(takewhile(lambda one: one.sequence > sequence, reversed(self._records)))
        found.sort(key=_sequence)  # a signal handler may have emitted in the middle of an emit
        return list(takewhile(lambda one: one.duration_ns >= 0, found))

    def records(self) -> list[TraceRecord]:
        """Return a copy of what is kept, oldest first; from any thread."""
        with self._lock:
            found = list(self._records)
        found.sort(key=_sequence)
        return found

    def clear(self) -> None:
        """Forget every record; numbering goes on, so the gap shows."""
        with self._lock:
            self._records.clear()
            self.forgotten = self.count


_sequence: Final = operator.attrgetter("sequence")


class OneSocket:
    """Passes on the records of one socket: its calls, what they cause, and its objects' events."""

    __slots__ = ("_calls", "_ids", "endpoint", "tracer")

    def __init__(self, tracer: Tracer, endpoint: Any) -> None:  # noqa: ANN401
        self.tracer = tracer
        self.endpoint = endpoint
        self._calls = Calls()
        self._ids = {id(endpoint)}

    @property
    def payload_bytes(self) -> int:
        """How many bytes of what a call moves the tracer wants."""
        return getattr(self.tracer, "payload_bytes", 0)

    def emit(self, record: TraceRecord) -> None:
        """Take a record of the whole stack, and pass it on if it is this socket's."""
        endpoint, address = self.endpoint, self.endpoint.address
        if endpoint.connection is not None:
            self._ids.add(id(endpoint.connection))
        if address is not None and address.owner is endpoint:  # an accepted one shares its address
            self._ids.add(id(address))
        cause = self._calls.cause_of(record)
        own = cause is not None and cause.object_id == id(endpoint)
        if own or record.object_id in self._ids:
            self.tracer.emit(record)


class _SameCall(TraceRecord):
    """The record of a call, or of a message, for a second tracer, with a number of its own.

    What the call brings is written into the first record when it returns, and read from there.
    """

    __slots__ = ("_first",)

    def __init__(self, first: TraceRecord) -> None:
        self._first = first
        for name in TraceRecord.__slots__:
            if name not in _RESULTS:
                setattr(self, name, getattr(first, name))


_RESULTS: Final = ("duration_ns", "extra", "length", "status")
for _name in _RESULTS:
    setattr(_SameCall, _name, property(operator.attrgetter(f"_first.{_name}")))


class Fan:
    """Passes records on to several tracers that watch the same stack."""

    __slots__ = ("tracers",)

    def __init__(self, *tracers: Tracer) -> None:
        self.tracers = tracers

    @property
    def payload_bytes(self) -> int:
        """The most bytes that one of them wants; the others see them too."""
        return max(getattr(tracer, "payload_bytes", 0) for tracer in self.tracers)

    def emit(self, record: TraceRecord) -> None:
        """Give each tracer a record of its own, since each numbers it."""
        first, *others = self.tracers
        for tracer in others:
            late = record.kind in _BEGUN_BY_TASKS  # has its result only when it returns
            tracer.emit(_SameCall(record) if late else copy.copy(record))
        first.emit(record)
