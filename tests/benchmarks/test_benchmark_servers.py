from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import cells, running, settings
from benchmarks.build import compiler
from benchmarks.environment import VENV

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

NEEDS = {"uvloop_protocol": "uvloop", "uvloop_streams": "uvloop", "win32_message": "greenback"}
NEEDS |= {name: name for name in ("anyio", "gevent", "twisted")}


def interpreter(name: str) -> Path:
    """The benchmark's own environment if it was made, else this one, where few peers are."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    own = VENV / "bin" / "python"
    if any((VENV / mark).exists() for mark in ("requirements.sha256", "installed-all")):
        return own
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return Path(sys.executable)


@pytest.mark.parametrize("name", cells.SERVERS)
def test_every_server_does_all_three_works(name: str) -> None:
    """Echo with back-pressure and half close, sink, source: what the load generator checks."""
    assert running.check(interpreter(name), name) == ""


@pytest.mark.parametrize("name", [name for name in cells.SERVERS if name != "anyio"])
def test_every_server_but_one_holds_back_a_peer_that_does_not_read(name: str) -> None:
    """anyio reads on until a first receive has found nothing: the report says so."""
    assert running.unbounded(interpreter(name), name) == ""


@pytest.mark.parametrize("name", cells.SERVERS)
def test_every_server_has_the_settings_of_the_bare_loop(name: str) -> None:
    """As announced, and as the system has them on an accepted connection."""
    plain = settings.settings_of(interpreter("raw_epoll"), "raw_epoll")
    told = settings.settings_of(interpreter(name), name)
    assert {setting: plain[setting] for setting in told} == told
    assert plain["TCP_NODELAY"] == 1
    assert {"backlog", "read_bytes", "SO_RCVBUF", "SO_SNDBUF"} <= set(told)
    assert ("gc" in told) == (name != "c_epoll")


def test_servers_keep_their_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing else does: what is compiled anew at each start leaves free memory."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = running.server_environment()
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment.items() >= running.MALLOC.items()


def test_where_nobody_may_look_into_a_server_the_settings_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The announcement stands alone then."""

    def forbidden(_pid: int) -> Iterator[socket.socket]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(settings, "sockets_of", forbidden)
    told = settings.settings_of(Path(sys.executable), "raw_epoll")
    assert told["accepted sockets"] == "not looked at: Operation not permitted"
    assert "TCP_NODELAY" not in told


def test_without_a_compiler_servers_are_checked_and_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the load generator in Python, and the samples say by which."""
    monkeypatch.setattr(running, "compiler", lambda: None)
    python = Path(sys.executable)
    assert running.check(python, "raw_epoll") == ""
    sample = running.measure(python, "raw_epoll", cells.echo_cell(4, 64, 1), 0.05, 0.2)
    assert sample["generator"] == "python"
    assert 0 < sample["us"] < 1000
    idle = running.measure(python, "raw_epoll", cells.Cell("idle 50", "idle", 50), 0, 0)
    assert "pss_kib" in idle
    slow = running.measure(python, "raw_epoll", cells.Cell("s", "slow", slow=2), 0.05, 0.2)
    assert "need the load generator in C" in slow["error"]


def test_every_server_that_a_cell_names_is_a_module() -> None:
    """No cell measures nothing because of a name written wrong."""
    folder = Path(cells.__file__).parent / "servers"
    named = {
        server
        for suite in (cells.FIRST, cells.QUICK, cells.full_grid())
        for cell in suite
        for server in cell.servers
    }
    assert named <= {path.stem for path in folder.glob("*.py")}


def test_a_server_that_does_not_start_is_told_with_its_reason() -> None:
    """The report says why, not just that."""
    assert "No module named" in running.check(Path(sys.executable), "no_such_server")


def test_a_measured_sample_has_cpu_time_for_each_message() -> None:
    """Microseconds, from the server's own CPU clock."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    cell = cells.echo_cell(2, 64, 1)
    sample = running.measure(Path(sys.executable), "raw_epoll", cell, 0.05, 0.2)
    assert sample["us"] == pytest.approx(sample["server_cpu_ns"] / 1e3 / sample["messages"])
    assert 0 < sample["us"] < 1000


def test_idle_memory_is_told_for_each_connection() -> None:
    """KiB, Rss and Pss."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    cell = cells.Cell("idle 200", "idle", 200)
    sample = running.measure(Path(sys.executable), "threads", cell, 0, 0)
    assert 1 < sample["pss_kib"] < 200


def test_the_grid_is_the_one_promised() -> None:
    """Four crowds, four sizes, two depths, but for what would only fill the kernel's memory."""
    names = {cell.name for cell in cells.full_grid()}
    assert {"echo 1x64", "echo 5000x64", "echo 50x1M", "echo 1000x16K depth 16"} <= names
    assert {"churn", "idle 9000", "source 4x1M", "sink 4x1M"} <= names
    assert "echo 5000x1M depth 16" not in names


def test_importing_the_parts_measures_nothing() -> None:
    """Only running them does."""
    for name in ("goals", "report", "summary", "environment"):
        importlib.import_module(f"benchmarks.{name}")
