# Timers of one connection: four deadlines over one entry in the scheduler's heap.
#
#   expiry            what happens when one of them runs out
# > timers            THIS FILE: the deadlines, and the one Timer
#   scheduler         the heap; lazy, so that a deadline that moves later costs nothing
#
# Rule 1: a deadline is an int of nanoseconds or None, and is set by plain assignment. ``arm``, at
#         the end of each flush, tells the scheduler the earliest; nobody else does.
# Rule 2: retransmission, zero-window probes and the SWS override exclude each other, so they share
#         one deadline, and ``purpose`` says which it is.

"""The deadlines of a connection."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.scheduler import Owner, Scheduler


class Purpose(Enum):
    """What the ``resend`` deadline is for."""

    #: RTO: something is in flight.
    RETRANSMIT = "retransmit"
    #: the peer's window is zero, and there is something to send.
    PERSIST = "persist"
    #: something is held back by SWS avoidance, or was not pushed.
    OVERRIDE = "override"


class TcbTimers:
    """When this connection has to look after itself next."""

    __slots__ = ("_timer", "delayed_ack", "ending", "keep_alive", "purpose", "resend")

    def __init__(self, scheduler: Scheduler, owner: Owner, fn: Callable[[], object]) -> None:
        self._timer = scheduler.timer(owner, fn)
        self.resend: int | None = None
        self.purpose = Purpose.RETRANSMIT
        self.delayed_ack: int | None = None
        self.keep_alive: int | None = None
        #: the end of TIME-WAIT, or of waiting in FIN-WAIT-2.
        self.ending: int | None = None

    def arm(self) -> None:
        """Have the connection called at its earliest deadline, or not at all."""
        earliest = self.resend
        for deadline in (self.delayed_ack, self.keep_alive, self.ending):
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        if earliest is None:
            self._timer.stop()
        elif earliest != self._timer.deadline:
            self._timer.set(earliest)

    def stop(self) -> None:
        """Forget all deadlines."""
        self.resend = self.delayed_ack = self.keep_alive = self.ending = None
        self._timer.stop()
