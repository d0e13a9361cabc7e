from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from wsock._message_queue import EVERY_WINDOW, MessageQueue
from wsock._window import Window
from wsock.constants import WM_QUIT, WM_TIMER, WM_USER
from wsock.errors import WSAENOBUFS

LIMIT = 4
WHICH = st.sampled_from([0, 1, None])  # two windows on one queue, and the queue itself
RANGES = st.sampled_from(
    [(0, 0), (WM_USER, WM_USER + 1), (WM_USER + 2, WM_USER + 9), (WM_TIMER, WM_TIMER), (1, 2)]
)
FILTERS = st.tuples(st.sampled_from([0, 1, None, "every"]), RANGES)

operations = st.one_of(
    st.tuples(st.just("post"), WHICH, st.integers(0, 3)),
    st.tuples(st.just("report"), st.integers(0, 1), st.integers(0, 3)),
    st.tuples(st.just("quit"), st.integers(0, 9)),
    st.tuples(st.just("take"), FILTERS),
    st.tuples(st.just("peek"), FILTERS),
    st.tuples(st.just("set timer"), WHICH, st.integers(1, 2), st.integers(1, 5)),
    st.tuples(st.just("kill timer"), WHICH, st.integers(1, 2)),
    st.tuples(st.just("sleep"), st.integers(1, 12)),
    st.tuples(st.just("end"), st.integers(0, 1)),
)

Found = tuple[Any, int, Any]  # window, number, parameter


@dataclass
class Posted:
    window: Any
    number: int
    parameter: int
    by_program: bool


@dataclass
class Timer:
    window: Any
    identifier: int
    period: float
    due: float
    order: int


class Model:
    """The rules, by looking at everything every time."""

    def __init__(self) -> None:
        self.messages: list[Posted] = []
        self.quit: int | None = None
        self.timers: list[Timer] = []
        self.order = 0
        self.refused = 0

    def post(self, window: Any, number: int, parameter: int, *, by_program: bool) -> bool:
        if by_program and sum(message.by_program for message in self.messages) == LIMIT:
            self.refused += 1
            return False
        self.messages.append(Posted(window, number, parameter, by_program))
        return True

    def set_timer(self, window: Any, identifier: int, seconds: float, now: float) -> None:
        self.kill_timer(window, identifier)
        self.order += 1
        period = max(seconds, 0.010)
        self.timers.append(Timer(window, identifier, period, now + period, self.order))

    def kill_timer(self, window: Any, identifier: int) -> bool:
        before = len(self.timers)
        self.timers = [
            timer
            for timer in self.timers
            if (timer.window, timer.identifier) != (window, identifier)
        ]
        return len(self.timers) < before

    def look(self, filters: Any, now: float, *, remove: bool) -> Found | None:
        window, (minimum, maximum) = filters

        def passes(whose: Any, number: int) -> bool:
            in_range = minimum <= number <= maximum or (minimum, maximum) == (0, 0)
            return in_range and window in ("every", whose)

        for message in self.messages:
            if passes(message.window, message.number):
                if remove:
                    self.messages = [other for other in self.messages if other is not message]
                return message.window, message.number, message.parameter
        if self.quit is not None:
            code = self.quit
            if remove:
                self.quit = None
            return None, WM_QUIT, code
        elapsed = [
            timer for timer in self.timers if timer.due <= now and passes(timer.window, WM_TIMER)
        ]
        if not elapsed:
            return None
        first = min(elapsed, key=lambda timer: (timer.due, timer.order))
        if remove:
            self.order += 1
            first.order = self.order
            while first.due <= now:
                first.due += first.period
        return first.window, WM_TIMER, first.identifier

    def end(self, window: Any) -> None:
        self.messages = [message for message in self.messages if message.window != window]
        self.timers = [timer for timer in self.timers if timer.window != window]


class FakeEndpoint:
    """Reports with a number of its own; its socket is the parameter."""

    def __init__(self, parameter: int) -> None:
        self.message = WM_USER + 3
        self.owner = parameter
        self.notice: object = None


class Run:
    """Plays a plan on queue and model, and compares what both say."""

    def __init__(self, clock: MockClock) -> None:
        self.clock = clock
        self.queue = MessageQueue(LIMIT)
        self.windows: dict[int, Window] = {}
        self.ended: set[int] = set()
        self.model = Model()
        for index in (0, 1):
            self.windows[index] = Window(queue=self.queue)

    def name(self, window: Window | None) -> int | None:
        for index, known in self.windows.items():
            if window is known:
                return index
        return None

    async def play(self, plan: list[tuple[Any, ...]]) -> None:
        for kind, *arguments in plan:
            step = getattr(self, kind.replace(" ", "_"))
            if step(*arguments) == "sleep":
                await trio.lowlevel.checkpoint()
            figures = self.queue.statistics()
            assert figures.queued == len(self.model.messages)
            assert figures.posted == sum(message.by_program for message in self.model.messages)
            assert figures.refused == self.model.refused
            assert figures.timers == len(self.model.timers)

    def post(self, which: int | None, number: int) -> None:
        if which in self.ended:
            return
        window = None if which is None else self.windows[which]
        accepted = self.model.post(which, WM_USER + number, number, by_program=True)
        try:
            self.queue.post(window, WM_USER + number, number)
        except WSAENOBUFS:
            assert not accepted
        else:
            assert accepted

    def report(self, which: int, parameter: int) -> None:
        if which not in self.ended:
            self.model.post(which, WM_USER + 3, parameter, by_program=False)
            self.windows[which].report(FakeEndpoint(parameter), 1, 0)  # type: ignore[arg-type]

    def quit(self, code: int) -> None:
        self.model.quit = code
        self.queue.post_quit(code)

    def take(self, filters: Any) -> None:
        self.look(filters, remove=True)

    def peek(self, filters: Any) -> None:
        self.look(filters, remove=False)

    def look(self, filters: Any, *, remove: bool) -> None:
        which, (minimum, maximum) = filters
        window: Any = {"every": EVERY_WINDOW, None: None, **self.windows}[which]
        look = self.queue.take if remove else self.queue.peek
        message = look(window, minimum, maximum)
        expected = self.model.look(filters, trio.current_time(), remove=remove)
        if message is None or expected is None:
            assert message is expected
            return
        parameter = message.socket if message.socket is not None else message.wparam
        assert (self.name(message.window), message.message, parameter) == expected

    def set_timer(self, which: int | None, identifier: int, seconds: int) -> None:
        if which in self.ended:
            return
        window = None if which is None else self.windows[which]
        self.model.set_timer(which, identifier, seconds / 4, trio.current_time())
        self.queue.set_timer(window, identifier, seconds / 4)

    def kill_timer(self, which: int | None, identifier: int) -> None:
        window = None if which is None else self.windows[which]
        killed = self.queue.kill_timer(window, identifier)
        assert killed == self.model.kill_timer(which, identifier)

    def sleep(self, quarters: int) -> str:
        self.clock.jump(quarters / 4)
        return "sleep"

    def end(self, which: int) -> None:
        self.ended.add(which)
        self.model.end(which)
        self.windows[which].close()


@settings(max_examples=300, deadline=None)
@given(st.lists(operations, max_size=40))
def test_the_queue_against_a_naive_model(plan: list[tuple[Any, ...]]) -> None:
    """Order, filters, WM_QUIT, timers, the limit, windows that end: the same answers."""
    clock = MockClock()
    trio.run(partial(Run(clock).play, plan), clock=clock)
