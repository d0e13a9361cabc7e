# Rows on a screen: lines that go by, or a live table.
#
# > screen   Stream, Screen           THIS FILE: the only one that knows rich
#   cli      chooses one of the two
#   rows     record -> six columns
#
# Rule 1: a thread of its own reads copies of the ring a few times a second; the program that is
#         watched never waits for a terminal.
# Rule 2: on a terminal there are colours, in a pipe or a file plain lines. A reader that went away
#         (``| head``) ends the showing, never the program; a full disk does too, and is told.
# Rule 3: what the program does to sys.stdout (closes it, catches what is printed) is its affair:
#         rows go to the same place by a file of their own, whole lines at a time.
"""Shows the rows of a running trace."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import IO, TYPE_CHECKING, Final

import rich.console
import rich.live
import rich.table
import rich.text
from rich.markup import escape

from wsock._filters import FilterSyntaxError
from wsock.tdimon.folding import fold
from wsock.tdimon.keyboard import Keyboard
from wsock.tdimon.rows import Row, RowFeed
from wsock.tdimon.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from wsock.tdi.trace import TraceRecord
    from wsock.tdimon.trace import Trace

__all__ = ["LiveTable", "Screen", "Stream"]

#: Column widths of lines that are printed before the later ones are known.
_WIDTHS: Final = (24, 28, 26, 22, 24, 0)
_HOST_WIDTH: Final = 12
_INTERVAL_S: Final = 0.1
_KEPT_ROWS: Final = 10_000
_PIECE: Final = 4000  # characters that a pipe takes in one piece, or not at all (PIPE_BUF)
_FINE: Final = frozenset({"SUCCESS", "MORE_PROCESSING_REQUIRED"})


@contextlib.contextmanager
def _standard_output() -> Iterator[IO[str]]:
    """Open standard output once more, beside ``sys.stdout``; give that where this cannot be."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # a test's, an interactive shell's
        yield sys.stdout
        return
    encoding = sys.stdout.encoding
    with open(descriptor, "w", encoding=encoding, errors="replace") as file:
        yield file


def _line(row: Row, host: str | None) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)]
    if host is not None:
        cells.insert(0, host.ljust(_HOST_WIDTH))
    return "  ".join(cells).rstrip()


def _columns(width: int) -> tuple[str, ...]:
    """The columns that a terminal has room for: what happened, and how it ended, come first."""
    if width < 60:
        return ("request", "detail")
    return ("object", "request", "result", "detail") if width < 110 else Row._fields


def _style(record: TraceRecord | None, row: Row, *, marked: bool) -> str:
    """Return the colour of a row; what it means is in the row's text too."""
    if marked:
        return "reverse"
    if record is None or row.result not in _FINE:
        return "red"
    if record.kind == "call":
        return "bold magenta"
    if record.kind != "tdi":
        return "yellow"
    return "green" if record.request.startswith("TDI_EVENT_") else ""


class _Follower(ABC):
    """A thread that shows what is new until the block is left, and the rest then."""

    def __init__(
        self,
        trace: Trace,
        selection: Selection,
        profile: str,
        file: IO[str] | None = None,
        *,
        host: str | None = None,
        with_hosts: bool = False,
        folding: bool = True,
    ) -> None:
        self._trace = trace
        self._folding = folding and profile != "tdimon-2003"  # that one prints what was printed
        self._with_hosts = with_hosts
        self._selection = selection
        self._feed = RowFeed(profile, host=host)
        self._opened = contextlib.ExitStack()
        self._file = self._opened.enter_context(_standard_output()) if file is None else file
        self._console = rich.console.Console(file=self._file, highlight=False, soft_wrap=True)
        #: Why the showing has ended too early; ``None`` also for a reader that went away.
        self.failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tdimon", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.close()

    def _follow(self) -> None:
        try:
            while not self._ended.wait(_INTERVAL_S):
                self.refresh()
            self.refresh()
        except BrokenPipeError:
            return
        except Exception as error:  # whatever it is: the program goes on, and its user is told
            self.failure = error

    @abstractmethod
    def refresh(self) -> None:
        """Show what is new.

        Raises:
          OSError: it cannot be written.
        """

    def close(self) -> None:
        """Give up the file for standard output, if it was taken."""
        try:
            self._opened.close()
        except BrokenPipeError:
            return
        except OSError as error:
            self.failure = self.failure or error

    def host_of(self, record: TraceRecord | None) -> str | None:
        """Return what the host column shows, ``None`` where there is no such column."""
        if not self._with_hosts:
            return None
        return "" if record is None else record.host

    def chosen(
        self, found: Iterable[tuple[TraceRecord | None, Row]]
    ) -> Iterator[tuple[TraceRecord | None, Row]]:
        """Yield what the selection shows, the places of a pool folded; gaps always."""
        shown = (
            (record, row)
            for record, row in found
            if record is None or self._selection.shows(record, row)
        )
        return self.folded(shown)

    def folded(
        self, found: Iterable[tuple[TraceRecord | None, Row]]
    ) -> Iterator[tuple[TraceRecord | None, Row]]:
        """Yield the rows, those of the places of a pool as one with a count."""
        return (
            ((one.record, one.row) for one in fold(list(found))) if self._folding else iter(found)
        )


