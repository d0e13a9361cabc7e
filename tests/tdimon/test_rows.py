"""Rows: the profile of 2003 is exact, the plain one leaves nothing out."""

from __future__ import annotations

import socket
import threading

import pytest

from wsock.tdi.status import SendFlags, Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import PROFILES, Row, Trace
from wsock.tdimon.formats import read_tsv, write_tsv
from wsock.tdimon.rows import Renderer

from .story import GOLDEN, golden_text, story


def traced(*records: TraceRecord, capacity: int = 1000) -> Trace:
    trace = Trace(capacity)
    for record in records:
        trace.ring.emit(record)
    return trace


def row_of(record: TraceRecord, profile: str = "plain") -> Row:
    row = Renderer(profile).row(record)
    assert row is not None
    return row


def a_record(request: str, kind: str = "tdi", status: Status | int = Status.SUCCESS) -> TraceRecord:
    record = TraceRecord(kind, request, status, 0)
    record.object_kind = "address" if kind == "tdi" else ""
    record.family = socket.AF_INET
    record.protocol = socket.SOCK_STREAM
    return record


GOLDEN_FILES = sorted(path.name for path in GOLDEN.glob("*-*.tsv"))


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_file_survives_records(name: str) -> None:
    """Each golden table, read into records and shown in profile tdimon-2003, is itself again."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    assert "\n".join(write_tsv(read_tsv(text), "tdimon-2003", six_columns=True)) == text.rstrip(
        "\n"
    )


def test_every_golden_row_is_there() -> None:
    """The document has 89 rows in 19 tables that show any."""
    texts = [(GOLDEN / name).read_text(encoding="utf-8") for name in GOLDEN_FILES]
    assert sum(len(text.splitlines()) - 1 for text in texts) == 89


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("side", ["client", "server"])
def test_the_whole_story_of_one_host(side: str, order: int) -> None:
    """rows(host) in profile tdimon-2003 gives that host's rows alone, in order."""
    trace = traced(*story(order))
    lines = ["\t".join(row) for row in trace.rows(side, profile="tdimon-2003")]
    assert lines == golden_text(side, order).splitlines()[1:]


def test_plain_always_shows_the_peer() -> None:
    """The peer that the old display hid is there in profile plain."""
    record = a_record("TDI_DISCONNECT")
    record.object_kind, record.number = "Connect", 2
    record.local = socket.inet_aton("10.0.0.5") + (10000).to_bytes(2, "big")
    record.remote = socket.inet_aton("10.0.0.3") + (100).to_bytes(2, "big")
    assert row_of(record, "tdimon-2003").remote == ""
    assert row_of(record).remote == "10.0.0.3:100"
    assert row_of(record).object == "connection 1 (Connect 2)"


def test_plain_shows_what_a_receive_brought() -> None:
    """TDI_RECEIVE prints its length in profile plain, and nothing in the old one (R6)."""
    record = a_record("TDI_RECEIVE")
    record.length = 548
    assert (row_of(record).detail, row_of(record, "tdimon-2003").detail) == ("Length:548", "")


def test_objects_are_numbered_by_their_lives() -> None:
    """An object that gets a dead one's memory address gets a number of its own."""
    renderer = Renderer("plain")
    labels = []
    for request in ("IRP_MJ_CREATE", "IRP_MJ_CLEANUP", "IRP_MJ_CREATE", "IRP_MJ_CLEANUP"):
        record = a_record(request)
        record.object_id = 0x7F00
        row = renderer.row(record)
        assert row is not None
        labels.append(row.object)
    assert labels == ["address 1", "address 1", "address 2", "address 2"]


def test_hidden_address_close() -> None:
    """The IRP_MJ_CLOSE of an address object was never displayed (R9)."""
    record = a_record("IRP_MJ_CLOSE")
    assert Renderer("tdimon-2003").row(record) is None
    assert row_of(record).request == "IRP_MJ_CLOSE"


