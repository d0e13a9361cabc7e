"""The wsock command: explain, examples, doctor, and what it says without its extra."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import wsock as wsock_package
from wsock import __main__ as command
from wsock import _cli, _explain, errors
from wsock._cli import cli
from wsock.afd import RE_ENABLED_BY
from wsock.constants import FD

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def wsock(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="wsock")


def test_without_a_command_it_says_what_it_can_do() -> None:
    """``wsock`` alone is its help, with every command."""
    output = wsock().output
    assert all(name in output for name in ("demo", "doctor", "examples", "explain", "tdimon"))
    assert output.isascii()


def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and exit code 1 where click or rich is missing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as leaving:
        command.main()
    assert leaving.value.code == 1
    assert 'pip install "wsock[cli]"' in capsys.readouterr().out


def test_the_module_is_the_command() -> None:
    """``python -m wsock --version`` works as ``wsock --version`` does."""
    output = subprocess.check_output([sys.executable, "-m", "wsock", "--version"], text=True)
    assert output.startswith("wsock ")


def test_output_survives_a_console_of_another_code_page(tmp_path: Path) -> None:
    """What the console cannot show is a question mark, never a traceback."""
    (tmp_path / "hello.py").write_text("print('\uc548\ub155')\n", encoding="utf-8")
    output = subprocess.check_output(
        [sys.executable, "-m", "wsock", "tdimon", "hello.py"],
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        text=True,
    )
    assert output == "??\n"


@pytest.mark.parametrize("event", list(FD)[:6])
def test_every_notification_is_explained(event: FD) -> None:
    """Rule, re-enabling call (from the code's own table), trap, source and example."""
    output = wsock("explain", f"FD_{event.name}").output
    assert output.startswith(f"FD_{event.name} ({int(event)})")
    assert RE_ENABLED_BY[int(event)].split(",")[0] in " ".join(output.split())
    assert all(word in output for word in ("Rule:", "Trap:", "Source:", "Example:"))
    assert all(len(line) <= 92 for line in output.splitlines())


@pytest.mark.parametrize("event", _explain.NOTIFICATIONS)
def test_examples_of_the_pages_are_python(event: FD) -> None:
    """Each example compiles, and what it takes from wsock exists."""
    source = _explain.NOTIFICATIONS[event].example
    compile(source.replace("return", "pass"), "example", "exec")
    assert all(hasattr(wsock_package, name) for name in re.findall(r"\bwsock\.(\w+)", source))


@pytest.mark.parametrize("name", ["wsaewouldblock", "10035"])
def test_errors_by_name_and_number(name: str) -> None:
    """A code is known by either; the text is the error class's own."""
    output = wsock("explain", name).output
    assert output.startswith("WSAEWOULDBLOCK (10035)")
    assert errors.text(10035)[:30] in output


def test_every_topic_can_be_explained() -> None:
    """What the list names has a page, and all of it is ASCII."""
    for topic in _explain.topics():
        assert "\n".join(_explain.explain(topic)).isascii()


def test_the_list_of_topics() -> None:
    """Without a name the names are listed."""
    output = wsock("explain").output
    assert "FD_READ" in output
    assert "TDI_SEND" in output


def test_an_unknown_name_suggests_near_ones() -> None:
    """A slip is answered with what it might be; exit code 2."""
    result = wsock("explain", "FD_REED")
    assert result.exit_code == 2
    assert "near: FD_READ" in result.output


def test_examples_are_listed_with_their_first_lines() -> None:
    """Each name stands beside what the program says of itself."""
    lines = wsock("examples").output.splitlines()
    assert any(line.startswith("echo ") and len(line) > 30 for line in lines)
    assert wsock("examples", "list").output.splitlines() == lines


def test_an_example_can_be_shown_and_copied(tmp_path: Path) -> None:
    """A copy is the whole example; nothing is overwritten."""
    assert "# ---- echo" in wsock("examples", "show", "echo").output
    assert wsock("examples", "copy", "echo", str(tmp_path)).exit_code == 0
    assert (tmp_path / "echo" / "__init__.py").is_file()
    again = wsock("examples", "copy", "echo", str(tmp_path))
    assert (again.exit_code, "exists already" in again.output) == (1, True)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert wsock("examples", "copy", "echo", str(tmp_path / "file")).exit_code == 1


def test_an_example_of_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A single program is an example too; private files and empty folders are none."""
    folder = tmp_path / "examples"
    (folder / "empty").mkdir(parents=True)
    (folder / "one.py").write_text('"""One idea.\n\nMore."""\n', encoding="utf-8")
    (folder / "_private.py").write_text("", encoding="utf-8")
    (folder / "silent.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(_cli, "_examples_folder", lambda: folder)
    assert [line.split() for line in wsock("examples").output.splitlines()] == [
        ["one", "One", "idea."],
        ["silent"],
    ]
    assert wsock("examples", "show", "one").output.startswith('"""One idea.')
    assert wsock("examples", "copy", "one", str(tmp_path)).exit_code == 0
    assert (tmp_path / "one.py").is_file()


@pytest.mark.parametrize("command", ["show", "copy"])
def test_an_unknown_example(command: str) -> None:
    """The known ones are named; exit code 2."""
    result = wsock("examples", command, "ecco")
    assert result.exit_code == 2
    assert "there are: " in result.output


def test_the_help_tells_the_exit_codes() -> None:
    """What the command was asked wrongly is 2, what could not be done is 1."""
    text = " ".join(wsock("--help").output.split())
    assert "Exit codes: 0 done; 1 could not be done; 2 asked wrongly" in text


def test_demo_is_the_login_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """``wsock demo`` runs what ``make demo`` runs, with the arguments given."""
    seen = []
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "argv", sys.argv.copy())
    monkeypatch.setattr(runpy, "run_module", lambda name, **rest: seen.append((name, sys.argv[1:])))
    assert wsock("demo", "--users", "3").exit_code == 0
    assert seen == [("examples.login_server.demo", ["--users", "3"])]


def test_doctor_finds_this_machine_well() -> None:
    """Every line has a mark; nothing that is needed fails here."""
    result = wsock("doctor")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert all(line.split()[0] in {"ok", "note", "-"} for line in lines)
    assert any("loopback 127.0.0.1" in line for line in lines)


def test_doctor_tells_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without loopback, or whose sockets cannot be used, is exit code 1."""

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("wsock._stack.Stack.__init__", refuse)
    result = wsock("doctor")
    assert result.exit_code == 1
    assert "FAIL  no connection to 127.0.0.1" in result.output
    assert "FAIL  the sockets of this machine" in result.output
    assert "note  no connection to ::1" in result.output


def test_ctrl_c_is_130_in_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell counts it, and nothing is said."""

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    done = wsock("scenario", "handshake", "--rate", "1")
    assert done.exit_code == 130
    assert "Aborted" not in done.output


def test_a_reader_who_has_seen_enough_hears_no_complaint() -> None:
    """``wsock scenario handshake | head -1``, with a reader that has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        command = [sys.executable, "-m", "wsock", "scenario", "handshake"]
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
