# Which event is pending, and what re-enables it: the rules of WSAAsyncSelect and WSAEventSelect.
#
#   window, event    messages, event objects        targets: they are told, they decide nothing
#   socket           recv, send, accept             where tasks wait
# > afd              buffers, FD_ record            THIS FILE: armed, record, mask, conditions
#   tdi              addresses, connections         says what happened
#
# Rule 1: a bit is *reported* when it is armed and its condition holds. Reporting takes it out of
#         ``armed``; in message mode the target posts a message, in event mode the bit goes into
#         ``record`` and the event object is set if the bit is selected.
# Rule 2: a bit is *re-enabled* by its function, also by one that fails: back into ``armed``, out of
#         ``record``, and reported at once if its condition still holds.
# Rule 3: conditions of FD_READ, FD_OOB, FD_ACCEPT are levels, computed when asked; FD_CONNECT and
#         FD_CLOSE happen once and stay true; FD_WRITE is an edge (room after a refusal).
# Rule 4: flags are plain ints here; ``IntFlag |`` costs 0.5 us against 0.02 us for int.
#
# Where Windows and its own pages differ the stack's ``notifications`` decides ("documented" or
# "windows"); each difference is marked below.
#
# Sources: learn.microsoft.com, WSAAsyncSelect, WSAEventSelect, WSAEnumNetworkEvents.
"""The notification record of an endpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol

from ..constants import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ALL_EVENTS", "RE_ENABLED_BY", "Notifier", "Target"]

ALL_EVENTS: Final = FD_READ | FD_WRITE | FD_OOB | FD_ACCEPT | FD_CONNECT | FD_CLOSE

#: Several events at once are reported in this order (FD_CONNECT before FD_WRITE, FD_READ before
#: FD_WRITE and before the FD_CLOSE that follows it).
REPORT_ORDER: Final = (FD_CONNECT, FD_ACCEPT, FD_OOB, FD_READ, FD_WRITE, FD_CLOSE)

#: The same of each set of events.
_IN_ORDER: Final = tuple(
    tuple(bit for bit in REPORT_ORDER if events & bit) for events in range(ALL_EVENTS + 1)
)

#: What carries an error code other than 0.
_WITH_CODE: Final = FD_CONNECT | FD_CLOSE

#: The calls that arm an event again (WSAAsyncSelect page).
RE_ENABLED_BY: Final[dict[int, str]] = {
    FD_READ: "recv or recvfrom, also with MSG_PEEK, also failing",
    FD_WRITE: "send or sendto that fails with WSAEWOULDBLOCK",
    FD_OOB: "recv or recvfrom",
    FD_ACCEPT: "accept, also failing",
    FD_CONNECT: "a later connect",
    FD_CLOSE: "nothing",
}


#: Armed; reported and not taken yet; reported and taken.
NotificationStanding = Literal["idle", "posted", "disabled"]


class Target(Protocol):
    """Who is told: a window (messages) or an event object.

    A window also has a ``queue``; its ``put`` queues once more what ``report`` left in ``notice``.
    """

    kind: ClassVar[Literal["message", "event"]]

    def report(self, endpoint: Notifier, bit: int, code: int) -> None:
        """Tell that ``bit`` happened on ``endpoint``, with its error code; plain and quick."""

    def selected(self, endpoint: Notifier) -> None:
        """From now on ``endpoint`` reports here; the target keeps it alive."""

    def inherited(self, endpoint: Notifier) -> None:
        """The same for a socket that was accepted: its listener reports here already."""

    def deselected(self, endpoint: Notifier) -> None:
        """``endpoint`` reports here no longer."""

    def waiting(self, endpoint: Notifier) -> int:
        """The events of ``endpoint`` that were reported and that nobody has taken yet."""


class Notifier(ABC):
    """The part of an endpoint that decides which notification is due."""

    __slots__ = (
        "__weakref__",
        "armed",
        "codes",
        "connect_code",
        "mask",
        "message",
        "notice",
        "owner",
        "posts",
        "record",
        "target",
    )

    def __init__(self) -> None:
        #: The socket object above, while a selection keeps it alive; messages name it.
        self.owner: Any = None
        self.target: Target | None = None
        self.mask = 0
        #: The number of the selection's message (WSAAsyncSelect's wMsg).
        self.message = 0
        #: ``mask`` in message mode, else 0: one test tells whether an arrival is posted.
        self.posts = 0
        #: The message of this selection for FD_READ (a listener's: for FD_ACCEPT), made at the
        #: first: they are all alike.
        self.notice: Any = None
        self.armed = ALL_EVENTS
        self.record = 0
        self.codes: dict[int, int] | None = None
        #: How the last connect ended: its error code, or -1 while none has ended.
        self.connect_code = -1

    # What the endpoint below this class knows

    @abstractmethod
    def condition(self, bit: int) -> bool:
        """Whether what ``bit`` stands for is true now."""

    @property
    @abstractmethod
    def windows_rules(self) -> bool:
        """Whether notifications follow Windows where that differs from its pages."""

    @abstractmethod
    def close_code(self) -> int:
        """The error code that an FD_CLOSE would carry."""

    @abstractmethod
    def forget_urgent(self) -> None:
        """FD_OOB was selected, and nobody has to hear of urgent data any more."""

    # Reporting

    def arrive(self, bit: int, code: int = 0) -> None:
        """Something new came that ``bit`` stands for; its condition is known to hold."""
        target = self.target
        if self.posts & self.armed & bit:
            self.armed ^= bit
            notice = self.notice
            if notice is None or notice.event != bit or code:
                target.report(self, bit, code)  # type: ignore[union-attr]  # posts: there is one
            else:
                put = target.queue.put  # type: ignore[union-attr]  # a window's
                put(notice)
        elif target is None or self.posts or target.kind == "message":
            return
        elif self.armed & bit or (self.windows_rules and self.is_news(bit)):
            # Windows records every arrival in event mode; its pages wait for the re-enabling call.
            self._enter(target, bit, code)

    def is_news(self, bit: int) -> bool:
        """Whether ``bit``, already recorded and not enabled again, stands for something new."""
        return bool(bit & (FD_READ | FD_ACCEPT | FD_OOB))

    def _enter(self, target: Target, bit: int, code: int) -> None:
        self.armed &= ~bit
        self.record |= bit
        if code or self.codes is not None:
            if self.codes is None:
                self.codes = {}
            self.codes[bit] = code
        if self.mask & bit:
            target.report(self, bit, code)

    def re_enable(self, bits: int) -> None:
        """The function of ``bits`` was called: arm them and report what still holds."""
        self.armed |= bits
        self.record &= ~bits
        if self.target is not None:
            # In message mode nobody is told of what is not selected; in event mode it is recorded.
            for bit in _IN_ORDER[bits & self.posts if self.posts else bits]:
                self.evaluate(bit)

    def evaluate(self, bit: int) -> None:
        """Report ``bit`` if it is armed and its condition holds."""
        if self.armed & bit and self.target is not None and self.condition(bit):
            self.arrive(bit, self._code(bit) if bit & _WITH_CODE else 0)

    def _code(self, bit: int) -> int:
        return max(self.connect_code, 0) if bit == FD_CONNECT else self.close_code()

    # Selecting

    def select(self, target: Target | None, message: int, mask: int, owner: Any) -> None:  # noqa: ANN401
        """Replace target, message and mask together; ``mask`` 0 (or no target) cancels.

        In message mode, also where it cancels, every bit but FD_CONNECT is armed anew, so that
        conditions that hold are told again; by the pages also FD_CONNECT of a connection that this
        socket made, if it was never reported, which Windows leaves out. In event mode nothing is
        armed; what is recorded and selected now sets the event.
        """
        self.notice = None
        messages = target is not None and target.kind == "message"
        if messages:
            self.armed |= ALL_EVENTS & ~FD_CONNECT
            self.record &= FD_CONNECT  # what was recorded for an event object is told anew
        if not mask or target is None:
            self.message = self.mask = self.posts = 0
            self._retarget(None)
            self.owner = None
            return
        self.message, self.mask, self.owner = message, mask, owner
        self.posts = mask if messages else 0
        self._retarget(target)
        if messages:
            if self.connect_code > 0 or (self.connect_code == 0 and self.windows_rules):
                self.armed &= ~FD_CONNECT  # it was told when it happened, or never
            for bit in REPORT_ORDER:
                if mask & bit:
                    self.evaluate(bit)
        else:
            self._select_event(target)

    def deselect(self) -> None:
        """Tell nobody any more: the socket is closed."""
        target, self.target = self.target, None
        if self.mask & FD_OOB:
            self.forget_urgent()
        self.message = self.mask = self.posts = 0
        self.owner = self.notice = None
        if target is not None:
            target.deselected(self)

    def _retarget(self, target: Target | None) -> None:
        old, self.target = self.target, target
        if old is not target:
            if target is not None:
                target.selected(self)
            if old is not None:
                old.deselected(self)

    def _select_event(self, target: Target) -> None:
        waiting = self.record & self.mask
        for bit in REPORT_ORDER:
            self.evaluate(bit)
        if waiting:
            target.report(self, waiting, 0)

    def inherit(self, listener: Notifier, owner: Any) -> None:  # noqa: ANN401
        """Take over the listener's selection as it is now; armed bits and record are fresh."""
        target = listener.target
        if target is not None:
            self.target = target
            self.message, self.mask, self.posts = listener.message, listener.mask, listener.posts
            self.owner = owner
            target.inherited(self)

    def enumerate_events(self) -> tuple[int, dict[int, int] | None]:
        """WSAEnumNetworkEvents: take ``record & mask``, and clear just that.

        Returns:
          The events, and their codes; None, as nearly always, if none of them failed.
        """
        events = self.record & self.mask
        self.record &= ~events
        codes = self.codes
        if codes is None:
            return events, None
        return events, {bit: codes.get(bit, 0) for bit in _bits(events)}

    def notification_states(self) -> Iterator[tuple[int, bool, bool, NotificationStanding]]:
        """Yield, per event, the bit, whether it is selected and true now, and how it stands."""
        waiting = 0 if self.target is None else self.target.waiting(self)
        for bit in REPORT_ORDER:
            state: NotificationStanding = "disabled"
            if waiting & bit:
                state = "posted"
            elif self.armed & bit:
                state = "idle"
            yield bit, bool(self.mask & bit), self.condition(bit), state


def _bits(events: int) -> Iterator[int]:
    for position in range(events.bit_length()):
        if events >> position & 1:
            yield 1 << position
