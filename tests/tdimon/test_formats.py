"""Formats: what is saved can be opened, and every view of it is the same."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsock import tdimon
from wsock.tdi.status import EventKind, ReceiveFlags, SendFlags, Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import FormatError, Trace
from wsock.tdimon.formats import read_json_lines, read_trace, read_tsv, write_json_lines, write_tsv
from wsock.tdimon.rows import PROFILES

from .recording import RECORDED
from .story import GOLDEN, story

if TYPE_CHECKING:
    from pathlib import Path


def traced(records: list[TraceRecord]) -> Trace:
    trace = Trace()
    trace.ring.refill(records)
    return trace


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_saved_trace_opens_in_every_view(tmp_path: Path, suffix: str, profile: str) -> None:
    """Rows of each profile, host by host, are the same before and after."""
    trace = traced(story())
    trace.save(tmp_path / f"trace{suffix}")
    opened = tdimon.load(tmp_path / f"trace{suffix}")
    assert opened.rows(profile=profile) == trace.rows(profile=profile)
    assert opened.rows("client", profile=profile) == trace.rows("client", profile=profile)
    assert opened.hosts() == ["server", "client"]


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_recorded_trace_is_the_same_again(tmp_path: Path, suffix: str, profile: str) -> None:
    """Calls, notifications, messages and states too: rows, figures and pictures are the same."""
    trace = tdimon.load(RECORDED)
    trace.save(tmp_path / f"again{suffix}")
    again = tdimon.load(tmp_path / f"again{suffix}")
    assert {record.kind for record in again.records()} == {"tdi", "call", "fd", "message", "state"}
    rows = again.rows(profile=profile)
    assert len(rows) > 5
    assert rows == trace.rows(profile=profile)
    assert again.statistics() == trace.statistics()
    picture = trace.diagram(profile=profile).to_svg()
    assert again.diagram(profile=profile).to_svg() == picture


def test_a_table_has_aligned_columns(tmp_path: Path) -> None:
    """Suffix .txt is a table for people: header, rule, rows; ASCII, no blanks at line ends."""
    traced(story()).save(tmp_path / "trace.txt", profile="tdimon-2003")
    lines = (tmp_path / "trace.txt").read_text(encoding="ascii").splitlines()
    assert lines[0].split() == ["object", "request", "local", "remote", "result", "detail"]
    at = lines[0].index("request")
    assert all(line[at - 1] == " " and line[at] in "TI-r" for line in lines)
    assert not any(line.endswith(" ") for line in lines)


def test_six_columns_of_the_old_monitor_open() -> None:
    """A table that holds nothing but the six columns becomes a trace."""
    records = read_trace((GOLDEN / "04-listen.server.tsv").read_text(encoding="utf-8"))
    assert [record.number for record in records] == [1, 1, 2, 2, 0]
    assert records[0].context == 0x81120708
    assert records[-1].event == (EventKind.CONNECT, False)


def test_the_schema_of_one_record() -> None:
    """The documented names, and nothing that is zero or empty."""
    lines = list(write_json_lines(story()))
    assert json.loads(lines[0]) == {"format": "wsock-tdimon", "version": 1}
    sent = next(json.loads(line) for line in lines if '"TDI_SEND"' in line)
    assert sent == {
        "seq": 36,
        "kind": "tdi",
        "request": "TDI_SEND",
        "status": "SUCCESS",
        "time_ns": 36_000_000,
        "host": "client",
        "cause": "send",
        "object": {"kind": "connect", "id": 5, "group": 4},
        "protocol": "TCP",
        "family": "AF_INET",
        "local": "100.100.100.103:100",
        "remote": "100.100.100.105:10000",
        "length": 1000,
    }


def test_unknown_names_are_ignored() -> None:
    """A newer writer of the same version may add names."""
    lines = list(write_json_lines(story()[:2]))
    lines[1] = lines[1].replace("{", '{"colour":"red",', 1)
    assert len(read_json_lines("\n".join(lines) + "\n")) == 2


@pytest.mark.parametrize("write", [write_json_lines, write_tsv])
def test_a_file_cut_off_at_the_end_opens(write: object) -> None:
    """After a full disk the whole lines are still good."""
    text = "\n".join(write(story())) + "\n"  # type: ignore[operator]
    assert len(read_trace(text)) == len(story())
    assert len(read_trace(text[:-30])) == len(story()) - 1


HEADER = '{"format":"wsock-tdimon","version":1}\n'
GOOD = '{"seq":1,"kind":"tdi","request":"TDI_SEND","status":"SUCCESS"}\n'
COLUMNS = "object\trequest\tlocal\tremote\tresult\tdetail"
BAD = [
    ("{}", 1, "not a trace"),
    ("{", 1, "not JSON"),
    ("[" * 100_000, 1, "the first six columns"),
    ('{"format":"wsock-tdimon","version":2}', 1, "schema version 2; this wsock reads 1"),
    (HEADER + "{]\n" + GOOD, 2, "not JSON"),
    (HEADER + "[]\n", 2, "not an object"),
    (HEADER + GOOD.replace('"SUCCESS"', '"FINE"'), 2, "'status' 'FINE'"),
    (HEADER + GOOD.replace('"tdi"', '"tea"'), 2, "'kind' 'tea'"),
    (HEADER + GOOD.replace('"seq":1', '"seq":"1"'), 2, "'seq' must be int"),
    (HEADER + GOOD.replace('"seq":1,', ""), 2, "'seq' must be int"),
    (HEADER + GOOD.replace("{", '{"event":"LUNCH",'), 2, "'event' 'LUNCH'"),
    (HEADER + GOOD.replace("{", '{"local":"here",'), 2, "no address with a port"),
    ("a\tb\n", 1, "the first six columns"),
    (f"{COLUMNS}\naddress\n", 2, "1 cells where the header has 6"),
    (f"{COLUMNS}\naddress\tX\t\t\tGOOD\t\n", 2, "'GOOD' is no status"),
    (HEADER + GOOD.replace("{", '{"local":"1.2.3.400:1",'), 2, "no address"),
    (f"{COLUMNS}\nadress\tX\t\t\tSUCCESS\t\n", 2, "'adress' is no object"),
    (f"{COLUMNS}\naddress\tX\tTCP:1.2.3.4\t\tSUCCESS\t\n", 2, "no address with a port"),
    (f"{COLUMNS}\naddress\tTDI_SET_EVENT_HANDLER\t\t\tSUCCESS\tX\n", 2, "no event handler"),
    (f"{COLUMNS}\trec.seq\n\tX\t\t\tSUCCESS\t\t{{\n", 2, "not JSON"),
]


@pytest.mark.parametrize(("text", "line", "reason"), BAD, ids=range(len(BAD)))
def test_damage_is_named_with_its_line(text: str, line: int, reason: str) -> None:
    """A file that is no trace says in which line, and what is wrong there."""
    with pytest.raises(FormatError) as caught:
        read_trace(text)
    assert caught.value.line == line
    assert reason in str(caught.value)


ADDRESSES = st.one_of(
    st.just((0, b"")),
    st.tuples(st.just(int(socket.AF_INET)), st.binary(min_size=6, max_size=6)),
    st.tuples(st.just(int(socket.AF_INET6)), st.binary(min_size=18, max_size=18)),
    st.tuples(st.just(int(socket.AF_INET6)), st.binary(min_size=26, max_size=26)),
    st.tuples(st.just(int(socket.AF_UNIX)), st.binary(max_size=20)),
)
TEXTS = st.text(max_size=8)


@st.composite
def any_record(draw: st.DrawFn) -> TraceRecord:
    kind = draw(st.sampled_from(["tdi", "call", "fd", "message", "state"]))
    status = draw(st.sampled_from(Status)) if kind == "tdi" else draw(st.integers(0, 12000))
    record = TraceRecord(kind, draw(TEXTS), status, draw(st.integers(0, 2**63)))
    record.sequence = draw(st.integers(1, 2**40))
    record.duration_ns = draw(st.integers(0, 2**40))
    record.host, record.task, record.cause = draw(TEXTS), draw(TEXTS), draw(TEXTS)
    record.family, record.local = draw(ADDRESSES)
    record.protocol = draw(st.sampled_from([0, socket.SOCK_STREAM, socket.SOCK_DGRAM]))
    record.length = draw(st.integers(-1, 2**31))
    record.flags = draw(st.integers(0, 0xFFFF))
    record.rx_fill, record.tx_fill = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    record.event = draw(st.none() | st.tuples(st.sampled_from(EventKind), st.booleans()))
    record.extra = draw(st.none() | st.dictionaries(TEXTS, st.integers() | TEXTS, min_size=1))
    return record


KEPT = sorted(set(TraceRecord.__slots__) - {"object_id", "client_key"})


@pytest.mark.parametrize(
    ("write", "read"), [(write_json_lines, read_json_lines), (write_tsv, read_tsv)]
)
def test_nothing_is_lost(write: object, read: object) -> None:
    """Whatever a record holds is the same after writing and reading, in both forms."""

    @given(any_record())
    def check(record: TraceRecord) -> None:
        text = "\n".join(write([record])) + "\n"  # type: ignore[operator]
        (again,) = read(text)  # type: ignore[operator]
        assert {n: getattr(again, n) for n in KEPT} == {n: getattr(record, n) for n in KEPT}

    check()


def test_an_address_of_an_unknown_family_survives() -> None:
    """What has no text is shown and saved as it is packed."""
    record = TraceRecord("tdi", "TDI_CONNECT", Status.SUCCESS, 0)
    record.sequence, record.family, record.remote = 1, 0, b"abc"
    (again,) = read_json_lines("\n".join(write_json_lines([record])) + "\n")
    assert again.remote == b"abc"
    assert traced([record]).rows()[0].remote == "616263"


def test_gaps_are_no_records() -> None:
    """A table with a gap opens as the records around it."""
    records = story()
    lines = list(write_tsv([*records[:3], *records[9:12]]))
    assert lines[4].startswith("\t(gap)")
    assert len(read_tsv("\n".join(lines) + "\n")) == 6


def test_expedited_rows_of_the_old_monitor() -> None:
    """The word is a flag of sends and of receives, each with its header's value."""
    row = "connect\t{}\tTCP:10.0.0.3:1\t10.0.0.5:2\tSUCCESS\t{}"
    text = "\n".join(
        [
            COLUMNS,
            row.format("TDI_SEND", "Length:1 EXPEDITED"),
            row.format("TDI_EVENT_RECEIVE_EXPEDITED", "Length:1 Flags: EXPEDITED"),
        ]
    )
    assert [record.flags for record in read_tsv(text + "\n")] == [
        SendFlags.EXPEDITED,
        ReceiveFlags.EXPEDITED,
    ]


def test_two_runs_save_the_same_bytes() -> None:
    """Memory addresses become counts: only what happened decides the file."""

    def saved(base: int) -> list[str]:
        records = read_tsv((GOLDEN / "04-listen.server.tsv").read_text(encoding="utf-8"))
        for record in records:
            record.object_id += base
            record.client_key += base
        return list(write_json_lines(records))

    assert saved(0x7F00) == saved(0x8A10)
