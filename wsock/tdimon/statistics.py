# Statistics: what a trace amounts to.
#
# > statistics   counts, bytes, times, pools      THIS FILE: records -> figures -> lines
#   words        values -> text
#
# Rule: a figure is computed from the records that are there; how many are missing is a figure too.
"""Figures of a trace: requests, bytes, refusals, how full the pools were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from wsock.tdi.status import Status
from wsock.tdimon import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wsock.tdi.trace import TraceRecord

__all__ = ["Pool", "RequestFigures", "Statistics", "summarise"]

#: Not failures: both answers of an event handler are the normal ones, and a would-block is an
#: answer, not an error.
_FINE: Final = frozenset({"SUCCESS", "MORE_PROCESSING_REQUIRED", "WSAEWOULDBLOCK"})
_REFUSALS: Final = frozenset(
    {Status.CONNECTION_REFUSED, Status.INSUFFICIENT_RESOURCES, Status.REMOTE_NOT_LISTENING}
)
_SENDS: Final = frozenset({"TDI_SEND", "TDI_SEND_DATAGRAM"})
_RECEIVES: Final = frozenset({"TDI_RECEIVE", "TDI_EVENT_RECEIVE", "TDI_EVENT_RECEIVE_DATAGRAM"})


@dataclass(slots=True)
class RequestFigures:
    """One request or event: how often, how often it failed, bytes, nanoseconds."""

    count: int = 0
    failed: int = 0
    bytes: int = 0
    total_ns: int = 0
    longest_ns: int = 0


@dataclass(slots=True)
class Pool:
    """The places of one listening address; ``lowest_free`` is its low-water mark."""

    host: str
    local: str
    accepted: int = 0
    refused: int = 0
    lowest_free: int | None = None
    most_pending: int = 0


@dataclass(slots=True)
class Statistics:
    """The figures of a trace."""

    records: int = 0
    lost: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    refused: int = 0
    requests: dict[tuple[str, str], RequestFigures] = field(default_factory=dict)
    pools: list[Pool] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the figures as lines of a table."""
        yield (
            f"{self.records} records ({self.lost} lost), {self.bytes_sent} bytes sent, "
            f"{self.bytes_received} bytes received, {self.refused} connections refused"
        )
        yield ""
        yield f"{'request':<30}{'count':>8}{'failed':>8}{'bytes':>12}{'mean us':>10}{'max us':>10}"
        for (_, request), one in sorted(self.requests.items()):
            times = f"{one.total_ns / one.count / 1000:>10.1f}{one.longest_ns / 1000:>10.1f}"
            yield (
                f"{request:<30}{one.count:>8}{one.failed:>8}{one.bytes:>12}"
                f"{times if one.longest_ns else ''}"
            )
        for pool in self.pools:
            low = "?" if pool.lowest_free is None else pool.lowest_free
            yield (
                f"pool of {pool.local} on {pool.host}: {pool.accepted} taken, {pool.refused} "
                f"refused, lowest free {low}, most pending {pool.most_pending}"
            )


def summarise(records: Iterable[TraceRecord], lost: int = 0) -> Statistics:
    """Return the figures of ``records``; ``lost`` is how many more there were."""
    found = Statistics(lost=lost)
    pools: dict[tuple[str, int], Pool] = {}
    for record in records:
        found.records += 1
        one = found.requests.setdefault((record.kind, words.request(record)), RequestFigures())
        one.count += 1
        one.failed += words.result(record) not in _FINE
        one.bytes += max(record.length, 0)
        one.total_ns += max(record.duration_ns, 0)
        one.longest_ns = max(one.longest_ns, record.duration_ns)
        if record.kind == "tdi":
            _transport(record, found, pools)
    found.pools = list(pools.values())
    return found


def _transport(record: TraceRecord, found: Statistics, pools: dict[tuple[str, int], Pool]) -> None:
    """Count what only TDI rows tell."""
    request = record.request
    if request in _SENDS:
        found.bytes_sent += max(record.length, 0)
    elif request in _RECEIVES:
        found.bytes_received += max(record.length, 0)
    elif request == "TDI_CONNECT":
        found.refused += record.status in _REFUSALS
    elif request in ("TDI_EVENT_CONNECT", "TDI_ACCEPT"):
        key = (record.host, record.client_key)
        pool = pools.get(key)
        if pool is None:
            pool = pools[key] = Pool(record.host, words.local(record))
        _count_offer(record, pool)


def _count_offer(record: TraceRecord, pool: Pool) -> None:
    if record.request == "TDI_EVENT_CONNECT":
        if record.status in _REFUSALS:
            pool.refused += 1
            if record.status == Status.INSUFFICIENT_RESOURCES:
                pool.lowest_free = 0
        return
    pool.accepted += record.status == Status.SUCCESS
    pool.most_pending = max(pool.most_pending, record.pending)
    free = record.free
    pool.lowest_free = free if pool.lowest_free is None else min(pool.lowest_free, free)
