# Formats: a trace as a file, and back.
#
#   cli, Trace   save, load
# > formats      text table, TSV, JSON lines      THIS FILE: lines of text
#   schema       record <-> dict                  rows  record -> six columns
#
# Rule 1: JSON lines is the form that keeps everything: a header line, then one record a line. TSV
#         keeps everything too, behind the six columns that people read; a TSV of the six columns
#         alone (what the old monitor saved) can be read as well.
# Rule 2: what is written is ASCII, whatever the console or the disk thinks; lines end with "\n".
# Rule 3: a file that was cut off in its last line (a full disk) opens with what it has; any other
#         damage is a FormatError that names the line.
"""Saving traces as text, TSV or JSON lines, and opening them again."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any, Final

from wsock.tdi.status import DisconnectFlags, EventKind, ReceiveFlags, SendFlags, Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon.rows import Row, RowFeed
from wsock.tdimon.schema import FIELDS, VERSION, RecordWriter, packed_from_text, record_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "FormatError",
    "read_header",
    "read_json_lines",
    "read_trace",
    "read_tsv",
    "rows_of",
    "write_header",
    "write_json_lines",
    "write_table",
    "write_tsv",
]

FORMAT_NAME: Final = "wsock-tdimon"
_NO_TRACE: Final = "not a trace of wsock tdimon"


class FormatError(ValueError):
    """A file that is no trace, with the line and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


# Rows and tables


def rows_of(
    records: Iterable[TraceRecord], profile: str = "plain"
) -> Iterator[tuple[TraceRecord | None, Row]]:
    """Yield each record that the profile shows with its row; ``None`` with the row of a gap."""
    return RowFeed(profile).feed(records)


def write_table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns, without line ends."""
    lines = [Row(*Row._fields), *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(6)]
    lines.insert(1, Row(*("-" * width for width in widths)))
    for row in lines:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


# JSON lines


def write_header() -> str:
    """Return the first line of a trace in the schema's form."""
    return json.dumps({"format": FORMAT_NAME, "version": VERSION})


