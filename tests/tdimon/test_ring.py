"""The ring of records: bounded, read from copies, in order."""

from __future__ import annotations

import pytest

from wsock.tdi.status import Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon import Trace
from wsock.tdimon.ring import Ring


def a_record(request: str = "TDI_SEND", kind: str = "tdi", sequence: int = 0) -> TraceRecord:
    record = TraceRecord(kind, request, Status.SUCCESS, 0)
    record.sequence = sequence
    return record


def numbers(records: list[TraceRecord]) -> list[int]:
    return [record.sequence for record in records]


def test_the_newest_are_kept_and_the_loss_is_counted() -> None:
    """A full ring drops the oldest record, and knows how many it has dropped."""
    ring = Ring(3)
    for _ in range(5):
        ring.emit(a_record())
    assert numbers(ring.records()) == [3, 4, 5]
    assert ring.lost == 2


def test_what_came_since() -> None:
    """A reader that knows one number gets what follows it, once."""
    ring = Ring()
    for _ in range(3):
        ring.emit(a_record())
    assert numbers(ring.since(1)) == [2, 3]
    assert ring.since(3) == []


def test_loss_on_the_way_is_one_gap() -> None:
    """Where numbered records arrive with a jump, the gap shows, and nothing comes twice."""
    trace = Trace()
    trace.ring.refill([a_record(sequence=1), a_record(sequence=2)])
    assert len(trace.rows()) == 2
    trace.ring.refill([a_record(sequence=9)])
    rows = trace.rows()
    assert [row.request for row in rows] == ["TDI_SEND", "TDI_SEND", "(gap)", "TDI_SEND"]
    assert rows[2].detail == "6 records lost"


def test_a_running_call_has_no_result_yet() -> None:
    """Another thread that reads in the middle of a call gets the call later, with its result."""
    ring = Ring()
    ring.emit(a_record())
    call = a_record("recv", "call")
    call.duration_ns = -1
    ring.emit(call)
    ring.emit(a_record())
    assert numbers(ring.since(0)) == [1]
    call.duration_ns = 7
    assert numbers(ring.since(1)) == [2, 3]
    assert ring.records()[2].cause == "recv"


def test_a_ring_of_nothing() -> None:
    """A ring holds at least one record."""
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)


def test_new_rows_are_those_since_the_last_time() -> None:
    """Each row is returned once, numbers of objects go on, and loss is a gap."""
    trace = Trace(capacity=2)
    for number in (1, 2):
        record = a_record("IRP_MJ_CREATE")
        record.object_kind, record.object_id = "connect", number
        trace.ring.emit(record)
        assert [row.object for row in trace.new_rows()] == [f"connection {number}"]
    for request in ("TDI_SEND", "TDI_SEND", "TDI_CONNECT"):
        trace.ring.emit(a_record(request))
    rows = trace.new_rows('tdi.request == "TDI_CONNECT"')
    assert [row.request for row in rows] == ["(gap)", "TDI_CONNECT"]
    assert trace.new_rows() == []
    assert len(trace.new_rows(profile="all")) == 3  # another profile is another reader


def test_a_trace_that_is_forgotten_starts_again() -> None:
    """After clear() what comes is new, without a gap for what was thrown away on purpose."""
    trace = Trace()
    trace.ring.emit(a_record())
    trace.clear()
    trace.ring.emit(a_record("TDI_CONNECT"))
    assert [row.request for row in trace.new_rows()] == ["TDI_CONNECT"]
    assert [row.request for row in trace.rows()] == ["TDI_CONNECT"]
