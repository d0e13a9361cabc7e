"""The live table and its keys, and the lines of a stream."""

from __future__ import annotations

import io
import os
import re
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from wsock.tdi.trace import TraceRecord
from wsock.tdimon import Selection, Trace, load
from wsock.tdimon.keyboard import Keyboard, names_of
from wsock.tdimon.rows import Row, gap_row
from wsock.tdimon.screen import LiveTable, Screen, Stream

from .story import story

if TYPE_CHECKING:
    from pathlib import Path


def table(count: int, *, height: int = 3) -> LiveTable:
    live = LiveTable(Selection(), height=height)
    for number in range(count):
        live.add(None, gap_row(number))
    return live


def seen(live: LiveTable) -> list[int]:
    return [int(row.detail.split()[0]) for _, row in live.window()]


def press(live: LiveTable, *names: str) -> None:
    for name in names:
        live.key(name)


def test_the_newest_rows_are_seen() -> None:
    """A live table shows its end."""
    assert seen(table(10)) == [7, 8, 9]
    assert seen(table(2)) == [0, 1]


def test_scrolling_stops_at_both_ends() -> None:
    """Arrows go by rows, page keys by windows, home and end all the way."""
    live = table(10)
    press(live, "up", "up")
    assert seen(live) == [5, 6, 7]
    press(live, "pageup", "pageup", "pageup", "pageup")
    assert seen(live) == [0, 1, 2]
    press(live, "down")
    assert seen(live) == [1, 2, 3]
    press(live, "end")
    assert seen(live) == [7, 8, 9]
    press(live, "home")
    assert seen(live) == [0, 1, 2]
    press(live, "pagedown", "pagedown", "pagedown", "pagedown")
    assert seen(live) == [7, 8, 9]


def test_a_scrolled_window_stays_where_it_is() -> None:
    """New rows do not move what one is reading."""
    live = table(10)
    press(live, "up")
    live.add(None, gap_row(10))
    assert seen(live) == [6, 7, 8]


def test_typing_a_filter() -> None:
    """Slash begins, enter takes; rows that were there before pass through it too."""
    live = LiveTable(Selection(), height=9)
    for record in story():
        live.add(record, Row("", record.request, "", "", "SUCCESS", ""))
    press(live, "/", *"tdx", "backspace", *"i.request", "space", *"==", "space", *"TDI_SEND")
    assert live.status(5, 0) == "filter> tdi.request == TDI_SEND_"
    press(live, "enter")
    assert [row.request for _, row in live.window()] == ["TDI_SEND", "TDI_SEND"]
    assert live.status(5, 2) == "live: 5 records, 2 lost; filter: tdi.request == TDI_SEND"


@pytest.mark.parametrize(
    ("typed", "message"), [("tdi.x == 1", "'tdi.x' is not a field (column 1)"), ("@x", "no preset")]
)
def test_a_bad_filter_is_told_and_the_old_one_stays(typed: str, message: str) -> None:
    """A slip in a filter costs nothing."""
    live = table(3)
    before = live.selection
    press(live, "/", *typed, "enter")
    assert live.selection is before
    assert message in live.status(3, 0)


def test_escape_gives_up_typing_and_space_pauses() -> None:
    """Escape leaves the filter as it was; space stops and goes on."""
    live = table(3)
    press(live, "/", "x", "escape", "space")
    assert live.status(3, 0).startswith("paused: 3 records")
    press(live, "space", "unknown")
    assert live.status(3, 0).startswith("live: ")


def test_keys_have_names() -> None:
    """What terminals send for keys, several at once, letters of any language."""
    sent = b"\x1b[A\x1b[B\x1b[5~\x1bOA /a\xea\xb0\x80\x7f\r\x1b\x01"
    names = ["up", "down", "pageup", "up", "space", "/", "a", "\uac00", "backspace", "enter"]
    assert list(names_of(sent)) == [*names, "escape"]


def test_keys_come_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single keys, without enter; the terminal's mode is given back."""
    import pty
    import termios

    control, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    path = os.ttyname(terminal)
    opened = os.open
    monkeypatch.setattr(os, "open", lambda name, flags: opened(path, flags))
    keyboard = Keyboard()
    keyboard.start()
    assert list(keyboard.pressed()) == []
    os.write(control, b"q")
    assert list(keyboard.pressed()) == ["q"]
    keyboard.stop()
    assert list(keyboard.pressed()) == []
    assert termios.tcgetattr(terminal) == before
    os.close(control)
    os.close(terminal)
    assert pty is not None


