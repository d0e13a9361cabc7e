"""What a second worker brings: two servers are measured in turn, and the samples are kept."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import processes
from benchmarks.build import compiler

if TYPE_CHECKING:
    from pathlib import Path


def test_one_worker_and_several_take_turns_and_stand_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ratio is taken round by round; how busy the generator was stands beside it."""
    order = []

    def measure(workers: int, _rounds: int, _seconds: float) -> tuple[float, float]:
        order.append(workers)
        return workers * 1000.0, 0.3

    monkeypatch.setattr(processes, "measure", measure)
    monkeypatch.setattr(processes, "bare", lambda count, _amount, _seconds: count * 10.0)
    where = tmp_path / "x.json"
    monkeypatch.setattr(sys, "argv", ["processes", "--rounds", "3", "--json", str(where)])
    processes.main()
    assert order == [2, 1, 1, 2, 2, 1]
    last = capsys.readouterr().out.splitlines()[-1]
    assert [word.strip() for word in last.split("|")[1:-1]] == [
        "2",
        "2000 ±0",
        "0.30 ±0.00",
        "2.00 ±0.00",
        "2.00 ±0.00",
    ]
    assert json.loads(where.read_text())["served"]["2"] == [[2000.0, 0.3]] * 3


@pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
def test_a_server_with_two_workers_is_measured() -> None:
    """Echoes come; the generator says how busy it was."""
    with processes.running(2, 100) as port:
        rate, busy = processes.load(port, 0.2)
    assert rate > 0
    assert 0 < busy <= 1.2
