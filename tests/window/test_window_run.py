from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from fake_endpoints import Handler
from trio.testing import MockClock, wait_all_tasks_blocked

from wsock.constants import FD_READ, FD_WRITE, WM_QUIT, WM_TIMER, WM_USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_endpoints import FakeEndpoint

    from wsock._window import Message, Window


async def test_run_hands_out_everything_and_returns_the_code(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """In order, until WM_QUIT."""
    got: list[Any] = []
    window.post(WM_USER, 1)
    endpoint.report(FD_READ)
    window.post_quit(42)
    assert await window.run(lambda message: got.append(message.wparam)) == 42
    assert got == [1, endpoint.socket.handle]
    assert window.statistics().taken == 3


async def test_one_wake_up_serves_a_batch(window: Window, endpoint: FakeEndpoint) -> None:
    """No scheduler pass between the messages that waited; at most 256 in a row."""
    passes = 0
    sizes: dict[int, int] = {}

    async def count_passes() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    def procedure(message: Message) -> None:
        sizes[passes] = sizes.get(passes, 0) + 1
        if sum(sizes.values()) == 1000:
            window.post_quit()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_passes)
        for _ in range(1000):
            endpoint.report(FD_READ)
        await window.run(procedure)
        nursery.cancel_scope.cancel()
    # The counting task runs before or after ours in each pass, so two batches may look like one.
    assert len(sizes) >= 2
    assert max(sizes.values()) <= 2 * 256


async def test_messages_of_a_procedure_wait_for_the_next_batch(window: Window) -> None:
    """A procedure that always posts the next message lets others run."""
    turns = 0

    def procedure(message: Message) -> None:
        nonlocal turns
        turns += 1
        window.post(WM_USER)

    async with trio.open_nursery() as nursery:
        window.post(WM_USER)
        nursery.start_soon(window.run, procedure)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert 1 <= turns <= 12


