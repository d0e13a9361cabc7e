# Trace: what a program holds while it watches, and afterwards.
#
#   cli         windows onto it
# > trace       rows, files, summaries             THIS FILE: the public object
#   ring        the newest records                 words, rows, formats: text of them
#   _stack      the stacks that can be watched     tdi.trace: the hooks
#
# Rule 1: watching changes nothing: what a program does with and without a trace is the same
#         (fact S0-1). Attaching swaps classes of TDI objects, detaching swaps them back.
# Rule 2: reading is from copies, so it may happen at any time and in any thread.
"""The trace of one or several stacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsock.tdimon import formats
from wsock.tdimon.attachment import Attachment
from wsock.tdimon.diagram import Diagram, build
from wsock.tdimon.ring import CAPACITY, Ring
from wsock.tdimon.rows import Row, RowFeed
from wsock.tdimon.selection import Selection
from wsock.tdimon.statistics import Statistics, summarise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsock.tdi.trace import TraceRecord

__all__ = ["Trace", "load"]


class Trace:
    """The newest records of what is watched, as rows, files, pictures and figures.

    Args:
      capacity: how many records are kept; older ones are dropped and counted.
      payload_bytes: how many of the bytes that a call moves are kept; none unless asked for.
    """

    def __init__(self, capacity: int = CAPACITY, payload_bytes: int = 0) -> None:
        self.ring = Ring(capacity, payload_bytes)
        self._attachment = Attachment(self.ring)
        self._followed: dict[tuple[str | None, str], RowFeed] = {}
        self._read: dict[tuple[str | None, str], tuple[RowFeed, list[Row]]] = {}

    def __repr__(self) -> str:
        lost = f", {self.lost} lost" if self.lost else ""
        return f"<Trace of {len(self)} records{lost}>"

    def __len__(self) -> int:
        return len(self.ring.records())

    def attach(self, *targets: object) -> None:
        """Watch stacks, hosts, networks or sockets from now on; without any, everything.

        "Everything" is every stack there is and every one that is made later; of a network also
        the hosts that it gets later; of one socket its calls, what they cause, and the events of
        its objects. Sockets that are open already may be attached to, also in the middle of their
        traffic. In the thread of the sockets' Trio run. Never a checkpoint.

        Raises:
          TypeError: one of them is none of these; nothing was attached then.
        """
        self._attachment.attach(*targets)

    def detach(self, *targets: object) -> None:
        """Watch these no longer; without any, nothing any more. What was recorded stays."""
        self._attachment.detach(*targets)

    @property
    def lost(self) -> int:
        """How many records were dropped because the ring was full."""
        return self.ring.lost

    def records(self, host: str | None = None) -> list[TraceRecord]:
        """Return the kept records, oldest first; of one host or of all."""
        found = self.ring.records()
        return found if host is None else [one for one in found if one.host == host]

    def hosts(self) -> list[str]:
        """Return the names of the hosts in the trace, in order of appearance."""
        return list(dict.fromkeys(record.host for record in self.ring.records()))

    def rows(self, host: str | None = None, *, profile: str = "plain") -> list[Row]:
        """Return every row since the start, as text.

        A later call returns the same rows and the new ones behind them, so a position in the list
        stays good: rows that were read once are kept, also when the ring has dropped their
        records. Where records were dropped before they were read stands one row ``(gap)``.

        Args:
          host: rows of this host alone; ``None``: of all.
          profile: "plain" (TDI rows, the peer always shown), "tdimon-2003" (the old monitor's
            columns), "calls", "events", "states" or "all".

        Raises:
          ValueError: no such profile.
        """
        feed, rows = self._read.setdefault((host, profile), (RowFeed(profile, host=host), []))
        rows += [row for _, row in feed.feed_from(self.ring)]
        return rows.copy()

    def new_rows(
        self,
        selection: Selection | str = "",
        *,
        host: str | None = None,
        profile: str = "plain",
    ) -> list[Row]:
        """Return the rows since the last call with this host and profile, for a log that goes on.

        Nothing is kept of what was returned, so this may go on for ever. A row ``(gap)`` stands
        where records were dropped before they were read.

        Args:
          selection: which of them: an expression or a Selection.
          host, profile: as for ``rows``.

        Raises:
          FilterSyntaxError: the text is no expression. ValueError: no such profile.
        """
        chosen = Selection(selection) if isinstance(selection, str) else selection
        key = (host, profile)
        feed = self._followed.get(key)
        if feed is None:
            feed = self._followed[key] = RowFeed(profile, host=host)
        return [
            row
            for record, row in feed.feed_from(self.ring)
            if record is None or chosen.shows(record, row)
        ]

    def select(self, selection: Selection | str, *, profile: str = "plain") -> list[Row]:
        """Return the rows that a selection, or an expression, lets pass.

        Raises:
          FilterSyntaxError: the text is no expression. ValueError: no such profile.
        """
        chosen = Selection(selection) if isinstance(selection, str) else selection
        return [
            row
            for record, row in formats.rows_of(self.records(), profile)
            if record is None or chosen.shows(record, row)
        ]

    def clear(self) -> None:
        """Forget every record and row; numbers go on."""
        self.ring.clear()
        self._read.clear()

    def table(self, host: str | None = None, *, profile: str = "plain") -> str:
        """Return the rows as a text table."""
        return "\n".join(formats.write_table(self.rows(host, profile=profile))) + "\n"

    def statistics(self) -> Statistics:
        """Return the figures of the kept records: requests, bytes, refusals, pools."""
        return summarise(self.records(), self.lost)

    def diagram(
        self,
        *hosts: str,
        selection: Selection | str = "",
        profile: str = "all",
        collapse: bool = True,
    ) -> Diagram:
        """Return a sequence diagram; its ``to_text``, ``to_mermaid`` and ``to_svg`` draw it.

        Args:
          hosts: one or two names; by default those of the trace.
          selection: which records are drawn: an expression or a Selection.
          profile: which kinds of records are drawn.
          collapse: draw what is repeated on one object, or on each place of a pool, once.

        Raises:
          ValueError: more than two hosts, and none chosen. FilterSyntaxError: no expression.
        """
        chosen = Selection(selection) if isinstance(selection, str) else selection
        trace = self.records()
        records = [
            record
            for record, row in formats.rows_of(trace, profile)
            if record is not None and chosen.shows(record, row)
        ]
        return build(records, hosts=hosts, collapse=collapse, trace=trace)

    def save(self, path: str | Path, *, profile: str = "all") -> None:
        """Write the trace to a file: ``.tsv``, ``.txt`` (a table), else JSON lines.

        JSON lines keep every record; the other two keep those that the profile shows.

        Raises:
          OSError: the file cannot be written; what was there before is lost only then.
        """
        path = Path(path)
        lines: Iterable[str]
        if path.suffix == ".tsv":
            lines = formats.write_tsv(self.records(), profile)
        elif path.suffix == ".txt":
            shown = formats.rows_of(self.records(), profile)
            lines = formats.write_table(row for _, row in shown)
        else:
            lines = formats.write_json_lines(self.records())
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)


def load(path: str | Path) -> Trace:
    """Open a trace that was saved as JSON lines or TSV; every view of it works.

    Raises:
      FormatError: the file is no trace. OSError: it cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        records = formats.read_trace(file.read())
    trace = Trace(max(len(records), 1))
    trace.ring.refill(records)
    return trace
