# Sequence diagrams: lanes and steps, before anybody draws them.
#
#   text, mermaid, svg   draw                    one picture language each
# > model                records -> steps        THIS FILE: who speaks to whom, in what order
#   words                values -> text
#
# Rule 1: one record is one step: a chain of arrows through the lanes that it concerns. The chains
#         are the table PATHS; a request or event that is not in it goes by its kind.
# Rule 2: nothing is invented. The wire carries what TDI rows say about it, no packets: a row of
#         TDI_CONNECT is written when the answer is there, so its wire arrow points inward.
# Rule 3: order is that of the rows, but for a request that ended late: it stands where it began,
#         and says when it ended.
# Rule 4: a run of the same request on the same object (bind sets five handlers) is one step with
#         a count, and so are the places of a pool (folding.py).
"""The lanes and steps of a sequence diagram."""

from __future__ import annotations

import textwrap
from itertools import starmap
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.tdi.status import Status
from wsock.tdimon import words
from wsock.tdimon.folding import Folded, fold
from wsock.tdimon.rows import Renderer, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsock.tdi.trace import TraceRecord

__all__ = ["Arrow", "Diagram", "Lane", "Step", "build"]

ROLES: Final = ("application", "queue or event", "endpoint buffers", "TDI objects")
_APPLICATION, _QUEUE, _ENDPOINT, _TDI, _WIRE = range(5)

#: Which lanes a row's arrows touch, in order; the first pair carries the row's own text.
#: Downward first: what the client asks for. Then upward: what the transport reports.
PATHS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "TDI_SEND": ((_ENDPOINT, _TDI), (_TDI, _WIRE)),
    "TDI_SEND_DATAGRAM": ((_ENDPOINT, _TDI), (_TDI, _WIRE)),
    "TDI_DISCONNECT": ((_ENDPOINT, _TDI), (_TDI, _WIRE)),
    "TDI_CONNECT": ((_ENDPOINT, _TDI), (_WIRE, _TDI)),
    "TDI_RECEIVE": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_CONNECT": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_RECEIVE": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_RECEIVE_EXPEDITED": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_RECEIVE_DATAGRAM": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_DISCONNECT": ((_TDI, _ENDPOINT), (_WIRE, _TDI)),
    "TDI_EVENT_ERROR": ((_TDI, _ENDPOINT),),
    "PostMessage": ((_APPLICATION, _QUEUE),),
    "PostQuitMessage": ((_APPLICATION, _QUEUE),),
}
_BY_KIND: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "tdi": ((_ENDPOINT, _TDI),),
    "call": ((_APPLICATION, _ENDPOINT),),
    "fd": ((_ENDPOINT, _QUEUE),),
    "message": ((_QUEUE, _APPLICATION),),
    "state": (),
}
#: Requests that may end long after the call that began them.
_BEGUN_BY: Final = {"TDI_SEND": "send", "TDI_DISCONNECT": "closesocket"}
_DETAIL_WIDTH: Final = 34
_OF_SOCKETS: Final = frozenset({"call", "state", "fd"})
_FINE: Final = frozenset({"SUCCESS", "MORE_PROCESSING_REQUIRED"})


class Lane(NamedTuple):
    """One vertical line: a part of one host, or the wire between them (host ``""``)."""

    host: str
    role: str


class Arrow(NamedTuple):
    """From lane to lane. ``style``: "call", "request", "event", "notice", "wire" or "failed"."""

    start: int
    end: int
    text: str
    style: str


class Step(NamedTuple):
    """What one record draws: arrows with smaller lines of ``detail`` below, a ``note`` at a lane.

    ``repeats`` is how many equal records followed; ``kind`` is the record's, ``row`` its text.
    """

    time_ns: int
    host: str
    arrows: tuple[Arrow, ...]
    detail: tuple[str, ...]
    note: tuple[int, str] | None
    kind: str
    row: Row
    repeats: int = 0

    def label(self, arrow: Arrow) -> str:
        """Return the arrow's text, with the number of equal records at the first arrow."""
        if self.repeats and arrow is self.arrows[0]:
            return f"{arrow.text} x{self.repeats + 1}"
        return arrow.text


class Diagram(NamedTuple):
    """Lanes from left to right, steps from top to bottom."""

    lanes: tuple[Lane, ...]
    steps: tuple[Step, ...]

    def to_text(self) -> str:
        """Draw with ASCII characters, for a terminal."""
        from wsock.tdimon.diagram.text import draw  # the drawings import this module

        return draw(self)

    def to_mermaid(self) -> str:
        """Write a Mermaid sequenceDiagram, for a Markdown page."""
        from wsock.tdimon.diagram.mermaid import draw

        return draw(self)

    def to_svg(self, title: str = "") -> str:
        """Draw a self-contained SVG that follows the reader's light or dark scheme."""
        from wsock.tdimon.diagram.svg import draw

        return draw(self, title)


