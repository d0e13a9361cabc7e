from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from wsock._event import Event, wait_for_multiple_events

COUNT = 4
MANUAL = [True, False, False, True]

indexes = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5)
operations = st.one_of(
    st.tuples(st.just("set"), st.integers(0, COUNT - 1)),
    st.tuples(st.just("reset"), st.integers(0, COUNT - 1)),
    st.tuples(st.just("any"), indexes),
    st.tuples(st.just("all"), indexes),
    st.tuples(st.just("cancel"), st.integers(0, 10)),
)


@dataclass
class Wait:
    indexes: list[int]
    all: bool
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    result: object = "waiting"


class Model:
    """Flags, and waits in the order of their coming; everything by looking at everything."""

    def __init__(self) -> None:
        self.flags = [False] * COUNT
        self.waits: list[Wait] = []
        self.ended: list[tuple[Wait, object]] = []

    def take(self, index: int) -> None:
        if not MANUAL[index]:
            self.flags[index] = False

    def satisfy(self, wait: Wait) -> bool:
        if wait.all:
            if not all(self.flags[index] for index in wait.indexes):
                return False
            for index in wait.indexes:
                self.take(index)
            self.ended.append((wait, None))
            return True
        for position, index in enumerate(wait.indexes):
            if self.flags[index]:
                self.take(index)
                self.ended.append((wait, position))
                return True
        return False

    def step(self) -> None:
        self.waits = [wait for wait in self.waits if not self.satisfy(wait)]


async def start(nursery: trio.Nursery, events: list[Event], wait: Wait) -> None:
    async def body() -> None:
        with wait.scope:
            chosen = [events[index] for index in wait.indexes]
            wait.result = await wait_for_multiple_events(chosen, wait.all)

    nursery.start_soon(body)
    await wait_all_tasks_blocked()


async def play(plan: list[tuple[str, object]]) -> None:
    events = [Event(manual) for manual in MANUAL]
    model = Model()
    waits: list[Wait] = []
    async with trio.open_nursery() as nursery:
        for kind, argument in plan:
            if isinstance(argument, list):
                wait = Wait(argument, kind == "all")
                waits.append(wait)
                model.waits.append(wait)
                await start(nursery, events, wait)
            elif isinstance(argument, int) and kind == "cancel":
                for wait in waits[argument : argument + 1]:
                    wait.scope.cancel()
                    model.waits = [other for other in model.waits if other is not wait]
            elif isinstance(argument, int):
                getattr(events[argument], kind)()
                model.flags[argument] = kind == "set"
            model.step()
            await wait_all_tasks_blocked()
            assert [event.is_set() for event in events] == model.flags
            for wait, result in model.ended:
                assert wait.result == result
            assert sum(wait.result == "waiting" for wait in waits) >= len(model.waits)
            for wait in model.waits:
                assert wait.result == "waiting"
        nursery.cancel_scope.cancel()


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=30))
def test_waits_against_a_naive_model(plan: list[tuple[str, object]]) -> None:
    """Sets, resets, waits for any and all, cancels: the same results and the same flags."""
    trio.run(partial(play, plan))
