from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from wsock import _message_queue
from wsock._message_queue import MessageQueue
from wsock._window import Message, Window
from wsock.constants import FD_READ, WM_QUIT, WM_TIMER, WM_USER
from wsock.errors import WSAENOBUFS, WSAEWOULDBLOCK

if TYPE_CHECKING:
    from fake_endpoints import FakeEndpoint


def drain(window: Window) -> list[Any]:
    """The wparams of everything in the queue, taken out."""
    found = []
    while window.peek() is not None:
        found.append(window.get_nowait().wparam)
    return found


async def test_messages_come_in_the_order_of_posting(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """Those of programs and of sockets in one row."""
    window.post(WM_USER, "a")
    endpoint.report(FD_READ)
    window.post(WM_USER, "b")
    assert drain(window) == ["a", endpoint.socket.handle, "b"]


async def test_a_filter_takes_only_what_passes(window: Window) -> None:
    """Both ends included; what does not pass stays in place."""
    for number in (1, 5, 3, 9, 5):
        window.post(WM_USER + number, number)
    assert window.get_nowait(WM_USER + 4, WM_USER + 5).wparam == 5
    found = window.peek(WM_USER + 9, WM_USER + 9)
    assert found is not None
    assert found.wparam == 9
    with pytest.raises(WSAEWOULDBLOCK):
        window.get_nowait(WM_USER + 6, WM_USER + 8)
    assert window.peek(WM_USER + 6, WM_USER + 8) is None
    assert drain(window) == [1, 3, 9, 5]


async def test_a_waiting_get_ignores_what_does_not_pass(window: Window) -> None:
    """It is woken, looks, and sleeps again."""
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            assert (await window.get(WM_USER + 2, WM_USER + 2)).wparam == "wanted"

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        window.post(WM_USER, "other")
        await wait_all_tasks_blocked()
        window.post(WM_USER + 2, "wanted")
    assert drain(window) == ["other"]


async def test_quit_comes_after_everything_posted(window: Window) -> None:
    """Also after what is posted later; then once, with the code."""
    window.post(WM_USER, 1)
    window.post_quit(7)
    window.post(WM_USER, 2)
    assert drain(window) == [1, 2, 7]
    assert window.peek() is None


async def test_a_filtered_wait_sleeps_beside_messages_that_do_not_pass(
    window: Window, autojump_clock: MockClock
) -> None:
    """Also beside an elapsed timer; looking again and again would never let idleness come."""
    window.post(WM_USER + 1)
    window.set_timer(1, 0.01)
    await trio.sleep(0.02)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.get, WM_USER + 5, WM_USER + 5)
        with trio.fail_after(2):
            await wait_all_tasks_blocked()
        window.post(WM_USER + 5)
    assert window.get_nowait().message == WM_USER + 1


async def test_quit_passes_every_filter(window: Window) -> None:
    """It is given out when nothing that passes is left, although other messages wait."""
    window.post(WM_USER, "waits")
    window.post_quit(3)
    message = window.get_nowait(WM_USER + 1, WM_USER + 1)
    assert (message.message, message.wparam, message.window) == (WM_QUIT, 3, None)
    assert drain(window) == ["waits"]


async def test_peek_leaves_the_quit_mark(window: Window) -> None:
    """Looking takes nothing."""
    window.post_quit()
    for _ in range(2):
        found = window.peek()
        assert found is not None
        assert found.message == WM_QUIT
    assert window.get_nowait().message == WM_QUIT
    assert window.peek() is None


async def test_a_posted_message_limit(endpoint: FakeEndpoint) -> None:
    """max_messages bounds programs, not sockets; room comes back as messages are taken."""
    async with Window(max_messages=3) as window:
        endpoint.select(window, WM_USER, 1, endpoint.socket)
        for number in range(3):
            window.post(WM_USER, number)
        for _ in range(5):
            endpoint.report(FD_READ)
            with pytest.raises(WSAENOBUFS, match="3 posted messages"):
                window.post(WM_USER, "too many")
        assert (window.statistics().refused, window.statistics().queued) == (5, 8)
        for _ in range(3):
            assert window.get_nowait().wparam != "too many"
            window.post(WM_USER, "again")
            with pytest.raises(WSAENOBUFS):
                window.post(WM_USER, "too many")
        assert window.statistics().posted == 3


async def test_a_waiting_get_is_woken_from_another_thread(window: Window) -> None:
    """post and post_quit work from anywhere; nothing is lost between looking and sleeping."""
    rounds = 300
    turns = threading.Semaphore(0)

    def poster() -> None:
        for number in range(rounds):
            turns.acquire()
            window.post(WM_USER, number)
        window.post_quit(5)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, poster)
            for number in range(rounds):
                turns.release()
                assert (await window.get()).wparam == number
            assert (await window.get()).message == WM_QUIT


