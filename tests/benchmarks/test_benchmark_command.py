"""python -m benchmarks: what it measures in which order, and what its report says of it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import __main__ as command
from benchmarks import build, cells, environment, running
from benchmarks.report import report

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = {"backlog": 4096, "TCP_NODELAY": 1}
CLOSED = {"messages": 1000, "seconds": 1.0, "p50_us": 50.0, "generator_busy": 0.5}
CLOSED |= {"server_user_s": 0.1, "server_system_s": 0.2, "server_cpu_ns": 300_000_000}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The command measures nothing; the list tells which server it would have, in which cell."""
    done: list[tuple[str, str]] = []

    def measure(
        _python: Path, server: str, cell: cells.Cell, _warmup_s: float, _seconds: float
    ) -> dict[str, Any]:
        done.append((server, cell.name))
        return {"server": server, "cell": cell.name, "us": 5.0 + len(server) / 10} | CLOSED

    monkeypatch.setattr(running, "measure", measure)
    monkeypatch.setattr(running, "check", lambda _python, _server: "")
    monkeypatch.setattr(running, "unbounded", lambda _python, _server: "")
    monkeypatch.setattr(command, "settings_of", lambda _python, _server: dict(SETTINGS))
    monkeypatch.setattr(environment, "ensure_environment", lambda: Path(sys.executable))
    return done


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Call it with these words; what it prints. Its samples are in tmp_path / "x.json"."""

    def main(*words: str) -> str:
        where = () if "--from" in words else ("--json", str(tmp_path / "x.json"))
        monkeypatch.setattr(sys, "argv", ["benchmarks", *where, *words])
        command.main()
        return capsys.readouterr().out

    return main


def test_runs_are_interleaved_and_each_round_begins_with_another_server(
    measured: list[tuple[str, str]], call: Callable[..., str]
) -> None:
    """A B C, B C A, C A B: no server has its rounds in a row, none the same neighbour always."""
    call("--servers", "message,raw_epoll,uvloop_protocol", "--rounds", "3")
    assert "".join(server[0] for server, _cell in measured) == "mru" + "rum" + "umr"


def test_every_cell_of_a_round_comes_before_the_next_round(
    measured: list[tuple[str, str]], call: Callable[..., str]
) -> None:
    """A machine that is slow for a minute is slow for all cells."""
    call("--suite", "quick", "--servers", "message", "--rounds", "2")
    names = [cell.name for cell in cells.QUICK if "message" in cell.servers]
    assert [cell for _server, cell in measured] == names * 2


@pytest.mark.parametrize("suite", ["first", "quick", "full"])
def test_five_rounds_unless_told_otherwise(suite: str) -> None:
    """Quartiles of fewer say little."""
    assert command.DEFAULTS[suite][0] >= 5


def test_the_quick_suite_takes_less_than_five_minutes_by_its_own_settings() -> None:
    """With half a second to start a server and connect, and six to check one."""
    rounds, seconds, warmup_s = command.DEFAULTS["quick"]
    runs = sum(len(cell.servers) for cell in cells.QUICK)
    servers = {server for cell in cells.QUICK for server in cell.servers}
    assert rounds * runs * (seconds + warmup_s + 0.5) + 6 * len(servers) < 300


def test_a_server_that_fails_its_check_is_left_out_and_named(
    measured: list[tuple[str, str]], call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are measured; the report says who is missing, and why."""
    monkeypatch.setattr(
        running, "check", lambda _python, server: "it cheats" if server == "raw_epoll" else ""
    )
    text = call("--servers", "message,raw_epoll", "--rounds", "1")
    assert {server for server, _cell in measured} == {"message"}
    assert re.search(r"## Not measured\n\n.*\n.*\n\| raw_epoll +\| all +\| it cheats", text)


