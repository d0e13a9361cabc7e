from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from wsock import _timers

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_timer_calls_at_its_time(autojump_clock: MockClock) -> None:
    """Not before, and then once."""
    calls: list[float] = []
    timer = _timers.call_later(3, lambda: calls.append(trio.current_time()))
    start = trio.current_time()
    assert timer.pending
    await trio.sleep(2.99)
    assert calls == []
    await trio.sleep(100)
    assert calls == [start + 3]
    assert not timer.pending


async def test_a_cancelled_timer_does_not_call(autojump_clock: MockClock) -> None:
    """Cancelling is final, may be done twice, and also after the call."""
    calls: list[str] = []
    kept = _timers.call_later(1, lambda: calls.append("kept"))
    dropped = _timers.call_later(1, lambda: calls.append("dropped"))
    dropped.cancel()
    dropped.cancel()
    await trio.sleep(2)
    kept.cancel()
    assert calls == ["kept"]


async def test_an_earlier_timer_moves_the_deadline(autojump_clock: MockClock) -> None:
    """The task wakes for the earliest, whenever that was made."""
    calls: list[int] = []
    for seconds in (5, 1, 3, 1):
        _timers.call_later(seconds, partial(calls.append, seconds))
    await trio.sleep(2)
    assert calls == [1, 1]
    await trio.sleep(10)
    assert calls == [1, 1, 3, 5]


async def test_a_past_deadline_is_the_next_pass(autojump_clock: MockClock) -> None:
    """Never at once: the caller finishes first."""
    calls: list[int] = []
    _timers.call_at(trio.current_time() - 10, lambda: calls.append(1))
    assert calls == []
    await trio.testing.wait_all_tasks_blocked()
    assert calls == [1]


async def test_a_timer_may_cancel_and_make_timers(autojump_clock: MockClock) -> None:
    """A call that comes due in the same moment can still be cancelled; a new one comes after."""
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        second.cancel()
        _timers.call_later(0, lambda: calls.append("third"))

    _timers.call_later(1, first)
    second = _timers.call_later(1, lambda: calls.append("second"))
    await trio.sleep(1.5)
    assert calls == ["first", "third"]


async def test_a_call_that_raises_is_logged_and_stops_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing leaves the task."""
    calls: list[int] = []

    def fail() -> None:
        raise LookupError("in a timer")

    _timers.call_later(1, fail)
    _timers.call_later(1, lambda: calls.append(1))
    with caplog.at_level(logging.ERROR, logger="wsock"):
        await trio.sleep(2)
    assert calls == [1]
    assert "in a timer" in caplog.text


async def test_cancelled_timers_do_not_pile_up() -> None:
    """A server that cancels a minute's time-out per message stays small."""
    _timers.call_later(120, int)
    for _ in range(10_000):
        _timers.call_later(60, int).cancel()
    assert len(_timers.current_table()) < 200


def test_timers_need_a_run() -> None:
    """Outside of Trio there is no clock."""
    with pytest.raises(RuntimeError):
        _timers.call_later(1, int)


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.none() | st.integers(0, 20), st.integers(0, 10)),
        max_size=150,
    )
)
def test_timers_against_a_naive_model(plan: list[tuple[int, int | None, int]]) -> None:
    """Each timer (deadline, cancelled when, made when) fires iff not cancelled before, in order."""
    fired: list[tuple[float, int]] = []

    async def main() -> None:
        start = trio.current_time()

        def recorder(number: int) -> Callable[[], None]:
            return lambda: fired.append((trio.current_time() - start, number))

        timers: dict[int, _timers.Timer] = {}
        for now in range(40):
            for number, (delay, cancelled, made) in enumerate(plan):
                if made == now:
                    timers[number] = _timers.call_at(start + now + delay + 0.5, recorder(number))
                if cancelled is not None and made + cancelled == now:
                    timers[number].cancel()
            await trio.sleep_until(start + now + 1)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    expected = [
        (made + delay + 0.5, number)
        for number, (delay, cancelled, made) in enumerate(plan)
        if cancelled is None or cancelled > delay
    ]
    # Of one deadline the one made first comes first.
    expected.sort(key=lambda entry: (entry[0], plan[entry[1]][2], entry[1]))
    assert fired == expected