async def test_many_threads_cannot_pass_the_limit() -> None:
    """Exactly max_messages posts succeed, however many threads try."""
    async with Window(max_messages=50) as window:
        refused = []

        def poster() -> None:
            for _ in range(40):
                try:
                    window.post(WM_USER)
                except WSAENOBUFS:
                    refused.append(1)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.to_thread.run_sync, poster)
        assert window.statistics().queued <= 50
        assert len(refused) == 200 - window.statistics().queued


async def test_a_signal_handler_may_post(window: Window) -> None:
    """No lock is held that the interrupted code could hold already."""
    window.post(WM_USER, 1)
    old = signal.signal(signal.SIGUSR1, lambda *_: window.post_quit(9))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert drain(window) == [1, 9]


async def test_get_is_a_checkpoint_and_cancelled_takes_nothing(window: Window) -> None:
    """With a message and without."""
    window.post(WM_USER, 1)
    with assert_checkpoints():
        await window.get()
    window.post(WM_USER, 2)
    with trio.CancelScope() as scope:
        scope.cancel()
        await window.get()
    assert scope.cancelled_caught
    assert drain(window) == [2]
    with trio.move_on_after(0.01) as scope:
        await window.get()
    assert scope.cancelled_caught
    window.post(WM_USER, 3)
    assert (await window.get()).wparam == 3