def test_a_server_that_holds_nobody_back_is_measured_and_named(
    measured: list[tuple[str, str]], call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does less work than the others; who reads its figure knows."""
    monkeypatch.setattr(running, "unbounded", lambda _python, server: f"{server} took all")
    text = call("--servers", "anyio", "--rounds", "1")
    assert len(measured) == 1
    assert re.search(r"hold back no peer .*\n\n.*\n.*\n\| anyio +\| anyio took all", text)


def test_settings_that_differ_are_told_apart_from_those_that_are_equal(
    measured: list[tuple[str, str]], call: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value with its server."""
    monkeypatch.setattr(
        command,
        "settings_of",
        lambda _python, server: SETTINGS | {"gc": "off" if server == "message" else "[700]"},
    )
    text = call("--servers", "message,raw_epoll", "--rounds", "1")
    assert measured
    assert "Equal for all servers: backlog 4096, TCP_NODELAY 1.\n" in text
    assert re.search(r"## Not equal for all servers\n(.*\n){3}\| gc +\| off +\| message", text)


@pytest.mark.parametrize(
    "words", [("--servers", "mesage"), ("--cells", "50x63"), ("--servers", "message,no_such")]
)
def test_a_name_written_wrong_is_refused(
    measured: list[tuple[str, str]], call: Callable[..., str], words: tuple[str, ...]
) -> None:
    """Not a report of nothing."""
    with pytest.raises(SystemExit, match=words[1].split(",")[-1]):
        call(*words)
    assert not measured


def test_the_samples_are_kept_raw_and_give_the_same_report_again(
    measured: list[tuple[str, str]], call: Callable[..., str], tmp_path: Path
) -> None:
    """--json and --from: anybody can do the arithmetic anew."""
    first = call("--servers", "message,raw_epoll", "--rounds", "2")
    kept = json.loads((tmp_path / "x.json").read_text())
    assert len(kept["samples"]) == len(measured) == 4
    assert {"server", "cell", "round", "at", "us", "server_cpu_ns", "messages"} <= set(
        kept["samples"][0]
    )
    assert call("--from", str(tmp_path / "x.json")) == first


def test_the_report_names_command_machine_and_versions(
    measured: list[tuple[str, str]], call: Callable[..., str]
) -> None:
    """The versions are the installed ones, asked of the servers' interpreter."""
    text = call("--servers", "message", "--rounds", "1")
    assert measured
    assert "python -m benchmarks --json" in text
    assert "; 1 rounds of 2.0 s, interleaved; " in text
    assert f"CPython {sys.version.split()[0]}" in text
    trio = environment.installed(Path(sys.executable))["versions"]["trio"]
    assert f"trio {trio}" in text


def test_a_package_that_is_missing_has_no_version() -> None:
    """The pin alone would claim one."""
    versions = environment.installed(Path(sys.executable))["versions"]
    assert versions["uvloop"] in ("not installed", "0.23.0")
    assert set(versions) >= {"trio", "uvloop", "gevent", "Twisted", "anyio"}


def results(generator: str, **sample: Any) -> dict[str, Any]:
    """The least that a report needs."""
    one = {"server": "message", "cell": "echo 50x64", "round": 0, "us": 5.0} | CLOSED | sample
    return {
        "command": "c",
        "machine": environment.describe(Path(sys.executable)),
        "generator": generator,
        "seconds": 1.0,
        "settings": {"message": SETTINGS},
        "failed_checks": {},
        "unbounded": {},
        "samples": [one],
    }


def test_without_a_compiler_the_generator_in_python_is_used_and_the_report_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what that means for the figures."""
    monkeypatch.setattr(build.shutil, "which", lambda _name: None)
    assert running.load_command()[1:] == ["-m", "benchmarks.load_python"]
    text = report(results(running.generator()))
    assert "load generator: the one in Python, since no C compiler was found" in text


def test_no_goal_is_judged_under_the_generator_in_python() -> None:
    """A server that is woken for fewer messages at a time pays more for each."""
    many = [{"server": "message", "cell": "idle 9000", "round": n, "pss_kib": 0.5} for n in (0, 1)]
    found = {
        generator: report(results(generator) | {"samples": many}) for generator in ("c", "python")
    }
    assert re.search(r"KiB an idle connection, idle 9000 .*\| met +\|", found["c"])
    assert re.search(r"KiB an idle connection, idle 9000 .*\| not judged +\|", found["python"])


def test_a_closed_loop_has_no_column_above_the_median() -> None:
    """Coordinated omission."""
    text = report(results("c"))
    assert "p50" in text
    assert not re.search(r"p9\d|\bmax\b|\bmean\b", text)


def test_at_a_given_rate_the_percentiles_and_the_unanswered_are_told() -> None:
    """In a table of its own."""
    above = {"p90_us": 70.0, "p99_us": 90.0, "p999_us": 99.0, "unanswered": 7}
    text = report(results("c", cell="rate 20000/s", **above))
    assert "unanswered" in text
    assert re.search(r"\| rate 20000/s \| message \| 50 +\| 70 +\| 90 +\| 99 +\| 7 ", text)


def test_a_run_without_a_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no figure: a server that serves nobody uses little CPU time."""
    told = {"messages": 0, "server_cpu_ns": 5}
    monkeypatch.setattr(running, "run_load", lambda _options: told)
    sample = running.measure(Path(sys.executable), "raw_epoll", cells.FIRST[0], 0.0, 0.1)
    assert "no message" in sample["error"]
    assert "us" not in sample


def test_the_first_suite_has_every_server() -> None:
    """Who is compared was not chosen by the outcome."""
    options = argparse.Namespace(servers=None)
    assert command.chosen_servers(options, list(cells.FIRST)) == list(cells.SERVERS)
