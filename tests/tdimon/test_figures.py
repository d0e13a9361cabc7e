"""Statistics and comparison of traces."""

from __future__ import annotations

import copy
import socket

import pytest

from wsock.tdi.status import Status
from wsock.tdi.trace import TraceRecord
from wsock.tdimon.compare import compare, rows_by_role
from wsock.tdimon.statistics import summarise

from .story import story


def test_figures_of_the_story() -> None:
    """3000 bytes go out; of the second send the row of TDI_RECEIVE prints no length."""
    found = summarise(story(), lost=7)
    assert (found.records, found.lost, found.refused) == (75, 7, 0)
    assert (found.bytes_sent, found.bytes_received) == (3000, 1000 + 1452)
    assert found.requests["tdi", "TDI_SET_EVENT_HANDLER"].count == 22
    assert found.requests["tdi", "TDI_SEND"].bytes == 3000
    assert [(pool.accepted, pool.refused) for pool in found.pools] == [(1, 0)]


def test_times_of_a_request() -> None:
    """Mean and longest time of a request come from its durations."""
    records = []
    for duration in (1000, 3000):
        records.append(TraceRecord("tdi", "TDI_SEND", Status.SUCCESS, 0))
        records[-1].duration_ns = duration
    one = summarise(records).requests["tdi", "TDI_SEND"]
    assert (one.total_ns, one.longest_ns, one.failed) == (4000, 3000, 0)
    assert any("2.0" in line and "3.0" in line for line in summarise(records).lines())


def offer(status: Status, free: int = 0) -> list[TraceRecord]:
    records = [TraceRecord("tdi", "TDI_EVENT_CONNECT", status, 0)]
    if status == Status.MORE_PROCESSING_REQUIRED:
        records.append(TraceRecord("tdi", "TDI_ACCEPT", Status.SUCCESS, 0))
        records[-1].free, records[-1].pending = free, 1
    for record in records:
        record.client_key, record.family = 5, socket.AF_INET
        record.local = socket.inet_aton("10.0.0.5") + b"\x00\x50"
    return records


def test_a_pool_that_ran_dry() -> None:
    """The low-water mark is the fewest free places; a refused offer means none was left."""
    taken = Status.MORE_PROCESSING_REQUIRED
    (pool,) = summarise([*offer(taken, 1), *offer(taken, 0)]).pools
    assert (pool.accepted, pool.refused, pool.lowest_free, pool.most_pending) == (2, 0, 0, 1)
    (pool,) = summarise([*offer(taken, 3), *offer(Status.INSUFFICIENT_RESOURCES)]).pools
    assert (pool.refused, pool.lowest_free) == (1, 0)
    text = "\n".join(summarise(offer(Status.CONNECTION_REFUSED)).lines())
    assert "pool of TCP:10.0.0.5:80 on : 0 taken, 1 refused, lowest free ?" in text


def test_a_refused_connect_is_counted() -> None:
    """Refusals and failures are figures of their own; a would-block is neither."""
    found = summarise(
        [
            TraceRecord("tdi", "TDI_CONNECT", Status.CONNECTION_REFUSED, 0),
            TraceRecord("call", "connect", 10061, 0),
            TraceRecord("call", "recv", 10035, 0),
        ]
    )
    assert found.refused == 1
    assert found.requests["call", "connect"].failed == 1
    assert found.requests["call", "recv"].failed == 0


def moved(records: list[TraceRecord]) -> list[TraceRecord]:
    """The same story on other addresses, ports and contexts."""
    found = []
    for record in records:
        other = copy.copy(record)
        for name in ("local", "remote", "association"):
            packed = getattr(record, name)
            if packed:
                port = int.from_bytes(packed[4:], "big") + 7
                setattr(other, name, b"\x7f\x00\x00" + packed[3:4] + port.to_bytes(2, "big"))
        other.context = record.context and record.context ^ 0x7000
        found.append(other)
    return found


def test_the_same_story_elsewhere_is_no_difference() -> None:
    """Contexts, addresses and ports are compared by their roles."""
    found = compare(story(), moved(story()))
    assert [one.at for one in found] == [None, None]
    assert str(found[0]) == "server: 38 rows, no difference"


def test_exact_comparison_sees_the_address() -> None:
    """With ``exact`` an address is itself."""
    assert [one.at for one in compare(story(), moved(story()), exact=True)] == [1, 1]
    assert [one.at for one in compare(story(), story(), exact=True)] == [None, None]


def test_the_interleaving_of_hosts_does_not_count() -> None:
    """Order is compared within a host; which host was first is chance."""
    by_host = sorted(story(), key=lambda record: record.host)
    assert [one.at for one in compare(story(), by_host)] == [None, None]


def test_the_first_difference_with_its_surroundings() -> None:
    """One row more is shown between the three rows before and after it."""
    records = story()
    at = next(n for n, record in enumerate(records) if record.request == "TDI_CONNECT")
    extra = copy.copy(records[at])
    extra.status = Status.CONNECTION_REFUSED
    found = {one.host: one for one in compare(records, [*records[:at], extra, *records[at:]])}
    client = found["client"]
    assert found["server"].at is None
    assert client.at == 10
    added = [line for line in client.lines if line.startswith("+ ")]
    assert "CONNECTION_REFUSED" in added[0]
    assert str(client).startswith("client: first difference at row 10 (of 23 and 24)")
    assert len([line for line in client.lines if line.startswith("  ")]) >= 5


def test_a_shorter_trace_differs_where_it_ends() -> None:
    """A trace that stops early differs at the first row that is missing."""
    client = [record for record in story() if record.host == "client"]
    (found,) = compare(client, client[:-1])
    assert found.at == 23


def test_hosts_of_other_names_are_compared_in_order() -> None:
    """Names that differ are paired by their first appearance; a host too many is shown."""
    other = [copy.copy(record) for record in story()]
    for record in other:
        record.host = record.host.upper()
    assert [(one.host, one.other_host) for one in compare(story(), other)] == [
        ("server", "SERVER"),
        ("client", "CLIENT"),
    ]
    only = [record for record in story() if record.host == "server"]
    assert compare(story(), only)[1].other_host == "(none)"


@pytest.mark.parametrize(
    ("column", "text"),
    [("local", "TCP:<ip 2>:<listening port 1>"), ("detail", "Context:<context 2>")],
)
def test_roles_have_names(column: str, text: str) -> None:
    """A listening port keeps its role wherever it appears."""
    rows = rows_by_role(story())["server"]
    assert text in [getattr(row, column) for row in rows]
