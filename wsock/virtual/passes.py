# Passes of Trio's scheduler: when an instant is over, and when a program polls.
#
#   pump                  moves the network when all tasks are blocked, or when this says so
# > passes                THIS FILE: who runs, and whether all of them only ask again
#   network               counts how often it was answered "not now"
#
# A program that polls passes through the scheduler again and again, so idleness never comes.
# A pass is one turn of Trio's scheduler. What decides is what every task that runs is doing: one
# that was told "not now", again and again, waits for the network, whatever it looks like; one that
# runs and never asks is at work, and virtual time waits for it. So a worker that passes checkpoints
# beside a polling task never sees a deadline of its own fire early.
#
# Rule 1: only public hooks (trio.abc.Instrument), and those that are called for every step of
#         every task are in place only while a program is suspected of polling.
# Rule 2: a wrong "no" costs a few passes, a wrong "yes" moves time under a task that works. So
#         whatever is not understood is "no".

"""Finding out whether the tasks that run do nothing but ask again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.network_base import NetworkBase

__all__ = ["Passes", "only_pollers", "woken_by_any_task"]

#: Answers of "not now" to one task after which it is taken to be polling.
ANSWERS: Final = 3
#: Steps that a polling task may take from one question to the next: other sockets, locks, sleep(0).
STEPS_BETWEEN: Final = 32


class Passes(trio.abc.Instrument):
    """Watches the passes of Trio's scheduler for a pump that waits for idleness.

    Trio tells everyone who waits for idleness at once. A test that calls
    ``wait_all_tasks_blocked`` expects that what was sent on a fast network has arrived by then, as
    it has on a machine's loopback. So ``instant_over`` is called earlier: when every task is
    blocked, and before anybody is told. What it wakes runs first.

    Args:
      network: counts the answers "not now".
      instant_over: moves the network inside this instant.
      alarm: called between two passes when programs were told "not now" in three passes since the
        last idleness.
    """

    def __init__(
        self,
        network: NetworkBase,
        instant_over: Callable[[], object],
        alarm: Callable[[], object],
    ) -> None:
        self._network = network
        self._instant_over = instant_over
        self._alarm = alarm
        self._seen = network.polls
        self._passes = 0
        #: how many tasks were woken in this pass.
        self.woken = 0

    def idle(self) -> None:
        """All tasks were blocked: count from here."""
        self._passes = 0

    def before_io_wait(self, timeout: float) -> None:
        """A pass is over: was it the last of this instant?"""
        if timeout or not self._network.is_dirty_or_due:
            return
        statistics = trio.lowlevel.current_statistics()
        if not statistics.tasks_runnable and statistics.seconds_to_next_deadline > 0:
            self._instant_over()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Somebody goes on."""
        del task
        self.woken += 1

    def after_io_wait(self, timeout: float) -> None:
        """A pass begins: did the one before ask in vain?"""
        del timeout
        self.woken = 0
        if self._network.polls != self._seen:
            self._seen = self._network.polls
            self._passes += 1
            if self._passes >= ANSWERS:
                self._passes = 0
                self._alarm()


class _Steps(trio.abc.Instrument):
    """What each task that runs is told, pass by pass."""

    def __init__(self, network: NetworkBase, pump: trio.lowlevel.Task) -> None:
        self._network = network
        self._pump = pump
        self._before = 0
        self._answers: dict[trio.lowlevel.Task, int] = {}
        self._since: dict[trio.lowlevel.Task, int] = {}
        self.ran = False
        self.at_work = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Remember how many answers there were."""
        del task
        self._before = self._network.polls

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Was this task told "not now"?"""
        if task is self._pump:
            return
        self.ran = True
        if self._network.polls != self._before:
            self._answers[task] = self._answers.get(task, 0) + 1
            self._since[task] = 0
        else:
            self._answers.setdefault(task, 0)
            self._since[task] = self._since.get(task, 0) + 1
            self.at_work |= self._since[task] > STEPS_BETWEEN

    def all_poll(self) -> bool:
        return all(answers >= ANSWERS for answers in self._answers.values())


async def only_pollers(network: NetworkBase) -> bool:
    """Look for some passes whether every task that runs is told "not now", three times at least.

    Whether it is so; False as soon as a pass has nothing to run, or a task is at work.
    """
    steps = _Steps(network, trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(steps)
    try:
        for _ in range(ANSWERS * (STEPS_BETWEEN + 1)):
            steps.ran = False
            await trio.lowlevel.checkpoint()
            if steps.at_work or not steps.ran:
                return False
            if steps.all_poll():
                return True
        return False
    finally:
        trio.lowlevel.remove_instrument(steps)


class _AnyTask(trio.abc.Instrument):
    def __init__(self, event: trio.Event) -> None:
        self._event = event

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Somebody goes on: a thread, a signal or a real descriptor has woken a task."""
        del task
        self._event.set()


async def woken_by_any_task(event: trio.Event) -> None:
    """Wait for an event that is also set when any task goes on."""
    watch = _AnyTask(event)
    trio.lowlevel.add_instrument(watch)
    try:
        await event.wait()
    finally:
        trio.lowlevel.remove_instrument(watch)