def build(
    records: Sequence[TraceRecord],
    *,
    hosts: Iterable[str] = (),
    collapse: bool = True,
    lanes: Iterable[str] = (),
    trace: Sequence[TraceRecord] = (),
) -> Diagram:
    """Arrange records as a sequence diagram.

    Args:
      records: in order; a trace's, or those that a selection lets pass.
      hosts: one or two names; by default those of the records, the one that connects at the left.
      collapse: draw a run of the same request on the same object as one step with a count.
      lanes: roles to draw; by default those that some arrow touches.
      trace: what ``records`` were selected from, if that is more: it tells which host connected,
        and when what ended late was begun, also where the call itself is not drawn.

    Raises:
      ValueError: more than two hosts, and ``hosts`` does not choose.
    """
    names = tuple(hosts) or _hosts(records, trace or records)
    if len(names) > 2:
        raise ValueError(f"a diagram shows one or two hosts; choose of: {', '.join(names)}")
    shown = [record for record in records if record.host in names]
    asked = set(lanes)
    wanted = {name: asked or _touched(shown, name) for name in names}
    places, order = _lanes(names, wanted)
    steps: list[Step] = []
    renderer = Renderer("all")
    last: TraceRecord | None = None
    several = {name for name in names if _sockets(shown, name) > 1}
    known = [record for record in trace if record.host in names] or shown
    rows = [renderer.row(record) for record in known]  # before moving: names go by the order
    chosen = {id(record) for record in shown}
    placed = [one for one in _by_beginning(known, rows) if id(one[0]) in chosen]
    late = {id(record): late_ns for record, _, late_ns in placed}
    pairs = [(record, row) for record, row, _ in placed if row is not None]
    for record, row, count in fold(pairs) if collapse else starmap(Folded, pairs):
        assert record is not None
        late_ns = late[id(record)]
        if collapse and last is not None and _same(last, record):
            steps[-1] = steps[-1]._replace(repeats=steps[-1].repeats + 1, detail=())
        else:
            step = _step(record, row, places, named=record.host in several)
            if count > 1:
                step = step._replace(repeats=count - 1, detail=(row.object,))
            if late_ns:
                done = f"done {late_ns / 1e6:.3f} ms later"
                step = step._replace(detail=(*step.detail, done), time_ns=step.time_ns - late_ns)
            if not step.arrows and step.note is None:
                continue
            steps.append(step)
        last = record
    return Diagram(order, tuple(steps))


def _by_beginning(
    records: Sequence[TraceRecord], rows: Sequence[Row | None]
) -> list[tuple[TraceRecord, Row | None, int]]:
    """Put rows that were written at a late completion below the call that began them.

    A TDI_SEND ends when its last byte is acknowledged: in the order of the rows the bytes would
    arrive before they are sent. The third value is how many nanoseconds later the row was written.
    """
    begun: dict[tuple[object, ...], list[list[tuple[TraceRecord, Row | None, int]]]] = {}
    groups: list[list[tuple[TraceRecord, Row | None, int]]] = []
    for record, row in zip(records, rows, strict=True):
        late = record.kind == "tdi" and record.cause == "network"
        call = record.request if record.kind == "call" else _BEGUN_BY.get(record.request, "")
        key = (record.host, call, record.remote, words.port_of(record.local, record.family))
        if late and begun.get(key):
            group = begun[key].pop(0)
            group.append((record, row, record.time_ns - group[0][0].time_ns))
            continue
        groups.append([(record, row, 0)])
        if record.kind == "call" and call in _BEGUN_BY.values():
            begun.setdefault(key, []).append(groups[-1])
        elif call and not late and begun.get(key):  # ended at once: the call has its row
            begun[key].pop()
    return [one for group in groups for one in group]


def _hosts(records: Sequence[TraceRecord], trace: Sequence[TraceRecord]) -> tuple[str, ...]:
    found = list(dict.fromkeys(record.host for record in records))
    active = [record.host for record in trace if record.request == "TDI_CONNECT"]
    return tuple(sorted(found, key=lambda host: host not in active[:1]))


def _path(record: TraceRecord) -> tuple[tuple[int, int], ...]:
    return PATHS.get(record.request) or _BY_KIND[record.kind]


