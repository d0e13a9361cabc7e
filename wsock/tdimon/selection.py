# Selection: which records are shown, which are marked.
#
#   cli, views   show what passes
# > selection    columns, expressions, presets     THIS FILE: record -> shown? marked?
#   _filters     the grammar                       rows  record -> six columns
#
# Rule 1: two ways, for two kinds of user. By column, with wildcards, as in the old monitor's
#         dialogue (``request=TDI_EVENT_*``); by expression, Wireshark's grammar over FIELDS.
# Rule 2: excluding wins over including; nothing included means everything. Marking changes nothing
#         about what is shown.
"""Filters over trace records: wildcards by column, expressions, presets."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from wsock._filters import FieldType, Filter, compile_filter
from wsock.tdimon import words
from wsock.tdimon.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsock.tdi.trace import TraceRecord

__all__ = ["FIELDS", "PRESETS", "ColumnPattern", "Selection", "compile_expression"]


class Field(NamedTuple):
    """A field of the expressions: its type, how it is had, what it means."""

    type: FieldType
    get: Callable[[TraceRecord], object]
    about: str


def _of(kind: str, get: Callable[[TraceRecord], object]) -> Callable[[TraceRecord], object]:
    return lambda record: get(record) if record.kind == kind else None


def _both(record: TraceRecord, get: Callable[[bytes, int], object]) -> tuple[object, ...]:
    found = (get(record.local, record.family), get(record.remote, record.family))
    return tuple(one for one in found if one is not None)


def _extra(name: str) -> Callable[[TraceRecord], object]:
    return lambda record: (record.extra or {}).get(name)


def _label(record: TraceRecord) -> str:
    return f"Connect {record.number}" if record.object_kind == "Connect" else record.object_kind


N, S, A, P = FieldType.NUMBER, FieldType.STRING, FieldType.ADDRESS, FieldType.PROTOCOL

#: Every field of an expression. ``tdi`` alone asks whether the record is a TDI row, and so on.
FIELDS: Final[dict[str, Field]] = {
    "tdi": Field(P, _of("tdi", lambda r: True), "a TDI request or event"),
    "tdi.request": Field(S, _of("tdi", lambda r: r.request), "TDI_SEND, TDI_EVENT_RECEIVE ..."),
    "tdi.result": Field(S, _of("tdi", words.result), "SUCCESS, CONNECTION_REFUSED ..."),
    "tdi.detail": Field(S, _of("tdi", words.detail), "the detail column"),
    "tdi.object": Field(S, _of("tdi", _label), "address, connect, Connect n"),
    "tdi.number": Field(N, _of("tdi", lambda r: r.number or None), "n of Connect n"),
    "tdi.local.ip": Field(A, lambda r: words.host_of(r.local, r.family), "local IP address"),
    "tdi.local.port": Field(N, lambda r: words.port_of(r.local, r.family), "local port"),
    "tdi.remote.ip": Field(A, lambda r: words.host_of(r.remote, r.family), "peer's IP address"),
    "tdi.remote.port": Field(N, lambda r: words.port_of(r.remote, r.family), "peer's port"),
    "tdi.ip": Field(A, lambda r: _both(r, words.host_of), "either IP address"),
    "tdi.port": Field(N, lambda r: _both(r, words.port_of), "either port"),
    "tdi.length": Field(N, lambda r: r.length if r.length >= 0 else None, "bytes"),
    "tdi.flags": Field(N, _of("tdi", lambda r: r.flags), "the headers' flag bits"),
    "tdi.rx": Field(N, _of("tdi", lambda r: r.rx_fill), "bytes in the receive buffer"),
    "tdi.tx": Field(N, _of("tdi", lambda r: r.tx_fill), "bytes in the send buffer"),
    "tdi.free": Field(N, _of("tdi", lambda r: r.free), "free places of the pool"),
    "tdi.pending": Field(N, _of("tdi", lambda r: r.pending), "connections not yet accepted"),
    "ws": Field(P, lambda r: True if r.kind != "tdi" else None, "a row of Winsock, not of TDI"),
    "ws.call": Field(S, _of("call", lambda r: r.request), "bind, send, recv ..."),
    "ws.payload": Field(FieldType.BYTES, words.payload, "bytes that were kept (--payload)"),
    "ws.event": Field(S, words.event, "FD_READ, FD_WRITE ...: told, or taken from a queue"),
    "ws.queue": Field(
        S, _of("message", lambda r: r.request), "PostMessage, GetMessage, DispatchMessage ..."
    ),
    "ws.message": Field(S, words.message, "its name: WM_USER+5, WM_TIMER ..."),
    "ws.state": Field(S, _of("state", words.request), "the state that was reached"),
    "ws.error": Field(
        S, lambda r: words.result(r) if r.kind in ("call", "fd", "message") else None,
        "SUCCESS, WSAEWOULDBLOCK ...",
    ),
    "ws.socket": Field(N, lambda r: r.socket or None, "number of the socket; of TDI rows too"),
    "row.number": Field(N, lambda r: r.sequence, "place in the trace"),
    "row.time": Field(N, lambda r: r.time_ns / 1e9, "seconds on the host's clock"),
    "row.duration": Field(N, lambda r: r.duration_ns / 1e9, "seconds"),
    "row.host": Field(S, lambda r: r.host, "name of the machine"),
    "row.task": Field(S, lambda r: r.task or None, "name of the Trio task"),
    "row.cause": Field(S, lambda r: r.cause or None, "the call, network or internal"),
    "row.kind": Field(S, lambda r: r.kind, "tdi, call, fd, message, state"),
    "row.active": Field(FieldType.BOOL, _extra("active"), "about the side that connected"),
}  # fmt: skip

_TYPES: Final = {name: field.type for name, field in FIELDS.items()}


def _get(record: TraceRecord, name: str) -> object:
    return FIELDS[name].get(record)


def compile_expression(text: str) -> Filter[TraceRecord]:
    """Compile an expression over FIELDS, in Wireshark's grammar.

    Raises:
      FilterSyntaxError: it is none; the error points at the place.
    """
    return compile_filter(text, _TYPES, _get)


#: Expressions that many want, by name.
PRESETS: Final[dict[str, str]] = {
    "data": "tdi.request in {TDI_SEND, TDI_RECEIVE, TDI_EVENT_RECEIVE, TDI_SEND_DATAGRAM, "
    "TDI_EVENT_RECEIVE_DATAGRAM, TDI_EVENT_RECEIVE_EXPEDITED}",
    "events": 'tdi.request matches "^TDI_EVENT_"',
    "connections": "tdi.request in {TDI_CONNECT, TDI_EVENT_CONNECT, TDI_ACCEPT, TDI_DISCONNECT, "
    "TDI_EVENT_DISCONNECT}",
    "errors": "(tdi and tdi.result not in {SUCCESS, MORE_PROCESSING_REQUIRED}) or "
    "(ws.error and ws.error != SUCCESS)",
    "no-setup": "not tdi.request in {TDI_SET_EVENT_HANDLER, TDI_QUERY_INFORMATION, "
    "TDI_ASSOCIATE_ADDRESS, TDI_DISASSOCIATE_ADDRESS}",
    "refused": "tdi.result in {CONNECTION_REFUSED, INSUFFICIENT_RESOURCES, REMOTE_NOT_LISTENING}",
    "notifications": "ws.event or ws.queue",
    "calls": "ws.call",
}


class ColumnPattern(NamedTuple):
    """``request=TDI_EVENT_*``: a column of the row and a wildcard; no column: any of them."""

    column: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> ColumnPattern:
        """Read ``column=wildcard`` or ``wildcard``; ``*``, ``?`` and ``[...]``, case ignored.

        Raises:
          ValueError: there is no such column.
        """
        column, equals, wildcard = text.partition("=")
        if not equals:
            column, wildcard = "", text
        elif column.strip().lower() not in Row._fields:
            known = ", ".join(Row._fields)
            raise ValueError(f"no column {column.strip()!r}; there are: {known}")
        found = re.compile(fnmatch.translate(wildcard.strip()), re.IGNORECASE)
        return cls(column.strip().lower(), found)

    def matches(self, row: Row) -> bool:
        """Return whether the row's column, or any of them, is matched from end to end."""
        cells: Iterable[Any] = (getattr(row, self.column),) if self.column else row
        return any(self.pattern.match(cell.strip()) for cell in cells)


class Selection:
    """What to show and what to mark.

    Args:
      expression: shown only if it passes; ``@name`` is a preset.
      include, exclude, highlight: ``column=wildcard`` texts.

    Raises:
      FilterSyntaxError: the expression is none. ValueError: unknown column or preset.
    """

    def __init__(
        self,
        expression: str = "",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        highlight: Iterable[str] = (),
    ) -> None:
        if expression.startswith("@"):
            if expression[1:] not in PRESETS:
                raise ValueError(f"no preset {expression!r}; there are: @{', @'.join(PRESETS)}")
            expression = PRESETS[expression[1:]]
        self.expression = compile_expression(expression)
        self.included = [ColumnPattern.parse(text) for text in include]
        self.excluded = [ColumnPattern.parse(text) for text in exclude]
        self.highlighted = [ColumnPattern.parse(text) for text in highlight]

    def shows(self, record: TraceRecord, row: Row) -> bool:
        """Return whether the record is shown."""
        if not self.expression(record) or any(one.matches(row) for one in self.excluded):
            return False
        return not self.included or any(one.matches(row) for one in self.included)

    def marks(self, row: Row) -> bool:
        """Return whether the row is highlighted."""
        return any(one.matches(row) for one in self.highlighted)