def test_an_expedited_send_says_so() -> None:
    """A send of urgent data is ``Length:n EXPEDITED`` (R16)."""
    record = a_record("TDI_SEND")
    record.length, record.flags = 1, SendFlags.EXPEDITED
    assert row_of(record).detail == "Length:1 EXPEDITED"


def test_ipv6_and_udp_addresses() -> None:
    """IPv6 addresses stand in brackets, the protocol before the local one."""
    record = a_record("TDI_SEND_DATAGRAM")
    record.family, record.protocol = socket.AF_INET6, socket.SOCK_DGRAM
    record.local = record.remote = socket.inet_pton(socket.AF_INET6, "::1") + b"\x00\x50"
    assert row_of(record)[2:4] == ("UDP:[::1]:80", "[::1]:80")


@pytest.mark.parametrize(
    ("status", "text"), [(0, "SUCCESS"), (10035, "WSAEWOULDBLOCK"), (77777, "error 77777")]
)
def test_a_call_shows_its_winsock_error(status: int, text: str) -> None:
    """Calls end with a Winsock code, not with an NTSTATUS."""
    assert row_of(a_record("send", "call", status), "calls").result == text


def test_rows_grow_at_the_end_only() -> None:
    """A position in the list stays good: a later call adds behind it."""
    trace = traced(*story()[:10])
    before = trace.rows()
    for record in story()[10:20]:
        trace.ring.emit(record)
    after = trace.rows()
    assert after[: len(before)] == before
    assert len(after) > len(before)
    after.clear()
    assert trace.rows()[: len(before)] == before


def test_a_full_ring_drops_the_oldest_and_says_how_many() -> None:
    """What was dropped before it was read is one gap; ``lost`` counts it."""
    trace = traced(*(a_record("TDI_SEND") for _ in range(25)), capacity=10)
    rows = trace.rows()
    assert trace.lost == 15
    assert rows[0] == ("", "(gap)", "", "", "", "15 records lost")
    assert len(rows) == 11


def test_rows_that_were_read_stay() -> None:
    """Rows already read do not vanish with their records, and no gap is shown for them."""
    trace = traced(*(a_record("TDI_SEND") for _ in range(8)), capacity=10)
    assert len(trace.rows()) == 8
    for _ in range(8):
        trace.ring.emit(a_record("TDI_RECEIVE"))
    assert [row.request for row in trace.rows()] == ["TDI_SEND"] * 8 + ["TDI_RECEIVE"] * 8


def test_a_ring_holds_something() -> None:
    """A capacity of nothing is a mistake."""
    with pytest.raises(ValueError, match="at least one"):
        Trace(0)


def test_reading_while_another_thread_writes() -> None:
    """A copy is taken whole, whatever happens meanwhile; nothing is missed or seen twice."""
    trace, seen = Trace(), []

    def write() -> None:
        for _ in range(20_000):
            trace.ring.emit(a_record("TDI_SEND"))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen = [record.sequence for record in trace.records()]
        assert seen == list(range(1, len(seen) + 1))
    writer.join()
    assert len(trace.rows()) == 20_000


def test_clear_forgets_and_does_not_count_as_loss() -> None:
    """After clear() the trace is empty; later records are numbered on."""
    trace = traced(*(a_record("TDI_SEND") for _ in range(5)))
    trace.clear()
    assert (len(trace), trace.lost, trace.rows()) == (0, 0, [])
    trace.ring.emit(a_record("TDI_RECEIVE"))
    assert trace.records()[0].sequence == 6
    assert [row.request for row in trace.rows()] == ["TDI_RECEIVE"]


def test_an_unknown_profile_lists_the_known_ones() -> None:
    """A slip in the profile's name is answered with the names there are."""
    with pytest.raises(ValueError, match="tdimon-2003, plain, calls"):
        Trace().rows(profile="tdimon-2004")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_shows_its_kinds_alone(profile: str) -> None:
    """A profile is a projection: rows of its kinds, nothing else."""
    records = [a_record("X", kind) for kind in ("tdi", "call", "fd", "message", "state")]
    shown = [record for record in records if Renderer(profile).row(record) is not None]
    assert {record.kind for record in shown} == PROFILES[profile].kinds
