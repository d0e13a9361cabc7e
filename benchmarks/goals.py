# The goals, each a line: which figure of which server may be at most what, beside which other.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.summary import Figure, Table, Verdict

E50, E1000, E5000 = "echo 50x64", "echo 1000x64", "echo 5000x64"
UVLOOP: Final = "uvloop_protocol"


@dataclass(frozen=True)
class Goal:
    """`metric` of `server` in `cell` is at most `bound` (times that of `against`, if given).

    Metrics: us (CPU microseconds of the server for a message or connection), p50_us (latency),
    pss_kib (memory for an idle connection).
    """

    server: str
    cell: str
    bound: float
    against: str = ""
    stretch: float | None = None
    metric: str = "us"
    against_cell: str = ""

    def figure(self, table: Table) -> Figure | None:
        """The measured ratio, or value; None if it was not measured."""
        if not self.against:
            return table.figure(self.server, self.cell, self.metric)
        below = (self.against, self.against_cell or self.cell)
        return table.ratio((self.server, self.cell), below, self.metric)

    def verdict(self, table: Table) -> Verdict:
        """Met, missed, undecided or not measured."""
        figure = self.figure(table)
        return figure.verdict(self.bound) if figure else "not measured"

    def __str__(self) -> str:
        what = {"us": "CPU", "p50_us": "p50", "pss_kib": "KiB an idle connection"}[self.metric]
        beside = f" / {self.against}" if self.against else ""
        at = f" at {self.against_cell}" if self.against_cell else ""
        return f"{self.server}{beside}{at}, {what}, {self.cell}"


GOALS: Final = (
    Goal("message", E50, 1.10, UVLOOP, stretch=1.00),
    Goal("async_socket", E50, 1.10, UVLOOP, stretch=1.00),
    Goal("message", E50, 1.40, "c_epoll"),
    Goal("async_socket", E50, 1.40, "c_epoll"),
    Goal("message", E1000, 1.05, UVLOOP, stretch=0.95),
    Goal("async_socket", E1000, 1.05, UVLOOP, stretch=0.95),
    Goal("message", "echo 50x16K", 1.05, UVLOOP),
    Goal("event", E50, 1.50, UVLOOP),
    Goal("blocking", E50, 0.85, "trio_socket"),
    Goal("stream", E50, 0.72, "trio_stream"),
    Goal("message", "echo 1x64", 1.25, UVLOOP, metric="p50_us"),
    Goal("blocking", "echo 1x64", 1.25, UVLOOP, metric="p50_us"),
    Goal("message", "churn", 1.10, UVLOOP),
    Goal("message", "churn", 0.35, "trio_stream"),
    Goal("message", "idle 9000", 1.0, metric="pss_kib"),
    Goal("blocking", "idle 9000", 3.0, metric="pss_kib"),
    Goal("message", "source 4x1M", 1.00, UVLOOP),
    Goal("message", "sink 4x1M", 1.00, UVLOOP),
    Goal("message", E5000, 1.60, "message", against_cell=E50),
    Goal("async_socket", E5000, 1.60, "async_socket", against_cell=E50),
    Goal("message", E50, 1.25, "raw_epoll"),
    Goal("async_socket", E50, 1.20, "raw_epoll"),
    Goal("blocking", E50, 2.10, "raw_epoll"),
    Goal("stream", E50, 0.85, "trio_stream"),
)
