# Explain: what each notification, error and TDI name means, as one printed page each.
#
#   _cli        wsock explain NAME
# > _explain    topics                   THIS FILE: name -> lines
#   afd.notify  RE_ENABLED_BY            the table that the code itself uses
#   errors      texts of the codes
#
# Rule: what re-enables an event and what a code means is read from the tables of the code; written
# here is only what no table has: the rule in words, the trap, the source, an example.
"""The pages of ``wsock explain``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, NamedTuple

from . import errors
from .afd import RE_ENABLED_BY
from .constants import FD

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NOTIFICATIONS", "Notification", "explain", "topics"]

_PAGE: Final = "learn.microsoft.com, WSAAsyncSelect function (winsock2.h)"


class Notification(NamedTuple):
    """What no table of the code says of an event."""

    rule: str
    trap: str
    example: str


NOTIFICATIONS: Final[dict[FD, Notification]] = {
    FD.READ: Notification(
        "Bytes, or a datagram, can be received. One notification until a receiving call is made, "
        "however much arrives; if that call leaves bytes, the next one follows at once.",
        "Not calling recv in the handler: nothing more is ever posted for this socket. Calling it "
        "in a loop until it would block: it works, but each call that leaves bytes posts another "
        "message, which then finds nothing.",
        "def on_read(sock):\n    try:\n        data = sock.recv_nowait(4096)  # once is enough\n"
        "    except wsock.WSAEWOULDBLOCK:\n        return  # an old message: nothing is lost",
    ),
    FD.WRITE: Notification(
        "There is room to send. Posted after connect or accept, and then only when a send has "
        "failed with WSAEWOULDBLOCK and there is room again.",
        "Waiting for it before every send: it does not come, as no send has failed. Send until "
        "WSAEWOULDBLOCK, keep the rest, go on when it comes.",
        "while pending:\n    try:\n        sent = sock.send_nowait(pending)\n"
        "    except wsock.WSAEWOULDBLOCK:\n        return  # FD_WRITE will follow\n"
        "    del pending[:sent]",
    ),
    FD.OOB: Notification(
        "An urgent byte has arrived (with SO_OOBINLINE it is part of the stream and FD_READ is "
        "reported instead).",
        "Expecting more than one urgent byte: TCP has one mark, and a second byte moves it.",
        "data = sock.recv_nowait(1, socket.MSG_OOB)",
    ),
    FD.ACCEPT: Notification(
        "A connection waits to be accepted. If accept leaves another one, the next notification "
        "follows at once.",
        "The accepted socket inherits the listener's selection, message number and all: its events "
        "arrive at the listener's handler until it is selected anew.",
        "conn, peer = listener.accept_nowait()\n"
        "conn.async_select(window, WM_CLIENT, wsock.FD_READ | wsock.FD_CLOSE)",
    ),
    FD.CONNECT: Notification(
        "The connect has ended; the error code of the message says how. FD_WRITE follows a good "
        "one.",
        "Sending without looking at the error: a refused connect posts FD_CONNECT too.",
        "if message.error:\n    report(message.error)",
    ),
    FD.CLOSE: Notification(
        "The peer has ended or reset the connection; posted once, and never while bytes of a "
        "graceful end are unread. The code tells a reset.",
        "Taking it for the end of the conversation: after a graceful end of the peer this side may "
        "still send. And an old FD_READ may be in the queue before it: read what is there.",
        "if message.error == 0:\n    sock.shutdown(wsock.SD_SEND)\nsock.close()",
    ),
}

_REQUESTS: Final[dict[str, str]] = {
    "IRP_MJ_CREATE": "Opens an address object (with a local address) or a connection object (with "
    "a context that every later event hands back).",
    "TDI_ASSOCIATE_ADDRESS": "Gives a connection object its address. listen does it for each place "
    "of its backlog, connect for its one object.",
    "TDI_DISASSOCIATE_ADDRESS": "Takes a connection object off its address, before it is closed.",
    "TDI_SET_EVENT_HANDLER": "Registers a function of the client that the transport calls when "
    "something happens; with NULL it takes it away. bind sets five, listen the connect handler.",
    "TDI_QUERY_INFORMATION": "Asks for the local address: after bind, since the system may have "
    "chosen it, and at accept.",
    "TDI_CONNECT": "Asks the peer for a connection. The row is written when the answer is there.",
    "TDI_EVENT_CONNECT": "A peer asks for a connection. The handler answers at once with a free "
    "connection object (MORE_PROCESSING_REQUIRED) or refuses (INSUFFICIENT_RESOURCES).",
    "TDI_ACCEPT": "The handshake that an answered offer began is complete. accept() has nothing to "
    "do with it: it only hands over what is connected already.",
    "TDI_SEND": "Hands bytes to the transport: one row for each send, however many segments it "
    "takes.",
    "TDI_EVENT_RECEIVE": "Data has arrived; at most one segment is shown to the handler. "
    "ENTIRE_MESSAGE: nothing is missing. Otherwise it asks for the rest by TDI_RECEIVE.",
    "TDI_RECEIVE": "The request for the rest of indicated data has ended.",
    "TDI_DISCONNECT": "Ends the connection: RELEASE after what is queued (FIN), ABORT at once "
    "(RST).",
    "TDI_EVENT_DISCONNECT": "The peer has released (FIN) or aborted (RST) the connection.",
    "IRP_MJ_CLEANUP": "The client is done with an object; what is outstanding is cancelled.",
    "IRP_MJ_CLOSE": "The last reference to an object is gone.",
}


def topics() -> list[str]:
    """Return every name that can be explained."""
    return [f"FD_{event.name}" for event in NOTIFICATIONS] + [*_REQUESTS, *errors.CODES]


def explain(name: str) -> Iterator[str]:
    """Yield the lines that explain an event, an error (name or number) or a TDI request.

    Raises:
      ValueError: nothing of that name is known; the text suggests near ones.
    """
    wanted = name.strip().upper()
    if wanted.isdigit():
        wanted = next((key for key, code in errors.CODES.items() if code == int(wanted)), wanted)
    event = next((one for one in NOTIFICATIONS if wanted == f"FD_{one.name}"), None)
    if event is not None:
        yield from _notification(event)
    elif wanted in errors.CODES:
        yield f"{wanted} ({errors.CODES[wanted]})"
        yield f"  {errors.text(errors.CODES[wanted])}"
    elif wanted in _REQUESTS:
        yield wanted
        yield f"  {_REQUESTS[wanted]}"
    else:
        near = difflib.get_close_matches(wanted, topics(), n=3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise ValueError(f"nothing is known of {name!r}{hint}")


def _notification(event: FD) -> Iterator[str]:
    page = NOTIFICATIONS[event]
    yield f"FD_{event.name} ({int(event)})"
    yield f"  Rule:          {page.rule}"
    yield f"  Re-enabled by: {RE_ENABLED_BY[int(event)]}"
    yield f"  Trap:          {page.trap}"
    yield f"  Source:        {_PAGE}"
    yield "  Example:"
    yield from (f"    {line}" for line in page.example.splitlines())
