"""The command: wsock tdimon runs, shows, draws and compares; it behaves in a pipe and at an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from wsock._cli import cli
from wsock.tdimon import Trace, load

from .story import story

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

ECHO = """\
import sys, trio, wsock

async def main():
    listener = wsock.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2)
    client = wsock.socket()
    await client.connect(listener.getsockname())
    conn, _ = await listener.accept()
    await client.send(b"hello")
    assert await conn.recv(10) == b"hello"
    for sock in (client, conn, listener):
        sock.close()

trio.run(main)
print("program says:", *sys.argv[1:])
"""


def wsock(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="wsock")


def wsock_process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wsock", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,  # type: ignore[call-overload]
    )


def finished(*arguments: str, **options: object) -> tuple[int, str, str]:
    with wsock_process(*arguments, **options) as process:
        output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@pytest.fixture
def saved(tmp_path: Path) -> str:
    trace = Trace()
    trace.ring.refill(story())
    trace.save(tmp_path / "story.jsonl")
    return str(tmp_path / "story.jsonl")


@pytest.fixture
def echo(tmp_path: Path) -> str:
    (tmp_path / "echo_once.py").write_text(ECHO, encoding="utf-8")
    return str(tmp_path / "echo_once.py")


# show, draw, stats, diff, fields


def test_show_a_saved_trace(saved: str) -> None:
    """The rows of a file, by profile, host and filter."""
    result = wsock("tdimon", "show", saved, "-p", "tdimon-2003", "--host", "client", "-f", "@data")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.output.splitlines()] == ["TDI_SEND", "TDI_SEND"]


def test_show_names_the_hosts_where_there_are_several(saved: str) -> None:
    """A trace of two hosts has a column for them; one of one host has none."""
    lines = wsock("tdimon", "show", saved, "-f", "@data").output.splitlines()
    assert [line.split()[0] for line in lines] == ["client", "server", "client", "server", "server"]


def test_show_marks_without_colour_in_a_pipe(saved: str) -> None:
    """Where there is no colour a highlighted row has a mark, and no escape code."""
    output = wsock("tdimon", "show", saved, "-f", "@data", "-l", "request=*SEND").output
    marked = [line.startswith("> ") for line in output.splitlines()]
    assert marked == [True, False, True, False, False]
    assert "\x1b" not in output


def test_a_bad_expression_says_where(saved: str) -> None:
    """The error stands below the expression; exit code 2, as for every usage error."""
    result = wsock("tdimon", "show", saved, "-f", "tdi.reqest == TDI_SEND")
    assert result.exit_code == 2
    assert "did you mean 'tdi.request'?" in result.output
    assert "  ^~~~~~~~~~\n" in result.output


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nothing.jsonl", "cannot read"), ("x.py", "not a trace"), ("x.json", "not a trace")],
)
def test_a_file_that_is_no_trace(tmp_path: Path, name: str, reason: str) -> None:
    """A missing or foreign file is one line, exit code 1."""
    (tmp_path / "x.py").write_text("print()\n", encoding="utf-8")
    (tmp_path / "x.json").write_text("{\n}\n", encoding="utf-8")
    result = wsock("tdimon", "show", str(tmp_path / name))
    assert (result.exit_code, reason in result.output) == (1, True)


@pytest.mark.parametrize(("suffix", "start"), [("svg", "<svg"), ("mmd", "sequenceD"), ("txt", " ")])
def test_draw_to_a_file(saved: str, tmp_path: Path, suffix: str, start: str) -> None:
    """The suffix chooses the picture."""
    picture = tmp_path / f"story.{suffix}"
    assert wsock("tdimon", "draw", saved, str(picture), "--title", "T").exit_code == 0
    text = picture.read_text(encoding="utf-8")
    assert text.startswith(start)
    if suffix == "svg":
        ET.fromstring(text)


def test_draw_to_the_screen(saved: str) -> None:
    """Without a file name the picture is text."""
    output = wsock("tdimon", "draw", saved, "--host", "client", "-f", "@connections").output
    assert "TDI_CONNECT" in output
    assert output.isascii()


@pytest.mark.parametrize("option", [[], ["-d"]])
def test_a_picture_of_a_kind_that_is_not_drawn(
    saved: str, echo: str, tmp_path: Path, option: list[str]
) -> None:
    """The endings are named, nothing is written or run; exit code 2."""
    picture = tmp_path / "story.png"
    start = ["run", *option, str(picture), echo] if option else ["draw", saved, str(picture)]
    result = wsock("tdimon", *start)
    assert (result.exit_code, ".svg, .mmd" in result.output) == (2, True)
    assert not picture.exists()


def test_show_a_host_that_is_not_there(saved: str) -> None:
    """It names those that are, and does not look like an empty trace."""
    result = wsock("tdimon", "show", saved, "--host", "nowhere")
    assert result.exit_code == 2
    assert "no host 'nowhere'; there are server, client" in result.output


def test_draw_where_it_cannot_be_written(saved: str, tmp_path: Path) -> None:
    """One line, exit code 1."""
    result = wsock("tdimon", "draw", saved, str(tmp_path / "no" / "x.svg"))
    assert (result.exit_code, "cannot write" in result.output) == (1, True)


def test_figures_of_a_saved_trace(saved: str) -> None:
    """Counts by request, for what the filter lets pass."""
    output = wsock("tdimon", "stats", saved, "-f", "row.host == client").output
    assert output.startswith("29 records (0 lost), 3000 bytes sent, 0 bytes received")


def test_diff_of_equal_and_different_traces(saved: str, tmp_path: Path) -> None:
    """Exit code 0 when nothing differs, 1 with the first difference."""
    assert wsock("tdimon", "diff", saved, saved).exit_code == 0
    trace = Trace()
    trace.ring.refill(story(order=2))
    trace.save(tmp_path / "other.tsv")
    result = wsock("tdimon", "diff", saved, str(tmp_path / "other.tsv"))
    assert result.exit_code == 1
    assert "first difference at row" in result.output


def test_fields_lists_what_expressions_may_name() -> None:
    """Fields, presets and profiles, with what they mean."""
    output = wsock("tdimon", "fields").output
    assert all(word in output for word in ("tdi.request", "@data", "tdimon-2003"))


def test_help_teaches_by_example() -> None:
    """Without a command there is help, and it begins with examples."""
    assert "wsock tdimon --filter" in wsock("tdimon").output
    assert wsock("tdimon", "--help").output == wsock("tdimon").output


# run


def test_run_a_script(echo: str, tmp_path: Path) -> None:
    """Rows and the program's own output on standard output; its arguments are its own."""
    trace = tmp_path / "run.jsonl"
    code, output, errors = finished("tdimon", "--save", str(trace), echo, "--loud", "-q")
    assert (code, errors) == (0, "")
    assert "program says: --loud -q\n" in output
    assert "TDI_CONNECT" in output
    assert "\x1b" not in output
    assert sum(row.request == "TDI_SEND" for row in load(trace).rows()) == 1