async def test_a_second_reader_is_busy(window: Window) -> None:
    """One task reads; the others are told at once."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.get)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await window.get()
        with pytest.raises(trio.BusyResourceError):
            await window.run(print)
        with pytest.raises(trio.BusyResourceError):
            async for _ in window.batches():
                pass
        assert window.statistics().reader_waiting
        nursery.cancel_scope.cancel()


async def test_iteration_ends_at_quit(window: Window) -> None:
    """async for gives every message before it."""
    for number in range(3):
        window.post(WM_USER, number)
    window.post_quit()
    assert [message.wparam async for message in window] == [0, 1, 2]


async def test_leaving_ends_the_waits() -> None:
    """A get that waits, and every one after it, raises ClosedResourceError."""
    window = Window()
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await window.get()

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        async with window:
            pass
    window.close()
    with pytest.raises(trio.ClosedResourceError):
        await window.get()
    for call in (window.get_nowait, window.peek, lambda: window.set_timer(1, 1)):
        with pytest.raises(trio.ClosedResourceError):
            call()
    with pytest.raises(trio.ClosedResourceError):
        window.post(WM_USER)
    with pytest.raises(trio.ClosedResourceError):
        await window.run(print)
    assert "closed" in repr(window)


async def test_leaving_deselects_the_sockets(endpoint: FakeEndpoint) -> None:
    """They work on, without notifications; messages not taken are gone."""
    async with Window() as window:
        endpoint.select(window, WM_USER, 1, endpoint.socket)
        endpoint.report(FD_READ)
        assert window.statistics().selected == 1
    assert endpoint.target is None
    assert window.statistics().queued == window.statistics().selected == 0
    with pytest.raises(trio.ClosedResourceError):
        endpoint.select(window, WM_USER, 1, endpoint.socket)
    await window.aclose()


async def test_windows_may_share_a_queue() -> None:
    """Order holds across them; ending one drops its messages and timers alone."""
    queue = MessageQueue()
    one, two = Window(queue=queue), Window(queue=queue)
    for window, wparam in ((one, 1), (two, 2), (one, 3), (two, 4)):
        window.post(WM_USER, wparam)
    queue.post(None, WM_USER, 5)
    one.set_timer(1, 1)
    assert queue.take(two) is not None
    thread_message = queue.take(None)
    assert thread_message is not None
    assert thread_message.wparam == 5
    found = queue.peek()
    assert found is not None
    assert found.window is one
    await one.aclose()
    assert drain(two) == [4]
    assert queue.statistics().timers == queue.statistics().posted == 0
    two.close()
    queue.post(None, WM_USER)
    queue.close()
    with pytest.raises(trio.ClosedResourceError):
        queue.post(None, WM_USER)


async def test_timers_come_last_and_once(window: Window, autojump_clock: MockClock) -> None:
    """However often it elapsed, one WM_TIMER waits; posted messages and WM_QUIT go first."""
    window.set_timer("tick", 1)
    await trio.sleep(5.5)
    window.post(WM_USER, "posted")
    window.post_quit("quit")  # type: ignore[arg-type]
    assert drain(window) == ["posted", "quit", "tick"]
    await trio.sleep(0.4)
    assert window.peek() is None
    await trio.sleep(0.1)
    assert window.get_nowait().message == WM_TIMER  # at 6.0: the phase is kept


async def test_a_waiting_reader_wakes_for_a_timer(
    window: Window, autojump_clock: MockClock
) -> None:
    """Also for one that is set while it waits."""
    start = trio.current_time()
    times: list[tuple[Any, float]] = []
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            times.extend(
                [(message.wparam, trio.current_time() - start) async for message in window]
            )

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        window.set_timer(1, 2)
        await trio.sleep(1)
        window.set_timer(2, 0.5)
        await trio.sleep(1.25)
        assert window.kill_timer(2)
        await trio.sleep(2)
        window.post_quit()
    assert times == [(2, 1.5), (1, 2), (2, 2), (1, 4)]


async def test_a_timer_with_the_same_id_is_replaced(
    window: Window, autojump_clock: MockClock
) -> None:
    """And starts anew."""
    window.set_timer(1, 1)
    await trio.sleep(0.9)
    window.set_timer(1, 10)
    await trio.sleep(9)
    assert window.peek() is None
    await trio.sleep(1)
    assert drain(window) == [1]
    assert window.statistics().timers == 1


async def test_killing_a_timer(window: Window, autojump_clock: MockClock) -> None:
    """Takes a waiting WM_TIMER with it; an unknown one is False."""
    window.set_timer(1, 1)
    await trio.sleep(2)
    assert window.kill_timer(1)
    assert window.peek() is None
    assert not window.kill_timer(1)


async def test_short_timers_count_as_ten_milliseconds(
    window: Window, autojump_clock: MockClock
) -> None:
    """Also 0 and less: a timer can never starve the loop."""
    window.set_timer(1, 0)
    assert window.peek() is None
    await trio.sleep(0.009)
    assert window.peek() is None
    await trio.sleep(0.002)
    assert drain(window) == [1]


async def test_timers_pass_filters_like_messages(window: Window, autojump_clock: MockClock) -> None:
    """By number; the earliest of those that pass."""
    window.set_timer(1, 1)
    await trio.sleep(1)
    assert window.peek(WM_USER, WM_USER + 10) is None
    assert window.get_nowait(WM_TIMER, WM_TIMER).wparam == 1


async def test_replaced_timers_do_not_pile_up(window: Window) -> None:
    """A program that sets its time-out anew for each message stays small."""
    for _ in range(5000):
        window.set_timer(1, 60)
    assert len(window.queue._timers._heap) < 200


async def test_statistics_count(window: Window, endpoint: FakeEndpoint) -> None:
    """What waits, of whom, and what was taken."""
    for _ in range(3):
        window.post(WM_USER)
        endpoint.report(FD_READ)
    window.get_nowait()
    figures = window.statistics()
    assert (figures.queued, figures.posted, figures.taken) == (5, 2, 1)
    assert (figures.selected, figures.max_messages, figures.reader_waiting) == (1, 10_000, False)


def test_a_limit_below_one_makes_no_sense() -> None:
    """Nothing could ever be posted."""
    with pytest.raises(ValueError, match="max_messages"):
        Window(max_messages=0)


def test_posting_before_and_after_a_run() -> None:
    """A window may be made and filled before Trio runs; afterwards nobody reads."""
    window = Window()
    window.post(WM_USER, 1)
    window.post_quit(4)
    got: list[Message] = []
    assert trio.run(window.run, got.append) == 4
    assert [message.wparam for message in got] == [1]
    window.post(WM_USER, 2)


async def test_a_post_between_looking_and_sleeping_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread posts just before the reader has said that it sleeps, so it finds no sleeper."""
    queue = MessageQueue()

    def current_task_while_another_posts() -> trio.lowlevel.Task:
        queue.post(None, WM_USER, "late")
        return trio.lowlevel.current_task()

    monkeypatch.setattr(_message_queue, "current_task", current_task_while_another_posts)
    with trio.fail_after(5), assert_checkpoints():
        assert (await queue.get()).wparam == "late"
    assert not queue.statistics().reader_waiting


def test_a_post_after_the_run_finds_nobody() -> None:
    """The reader went away with its run; what is posted waits."""
    window = Window()

    async def leave_a_sleeper() -> None:
        trio.lowlevel.spawn_system_task(window.get)
        await wait_all_tasks_blocked()

    trio.run(leave_a_sleeper)
    thread = threading.Thread(target=window.post, args=(WM_USER, 1))
    thread.start()
    thread.join()
    assert window.statistics().queued == 1


async def test_reading_belongs_to_the_loop_s_thread(window: Window) -> None:
    """Others may post; whoever tries to read or close is told so."""
    window.post(WM_USER)
    await window.get()
    with trio.move_on_after(0.01):
        await window.get()  # waits, and so belongs to this run
    window.post(WM_USER)
    for call in (window.get_nowait, window.peek, window.close, lambda: window.set_timer(1, 1)):
        with pytest.raises(RuntimeError):
            await trio.to_thread.run_sync(call)
    assert window.statistics().queued == 1
