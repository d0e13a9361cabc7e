# The states of an endpoint, as one literal table.
#
# Rule 1: every change of ``state`` is a step of TRANSITIONS; ``Endpoint.step`` walks it and
#         nothing else assigns ``state``. A step that is not in the table is a fault of ours.
# Rule 2: what may be true in any state (shut for sending, peer has released, reset) is not a
#         state but a bit of ``attention``.
#
# Source: tdi-afd 6; AFD's states as ReactOS' afd documents them.
"""States, triggers, and the attention bits of an endpoint."""

from __future__ import annotations

from typing import Final, Literal

__all__ = [
    "BOUND",
    "BUFFERED",
    "CLOSED",
    "CLOSING",
    "CONNECTED",
    "CONNECTING",
    "DISCONNECTING",
    "LISTENING",
    "NOT_CONNECTED",
    "OPEN",
    "PEER_RELEASED",
    "REFUSED",
    "RELEASED",
    "RESET",
    "RUN_OVER",
    "SHUT_RECEIVE",
    "SHUT_SEND",
    "TRANSITIONS",
    "URGENT",
    "State",
    "Trigger",
]

State = Literal["OPEN", "BOUND", "LISTENING", "CONNECTING", "CONNECTED", "CLOSING", "CLOSED"]
Trigger = Literal[
    "bind", "listen", "connect", "connected", "connect failed", "accepted", "close", "given back"
]

# Plain strings, not an enum: an error keeps the state as text, and a would-block is the normal
# answer of a nonblocking call.
OPEN: Final = "OPEN"
BOUND: Final = "BOUND"
LISTENING: Final = "LISTENING"
CONNECTING: Final = "CONNECTING"
CONNECTED: Final = "CONNECTED"
CLOSING: Final = "CLOSING"
CLOSED: Final = "CLOSED"

TRANSITIONS: Final[dict[tuple[State, Trigger], State]] = {
    ("OPEN", "bind"): "BOUND",
    ("OPEN", "accepted"): "CONNECTED",
    ("BOUND", "listen"): "LISTENING",
    ("LISTENING", "listen"): "LISTENING",
    ("BOUND", "connect"): "CONNECTING",
    ("CONNECTING", "connected"): "CONNECTED",
    ("CONNECTING", "connect failed"): "BOUND",
    ("OPEN", "close"): "CLOSING",
    ("BOUND", "close"): "CLOSING",
    ("LISTENING", "close"): "CLOSING",
    ("CONNECTING", "close"): "CLOSING",
    ("CONNECTED", "close"): "CLOSING",
    ("CLOSING", "given back"): "CLOSED",
}

# Attention: what keeps a call off the fast path. 0 means connected, both directions open, nothing
# buffered, nothing urgent: a call may go straight to the transport.
NOT_CONNECTED: Final = 0x01
SHUT_SEND: Final = 0x02
SHUT_RECEIVE: Final = 0x04
PEER_RELEASED: Final = 0x08
RESET: Final = 0x10
URGENT: Final = 0x20
BUFFERED: Final = 0x40
RELEASED: Final = 0x80  # the application has closed the socket
RUN_OVER: Final = 0x200  # the Trio run that the socket was tied to has ended
REFUSED: Final = 0x400  # the transport was refused data for lack of room, and holds it
DISCONNECTING: Final = 0x100  # a TDI_DISCONNECT is outstanding