def test_run_a_module_with_a_picture_and_figures(echo: str, tmp_path: Path) -> None:
    """``-m`` finds modules in the current folder, as python does."""
    arguments = ["-m", "-q", "--stats", "-d", "run.svg", "-o", "rows.txt", "echo_once"]
    code, output, _ = finished("tdimon", "run", *arguments, cwd=tmp_path)
    assert code == 0
    assert "5 bytes sent" in output
    assert (tmp_path / "run.svg").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "rows.txt").read_text(encoding="utf-8") == ""


def test_rows_to_a_file(echo: str, tmp_path: Path) -> None:
    """With ``-o`` the screen is the program's."""
    code, output, _ = finished("tdimon", "-o", "rows.txt", "-f", "tdi", echo, cwd=tmp_path)
    assert (code, output) == (0, "program says:\n")
    assert "TDI_CONNECT" in (tmp_path / "rows.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ending", "code"),
    [("sys.exit(7)", 7), ("sys.exit('enough')", 1), ("sys.exit()", 0), ("1 / 0", 1)],
)
def test_the_exit_code_is_kept(echo: str, tmp_path: Path, ending: str, code: int) -> None:
    """A program that fails shows its traceback; what it did is saved all the same."""
    with open(echo, "a", encoding="utf-8") as file:
        file.write(f"{ending}\n")
    found, _, errors = finished("tdimon", "-q", "--save", "run.tsv", echo, cwd=tmp_path)
    assert found == code
    assert ("ZeroDivisionError" in errors) == (ending == "1 / 0")
    assert ("enough" in errors) == ("enough" in ending)
    assert len(load(tmp_path / "run.tsv")) > 30


