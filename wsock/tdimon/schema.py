# Schema: a trace record as plain data, and back. The documented, versioned form of a trace.
#
#   formats     files: JSON lines, TSV
# > schema      record <-> dict                 THIS FILE: names, types, version
#   tdi.trace   records
#
# Rule 1: names and meanings below never change within a version. A reader ignores names that it
#         does not know; a writer leaves out what is zero or empty, so a missing name means that.
# Rule 2: nothing in it depends on the machine: numbers of families and types become names, memory
#         addresses become counts, so two runs on a virtual network give the same bytes.
# Rule 3: record -> dict -> record loses nothing that a view can show.
#
# Version 1. One record is one object with these names:
#   seq          int    place in the trace, from 1; a jump is a gap (records lost)
#   time_ns      int    when it began: the host's monotonic clock, or virtual time
#   duration_ns  int    how long it took
#   host, task   str    which machine, which Trio task
#   socket       int    which socket of its host, in the order of opening, from 1
#   cause        str    the call it happened in, "network" or "internal"
#   kind         str    "tdi", "call", "fd", "message", "state"
#   request      str    TDI_SEND, IRP_MJ_CREATE; call: send, recv; fd: FD; message: PostMessage,
#                       PostQuitMessage, GetMessage, DispatchMessage; state: what led to it
#   status       str    an NTSTATUS without STATUS_; for other kinds than tdi an int, Winsock's code
#   object       {kind, id, number, group, context}   kind: "address", "connect" (made by connect),
#                "Connect" (made by listen or accept), "socket", "window", "queue" (posted to no
#                window); id: counted in the trace, from 1; number: in the listening socket's
#                count; group: id of the address object
#   protocol     str    "TCP", "UDP", "RAW"
#   family       str    "AF_INET", "AF_INET6", "AF_UNIX"
#   local, remote, association   str    "10.0.0.5:10000", "[::1]:80"; else "hex:..." as packed
#   event        str    event kind of TDI_SET_EVENT_HANDLER
#   cleared      bool   that handler was taken away
#   length       int    bytes; missing: does not apply
#   flags        int    the TDI headers' values; fd and message: the FD_ bit
#   rx, tx       int    bytes in the endpoint's receive and send buffer
#   free, pending int   free and pending places of a listening socket's pool
#   extra        object whatever else, by name: error (a name), code (of a notification), from and
#                to (states), message (its number), wparam and lparam (a number, else "<type>"),
#                raised (what a procedure raised), active (bool), payload (hexadecimal)
"""Trace records as plain data: the versioned schema of saved traces."""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import TYPE_CHECKING, Any, Final

from wsock.tdi.addresses import PROTOCOL_NAMES, pack
from wsock.tdi.status import EventKind, Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIELDS", "VERSION", "RecordWriter", "packed_from_text", "record_from_dict"]

VERSION: Final = 1

FIELDS: Final = (
    "seq", "time_ns", "duration_ns", "host", "task", "socket", "cause", "kind", "request",
    "status", "object", "protocol", "family", "local", "remote", "association", "event",
    "cleared", "length", "flags", "rx", "tx", "free", "pending", "extra",
)  # fmt: skip

_KINDS: Final = frozenset({"tdi", "call", "fd", "message", "state"})
_FAMILIES: Final[dict[int, str]] = {
    getattr(socket, name): name
    for name in ("AF_INET", "AF_INET6", "AF_UNIX")
    if hasattr(socket, name)
}
_FAMILY_NUMBERS: Final = {name: number for number, name in _FAMILIES.items()}
_PROTOCOL_NUMBERS: Final = {name: number for number, name in PROTOCOL_NAMES.items()}