class Stream(_Follower):
    """Rows as lines, one below the other."""

    def refresh(self) -> None:
        """Print what is new."""
        coloured = self._console.color_system is not None and not self._console.no_color
        lines: list[str] = []
        size = 0
        for record, row in self.chosen(self._feed.feed_from(self._trace.ring)):
            line = _line(row, self.host_of(record))
            marked = self._selection.marks(row)
            if coloured:
                style = _style(record, row, marked=marked)
                self._console.print(rich.text.Text(line, style))
            else:  # without rich's layout, which would cost ten times as much
                if size + len(line) > _PIECE:
                    self._write(lines)
                    lines, size = [], 0
                lines.append(f"{'> ' if marked else ''}{line}\n")
                size += len(lines[-1])
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        self._file.write("".join(lines))
        self._file.flush()


class LiveTable:
    """The rows of a live table and what its keys do; knows no terminal.

    Keys: "space" pauses and goes on, "up" "down" "pageup" "pagedown" "home" "end" scroll, "/"
    begins to type a filter, "enter" takes it, "escape" gives it up.
    """

    def __init__(self, selection: Selection, *, height: int = 16) -> None:
        self.rows: deque[tuple[TraceRecord | None, Row]] = deque(maxlen=_KEPT_ROWS)
        self.height = height
        self.paused = False
        self.typing: str | None = None
        self.message = ""
        self.selection = selection
        self._offset = 0  # rows below the window

    def add(self, record: TraceRecord | None, row: Row) -> None:
        """Take a new row; while the window is scrolled up it stays where it is."""
        self.rows.append((record, row))
        if self._offset and self._passes((record, row)):
            self._offset += 1

    def _passes(self, pair: tuple[TraceRecord | None, Row]) -> bool:
        return pair[0] is None or self.selection.shows(pair[0], pair[1])

    def window(self) -> list[tuple[TraceRecord | None, Row]]:
        """Return the rows that are to be seen now."""
        shown = [pair for pair in self.rows if self._passes(pair)]
        self._offset = max(0, min(self._offset, len(shown) - self.height))
        end = len(shown) - self._offset
        return shown[max(0, end - self.height) : end]

    def key(self, name: str) -> None:
        """Do what a key means."""
        if self.typing is not None:
            self._type(name)
        elif name == "space":
            self.paused = not self.paused
        elif name == "/":
            self.typing, self.message = "", ""
        else:
            steps = {"up": 1, "down": -1, "pageup": self.height, "pagedown": -self.height}
            far = {"home": len(self.rows), "end": -len(self.rows)}
            self._offset = max(0, self._offset + steps.get(name, far.get(name, 0)))

    def _type(self, name: str) -> None:
        typed = self.typing or ""
        if name == "escape":
            self.typing = None
        elif name == "backspace":
            self.typing = typed[:-1]
        elif name == "enter":
            self.typing = None
            try:
                self.selection = Selection(typed)
                self.message = f"filter: {typed}" if typed else ""
            except FilterSyntaxError as error:
                self.message = f"{error.reason} (column {error.column})"
            except ValueError as error:
                self.message = str(error)
        elif name == "space" or len(name) == 1:
            self.typing = typed + (" " if name == "space" else name)

    def status(self, count: int, lost: int) -> str:
        """Return the line below the table."""
        if self.typing is not None:
            return f"filter> {self.typing}_"
        state = "paused" if self.paused else "live"
        gone = f", {lost} lost" if lost else ""
        hint = self.message or "space pauses, arrows scroll, / filters"
        return f"{state}: {count} records{gone}; {hint}"


class Screen(_Follower):
    """A live table below what the program prints."""

    def __init__(
        self,
        trace: Trace,
        selection: Selection,
        profile: str,
        file: IO[str] | None = None,
        *,
        with_hosts: bool = False,
        folding: bool = True,
    ) -> None:
        super().__init__(trace, selection, profile, file, with_hosts=with_hosts, folding=folding)
        self.table = LiveTable(selection, height=max(5, self._console.height // 2 - 4))
        self._keyboard = Keyboard()
        self._live = rich.live.Live(
            console=self._console, auto_refresh=False, get_renderable=self._render
        )

    def __enter__(self) -> Self:
        self._keyboard.start()
        self._live.start()
        return super().__enter__()

    def close(self) -> None:
        """Give back the terminal, and the file."""
        try:
            self._live.stop()
        finally:
            self._keyboard.stop()
            super().close()

    def refresh(self) -> None:
        """Take keys and new rows, and draw."""
        for name in self._keyboard.pressed():
            self.table.key(name)
        if not self.table.paused:
            for record, row in self.folded(self._feed.feed_from(self._trace.ring)):
                self.table.add(record, row)
        self._live.refresh()

    def _render(self) -> rich.console.RenderableType:
        table = rich.table.Table(expand=True, box=None, pad_edge=False, header_style="bold")
        names = _columns(self._console.width)
        for name in (*(("host",) if self._with_hosts else ()), *names):
            table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=len(name))
        for record, row in self.table.window():
            style = _style(record, row, marked=self._selection.marks(row))
            host = self.host_of(record)
            cells = [getattr(row, name) for name in names]
            table.add_row(*map(escape, cells if host is None else [host, *cells]), style=style)
        status = self.table.status(self._trace.ring.count, self._trace.lost)
        return rich.console.Group(table, rich.text.Text(status, "dim"))
