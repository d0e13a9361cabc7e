"""A pool of many places is shown once, not once a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import wsock
from wsock import tdimon
from wsock._cli import cli
from wsock._stack import Stack
from wsock.tdimon.diagram import build
from wsock.tdimon.folding import fold
from wsock.tdimon.formats import rows_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def trace() -> tdimon.Trace:
    """A listener with a pool of 128, opened and closed."""
    stack = Stack("folded")
    with tdimon.watch(stack) as found:
        wsock.create_server(("127.0.0.1", 0), stack=stack).close()
    return found


def test_each_pattern_is_one_row_a_request(trace: tdimon.Trace) -> None:
    """Making the places is two requests, giving them back three; each says how often."""
    rows = [one for one in fold(list(rows_of(trace.records(), "all"))) if one.times > 1]
    assert [(one.row.object, one.row.request.strip(), one.times) for one in rows] == [
        ("Connect 1 to 128", "IRP_MJ_CREATE", 128),
        ("Connect 1 to 128", "TDI_ASSOCIATE_ADDRESS", 128),
        ("Connect 128 to 1", "TDI_DISASSOCIATE_ADDRESS", 128),
        ("Connect 128 to 1", "IRP_MJ_CLEANUP", 128),
        ("Connect 128 to 1", "IRP_MJ_CLOSE", 128),
    ]
    assert rows[0].row.detail == "x128"  # contexts differ
    assert rows[1].row.detail.endswith(" x128")


def test_nothing_else_is_folded(trace: tdimon.Trace) -> None:
    """The other rows stand as they are, in order, and no row is forgotten."""
    pairs = list(rows_of(trace.records(), "all"))
    folded = list(fold(pairs))
    assert sum(one.times for one in folded) == len(pairs)
    alone = [one.row for one in folded if one.times == 1]
    assert alone == [row for _, row in pairs if not row.object.startswith("connection")]


def test_a_pool_of_two_is_not_folded() -> None:
    """What fits on a page is told in full, as in the source notes."""
    stack = Stack("small")
    with tdimon.watch(stack) as found:
        wsock.create_server(("127.0.0.1", 0), backlog=2, stack=stack).close()
    assert all(one.times == 1 for one in fold(list(rows_of(found.records(), "all"))))


def test_a_picture_has_one_step_for_all(trace: tdimon.Trace) -> None:
    """Without folding it has hundreds."""
    labels = [step.label(step.arrows[0]) for step in build(trace.records()).steps if step.arrows]
    assert "IRP_MJ_CREATE x128" in labels
    assert len(labels) < 20
    assert len(build(trace.records(), collapse=False).steps) > 600


@pytest.mark.parametrize(
    ("options", "lines"), [((), 27), (("--unfold",), 662), (("-p", "tdimon-2003"), 655)]
)
def test_the_command_folds_unless_told_not_to(
    trace: tdimon.Trace, tmp_path: Path, options: tuple[str, ...], lines: int
) -> None:
    """``show`` folds; ``--unfold`` and the profile of 2003 show every row."""
    trace.save(tmp_path / "run.jsonl")
    shown = CliRunner().invoke(cli, ["tdimon", "show", str(tmp_path / "run.jsonl"), *options])
    assert len(shown.output.splitlines()) == lines
