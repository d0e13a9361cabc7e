from __future__ import annotations

import gc
import math
import threading
import weakref
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from wsock import _handles
from wsock._event import Event, wait_for_multiple_events, wait_for_multiple_events_nowait
from wsock.errors import WSA_INVALID_PARAMETER, WSA_WAIT_TIMEOUT, WSAEWOULDBLOCK

if TYPE_CHECKING:
    from collections.abc import Callable


class Endpoint:
    """An endpoint; ``turn`` is its stack's, and says what happens when somebody looks."""

    def __init__(self, turn: Callable[[], bool] = bool) -> None:
        self.turn = turn


def states(events: list[Event]) -> list[bool]:
    return [event.is_set() for event in events]


async def test_manual_reset_releases_everybody_until_reset() -> None:
    """Once set it stays set; each wait returns."""
    event = Event()
    done = []

    async def wait() -> None:
        await event.wait()
        done.append(1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert done == []
        event.set()
    assert len(done) == 3
    await event.wait()
    event.reset()
    assert not event.is_set()


async def test_auto_reset_releases_one_wait_for_each_set() -> None:
    """In the order in which the waits came."""
    event = Event(manual_reset=False)
    done = []

    async def wait(number: int) -> None:
        await event.wait()
        done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        for number in range(3):
            event.set()
            assert not event.is_set()  # taken in the same step
            await wait_all_tasks_blocked()
            assert done == list(range(number + 1))


async def test_setting_twice_is_setting_once() -> None:
    """An event is a flag, not a counter."""
    event = Event(manual_reset=False)
    event.set()
    event.set()
    await event.wait()
    assert not event.is_set()


@pytest.mark.parametrize("is_set", [True, False])
async def test_every_wait_is_a_checkpoint(is_set: bool) -> None:
    """Also one that finds its event set, and one that only looks."""
    event = Event()
    if is_set:
        event.set()
        with assert_checkpoints():
            await event.wait()
        with assert_checkpoints():
            await wait_for_multiple_events([event])
        with assert_checkpoints():
            await wait_for_multiple_events([event], wait_all=True)
    for wait_all in (False, True):
        with assert_checkpoints():
            try:
                await wait_for_multiple_events([event], wait_all, 0)
            except trio.TooSlowError:
                assert not is_set


async def test_any_takes_the_lowest_index_only() -> None:
    """The other events that are set stay set."""
    events = [Event(manual_reset=False) for _ in range(5)]
    for index in (3, 1, 4):
        events[index].set()
    assert await wait_for_multiple_events(events) == 1
    assert states(events) == [False, False, False, True, True]
    assert wait_for_multiple_events_nowait(events) == 3
    assert await wait_for_multiple_events(events, timeout=0) == 4
    with pytest.raises(WSAEWOULDBLOCK):
        wait_for_multiple_events_nowait(events)


async def test_any_wakes_for_the_event_that_is_set() -> None:
    """A wait that sleeps gets the index of what woke it."""
    events = [Event() for _ in range(70)]  # 64 is no limit
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await wait_for_multiple_events(events) == 66

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        events[66].set()
        events[2].set()  # too late


async def test_all_takes_nothing_until_all_are_set() -> None:
    """Then all in one step; another wait may take one meanwhile."""
    events = [Event(manual_reset=False) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_multiple_events, events, True)
        await wait_all_tasks_blocked()
        events[0].set()
        events[2].set()
        await wait_all_tasks_blocked()
        assert states(events) == [True, False, True]
        await events[2].wait()  # somebody else takes one
        events[1].set()
        await wait_all_tasks_blocked()
        assert states(events) == [True, True, False]
        events[2].set()
        assert states(events) == [False, False, False]


@pytest.mark.parametrize("wait_all", [False, True])
async def test_a_cancelled_wait_has_taken_nothing(wait_all: bool) -> None:
    """Cancelled before, or while it sleeps; a later set finds no trace of it."""
    events = [Event(manual_reset=False) for _ in range(2)]
    for event in events:
        event.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await wait_for_multiple_events(events, wait_all)
    assert scope.cancelled_caught
    assert states(events) == [True, True]

    events[0].reset()
    if not wait_all:
        events[1].reset()
    with trio.move_on_after(0.01) as scope:
        await wait_for_multiple_events(events, wait_all)
    assert scope.cancelled_caught
    events[0].set()
    events[1].set()
    assert states(events) == [True, True]


async def test_a_wait_that_was_served_is_not_cancelled_afterwards() -> None:
    """Set and cancelled in one step: the event was taken, so the wait returns."""
    event = Event(manual_reset=False)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def set_and_cancel() -> None:
                await wait_all_tasks_blocked()
                event.set()
                scope.cancel()

            nursery.start_soon(set_and_cancel)
            assert await wait_for_multiple_events([event]) == 0
            assert not event.is_set()


@pytest.mark.parametrize("wait_all", [False, True])
async def test_a_wait_may_be_too_slow(wait_all: bool, autojump_clock: MockClock) -> None:
    """After ``timeout`` seconds WSA_WAIT_TIMEOUT, which is Trio's TooSlowError."""
    events = [Event(manual_reset=False) for _ in range(2)]
    start = trio.current_time()
    with pytest.raises(trio.TooSlowError) as caught:
        await wait_for_multiple_events(events, wait_all, 5)
    assert trio.current_time() - start == pytest.approx(5)
    assert isinstance(caught.value, WSA_WAIT_TIMEOUT)
    assert caught.value.winerror == 258
    events[0].set()
    assert events[0].is_set()  # no trace of the wait


async def test_a_wait_in_time_leaves_no_timer(autojump_clock: MockClock) -> None:
    """The time-out of a wait that was served does nothing later."""
    event = Event(manual_reset=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_multiple_events, [event], False, 5)
        await trio.sleep(1)
        event.set()
    await trio.sleep(10)


async def test_the_same_event_twice() -> None:
    """Any: the lower index. All: it counts once."""
    event, other = Event(manual_reset=False), Event(manual_reset=False)
    async with trio.open_nursery() as nursery:

        async def any_of_them() -> None:
            assert await wait_for_multiple_events([other, event, event]) == 1
            await wait_for_multiple_events([event, event], wait_all=True)

        nursery.start_soon(any_of_them)
        await wait_all_tasks_blocked()
        event.set()
        await wait_all_tasks_blocked()
        event.set()
    assert not event.is_set()


async def test_no_events_is_an_error() -> None:
    """WSA_INVALID_PARAMETER, as from Winsock."""
    for wait_all in (False, True):
        for timeout in (0, 1, math.inf):
            with trio.fail_after(5), pytest.raises(WSA_INVALID_PARAMETER):
                await wait_for_multiple_events([], wait_all, timeout)


async def test_set_works_from_another_thread() -> None:
    """The waits are served on their loop's thread; also those that come at the same moment."""
    event = Event(manual_reset=False)
    rounds = 200
    turns = threading.Semaphore(0)

    def setter() -> None:
        for _ in range(rounds):
            turns.acquire()
            event.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, setter)
            for _ in range(rounds):
                turns.release()
                assert await wait_for_multiple_events([event, event]) == 0
    assert not event.is_set()


