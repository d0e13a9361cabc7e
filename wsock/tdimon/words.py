# Words: the text of one trace record, piece by piece.
#
#   rows, views, drawings   arrange pieces          one profile, one projection, one picture
# > words                   values -> text          THIS FILE: what a status, a flag, an address say
#   tdi.trace               records                 values only, made while the program runs
#
# Rule 1: text is made here, when somebody reads, and nowhere on the way of a record into the ring.
# Rule 2: nothing here knows a profile: every piece is given in full, and who shows less leaves it
#         out (rows.py).
"""The text of the parts of a trace record."""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from wsock import constants, errors
from wsock.tdi.addresses import PROTOCOL_NAMES, show
from wsock.tdi.status import DisconnectFlags, ReceiveFlags, SendFlags, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.tdi.trace import TraceRecord

__all__ = [
    "ERROR_NAMES",
    "address",
    "association",
    "detail",
    "event",
    "flag_names",
    "host_of",
    "local",
    "message",
    "payload",
    "port_of",
    "protocol",
    "remote",
    "request",
    "result",
]

ERROR_NAMES: Final = {number: name for name, number in errors.CODES.items()}
_EVENT_NAMES: Final = {int(bit): f"FD_{bit.name}" for bit in constants.FD}
#: Parts of ``extra`` that are shown in columns of their own.
_SHOWN_ELSEWHERE: Final = frozenset({"error", "code", "to", "call", "payload", "message"})
_MESSAGE_NAMES: Final[dict[int, str]] = {
    getattr(constants, name): name for name in constants.__all__ if name.startswith("WM_")
} | {0x0373: "WM_SOCKET_NOTIFY", 0x037F: "WM_TLS_NOTIFY"}  # AsyncSocket's: MFC's, and beside it
_REGISTERED_MESSAGES: Final = 0xC000  # what RegisterWindowMessage gives begins here
_AF_UNIX: Final = getattr(socket, "AF_UNIX", None)

#: The flags that the old monitor printed, in its order (NORMAL never; R5).
_RECEIVE_WORDS: Final = (
    (ReceiveFlags.ENTIRE_MESSAGE, "ENTIRE_MESSAGE"),
    (ReceiveFlags.COPY_LOOKAHEAD, "LOOKAHEAD"),
    (ReceiveFlags.AT_DISPATCH_LEVEL, "DISPATCH"),
    (ReceiveFlags.EXPEDITED, "EXPEDITED"),
    (ReceiveFlags.PARTIAL, "PARTIAL"),
    (ReceiveFlags.PEEK, "PEEK"),
    (ReceiveFlags.NO_PUSH, "NO_PUSH"),
)
_SEND_WORDS: Final = (
    (SendFlags.EXPEDITED, "EXPEDITED"),
    (SendFlags.PARTIAL, "PARTIAL"),
    (SendFlags.NON_BLOCKING, "NON_BLOCKING"),
)
_DISCONNECT_WORDS: Final = (
    (DisconnectFlags.WAIT, "WAIT"),
    (DisconnectFlags.ABORT, "ABORT"),
    (DisconnectFlags.RELEASE, "RELEASE"),
)
_FLAG_WORDS: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    "TDI_SEND": _SEND_WORDS,
    "TDI_RECEIVE": _RECEIVE_WORDS,
    "TDI_EVENT_RECEIVE": _RECEIVE_WORDS,
    "TDI_EVENT_RECEIVE_EXPEDITED": _RECEIVE_WORDS,
    "TDI_EVENT_RECEIVE_DATAGRAM": _RECEIVE_WORDS,
    "TDI_DISCONNECT": _DISCONNECT_WORDS,
    "TDI_EVENT_DISCONNECT": _DISCONNECT_WORDS,
}


@functools.lru_cache(maxsize=4096)
def address(family: int, packed: bytes) -> str:
    """Return ``ip:port`` of a packed address, ``""`` for none.

    A record need not know the family of its peer (a refused offer): the length tells it then.
    """
    if not family and packed:
        family = socket.AF_INET if len(packed) == 6 else socket.AF_INET6
    try:
        return show(family, packed)
    except (ValueError, OSError):  # of a family that is not known here
        return packed.hex()


@functools.lru_cache(maxsize=4096)
def host_of(packed: bytes, family: int) -> str | None:
    """Return the IP address alone, ``None`` where there is none."""
    if family == _AF_UNIX or len(packed) < 6:
        return None
    return str(ipaddress.ip_address(packed[:4] if len(packed) == 6 else packed[:16]))


def port_of(packed: bytes, family: int) -> int | None:
    """Return the port alone, ``None`` where there is none."""
    if family == _AF_UNIX or len(packed) < 6:
        return None
    at = 4 if len(packed) == 6 else 16
    return packed[at] << 8 | packed[at + 1]


def protocol(record: TraceRecord) -> str:
    """Return ``TCP`` or ``UDP``; a connection object without address is TCP's."""
    return PROTOCOL_NAMES.get(record.protocol, "TCP")


