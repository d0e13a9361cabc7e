# Hints: why is no message coming? With WSOCK_HINTS=1 one line says it, when somebody waits in vain.
#
#   socket           notifications()              asks here when an event was last reported
# > hints            install(), last_reported     THIS FILE: notes reports, looks when all is quiet
#   window, event    report, the waits            some of their methods are replaced by install
#   afd              recv, send                   and these, which then look at the thread, too
#
# How it works: ``install`` puts other functions in the place of Window.report, Event.report and the
# two places where a window and a wait for events fall asleep. Nothing of this is in those classes,
# so a program without hints pays nothing, neither a test nor a slot. In the same way the one path
# that does not look which thread calls (a recv or send on a connected stream) gets to look.
#
# Rule 1: a hint is due when an event that is selected was reported and taken, its re-enabling call
#         was not made, and what it stands for is true: then nothing more is posted. Each report
#         gives at most one.
# Rule 2: it comes after 50 ms of sleep, so that a handler may give its socket to another task.
# Rule 3: no hint for an FD_CONNECT that told of success: nobody waits for a second one.
"""WSOCK_HINTS: say why no message comes."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final

import trio

from . import _timers, errors
from ._event import Event, _Wait
from ._window import MessageQueue, Window
from .afd import RE_ENABLED_BY
from .afd.receive import ReceivingEndpoint
from .afd.transmit import SendingEndpoint
from .constants import FD, FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["install", "installed", "last_reported", "uninstall", "wanted"]

IDLE_S: Final = 0.05

#: What holds, in words; and for the events that no call re-enables, what to do.
_HOLDS: Final[dict[int, str]] = {
    FD_READ: "data is unread",
    FD_WRITE: "there is room to send",
    FD_OOB: "urgent data is unread",
    FD_ACCEPT: "a connection waits",
    FD_CONNECT: "the connect has failed",
    FD_CLOSE: "this socket is still open",
}

_originals: dict[tuple[type, str], Callable[..., Any]] = {}


class _Note:
    """When an event of an endpoint was last reported, and whether a hint has spoken of it."""

    __slots__ = ("told", "when")

    def __init__(self, when: float) -> None:
        self.when = when
        self.told = False


_notes: Final[weakref.WeakKeyDictionary[Any, dict[int, _Note]]] = weakref.WeakKeyDictionary()


def wanted() -> bool:
    """Whether WSOCK_HINTS asks for hints: it is set, and not to 0."""
    return os.environ.get("WSOCK_HINTS", "0") not in ("", "0")


def installed() -> bool:
    """Whether reports are noted and hints are given."""
    return bool(_originals)


def last_reported(endpoint: Any, bit: int) -> float | None:  # noqa: ANN401
    """Return when ``bit`` of ``endpoint`` was last posted or recorded, in Trio's time.

    None: never, or nobody has noted it, since hints are off.
    """
    note = _notes[endpoint].get(bit) if endpoint in _notes else None
    return None if note is None else note.when


def install() -> None:
    """Note reports and give hints from now on, in the whole process.

    A selection that has told of FD_READ or FD_ACCEPT already goes unnoted until it is made anew.
    """
    if not _originals:
        for cls, name, replacement in (
            (Window, "report", _report),
            (Event, "report", _report),
            (MessageQueue, "_sleep", _sleep),
            (_Wait, "suspend", _suspend),
            (ReceivingEndpoint, "recv", _in_its_thread(ReceivingEndpoint, "recv")),
            (ReceivingEndpoint, "recv_into", _in_its_thread(ReceivingEndpoint, "recv_into")),
            (SendingEndpoint, "send", _in_its_thread(SendingEndpoint, "send")),
            (SendingEndpoint, "send_more", _in_its_thread(SendingEndpoint, "send_more")),
        ):
            _originals[cls, name] = cls.__dict__[name]
            setattr(cls, name, replacement)


def uninstall() -> None:
    """Put everything back as it was."""
    for (cls, name), original in _originals.items():
        setattr(cls, name, original)
    _originals.clear()
    _notes.clear()


# In the place of methods: ``self`` is what they belong to


def _report(self: Window | Event, endpoint: Any, bit: int, code: int) -> None:  # noqa: ANN401
    now = trio.current_time()
    notes = _notes.setdefault(endpoint, {})
    for one in RE_ENABLED_BY:
        if bit & one:
            notes[one] = _Note(now)
    _originals[Window if isinstance(self, Window) else Event, "report"](self, endpoint, bit, code)


def _in_its_thread(cls: type, name: str) -> Callable[..., Any]:
    """The same call, which looks first in which thread it is: the fast path does not."""

    def checked(self: Any, *arguments: Any) -> Any:  # noqa: ANN401
        self.check_thread(name)
        return _originals[cls, name](self, *arguments)

    return checked


async def _sleep(self: MessageQueue, filters: Any) -> None:  # noqa: ANN401
    timer = _timers.call_later(IDLE_S, lambda: _look(_of_queue(self)))
    try:
        await _originals[MessageQueue, "_sleep"](self, filters)
    finally:
        timer.cancel()


async def _suspend(self: _Wait, timeout: float) -> int | None:  # noqa: ASYNC109  (as replaced)
    timer = _timers.call_later(IDLE_S, lambda: _look(_of_events(self.events)))
    try:
        index: int | None = await _originals[_Wait, "suspend"](self, timeout)
    finally:
        timer.cancel()
    return index


def _of_queue(queue: MessageQueue) -> Iterator[Any]:
    for endpoint in list(_notes):
        if getattr(endpoint.target, "queue", None) is queue:
            yield endpoint


def _of_events(events: Iterable[Event]) -> Iterator[Any]:
    for endpoint in list(_notes):
        if endpoint.target in events:
            yield endpoint


# The hint


def _look(endpoints: Iterable[Any]) -> None:
    for endpoint in endpoints:
        socket = endpoint.owner
        if socket is None or socket.closed or socket._record is not endpoint:
            continue  # (the last: it speaks TLS, and this is about ciphertext)
        for row in socket.notifications():
            note = _notes.get(endpoint, {}).get(row.event)
            if note is not None and not note.told and row.selected:
                line = _hint(endpoint, row)
                if line:
                    note.told = True
                    print(f"wsock hint: {socket!r}: {line}", file=sys.stderr, flush=True)


def _hint(endpoint: Any, row: Any) -> str:  # noqa: ANN401
    """Return what to say of one event, ``""`` if nothing is wrong with it."""
    name = f"FD_{row.event.name}"
    by_event = endpoint.target.kind == "event"
    if row.state == "posted" and by_event and not endpoint.target.is_set():
        return (
            f"{name} is recorded, but its event object was reset; "
            "enum_network_events takes the record and resets the object in one step"
        )
    if row.state != "disabled" or not row.condition:
        return ""
    if row.event == FD.CONNECT and not endpoint.connect_code:
        return ""
    told = "recorded" if by_event else "posted"
    return f"{name} was {told} and {_what_holds(endpoint, row.event)}; {_remedy(row.event)}"


def _what_holds(endpoint: Any, event: int) -> str:  # noqa: ANN401
    if event == FD_CONNECT:
        return f"{_HOLDS[event]} ({errors.error_class(endpoint.connect_code).__name__})"
    return _HOLDS[event]


def _remedy(event: int) -> str:
    if event == FD_CLOSE:
        return "it comes once, and nothing re-enables it: close the socket when you are done"
    return f"it comes again only after: {RE_ENABLED_BY[event]}"