async def test_an_exception_leaves_with_the_queue_intact(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """Only the message that failed is gone."""
    for number in range(5):
        window.post(WM_USER, number)

    def procedure(message: Message) -> None:
        if message.wparam == 2:
            raise LookupError("two")

    with pytest.raises(LookupError):
        await window.run(procedure)
    assert window.get_nowait().wparam == 3
    assert window.statistics().taken == 4
    window.post_quit(1)
    assert await window.run(procedure) == 1


async def test_on_error_gets_exception_and_message(window: Window) -> None:
    """And the loop goes on; what on_error itself raises leaves."""
    for number in range(5):
        window.post(WM_USER, number)
    seen: list[tuple[str, Any]] = []

    def procedure(message: Message) -> None:
        if message.wparam in {1, 3}:
            raise LookupError(message.wparam)

    def on_error(error: Exception, message: Message) -> None:
        seen.append((type(error).__name__, message.wparam))
        if message.wparam == 3:
            raise error

    with pytest.raises(LookupError):
        await window.run(procedure, on_error)
    assert seen == [("LookupError", 1), ("LookupError", 3)]
    assert window.get_nowait().wparam == 4


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
async def test_on_error_never_sees_what_ends_programs(
    window: Window, stop: type[BaseException]
) -> None:
    """KeyboardInterrupt and SystemExit leave."""
    window.post(WM_USER)

    def procedure(message: Message) -> None:
        raise stop

    with pytest.raises(stop):
        await window.run(procedure, lambda error, message: None)


async def test_an_async_procedure_is_refused(window: Window) -> None:
    """It would never run; the text says what to write instead, on_error or not."""
    window.post(WM_USER)
    window.post(WM_USER)

    async def procedure(message: Message) -> None: ...

    for on_error in (None, lambda error, message: None):
        with pytest.raises(TypeError, match="async for message in window"):
            await window.run(procedure, on_error)


async def test_other_results_are_ignored(window: Window) -> None:
    """As Windows ignores what a procedure returns for a posted message."""
    window.post(WM_USER)
    window.post_quit()
    await window.run(lambda message: 17)


async def test_without_a_procedure_handlers_are_served(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """The socket's handler gets it; messages without one are dropped."""
    handler = endpoint.socket.handler = Handler()
    endpoint.report(FD_READ)
    window.post(WM_USER + 7, "nobody's")
    window.post(WM_USER, endpoint.socket.handle, FD_WRITE)
    window.post_quit()
    assert await window.run() == 0
    assert [message.event for message in handler.got] == [FD_READ, FD_WRITE]
    endpoint.socket.handler = None
    endpoint.report(FD_READ)
    window.post_quit()
    await window.run()
    assert len(handler.got) == 2


async def test_without_a_procedure_on_error_hears_of_handlers(
    window: Window, endpoint: FakeEndpoint
) -> None:
    """Exception and message, as of a procedure; the next message is served."""

    class Failing(Handler):
        def dispatch(self, message: Message) -> None:
            super().dispatch(message)
            raise ValueError(len(self.got))

    handler = endpoint.socket.handler = Failing()
    endpoint.report(FD_READ)
    endpoint.report(FD_WRITE)
    window.post_quit()
    heard = []
    await window.run(on_error=lambda error, message: heard.append((str(error), message)))
    assert heard == [("1", handler.got[0]), ("2", handler.got[1])]


async def test_a_nested_pump_sees_the_true_queue(window: Window) -> None:
    """A procedure may take the next messages itself."""
    for number in range(6):
        window.post(WM_USER, number)
    window.post_quit()
    got: list[tuple[str, Any]] = []

    def procedure(message: Message) -> None:
        got.append(("outer", message.wparam))
        if message.wparam == 1:
            while window.peek(WM_USER, WM_USER + 1) is not None and len(got) < 4:
                got.append(("inner", window.get_nowait().wparam))

    await window.run(procedure)
    assert got == [("outer", 0), ("outer", 1), ("inner", 2), ("inner", 3), ("outer", 4),
                   ("outer", 5)]  # fmt: skip


async def test_another_task_may_not_read_while_run_does(window: Window) -> None:
    """Also between its batches."""

    async def busy(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with pytest.raises(trio.BusyResourceError):
            await window.get()
        task_status.started()
        window.post_quit()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run, print)
        await wait_all_tasks_blocked()
        await nursery.start(busy)

    def procedure(message: Message) -> None:
        if message.wparam == 0:  # runs at the checkpoint that the second batch begins with
            nursery.start_soon(busy)

    async with trio.open_nursery() as nursery:
        for number in range(700):  # three batches: one is still to come, whoever runs first
            window.post(1024, number)
        await window.run(procedure)


async def test_run_serves_timers(window: Window, autojump_clock: MockClock) -> None:
    """WM_TIMER as any other message; quit ends the loop."""
    window.set_timer("tick", 1)
    ticks: list[float] = []

    def procedure(message: Message) -> None:
        assert (message.message, message.wparam) == (WM_TIMER, "tick")
        ticks.append(trio.current_time())
        if len(ticks) == 3:
            window.post_quit()

    await window.run(procedure)
    assert ticks[2] - ticks[0] == pytest.approx(2)


async def test_a_wm_quit_posted_by_hand_comes_in_its_place(window: Window) -> None:
    """PostThreadMessage(WM_QUIT): in the row, unlike the mark of post_quit."""
    got: list[Any] = []
    for parameters in (("before", 0), (5, WM_QUIT), ("after", 0), (6, WM_QUIT), ("later", 0)):
        window.post(parameters[1] or WM_USER, parameters[0])
    assert await window.run(lambda message: got.append(message.wparam)) == 5
    assert got == ["before"]
    batches = [[message.wparam for message in batch] async for batch in window.batches()]
    assert batches == [["after"]]
    assert window.get_nowait().wparam == "later"


async def test_closing_in_a_procedure_ends_run(window: Window) -> None:
    """With ClosedResourceError; the rest of the batch is dropped."""
    got: list[int] = []

    def procedure(message: Message) -> None:
        got.append(1)
        window.close()

    window.post(WM_USER)
    window.post(WM_USER)
    with pytest.raises(trio.ClosedResourceError):
        await window.run(procedure)
    assert got == [1]


async def test_a_cancelled_run_loses_nothing(window: Window) -> None:
    """Cancelled between batches: what is queued stays."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run, print)
        await wait_all_tasks_blocked()
        window.post(WM_USER, 1)
        nursery.cancel_scope.cancel()
    if window.peek() is None:  # it was served before the cancellation
        window.post(WM_USER, 1)
    assert (await window.get()).wparam == 1


async def test_batches_take_from_the_live_queue(window: Window) -> None:
    """A body that breaks off leaves the rest; a nested get sees what is next."""
    for number in range(6):
        window.post(WM_USER, number)
    got: list[Any] = []
    async for batch in window.batches():
        for message in batch:
            got.append(message.wparam)
            if message.wparam == 1:
                break
            if message.wparam == 3:
                got.append((await window.get()).wparam)
                window.post_quit()
    assert got == [0, 1, 2, 3, 4, 5]


async def test_a_batch_is_what_waited(
    window: Window, another_endpoint: Callable[[], FakeEndpoint]
) -> None:
    """At most 256, and not what came meanwhile."""
    for _ in range(300):
        another_endpoint().report(FD_READ)
    window.post_quit()
    sizes: list[int] = []
    async for batch in window.batches():
        size = 0
        for _ in batch:
            size += 1
            if size == 1 and not sizes:
                another_endpoint().report(FD_READ)
        sizes.append(size)
    assert sizes == [256, 45]


async def test_batches_give_timers(window: Window, autojump_clock: MockClock) -> None:
    """Each as a batch of its own."""
    window.set_timer(1, 1)
    got: list[int] = []
    async for batch in window.batches():
        got.extend(message.message for message in batch)
        if len(got) == 2:
            window.post_quit()
    assert got == [WM_TIMER, WM_TIMER]