def local(record: TraceRecord) -> str:
    """Return the local address with its protocol, ``""`` for none."""
    text = address(record.family, record.local)
    return f"{protocol(record)}:{text}" if text else ""


def remote(record: TraceRecord) -> str:
    """Return the peer's address, ``""`` for none (an unset one is all zero)."""
    packed = record.remote
    return address(record.family, packed) if packed.strip(b"\0") else ""


def association(record: TraceRecord) -> str:
    """Return the address that TDI_ASSOCIATE_ADDRESS names."""
    return f"{protocol(record)}:{address(record.family, record.association)}"


def request(record: TraceRecord) -> str:
    """Return the name of what happened; a notification's is its event, a state's is the new one."""
    if record.kind == "fd":
        return _EVENT_NAMES.get(record.flags, record.request)
    if record.kind == "state" and record.extra:
        return str(record.extra.get("to", record.request))
    return record.request


def event(record: TraceRecord) -> str | None:
    """Return the FD_ name of what a notification, or a message about a socket, tells."""
    return _EVENT_NAMES.get(record.flags) if record.kind in ("fd", "message") else None


def message(record: TraceRecord) -> str | None:
    """Return the name of a message: ``WM_TIMER``, ``WM_USER+5``; ``None`` where there is none."""
    number = (record.extra or {}).get("message")
    if type(number) is not int:
        return None
    if number in _MESSAGE_NAMES:
        return _MESSAGE_NAMES[number]
    for name in ("WM_APP", "WM_USER"):
        base: int = getattr(constants, name)
        if base <= number < _REGISTERED_MESSAGES:
            return f"{name}+{number - base}"
    return f"0x{number:04X}"


def result(record: TraceRecord) -> str:
    """Return the status without ``STATUS_``, or the Winsock error of a call or a notification."""
    status: int | str = record.status
    if record.kind != "tdi" and record.extra:
        status = record.extra.get("error") or record.extra.get("code") or status
    if isinstance(status, Status):
        return status.name
    if isinstance(status, str):
        return status
    return "SUCCESS" if status == 0 else ERROR_NAMES.get(status, f"error {status}")


def flag_names(record: TraceRecord) -> str:
    """Return the names of the set flags with blanks between them."""
    words = _FLAG_WORDS.get(record.request, ())
    return " ".join(word for bit, word in words if record.flags & bit)


def _created(record: TraceRecord) -> str:
    return "Address Open" if record.object_kind == "address" else f"Context:0x{record.context:08X}"


def _handler(record: TraceRecord) -> str:
    if record.event is None:
        return ""
    kind, cleared = record.event
    return f"{kind.title}: NULL" if cleared else kind.title


def _length(record: TraceRecord) -> str:
    return f"Length:{record.length}" if record.length >= 0 else ""


def _sent(record: TraceRecord) -> str:
    return f"{_length(record)} {flag_names(record)}".rstrip()


def _indicated(record: TraceRecord) -> str:
    flags = flag_names(record)
    return f"{_length(record)} Flags: {flags}".lstrip() if flags else _length(record)


def payload(record: TraceRecord) -> bytes | None:
    """Return the bytes that were kept of what a call moved, ``None`` for none."""
    try:
        return bytes.fromhex((record.extra or {})["payload"])
    except (KeyError, TypeError, ValueError):  # not asked for, or a saved trace that was edited
        return None


def _extra(record: TraceRecord) -> str:
    """Whatever else a call, notification or state row carries, as ``name=value``."""
    extra = record.extra or {}
    pieces = [f"{name}={value}" for name, value in extra.items() if name not in _SHOWN_ELSEWHERE]
    said = [message(record), event(record) if record.kind == "message" else None]
    pieces[:0] = [text for text in said if text is not None]
    data = payload(record)
    if data is not None:
        pieces.append(f"payload={data!r}")
    if record.length >= 0:
        pieces.insert(0, _length(record))
    return " ".join(pieces)


_DETAILS: Final[dict[str, Callable[[TraceRecord], str]]] = {
    "IRP_MJ_CREATE": _created,
    "TDI_ASSOCIATE_ADDRESS": association,
    "TDI_SET_EVENT_HANDLER": _handler,
    "TDI_QUERY_INFORMATION": lambda record: "Query Address",
    "TDI_SEND": _sent,
    "TDI_SEND_DATAGRAM": _sent,
    "TDI_RECEIVE": _length,
    "TDI_RECEIVE_DATAGRAM": _length,
    "TDI_EVENT_RECEIVE": _indicated,
    "TDI_EVENT_RECEIVE_EXPEDITED": _indicated,
    "TDI_EVENT_RECEIVE_DATAGRAM": _indicated,
    "TDI_DISCONNECT": flag_names,
    "TDI_EVENT_DISCONNECT": flag_names,
}


def detail(record: TraceRecord) -> str:
    """Return what a row says besides its five other columns."""
    if record.kind != "tdi":
        return _extra(record)
    make = _DETAILS.get(record.request)
    return make(record) if make is not None else _length(record)