def test_ctrl_c_keeps_what_was_seen(echo: str, tmp_path: Path) -> None:
    """Interrupted: exit code 130, the trace is saved."""
    with open(echo, "a", encoding="utf-8") as file:
        file.write("print('waiting', flush=True)\ntrio.run(trio.sleep_forever)\n")
    with wsock_process("tdimon", "-q", "-s", "run.jsonl", echo, cwd=tmp_path) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "waiting\n":
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert len(load(tmp_path / "run.jsonl")) > 30


@pytest.mark.skipif(sys.platform == "win32", reason="there SIGTERM ends a process unheard")
def test_sigterm_keeps_what_was_seen(echo: str, tmp_path: Path) -> None:
    """A server that is stopped: it ends by the signal as ever, the trace is saved."""
    with open(echo, "a", encoding="utf-8") as file:
        file.write("print('waiting', flush=True)\ntrio.run(trio.sleep_forever)\n")
    with wsock_process("tdimon", "-q", "-s", "run.jsonl", echo, cwd=tmp_path) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "waiting\n":
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert len(load(tmp_path / "run.jsonl")) > 30


def test_a_reader_that_goes_away_does_not_stop_the_program(echo: str, tmp_path: Path) -> None:
    """``| head -1``: the rows end, the program runs to its end, the trace is saved."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "wsock", "tdimon", "-s", "run.jsonl", "-f", "tdi", echo],
        stdout=writing,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    ) as process:
        os.close(writing)
        os.close(reading)
        process.wait(60)
    assert len(load(tmp_path / "run.jsonl")) > 30


def test_a_full_disk_is_an_error_of_its_own(echo: str, tmp_path: Path) -> None:
    """The program has run; that its trace could not be saved is one line and exit code 1."""
    target = "/dev/full" if os.path.exists("/dev/full") else str(tmp_path)
    code, output, errors = finished("tdimon", "-q", "--save", target, echo)
    assert code == 1
    assert "program says:" in output
    assert errors.startswith("Error: cannot write:")


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")


@FULL
def test_rows_that_find_no_room(echo: str, tmp_path: Path) -> None:
    """With ``-o`` on a full disk the program runs to its end; one line, exit code 1."""
    code, output, errors = finished(
        "tdimon", "-o", "/dev/full", "-s", "run.jsonl", echo, cwd=tmp_path
    )
    assert (code, output) == (1, "program says:\n")
    assert errors == "Error: the rows could not be written: [Errno 28] No space left on device\n"
    assert len(load(tmp_path / "run.jsonl")) > 30


@FULL
@pytest.mark.parametrize("command", ["show", "stats", "draw", "diff", "fields"])
def test_full_standard_output(saved: str, command: str) -> None:
    """Every command says in one line that it could not write, exit code 1."""
    files = {"diff": (saved, saved), "fields": ()}.get(command, (saved,))
    with open("/dev/full", "w", encoding="utf-8") as full:
        finished_process = subprocess.run(
            [sys.executable, "-m", "wsock", "tdimon", command, *files],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
    assert finished_process.returncode == 1
    assert finished_process.stderr == "Error: cannot write: [Errno 28] No space left on device\n"


def test_what_the_program_does_to_its_output_is_its_own(echo: str, tmp_path: Path) -> None:
    """A program that catches what it prints gets no rows, one that closes its output loses none."""
    with open(echo, encoding="utf-8") as file:
        text = file.read()
    (tmp_path / "odd.py").write_text(
        "import contextlib, io, sys, threading\nfrom wsock.tdimon.screen import Stream\n"
        "caught = io.StringIO()\nshown = threading.Semaphore(0)\nrefresh = Stream.refresh\n"
        "Stream.refresh = lambda stream: (refresh(stream), shown.release())\n"
        "with contextlib.redirect_stdout(caught):\n"
        + "".join(f"    {line}\n" for line in text.splitlines())
        + "    while shown.acquire(blocking=False): pass\n"
        "    for _ in range(2):  # the second one began after all that was done, and shows it\n"
        "        assert shown.acquire(timeout=30)\n"
        "print('caught:', repr(caught.getvalue()))\nsys.stdout.close()\n",
        encoding="utf-8",
    )
    code, output, errors = finished("tdimon", "odd.py", cwd=tmp_path)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert "caught: 'program says:\\n'" in lines
    assert sum("TDI_SEND" in line for line in lines) == 1


def test_lines_are_whole(tmp_path: Path) -> None:
    """The program's lines and the rows share a pipe, and none is cut by another."""
    (tmp_path / "talks.py").write_text(
        "import wsock\n"
        "for number in range(3000):\n"
        "    with wsock.socket() as sock:\n"
        "        sock.bind(('127.0.0.1', 0))\n"
        "    print('line', number, 'end')\n",
        encoding="utf-8",
    )
    code, output, _ = finished("tdimon", "-f", "ws.call", "talks.py", cwd=tmp_path)
    assert code == 0
    said = [line for line in output.splitlines() if "line" in line]
    assert said == [f"line {number} end" for number in range(3000)]
    assert sum("closesocket" in line for line in output.splitlines()) == 3000