def test_set_without_any_run() -> None:
    """An event may be made, set and reset where no loop runs."""
    event = Event()
    event.set()
    assert event.is_set()
    trio.run(event.wait)
    event.set()
    event.reset()
    assert "not set" in repr(event)


def test_one_event_may_serve_two_loops() -> None:
    """Each wait is served on the loop it belongs to, whoever sets the event."""
    event = Event()
    waiting = threading.Barrier(3)

    async def wait() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(event.wait)
            await wait_all_tasks_blocked()
            waiting.wait(timeout=10)

    threads = [threading.Thread(target=trio.run, args=(wait,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    waiting.wait(timeout=10)
    event.set()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


async def test_a_report_sets_the_event() -> None:
    """What endpoints call; the event does not look at what happened."""
    event = Event()
    assert event.kind == "event"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(event.wait)
        await wait_all_tasks_blocked()
        event.report(Endpoint(), 1, 0)
    assert event.is_set()
    event.report(Endpoint(), 2, 0)
    assert event.is_set()


async def test_a_selected_endpoint_is_kept_alive_until_deselected() -> None:
    """As a handle would keep it; deselecting leaves the event as it is."""
    event, endpoint = Event(), Endpoint()
    reference = weakref.ref(endpoint)
    event.selected(endpoint)
    event.set()
    del endpoint
    gc.collect()
    kept = reference()
    assert kept is not None
    assert "1 sockets" in repr(event)
    event.deselected(kept)
    event.deselected(kept)
    del kept
    gc.collect()
    assert reference() is None
    assert event.is_set()


async def test_a_wait_looks_at_the_sockets_before_it_sleeps() -> None:
    """What is ready already needs no scheduler pass to be told of it."""
    event = Event(manual_reset=False)
    looks = []

    def arrive() -> bool:
        looks.append(1)
        event.report(endpoint, 1, 0)
        return True

    endpoint = Endpoint(arrive)
    event.selected(endpoint)
    event.selected(endpoint)
    with assert_checkpoints():
        assert await wait_for_multiple_events([event]) == 0
    assert len(looks) == 1
    event.set()
    await wait_for_multiple_events([event])
    assert len(looks) == 1


async def test_an_event_has_a_handle() -> None:
    """A number that leads back to it."""
    event = Event()
    assert _handles.object_of(event.handle) is event


async def test_a_wait_for_all_survives_events_that_come_and_go() -> None:
    """It moves from one event that is not set to the next, and starts again if it must."""
    events = [Event() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_multiple_events, events, True, math.inf)
        await wait_all_tasks_blocked()
        for index in (0, 1, 2):
            events[index].set()
        events[0].reset()
        events[3].set()
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        events[0].set()
    assert states(events) == [True] * 4


async def test_a_wait_for_all_keeps_its_place_in_the_line() -> None:
    """Who came first is served first, also if it waited for another event until now."""
    first, second = Event(), Event(manual_reset=False)
    served: list[str] = []

    async def wait(name: str, events: list[Event], wait_all: bool) -> None:
        await wait_for_multiple_events(events, wait_all)
        served.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "all", [first, second], True)
        await wait_all_tasks_blocked()
        nursery.start_soon(wait, "any", [second], False)
        await wait_all_tasks_blocked()
        first.set()
        second.set()
        await wait_all_tasks_blocked()
        assert served == ["all"]
        second.set()


async def test_a_look_at_all_takes_all_of_them_or_none() -> None:
    """Time-out 0, the events auto-reset."""
    events = [Event(manual_reset=False) for _ in range(3)]
    events[0].set()
    events[2].set()
    with pytest.raises(trio.TooSlowError):
        await wait_for_multiple_events(events, True, 0)
    assert states(events) == [True, False, True]
    events[1].set()
    await wait_for_multiple_events(events, True, 0)
    assert states(events) == [False] * 3


class SetMeanwhile(dict):  # type: ignore[type-arg]
    """The waits of an event that another thread sets in the moment when a wait is entered."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __setitem__(self, wait: object, nothing: None) -> None:
        self.event._set = True  # that thread finds no wait yet
        super().__setitem__(wait, nothing)


@pytest.mark.parametrize("wait_all", [False, True])
async def test_a_set_between_looking_and_sleeping_is_not_lost(wait_all: bool) -> None:
    """The wait looks once more after it is entered; nothing of it stays behind."""
    event = Event(manual_reset=False)
    event._waits = SetMeanwhile(event)
    with trio.fail_after(5), assert_checkpoints():
        await wait_for_multiple_events([event, event], wait_all)
    assert not event.is_set()
    assert event._waits == {}
