"""What watching costs: the same work when it is off, and a bound when it is on."""

from __future__ import annotations

import pytest

from benchmarks import tracing
from tests.benchmarks.counting import executed

# Counts the bytecodes that wsock and the standard library execute in one turn of the echo.
COUNT = """
import gc, sys
from benchmarks import tracing
import trio
gc.disable()  # what a collection calls would be counted where it happens to come
tracing.prepare(sys.argv[1])
tracing.TURN_MESSAGES = 50
turns = iter(range(3))
def wait_for_turn():
    number = next(turns, None)
    sys.settrace(None if number is None or number < 1 else counting("opcode"))
    return number is not None
def say(spent):
    sys.settrace(None)
def run():
    trio.run(tracing.serve, wait_for_turn, say)
run()
"""


def bytecodes(variant: str) -> int:
    return executed(COUNT, variant)


def test_nothing_more_is_executed_when_nobody_watches() -> None:
    """A program that has watched and stopped executes bytecode for bytecode what one does that
    has never imported the monitor.

    The least of several counts: a wake-up that comes in two halves executes more, in either.
    """
    never, off = [], []
    for _ in range(6):
        never.append(bytecodes("never"))
        off.append(bytecodes("off"))
        if min(off) == min(never):
            break
    assert min(never) > 5_000
    assert min(off) == min(never)


def test_a_fifth_of_a_hundred_thousand_traced_requests() -> None:
    """A fifth of 100 MB, and of a second on a machine that does nothing else."""
    found = tracing.cost_of_tracing(20_000, repeats=2)
    assert found["records"] >= 40_000  # the call and its TDI_SEND
    assert found["megabytes"] < 20
    assert found["seconds"] < 5 * 0.2


def test_the_two_processes_take_turns() -> None:
    """Each turn of each is measured."""
    spent = tracing.interleaved(2)
    assert {name: len(times) for name, times in spent.items()} == {"never": 2, "off": 2}
    assert all(seconds > 0 for times in spent.values() for seconds in times)


def test_the_wrong_process_is_refused() -> None:
    """This one has the monitor, as the test of its costs needs."""
    from wsock import tdimon  # noqa: F401

    with pytest.raises(RuntimeError, match="already"):
        tracing.prepare("never")
