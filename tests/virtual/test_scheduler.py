"""Virtual time: order of ties, lazy timers, clocks of hosts that stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsock.virtual.scheduler import (
    RANK_DELIVERY,
    RANK_SCRIPT,
    RANK_TIMER,
    HostClock,
    Owner,
    Scheduler,
    nanoseconds,
    seconds,
)


def test_ties_run_by_rank_then_owner_name_then_owner_sequence() -> None:
    """D3: at one time deliveries come first, then timers, then scripts; owners go by name."""
    scheduler, order = Scheduler(), []
    a, b = Owner("a"), Owner("b")
    for owner, rank, text in [
        (b, RANK_SCRIPT, "script b"), (b, RANK_TIMER, "timer b 1"), (a, RANK_TIMER, "timer a"),
        (b, RANK_TIMER, "timer b 2"), (b, RANK_DELIVERY, "delivery b"),
    ]:  # fmt: skip
        scheduler.post(5, rank, owner, order.append, text)
    scheduler.run_due(5)
    assert order == ["delivery b", "timer a", "timer b 1", "timer b 2", "script b"]


def test_now_is_the_time_of_the_event_being_run() -> None:
    """An event sees its own time; afterwards time stands where the driver put it."""
    scheduler, seen = Scheduler(), []
    scheduler.call_at(7, RANK_TIMER, Owner("a"), lambda: seen.append(scheduler.now))
    assert scheduler.run_due(10) == 1
    assert seen == [7]
    assert scheduler.now == 10


def test_timer_moved_later_keeps_its_one_heap_entry() -> None:
    """Moving a deadline later only stores it; the entry re-arms itself."""
    scheduler, fired = Scheduler(), []
    timer = scheduler.timer(Owner("a"), lambda: fired.append(scheduler.now))
    for deadline in range(10, 1000):
        timer.set(deadline)
    assert len(scheduler) == 1
    assert scheduler.next_time() == 999
    scheduler.run_due(2000)
    assert fired == [999]


def test_timer_moved_earlier_fires_once_and_early() -> None:
    """The later entry that was overtaken does nothing."""
    scheduler, fired = Scheduler(), []
    timer = scheduler.timer(Owner("a"), lambda: fired.append(scheduler.now))
    timer.set(100)
    timer.set(50)
    scheduler.run_due(200)
    assert fired == [50]


def test_stopped_timer_is_no_event() -> None:
    """``next_time`` is exact: what was stopped does not count."""
    scheduler = Scheduler()
    timer = scheduler.call_at(100, RANK_TIMER, Owner("a"), lambda: None)
    timer.stop()
    assert not timer.running
    assert scheduler.next_time() is None
    assert not scheduler.step()


def test_a_deadline_that_has_passed_means_now() -> None:
    """Time never runs backwards."""
    scheduler, fired = Scheduler(), []
    scheduler.run_due(100)
    scheduler.call_at(10, RANK_TIMER, Owner("a"), lambda: fired.append(scheduler.now))
    scheduler.step()
    assert fired == [100]


def test_two_owners_of_one_name_never_compare_functions() -> None:
    """An owner made again after it went has its old sequence numbers: the heap still orders it."""
    scheduler, order = Scheduler(), []
    scheduler.post(5, RANK_TIMER, Owner("same"), order.append, 1)
    scheduler.post(5, RANK_TIMER, Owner("same"), order.append, 2)
    scheduler.run_due(5)
    assert order == [1, 2]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["set", "stop", "run"]), st.integers(0, 50)),
        max_size=60,
    )
)
def test_timers_fire_as_a_naive_model_says(actions: list[tuple[int, str, int]]) -> None:
    """Whatever is set, moved and stopped: each timer fires exactly at its last deadline."""
    scheduler = Scheduler()
    fired: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []
    timers = [
        scheduler.timer(Owner(str(i)), lambda i=i: fired.append((scheduler.now, i)))  # type: ignore[misc]
        for i in range(4)
    ]
    model: dict[int, int] = {}
    for index, action, value in actions:
        if action == "set":
            timers[index].set(scheduler.now + value)
            model[index] = scheduler.now + value
        elif action == "stop":
            timers[index].stop()
            model.pop(index, None)
        else:
            until = scheduler.now + value
            due = sorted((when, i) for i, when in model.items() if when <= until)
            expected += due
            for _, i in due:
                del model[i]
            scheduler.run_due(until)
        assert fired == expected
        assert scheduler.next_time() == min(model.values(), default=None)


def test_paused_clock_makes_up_for_late_timers_and_a_switched_off_one_does_not() -> None:
    """A paused host's timers run on resume; after a power cut none ever does."""
    base = Scheduler()
    clock, fired = HostClock(base), []
    clock.call_at(10, RANK_TIMER, Owner("a"), lambda: fired.append(clock.now))
    late = clock.call_at(11, RANK_TIMER, Owner("b"), lambda: fired.append("stopped"))
    clock.pause()
    base.run_due(20)
    assert fired == []
    late.stop()
    clock.resume()
    assert fired == [20]
    clock.call_at(30, RANK_TIMER, Owner("a"), lambda: fired.append(clock.now))
    clock.switch_off()
    base.run_due(40)
    assert fired == [20]


def test_seconds_and_nanoseconds_are_inverse() -> None:
    """People write seconds, the scheduler counts nanoseconds."""
    assert nanoseconds(1.5) == 1_500_000_000
    assert seconds(nanoseconds(0.000_012)) == 0.000_012


def test_a_timer_set_again_while_its_host_is_paused_keeps_the_later_deadline() -> None:
    """What came due during the pause and was moved on meanwhile fires at its new time."""
    base = Scheduler()
    clock, fired = HostClock(base), []
    timer = clock.call_at(10, RANK_TIMER, Owner("a"), lambda: fired.append(clock.now))
    clock.pause()
    base.run_due(20)
    timer.set(50)
    clock.resume()
    assert fired == []
    base.run_due(100)
    assert fired == [50]


def test_reprs_tell_the_state() -> None:
    """Times in seconds, stopped or running."""
    scheduler = Scheduler()
    timer = scheduler.call_at(1_500_000_000, RANK_TIMER, Owner("a"), lambda: None)
    assert repr(timer) == "<Timer of a at 1.500000000 s>"
    timer.stop()
    assert repr(timer) == "<Timer of a stopped>"
    assert repr(scheduler) == "<Scheduler at 0.000000000 s, 1 entries>"
