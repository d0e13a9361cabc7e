"""Many connections that close at once: the benchmark of the pause, and what bounds it."""

from __future__ import annotations

import sys

import pytest

from benchmarks import closing


@pytest.mark.parametrize("model", closing.MODELS)
def test_many_ends_at_once_are_served_in_many_passes(model: str) -> None:
    """At most 256 between two looks at the clock: 1,200 take five passes at least."""
    told = closing.closed_at_once(model, 1200)
    assert told["passes"] >= 5
    assert 0 < told["longest_ms"] < told["busy_ms"]


def test_the_command_judges_the_pause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each model, with the goal."""

    def told(model: str, _size: int) -> dict[str, float]:
        return {"longest_ms": 80.0 if model == "blocking" else 5.0, "busy_ms": 99.0, "passes": 9.0}

    monkeypatch.setattr(closing, "closed_at_once", told)
    monkeypatch.setattr(sys, "argv", ["closing", "--rounds", "2"])
    closing.main()
    lines = capsys.readouterr().out.splitlines()
    words = [[word.strip() for word in line.split("|")[1:5]] for line in lines[3:]]
    assert words == [
        ["message", "5.0 ±0.0", "50", "met"],
        ["async_socket", "5.0 ±0.0", "50", "met"],
        ["blocking", "80.0 ±0.0", "50", "missed"],
    ]
