"""Selections: wildcards by column, expressions over the fields of records, presets."""

from __future__ import annotations

import pytest

from wsock._filters import FilterSyntaxError
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import FIELDS, PRESETS, Selection, Trace
from wsock.tdimon.formats import rows_of
from wsock.tdimon.selection import compile_expression

from .story import story


def passing(expression: str) -> list[TraceRecord]:
    return list(filter(compile_expression(expression), story()))


def requests(expression: str) -> list[str]:
    return [record.request for record in passing(expression)]


def shown(selection: Selection) -> list[str]:
    return [
        row.request.strip()
        for record, row in rows_of(story(), "all")
        if record is not None and selection.shows(record, row)
    ]


def test_the_documented_expression() -> None:
    """Events on port 10000 with more than 1452 bytes: none, as 1452 is the most indicated."""
    text = 'tdi.request matches "TDI_EVENT_.*" && tdi.local.port == 10000 && tdi.length {} 1452'
    assert requests(text.format(">")) == []
    assert requests(text.format(">=")) == ["TDI_EVENT_RECEIVE"]


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("tdi", 61),
        ("ws", 14),
        ("ws.call == closesocket", 3),
        ('row.host == "client" and tdi', 23),
        ("tdi.object == connect", 9),
        ("tdi.number == 2", 11),
        ("tdi.ip == 100.100.100.0/24 and tdi.port == 100", 26),
        ("tdi.remote.port == 10000 and not tdi.remote.ip == 100.100.100.103", 4),
        ("tdi.flags & 0x400", 1),
        ("tdi.result == MORE_PROCESSING_REQUIRED", 2),
        ('tdi.detail contains "NULL"', 11),
        ("row.cause == network", 16),
        ("row.number <= 10 and row.time > 0.009", 1),
        ("row.active == 1", 1),
        ("ws.socket == 0x44", 14),
    ],
)
def test_fields_of_a_record(expression: str, count: int) -> None:
    """Each field says of a record what its row shows."""
    assert len(passing(expression)) == count


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_asked_of_every_kind(field: str) -> None:
    """A field that a record does not have is absent, and never an error."""
    compiled = compile_expression(field)
    for kind in ("tdi", "call", "fd", "message", "state"):
        assert compiled(TraceRecord(kind, "x", 0, 0)) in (True, False)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_compile(preset: str) -> None:
    """``@name`` stands for the preset's expression."""
    assert Selection(f"@{preset}").expression.text == PRESETS[preset]


def test_preset_data() -> None:
    """@data leaves the transfer alone."""
    assert shown(Selection("@data")) == [
        "TDI_SEND",
        "TDI_EVENT_RECEIVE",
        "TDI_SEND",
        "TDI_EVENT_RECEIVE",
        "TDI_RECEIVE",
    ]


def test_include_and_exclude_by_column() -> None:
    """Wildcards name a column; excluding wins; several of a kind mean any of them."""
    chosen = Selection(
        include=["request=tdi_event_*", "request=TDI_CONNECT"], exclude=["request=*receive"]
    )
    assert shown(chosen) == [
        "TDI_CONNECT",
        "TDI_EVENT_CONNECT",
        "TDI_EVENT_DISCONNECT",
        "TDI_EVENT_DISCONNECT",
    ]


def test_a_wildcard_without_a_column_looks_everywhere() -> None:
    """``*1452*`` finds the row by its detail."""
    assert shown(Selection(include=["*1452*"])) == ["TDI_EVENT_RECEIVE"]


def test_highlighting_hides_nothing() -> None:
    """Marked rows are shown among the others."""
    chosen = Selection(highlight=["detail=*NULL"])
    rows = [row for record, row in rows_of(story(), "plain")]
    assert sum(chosen.marks(row) for row in rows) == 11
    assert len(shown(chosen)) == len(story())


def test_select_on_a_trace() -> None:
    """Trace.select takes an expression and gives rows; gaps stay visible."""
    trace = Trace(20)
    for record in story():
        trace.ring.emit(record)
    rows = trace.select("tdi.request == IRP_MJ_CLOSE")
    assert [row.request for row in rows] == ["IRP_MJ_CLOSE"] * 2


def test_mistakes_are_named() -> None:
    """A wrong column, preset or field is answered with what there is."""
    with pytest.raises(ValueError, match="no column 'reqest'; there are: object, request"):
        Selection(include=["reqest=x"])
    with pytest.raises(ValueError, match="no preset '@dat'; there are: @data"):
        Selection("@dat")
    with pytest.raises(FilterSyntaxError, match=r"did you mean 'tdi\.request'"):
        Selection("tdi.reqest == TDI_SEND")
