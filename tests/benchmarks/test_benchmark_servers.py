from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks import cells, running
from benchmarks.build import compiler
from benchmarks.environment import VENV

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