#: Names whose value is copied as it is: (schema, record).
_PLAIN: Final = (
    ("time_ns", "time_ns"), ("duration_ns", "duration_ns"), ("host", "host"), ("task", "task"),
    ("socket", "socket"), ("cause", "cause"), ("flags", "flags"), ("rx", "rx_fill"),
    ("tx", "tx_fill"), ("free", "free"), ("pending", "pending"),
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _address_text(family: int, packed: bytes) -> str:
    text = words.address(family, packed)
    with contextlib.suppress(ValueError):  # what people read is not always all that there is
        if packed_from_text(_family_name(family), text) == packed:
            return text
    return f"hex:{packed.hex()}"


def _family_name(family: int) -> str:
    return _FAMILIES.get(family, str(family) if family else "")


@functools.lru_cache(maxsize=4096)
def packed_from_text(family: str, text: str) -> bytes:
    """Return the packed form of an address as the schema writes it.

    Raises:
      ValueError: it is none of that family.
    """
    if not text:
        return b""
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    if family == "AF_UNIX":
        return text.encode(errors="surrogateescape")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 0xFFFF:
        raise ValueError(f"{text!r} is no address with a port")
    number = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        return pack(number, (host.strip("[]"), int(port)))
    except OSError as error:
        raise ValueError(f"{text!r} is no address") from error


class RecordWriter:
    """Makes dicts of the records of one trace, which it must be given in their order."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, int], int] = {}
        self._last = 0

    def _id(self, record: TraceRecord, object_id: int, *, new: bool) -> int:
        key = (record.host, object_id)
        number = self._ids.get(key)
        if number is None or new:
            self._last = number = self._last + 1
            self._ids[key] = number
        return number

    def dict_of(self, record: TraceRecord) -> dict[str, Any]:
        """Return the record in the schema's form, without what is zero or empty."""
        status = record.status
        event, cleared = record.event or (None, False)
        found: dict[str, Any] = {"seq": record.sequence, "kind": record.kind}
        found |= {"request": record.request}
        found |= {"status": status.name if isinstance(status, Status) else status}
        values = {name: getattr(record, attribute) for name, attribute in _PLAIN}
        values |= {
            "object": self._object(record) if record.object_kind else None,
            "protocol": PROTOCOL_NAMES.get(record.protocol),
            "family": _family_name(record.family),
            "event": event.name if event is not None else None,
            "cleared": cleared,
            "extra": record.extra,
        }
        for name in ("local", "remote", "association"):
            packed = getattr(record, name)
            values[name] = _address_text(record.family, packed) if packed else ""
        found |= {name: value for name, value in values.items() if value}
        if record.length >= 0:
            found["length"] = record.length
        return found

    def _object(self, record: TraceRecord) -> dict[str, Any]:
        created = record.request == "IRP_MJ_CREATE"
        number = self._id(record, record.object_id, new=created)
        values = {
            "kind": record.object_kind,
            "id": number,
            "number": record.number,
            "group": self._id(record, record.client_key, new=False) if record.client_key else 0,
            "context": record.context,
        }
        return {name: value for name, value in values.items() if value}


def _typed(found: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:  # noqa: ANN401
    value = found.get(name, default)
    if type(value) is not kind:
        raise ValueError(f"{name!r} must be {kind.__name__}, not {value!r}")
    return value


def record_from_dict(found: Mapping[str, Any]) -> TraceRecord:
    """Return the record that ``found`` describes, in the schema's form.

    Raises:
      ValueError: a name is missing, or a value has the wrong type or is unknown.
    """
    kind = _typed(found, "kind", str, None)
    if kind not in _KINDS:
        raise ValueError(f"'kind' {kind!r} is unknown")
    record = TraceRecord(kind, _typed(found, "request", str, None), _status(found), 0)
    record.sequence = _typed(found, "seq", int, None)
    for name, attribute in _PLAIN:
        default = getattr(record, attribute)
        setattr(record, attribute, _typed(found, name, type(default), default))
    record.length = _typed(found, "length", int, -1)
    _read_addresses(found, record)
    _read_object(_typed(found, "object", dict, {}), record)
    event = _typed(found, "event", str, "")
    if event:
        if event not in EventKind.__members__:
            raise ValueError(f"'event' {event!r} is unknown")
        record.event = (EventKind[event], _typed(found, "cleared", bool, False))
    record.extra = _typed(found, "extra", dict, {}) or None
    return record


def _status(found: Mapping[str, Any]) -> Status | int:
    status = found.get("status")
    if type(status) is int:
        return status
    if isinstance(status, str) and status in Status.__members__:
        return Status[status]
    raise ValueError(f"'status' {status!r} is unknown")


def _read_addresses(found: Mapping[str, Any], record: TraceRecord) -> None:
    family = _typed(found, "family", str, "")
    if family.isdigit():
        record.family = int(family)
    elif family:
        record.family = _FAMILY_NUMBERS.get(family, 0)
    record.protocol = _PROTOCOL_NUMBERS.get(_typed(found, "protocol", str, ""), 0)
    for name in ("local", "remote", "association"):
        setattr(record, name, packed_from_text(family, _typed(found, name, str, "")))


def _read_object(found: Mapping[str, Any], record: TraceRecord) -> None:
    record.object_kind = _typed(found, "kind", str, "")
    record.object_id = _typed(found, "id", int, 0)
    record.number = _typed(found, "number", int, 0)
    record.client_key = _typed(found, "group", int, 0)
    record.context = _typed(found, "context", int, 0)
