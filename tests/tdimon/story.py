"""The golden story as records: both hosts, in causal order, with the calls that caused the rows."""

from __future__ import annotations

import copy
import csv
import functools
from pathlib import Path

from wsock.tdi.trace import TraceRecord
from wsock.tdimon.formats import read_tsv

GOLDEN = Path(__file__).parent.parent / "golden"
SIDES = ("client", "server")


def steps(order: int) -> list[dict[str, str]]:
    """The steps of ORDER.tsv with one of the two orders of closing."""
    with (GOLDEN / "ORDER.tsv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    other = f"close{3 - order}"
    return [step for step in found if not step["seq"].startswith(other)]


def golden_lines(name: str) -> list[str]:
    """The rows of one golden file as lines, without the header."""
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()[1:]


def golden_text(side: str, order: int) -> str:
    """All rows of one side, as one table."""
    lines = [(GOLDEN / "01-bind.client.tsv").read_text(encoding="utf-8").splitlines()[0]]
    for step in steps(order):
        if step[f"{side}_file"] != "-":
            lines += golden_lines(step[f"{side}_file"])
    return "\n".join(lines) + "\n"


def _call(step: dict[str, str], side: str) -> TraceRecord:
    record = TraceRecord("call", step["call"].partition("(")[0], 0, 0)
    record.host = side
    record.socket = 0x44
    record.extra = {"call": step["call"]}
    return record


@functools.cache
def _story(order: int) -> tuple[TraceRecord, ...]:
    rows = {side: iter(read_tsv(golden_text(side, order))) for side in SIDES}
    found: list[TraceRecord] = []
    for step in steps(order):
        actor = step["side"]
        found.append(_call(step, actor))
        call = found[-1]
        for side in (actor, *(one for one in SIDES if one != actor)):
            for _ in range(int(step[f"rows_{side}"])):
                record = next(rows[side])
                record.host = side
                record.cause = call.request if side == actor else "network"
                found.append(record)
    for number, record in enumerate(found, 1):
        record.sequence = number
        record.time_ns = number * 1_000_000
    return tuple(found)


def story(order: int = 1) -> list[TraceRecord]:
    """Records of the whole story, closed in the given order (1 or 2)."""
    return [copy.copy(record) for record in _story(order)]