def _touched(records: Sequence[TraceRecord], host: str) -> set[str]:
    own = [record for record in records if record.host == host]
    used = {lane for record in own for pair in _path(record) for lane in pair}
    return {role for number, role in enumerate((*ROLES, "wire")) if number in used}


def _lanes(
    hosts: tuple[str, ...], wanted: dict[str, set[str]]
) -> tuple[dict[tuple[str, int], int], tuple[Lane, ...]]:
    """Number the lanes: the left host's down to the wire, then the right host's back up."""
    order: list[tuple[str, int]] = []
    for number, host in enumerate(hosts):
        own = [(host, role) for role in range(4) if ROLES[role] in wanted[host]]
        order += own[:: -1 if number else 1]
        if number == 0 and any("wire" in roles for roles in wanted.values()):
            order.append(("", _WIRE))
    places = {key: place for place, key in enumerate(order)}
    titles = tuple(Lane(host, "wire" if role == _WIRE else ROLES[role]) for host, role in order)
    return places, titles


def _same(last: TraceRecord, record: TraceRecord) -> bool:
    """Whether two rows are one step: a run of the same control request on one object."""
    return (
        record.kind == "tdi"
        and record.length < 0
        and (record.host, record.object_id, record.request, record.status)
        == (last.host, last.object_id, last.request, last.status)
    )


def _style(record: TraceRecord) -> str:
    if words.result(record) not in _FINE:
        return "failed"
    if record.kind != "tdi":
        return {"call": "call", "state": "notice"}.get(record.kind, "notice")
    return "event" if record.request.startswith("TDI_EVENT_") else "request"


def _wire_text(record: TraceRecord) -> str:
    """What the wire arrow of a row says, in the words of the row."""
    request = record.request
    if record.length >= 0:
        return f"{record.length} bytes"
    if request == "TDI_CONNECT":
        return "accepted" if record.status == Status.SUCCESS else words.result(record).lower()
    if request == "TDI_EVENT_CONNECT":
        return "offer"
    if request.endswith("DISCONNECT"):
        return words.flag_names(record).lower()
    return ""


def _sockets(records: Sequence[TraceRecord], host: str) -> int:
    """How many sockets of a host are drawn: with more than one, calls and states name theirs."""
    return len({one.socket for one in records if one.host == host and one.kind in _OF_SOCKETS})


def _step(
    record: TraceRecord, row: Row, places: dict[tuple[str, int], int], *, named: bool
) -> Step:
    arrows = []
    socket = f"socket {record.socket}: " if named and record.kind in _OF_SOCKETS else ""
    for number, (start, end) in enumerate(_path(record)):
        ends = [places.get(("" if one == _WIRE else record.host, one)) for one in (start, end)]
        if ends[0] is None or ends[1] is None:
            continue
        text = _wire_text(record) if number else socket + _text(record)
        arrows.append(Arrow(ends[0], ends[1], text, "wire" if number else _style(record)))
    note = None
    endpoint = places.get((record.host, _ENDPOINT))
    if record.kind == "state" and endpoint is not None:
        note = (endpoint, socket + words.request(record))
    detail = _detail(record, row)
    return Step(record.time_ns, record.host, tuple(arrows), detail, note, record.kind, row)


def _text(record: TraceRecord) -> str:
    if record.kind == "call":
        length = f"{record.length} bytes" if record.length >= 0 else ""
        return str((record.extra or {}).get("call") or f"{record.request}({length})")
    return words.request(record)


def _detail(record: TraceRecord, row: Row) -> tuple[str, ...]:
    """The smaller lines: which object, what came out unless it is what everyone expects, detail."""
    if record.kind != "tdi":
        failed = () if row.result in _FINE else (row.result,)
        message = textwrap.wrap(row.detail, _DETAIL_WIDTH) if record.kind == "message" else ()
        return (*message, *failed)
    label = f"Connect {record.number}" if record.object_kind == "Connect" else record.object_kind
    detail = row.detail.replace("Flags: ", "")
    held = (f"{record.rx_fill} bytes in the buffer",) if _brings_data(record) else ()
    if record.status != Status.SUCCESS:
        return (label, row.result, *textwrap.wrap(detail, _DETAIL_WIDTH), *held)
    return (*textwrap.wrap(f"{label}: {detail}" if detail else label, _DETAIL_WIDTH), *held)


def _brings_data(record: TraceRecord) -> bool:
    """Whether the row filled the receive buffer of its endpoint (a kernel keeps the bytes)."""
    return record.rx_fill > 0 and record.request in ("TDI_EVENT_RECEIVE", "TDI_RECEIVE")
