from __future__ import annotations

import pytest

from benchmarks.goals import Goal
from benchmarks.report import goal_rows, losses
from benchmarks.summary import Figure, Sample, Table


def samples(server: str, values: list[float], cell: str = "echo 50x64") -> list[Sample]:
    """One sample a round with this CPU time."""
    return [
        {"server": server, "cell": cell, "round": number, "us": value}
        for number, value in enumerate(values)
    ]


def test_a_figure_is_the_median_and_the_distance_of_the_quartiles() -> None:
    """One outlier moves neither."""
    figure = Figure.of([1.0, 2.0, 3.0, 4.0, 500.0])
    assert figure == Figure(median=3.0, spread=2.0, count=5)


def test_a_single_value_has_no_known_spread_and_no_verdict() -> None:
    """One run proves nothing."""
    figure = Figure.of([1.0])
    assert figure is not None
    assert figure.verdict(100.0) == "undecided"


def test_no_values_give_no_figure() -> None:
    """What was not measured is not zero."""
    assert Figure.of([]) is None


@pytest.mark.parametrize(
    ("median", "spread", "verdict"),
    [
        (1.00, 0.125, "met"),
        (1.50, 0.125, "missed"),
        (1.125, 0.125, "undecided"),  # just as far away as the spread
        (1.375, 0.5, "undecided"),
    ],
)
def test_a_verdict_needs_a_spread_below_the_distance(
    median: float, spread: float, verdict: str
) -> None:
    """Otherwise the next run could say the contrary."""
    assert Figure(median, spread, 5).verdict(1.25) == verdict


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is twice as slow for one round changes no ratio."""
    table = Table(samples("message", [5.0, 10.0, 5.0]) + samples("raw_epoll", [4.0, 8.0, 4.0]))
    ratio = table.ratio(("message", "echo 50x64"), ("raw_epoll", "echo 50x64"), "us")
    assert ratio == Figure(median=1.25, spread=0.0, count=3)


def test_rounds_that_only_one_has_do_not_count() -> None:
    """A run that failed leaves no ratio behind."""
    failed: Sample = {"server": "message", "cell": "echo 50x64", "round": 2, "error": "no"}
    table = Table([*samples("message", [5.0, 5.0]), failed, *samples("raw_epoll", [4.0] * 3)])
    ratio = table.ratio(("message", "echo 50x64"), ("raw_epoll", "echo 50x64"), "us")
    assert ratio is not None
    assert ratio.count == 2
    assert table.errors == {("message", "echo 50x64"): "no"}


def test_the_goals_table_says_met_missed_and_leaves_out_what_was_not_measured() -> None:
    """A line for each goal with figures."""
    table = Table(samples("message", [5.0] * 5) + samples("raw_epoll", [4.0] * 5))
    goals = [
        Goal("message", "echo 50x64", 1.30, "raw_epoll"),
        Goal("message", "echo 50x64", 1.20, "raw_epoll", stretch=1.10),
        Goal("message", "churn", 1.10, "raw_epoll"),
    ]
    assert [row[1:] for row in goal_rows(table, goals)] == [
        ["1.30", "", "1.25 ±0.00", "met"],
        ["1.20", "1.10", "1.25 ±0.00", "missed"],
    ]
    assert goals[2].verdict(table) == "not measured"


def test_a_goal_may_compare_two_cells_of_one_server() -> None:
    """Cost at 5,000 connections beside cost at 50."""
    table = Table(samples("message", [4.0] * 3) + samples("message", [6.0] * 3, "echo 5000x64"))
    goal = Goal("message", "echo 5000x64", 1.6, "message", against_cell="echo 50x64")
    assert goal.figure(table) == Figure(1.5, 0.0, 3)


def test_losses_name_the_cheapest_peer_and_leave_out_the_limits() -> None:
    """A bare epoll loop is no library that one could choose in place of wsock."""
    table = Table(
        samples("raw_epoll", [3.0] * 3)
        + samples("uvloop_protocol", [4.0] * 3)
        + samples("trio_socket", [9.0] * 3)
        + samples("message", [5.0] * 3)
        + samples("blocking", [3.9] * 3)
    )
    assert losses(table) == [["echo 50x64", "message", "uvloop_protocol", "1.25 ±0.00"]]