def test_without_a_terminal_no_key_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service, a test, another system: the table lives without keys."""

    def refuse(name: str, flags: int) -> int:
        raise OSError(6, "no terminal")

    monkeypatch.setattr(os, "open", refuse)
    keyboard = Keyboard()
    keyboard.start()
    assert list(keyboard.pressed()) == []
    keyboard.stop()


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def traced() -> Trace:
    trace = Trace()
    trace.ring.refill(story())
    return trace


def test_a_stream_on_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, calls and failures differ in colour, marked rows are turned round."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = Terminal()
    Stream(traced(), Selection(highlight=["request=TDI_SEND"]), "plain", file).refresh()
    lines = file.getvalue().splitlines()
    assert any("\x1b[7m" in line and "TDI_SEND" in line for line in lines)
    assert any("\x1b[32m" in line and "TDI_EVENT_RECEIVE" in line for line in lines)


def test_a_stream_follows_the_trace() -> None:
    """Rows are printed while the block runs, the last ones at its end."""
    trace, file = Trace(), io.StringIO()
    with Stream(trace, Selection("tdi"), "plain", file):
        for record in story():
            trace.ring.emit(record)
    assert len(file.getvalue().splitlines()) == 61


def test_a_stream_whose_reader_went_away() -> None:
    """A write that fails ends the printing and nothing else."""
    file = io.StringIO()
    file.write = lambda text: (_ for _ in ()).throw(BrokenPipeError())  # type: ignore[method-assign]
    with Stream(traced(), Selection(), "plain", file) as stream:
        pass
    assert stream.failure is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("a mistake")])
def test_a_showing_that_fails_is_told(error: Exception) -> None:
    """Whatever goes wrong in the thread that shows: the block goes on, and ``failure`` is why."""
    file = io.StringIO()

    def fail(text: str) -> int:
        raise error

    file.write = fail  # type: ignore[method-assign]
    with Stream(traced(), Selection(), "plain", file) as stream:
        pass
    assert stream.failure is error


@pytest.mark.parametrize("setting", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_marks_where_there_is_no_colour(
    monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]
) -> None:
    """A terminal without colours gets marks instead, and no escape code."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(*setting)
    file = Terminal()
    Stream(traced(), Selection(highlight=["request=TDI_SEND"]), "plain", file).refresh()
    assert "\x1b" not in file.getvalue()
    marked = [line for line in file.getvalue().splitlines() if line.startswith("> ")]
    assert marked
    assert all("TDI_SEND" in line for line in marked)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (40, ["request", "detail"]),
        (80, ["object", "request", "result", "detail"]),
        (160, list(Row._fields)),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns(
    monkeypatch: pytest.MonkeyPatch, columns: int, names: list[str]
) -> None:
    """What happened stays readable where there is little room."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    file = Terminal()
    with Screen(traced(), Selection(), "plain", file):
        pass
    heads = [line for line in file.getvalue().splitlines() if "request" in line]
    assert re.findall(r"[a-z]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", heads[-1])) == names


def test_a_live_table_is_drawn_and_leaves_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table holds the newest rows and the state; the keyboard is given back."""
    monkeypatch.setenv("TERM", "xterm-256color")
    trace, file = Trace(), Terminal()
    with Screen(trace, Selection(highlight=["*"]), "plain", file) as screen:
        screen.table.key("space")
        for record in story():
            trace.ring.emit(record)
        screen.table.key("space")
    text = file.getvalue()
    assert "live: 75 records; space pauses" in text
    assert "IRP_MJ_CLEANUP" in text
    assert text.endswith("\x1b[?25h")  # the cursor is back


def test_a_record_of_another_kind_has_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notifications are yellow, failures red."""
    monkeypatch.setenv("TERM", "xterm-256color")
    trace, file = Trace(), Terminal()
    trace.ring.emit(TraceRecord("state", "bind", 0, 0))
    trace.ring.emit(TraceRecord("call", "send", 10054, 0))
    Stream(trace, Selection(), "all", file).refresh()
    first, second = file.getvalue().splitlines()
    assert "\x1b[33m" in first
    assert "\x1b[31m" in second


SERVER = """\
import time, wsock
while True:
    with wsock.socket() as sock:
        sock.bind(("127.0.0.1", 0))
    print("one more", flush=True)
    time.sleep(0.05)
"""


def test_a_live_table_in_a_terminal(tmp_path: Path) -> None:
    """Pause, scroll, filter, and Ctrl-C: the trace is saved and the terminal is as it was."""
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    control, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 150))
    before = termios.tcgetattr(terminal)
    command = [sys.executable, "-m", "wsock", "tdimon", "--live", "-s", "run.jsonl", "server.py"]
    child = f"import os, sys, fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); \
os.execv(sys.executable, {command!r})"
    with subprocess.Popen(
        [sys.executable, "-c", child],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "150"},
    ) as process:
        watched = _Terminal(control)
        watched.wait_for("live: ")
        watched.type(" ", "paused: ")
        watched.type("/", "filter> _")
        watched.type("ws.call == bind\r", "filter: ws.call == bind")
        watched.type("/ws.cal == 1\r", "is not a field")
        watched.type(" \x1b[A", "live: ")
        os.write(control, b"\x03")
        watched.wait_for("\x1b[?25h")  # the cursor is shown again
        assert process.wait(30) == 130
    assert termios.tcgetattr(terminal) == before
    os.close(terminal)
    os.close(control)
    assert len(load(tmp_path / "run.jsonl")) > 10


class _Terminal:
    """The far end of a terminal: what was drawn, and the keyboard."""

    def __init__(self, control: int) -> None:
        self.control = control
        self.drawn = ""

    def type(self, keys: str, answer: str) -> None:
        """Press keys; wait until ``answer`` is drawn."""
        self.drawn = ""
        os.write(self.control, keys.encode())
        self.wait_for(answer)

    def wait_for(self, text: str) -> None:
        while text not in self.drawn:
            ready, _, _ = select.select([self.control], [], [], 30)
            assert ready, f"{text!r} was not drawn; at the end: {self.drawn[-500:]!r}"
            self.drawn += os.read(self.control, 65536).decode("utf-8", "replace")