def read_header(line: str) -> None:
    """Check the first line of a trace.

    Raises:
      FormatError: it is none, or of another version.
    """
    try:
        header = _parsed([line], 1)
    except FormatError as error:
        raise FormatError(1, f"{_NO_TRACE}: {error.reason}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT_NAME:
        raise FormatError(1, _NO_TRACE)
    if header.get("version") != VERSION:
        raise FormatError(1, f"schema version {header.get('version')}; this wsock reads {VERSION}")


def write_json_lines(records: Iterable[TraceRecord]) -> Iterator[str]:
    """Yield the lines of a trace in the schema's form: the header, then one record each."""
    yield write_header()
    writer = RecordWriter()
    for record in records:
        yield json.dumps(writer.dict_of(record), default=str, separators=(",", ":"))


def read_json_lines(text: str) -> list[TraceRecord]:
    """Return the records of a trace that ``write_json_lines`` wrote.

    Raises:
      FormatError: it is none, or of a newer version.
    """
    lines = text.split("\n")
    read_header(lines[0])
    records = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            found = _parsed(lines, number)
        except FormatError:
            if number == len(lines):  # no line end after it: cut off while it was written
                break
            raise
        records.append(_read(found, number))
    return records


def _parsed(lines: list[str], number: int) -> Any:  # noqa: ANN401
    try:
        return json.loads(lines[number - 1])
    except (ValueError, RecursionError) as error:
        raise FormatError(number, f"not JSON ({error})") from error


def _read(found: Any, number: int) -> TraceRecord:  # noqa: ANN401
    if not isinstance(found, dict):
        raise FormatError(number, "not an object")
    try:
        return record_from_dict(found)
    except ValueError as error:
        raise FormatError(number, str(error)) from error


# TSV

#: Columns behind the six; ``object`` and what the six show as text has its own name here.
_TSV_FIELDS: Final = tuple(f"rec.{name}" for name in FIELDS)
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPE: Final = {escaped: plain for plain, escaped in _ESCAPES.items()}


def _escape(text: str) -> str:
    return re.sub(r"[\\\t\n\r]", lambda found: _ESCAPES[found[0]], text)


def _unescape(text: str) -> str:
    return re.sub(r"\\.", lambda found: _UNESCAPE.get(found[0], found[0]), text)


def write_tsv(
    records: Iterable[TraceRecord], profile: str = "all", *, six_columns: bool = False
) -> Iterator[str]:
    """Yield the lines of a tab-separated table: the profile's six columns, then the record.

    What the profile does not show is left out; "all" shows everything.
    """
    yield "\t".join(Row._fields if six_columns else Row._fields + _TSV_FIELDS)
    writer = RecordWriter()
    for record, row in rows_of(records, profile):
        cells = [_escape(cell) for cell in row]
        if not six_columns and record is not None:
            found = writer.dict_of(record)
            cells += [json.dumps(found[n], default=str) if n in found else "" for n in FIELDS]
        yield "\t".join(cells)


def read_tsv(text: str) -> list[TraceRecord]:
    """Return the records of a table that ``write_tsv`` or the old monitor wrote.

    Raises:
      FormatError: it is none.
    """
    lines = text.removesuffix("\n").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    if tuple(header[:6]) != Row._fields:
        columns = ", ".join(Row._fields)
        raise FormatError(1, f"{_NO_TRACE}: the first six columns must be {columns}")
    names = [name.removeprefix("rec.") for name in header[6:]]
    reader = _RowReader()
    records = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.rstrip("\r").split("\t")
        if len(cells) != len(header) and number == len(lines) > 2 and not text.endswith("\n"):
            break  # cut off while it was written
        if cells[1:2] == ["(gap)"]:
            continue
        if len(cells) != len(header):
            raise FormatError(number, f"{len(cells)} cells where the header has {len(header)}")
        if names:
            found = {n: _cell(c, number) for n, c in zip(names, cells[6:], strict=True) if c}
            records.append(_read(found, number))
        else:
            records.append(reader.record(Row(*map(_unescape, cells)), number))
    return records


def _cell(text: str, number: int) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(number, f"not JSON: {text!r}") from error


_EVENT_KINDS: Final = {kind.title: kind for kind in EventKind}
_FLAG_BITS: Final[dict[str, int]] = {
    "ENTIRE_MESSAGE": ReceiveFlags.ENTIRE_MESSAGE,
    "LOOKAHEAD": ReceiveFlags.COPY_LOOKAHEAD,
    "DISPATCH": ReceiveFlags.AT_DISPATCH_LEVEL,
    "RELEASE": DisconnectFlags.RELEASE,
    "ABORT": DisconnectFlags.ABORT,
    "WAIT": DisconnectFlags.WAIT,
}


class _RowReader:
    """Reads rows of six columns back into records: the inverse of profile "tdimon-2003"."""

    def __init__(self) -> None:
        self._labels: dict[str, int] = {}
        self._sequence = 0
        self._address = 0

    def record(self, row: Row, number: int) -> TraceRecord:
        if row.result not in Status.__members__:
            raise FormatError(number, f"{row.result!r} is no status")
        self._sequence += 1
        record = TraceRecord("tdi", row.request, Status[row.result], 0)
        record.sequence = self._sequence
        self._object(row, record, number)
        record.protocol = socket.SOCK_DGRAM if row.local[:4] == "UDP:" else socket.SOCK_STREAM
        record.family = socket.AF_INET
        try:
            record.local = _packed(row.local)
            record.remote = _packed(row.remote)
            self._detail(row, record)
        except ValueError as error:
            raise FormatError(number, str(error)) from error
        if row.request == "TDI_EVENT_DISCONNECT":  # shown without a peer on the active side (R7)
            record.extra = {"active": not row.remote}
        return record

    def _object(self, row: Row, record: TraceRecord, number: int) -> None:
        match = re.fullmatch(r"(address|connect)|Connect (\d+)", row.object)
        if match is None:
            raise FormatError(number, f"{row.object!r} is no object")
        record.object_kind = match[1] or "Connect"
        record.number = int(match[2] or 0)
        if row.request == "IRP_MJ_CREATE" or row.object not in self._labels:
            self._labels[row.object] = self._sequence
        record.object_id = self._labels[row.object]
        if record.object_kind == "address":
            self._address = record.object_id
        record.client_key = self._address

    def _detail(self, row: Row, record: TraceRecord) -> None:
        detail = row.detail
        if row.request == "TDI_ASSOCIATE_ADDRESS":
            record.association = _packed(detail)
        elif row.request == "TDI_SET_EVENT_HANDLER":
            title = detail.removesuffix(": NULL")
            if title not in _EVENT_KINDS:
                raise ValueError(f"{title!r} is no event handler")
            record.event = (_EVENT_KINDS[title], title != detail)
        elif detail.startswith("Context:"):
            record.context = int(detail[8:], 16)
        else:
            length = re.match(r"Length:(\d+)", detail)
            record.length = int(length[1]) if length else -1
            for word in detail.replace("Flags:", " ").split():
                record.flags |= self._flag(row.request, word)

    @staticmethod
    def _flag(request: str, word: str) -> int:
        if word == "EXPEDITED":
            sent = request.startswith("TDI_SEND")
            return SendFlags.EXPEDITED if sent else ReceiveFlags.EXPEDITED
        return _FLAG_BITS.get(word, 0)


def _packed(text: str) -> bytes:
    text = text.removeprefix("TCP:").removeprefix("UDP:")
    return b"" if text == "Connection obj" else packed_from_text("AF_INET", text)


def read_trace(text: str) -> list[TraceRecord]:
    """Return the records of a saved trace, whichever of the two forms it has.

    Raises:
      FormatError: it has neither.
    """
    return read_json_lines(text) if text.lstrip().startswith("{") else read_tsv(text)
