# States: the eleven of RFC 9293 and every way between them.
#
# Rule 1: TRANSITIONS is the only description of what may follow what. ``Tcb.change`` walks it, and
#         no other place sets ``state``.
# Rule 2: the events are those of figure 5 of the RFC, and nothing finer: what a segment must be
#         like to *be* such an event is for the arrival processing to find out.
#
# Two readings of figure 5. LISTEN belongs to a Listener, which stays; an arriving SYN makes a new
# TCB that starts in LISTEN and goes on from there, as if the listening one had been cloned. And
# CLOSE moves the state at once, also while data still waits in front of the FIN ("in any case,
# enter FIN-WAIT-1", section 3.10.4); CLOSE in SYN-RECEIVED is kept until ESTABLISHED, the RFC's
# second choice there, because a FIN before the SYN's acknowledgement gains nothing.
#
# Sources: RFC 9293 sections 3.3.2 (figure 5), 3.10.

"""The states of a TCP connection, and the literal table of their transitions."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class State(Enum):
    """A state of RFC 9293; the value is its name in text."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    def __str__(self) -> str:
        return self.value


class Event(Enum):
    """What moves a connection from one state to another."""

    PASSIVE_OPEN = "passive OPEN"
    ACTIVE_OPEN = "active OPEN"
    RCV_SYN = "rcv SYN"
    RCV_SYN_ACK = "rcv SYN,ACK"
    RCV_ACK_OF_SYN = "rcv ACK of SYN"
    CLOSE = "CLOSE"
    RCV_FIN = "rcv FIN"
    RCV_ACK_OF_FIN = "rcv ACK of FIN"
    TIMEOUT_2MSL = "timeout 2 MSL"
    #: the TCB is deleted: a reset either way, a limit reached, a network error.
    DELETE = "delete TCB"


_S: Final = State
_E: Final = Event

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    _S.CLOSED: {_E.PASSIVE_OPEN: _S.LISTEN, _E.ACTIVE_OPEN: _S.SYN_SENT},
    _S.LISTEN: {_E.RCV_SYN: _S.SYN_RECEIVED, _E.DELETE: _S.CLOSED},
    _S.SYN_SENT: {
        _E.RCV_SYN_ACK: _S.ESTABLISHED,
        _E.RCV_SYN: _S.SYN_RECEIVED,  # simultaneous open
        _E.CLOSE: _S.CLOSED,
        _E.DELETE: _S.CLOSED,
    },
    _S.SYN_RECEIVED: {_E.RCV_ACK_OF_SYN: _S.ESTABLISHED, _E.DELETE: _S.CLOSED},
    _S.ESTABLISHED: {
        _E.CLOSE: _S.FIN_WAIT_1,
        _E.RCV_FIN: _S.CLOSE_WAIT,
        _E.DELETE: _S.CLOSED,
    },
    _S.FIN_WAIT_1: {
        _E.RCV_ACK_OF_FIN: _S.FIN_WAIT_2,
        _E.RCV_FIN: _S.CLOSING,
        _E.DELETE: _S.CLOSED,
    },
    _S.FIN_WAIT_2: {_E.RCV_FIN: _S.TIME_WAIT, _E.DELETE: _S.CLOSED},
    _S.CLOSE_WAIT: {_E.CLOSE: _S.LAST_ACK, _E.DELETE: _S.CLOSED},
    _S.CLOSING: {_E.RCV_ACK_OF_FIN: _S.TIME_WAIT, _E.DELETE: _S.CLOSED},
    _S.LAST_ACK: {_E.RCV_ACK_OF_FIN: _S.CLOSED, _E.DELETE: _S.CLOSED},
    _S.TIME_WAIT: {_E.TIMEOUT_2MSL: _S.CLOSED, _E.DELETE: _S.CLOSED},
}


class StateChange(NamedTuple):
    """One line of a connection's trace; ``old`` equals ``new`` for a remark without a change."""

    time_ns: int
    old: State
    new: State
    cause: str

    def __str__(self) -> str:
        return f"{self.time_ns / 1e9:.9f} {self.old} -> {self.new}: {self.cause}"