def test_a_live_table_needs_a_terminal(echo: str) -> None:
    """In a pipe ``--live`` is plain lines."""
    code, output, _ = finished("tdimon", "--live", "-f", "tdi.request == TDI_SEND", echo)
    assert code == 0
    assert "\x1b" not in output
    assert "TDI_SEND" in output


def test_a_traceback_is_the_programs(echo: str, tmp_path: Path) -> None:
    """What ``python program.py`` prints, and nothing of the monitor."""
    (tmp_path / "fails.py").write_text("def deep():\n    raise KeyError(1)\n\ndeep()\n")
    _, _, errors = finished("tdimon", "fails.py", cwd=tmp_path)
    plain = subprocess.run(
        [sys.executable, "fails.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
    ).stderr
    assert errors.replace(str(tmp_path / "fails.py"), "fails.py") == plain.replace(
        str(tmp_path / "fails.py"), "fails.py"
    )


@pytest.mark.parametrize("name", ["no_such_module", "no_such.module", "json"])
def test_there_is_no_such_module(name: str) -> None:
    """One line, as ``python -m`` says it; a package without a program is none either."""
    code, _, errors = finished("tdimon", "-m", name)
    assert code == 1
    assert errors.count("\n") == 1
    assert name in errors


def test_there_is_no_such_script() -> None:
    """A misspelt command or script is told, with what it might be."""
    result = wsock("tdimon", "shwo")
    assert result.exit_code == 2
    assert "there is no script 'shwo'" in result.output


def test_a_small_ring_says_what_it_dropped(echo: str) -> None:
    """Loss is told at the end."""
    code, _, errors = finished("tdimon", "-q", "--capacity", "10", echo)
    assert code == 0
    assert "records were dropped; see --capacity" in errors
