# Compare: do two traces tell the same story?
#
# > compare    rows by host, roles for names      THIS FILE: two traces -> first difference
#   rows       record -> six columns
#
# Rule 1: what differs from run to run gets the name of its role: a context, an IP address, a port
#         is the first, second, ... of its kind; a listening port is one, whatever its number.
# Rule 2: order counts within one host; between two hosts it is not fixed, so hosts are compared
#         one by one.
"""The first difference between two traces."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.tdi.status import EventKind
from wsock.tdimon import words
from wsock.tdimon.formats import rows_of
from wsock.tdimon.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsock.tdi.trace import TraceRecord

__all__ = ["Difference", "compare", "rows_by_role"]

_NAMES: Final = re.compile(
    r"Context:0x[0-9A-Fa-f]+"
    r"|(?P<ip>\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d+)"
    r"|socket \d+"
)
_SURROUNDINGS: Final = 3


class Difference(NamedTuple):
    """How the rows of one host compare; ``at`` is the first differing row, from 1, or ``None``."""

    host: str
    other_host: str
    at: int | None
    rows: tuple[int, int]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        name = self.host if self.host == self.other_host else f"{self.host} / {self.other_host}"
        name = name or "(one host)"
        if self.at is None:
            return f"{name}: {self.rows[0]} rows, no difference"
        first = f"{name}: first difference at row {self.at} (of {self.rows[0]} and {self.rows[1]})"
        return "\n".join((first, *self.lines))


class _Roles:
    """Names for what differs between two runs of one program, in order of appearance."""

    def __init__(self, records: Sequence[TraceRecord]) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        for record in records:
            listening = record.event is not None and record.event[0] == EventKind.CONNECT
            target = record.request == "TDI_CONNECT"
            packed = record.local if listening else record.remote if target else b""
            port = words.port_of(packed, record.family)
            if port is not None:
                self._name("port", str(port), "listening port")

    def _name(self, kind: str, value: str, role: str) -> str:
        name = self._names.get((kind, value))
        if name is None:
            count = self._counts[role] = self._counts.get(role, 0) + 1
            name = self._names[kind, value] = f"<{role} {count}>"
        return name

    def _replacement(self, found: re.Match[str]) -> str:
        if found["ip"] is None:
            kind = "context" if found[0].startswith("Context") else "socket"
            prefix = "Context:" if kind == "context" else ""
            return prefix + self._name(kind, found[0], kind)
        ip = found["ip"]
        if ip.strip("[]") not in ("0.0.0.0", "::"):  # a wildcard is a role of its own
            ip = self._name("ip", ip, "ip")
        return f"{ip}:{self._name('port', found['port'], 'port')}"

    def row(self, row: Row) -> Row:
        return Row(*(_NAMES.sub(self._replacement, cell) for cell in row))


def rows_by_role(records: Sequence[TraceRecord], profile: str = "plain") -> dict[str, list[Row]]:
    """Return the rows of each host, with contexts, addresses and ports named by their roles."""
    roles = _Roles(records)
    found: dict[str, list[Row]] = {}
    for record in records:
        found.setdefault(record.host, [])
    for host, rows in sorted(found.items()):  # in an order that the interleaving does not change
        own = [record for record in records if record.host == host]
        rows += [roles.row(row) for record, row in rows_of(own, profile) if record is not None]
    return found


def compare(
    one: Sequence[TraceRecord],
    other: Sequence[TraceRecord],
    *,
    profile: str = "plain",
    exact: bool = False,
) -> list[Difference]:
    """Compare two traces host by host.

    Args:
      one, other: their records, in order.
      profile: which rows and columns count.
      exact: compare contexts, addresses and ports as they are.

    Returns:
      One Difference for each pair of hosts: of the same name if both traces have the same names,
      else in order of appearance. A host that only one of them has is compared with nothing.
    """
    if exact:
        first, second = _plain_rows(one, profile), _plain_rows(other, profile)
    else:
        first, second = rows_by_role(one, profile), rows_by_role(other, profile)
    return [
        _difference(a, b, first.get(a, []), second.get(b, []))
        for a, b in _pairs(list(first), list(second))
    ]


def _plain_rows(records: Sequence[TraceRecord], profile: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {record.host: [] for record in records}
    for record, row in rows_of(records, profile):
        if record is not None:
            found[record.host].append(row)
    return found


def _pairs(first: list[str], second: list[str]) -> Iterator[tuple[str, str]]:
    if set(first) == set(second):
        yield from ((name, name) for name in first)
        return
    for place in range(max(len(first), len(second))):
        yield (
            first[place] if place < len(first) else "(none)",
            second[place] if place < len(second) else "(none)",
        )


def _difference(host: str, other: str, one: list[Row], two: list[Row]) -> Difference:
    shorter = min(len(one), len(two))
    at = next((place for place in range(shorter) if one[place] != two[place]), shorter)
    if at == len(one) == len(two):
        return Difference(host, other, None, (len(one), len(two)), ())
    start = max(at - _SURROUNDINGS, 0)
    stop = at + _SURROUNDINGS + 1
    texts = [["  ".join(row).rstrip() for row in rows[start:stop]] for rows in (one, two)]
    lines = tuple(line for line in difflib.ndiff(texts[0], texts[1]) if not line.startswith("?"))
    return Difference(host, other, at + 1, (len(one), len(two)), lines)
