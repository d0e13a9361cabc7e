# The pump: moves a virtual network while a Trio program runs.
#
# > pump                  THIS FILE: one task; virtual or real time; settle
#   host, trio_face       tasks and sockets on hosts
#   network               due events, flush
#
# How it works under virtual time (ruling A6): when all tasks are blocked, and no thread works for
# one, what they wrote is flushed; if there was nothing, the clock jumps to the next event of the
# network or the next deadline of the program, whichever comes first, and what is due runs. Programs
# that poll never block: when all that runs is told "not now" over and over, that is idleness too.
#
# Who else waits for idleness (``wait_all_tasks_blocked``) is told when the network has nothing to
# do in this instant either, and before time passes: as on a machine's loopback under autojump.
#
# Rule 1: the pump drives the clock, by public means only: MockClock with autojump off. Nobody else
#         jumps while a network is attached.
# Rule 2: the task runs no program's code and nothing leaves it: what fails while the network moves
#         is raised to whoever attached it.
# Rule 3: an exception of the body of ``attach`` leaves as itself (ruling B21).

# ruff: noqa: ANN401  (a program returns whatever it returns)

"""A virtual network under Trio."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.testing import MockClock, active_thread_count, wait_all_tasks_blocked

from wsock.virtual.host import Host
from wsock.virtual.network import Network as SansIoNetwork
from wsock.virtual.passes import Passes, only_pollers, woken_by_any_task
from wsock.virtual.tap import Tap
from wsock.virtual.trio_face import plugged_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from wsock.virtual.layers import Flushable
    from wsock.virtual.node import HostCore
    from wsock.virtual.profile import TcpProfile

__all__ = ["Network"]

_NANOSECONDS: Final = 1_000_000_000
#: How often idleness is looked for while threads work for the program, in seconds of real time.
_THREAD_LOOK_S: Final = 0.001
#: How long what was written last may take to arrive after the block, in virtual seconds.
_LAST_S: Final = 60.0


class Network(SansIoNetwork):
    """A virtual network that Trio programs run on. See NetworkBase for driving it by hand.

    Args:
      seed: of all chance in it; the same seed and program give the same packets.
    """

    def __init__(self, seed: int | str = 0) -> None:
        super().__init__(seed)
        self._news = trio.Event()
        self._settling: list[tuple[int, trio.Event]] = []
        self._attached = False
        #: The host of tasks that have none; None: the only host there is, if it is the only one.
        self.default_host: Host | None = None

    def host_without_name(self) -> Host | None:
        """Return the host that is current in tasks which have entered none."""
        if self.default_host is not None:
            return self.default_host
        hosts = [host for host in self.hosts.values() if isinstance(host, Host)]
        return hosts[0] if len(hosts) == 1 else None

    def _new_host(self, name: str, profile: TcpProfile, *, forwarding: bool) -> HostCore:
        return Host(self, name, profile, forwarding=forwarding)

    def mark_dirty(self, endpoint: Flushable, node: HostCore) -> None:
        """Have ``endpoint`` flushed when this instant's events are over."""
        super().mark_dirty(endpoint, node)
        self._news.set()

    # Running

    def run(
        self, fn: Callable[..., Awaitable[Any]], *args: object, rate: float | None = None
    ) -> Any:
        """Run a Trio program on this network and return its result.

        Args:
          fn, args: the main task, as for ``trio.run``.
          rate: None for virtual time (an idle hour costs nothing); else virtual seconds per real
            second, for a lesson in slow motion.
        """
        clock = MockClock() if rate is None else MockClock(rate=rate)

        async def main() -> Any:
            async with self.attach():
                return await fn(*args)

        return trio.run(main, clock=clock)

    @asynccontextmanager
    async def attach(self) -> AsyncIterator[Network]:
        """Move the network while the block runs; ``trio.socket`` is this network's meanwhile.

        Tasks that have entered no host are on ``default_host``, or on the only host there is.

        Under a MockClock whose rate is 0 time is virtual: the pump drives the clock. When the block
        ends, what was written still goes out and arrives, as it would from a machine. Under any
        other clock the network runs at that clock's pace, and stops with the block.

        Raises:
          RuntimeError: it is attached already.
        """
        if self._attached:
            raise RuntimeError("this network is attached already")
        self._attached = True
        self.thread = get_ident()
        pump = _Pump(self)
        trio.lowlevel.spawn_system_task(pump.run, name="wsock virtual network")
        try:
            with plugged_in(self), pump.body:
                yield self
        finally:
            pump.scope.cancel()
            with trio.CancelScope(shield=True):
                await pump.ended.wait()
            self._attached = False
            if pump.clock is not None and pump.failure is None:
                self._let_arrive()
            self.thread = 0
        if pump.failure is not None:
            raise pump.failure

    def _let_arrive(self) -> None:
        """Send what was written last, the FINs of closed sockets say, and let it arrive."""
        with suppress(TimeoutError):  # something answers for ever: enough
            self.run_until(lambda: not (self.is_dirty or self.traffic.in_flight), limit=_LAST_S)

    async def settle(self, bound: float = 1.0) -> None:
        """Wait until nothing moves: all tasks blocked, nothing in flight, nothing due soon.

        Packets that are held and hosts that are paused do not count. A checkpoint.

        Args:
          bound: seconds; what is due within them counts as moving.
        """
        if not self._attached:
            raise RuntimeError("settle: the network is not attached")
        quiet = trio.Event()
        self._settling.append((round(bound * _NANOSECONDS), quiet))
        self._news.set()
        await quiet.wait()


class _Pump:
    """The task that moves one network."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        #: Around the body of ``attach``: a network that cannot go on must not leave it waiting.
        self.body = trio.CancelScope()
        self.failure: BaseException | None = None
        clock = trio.lowlevel.current_clock()
        virtual = isinstance(clock, MockClock) and not clock.rate
        self.clock: MockClock | None = clock if virtual else None  # type: ignore[assignment]
        #: Around the pump's own waiting: cancelled, it looks again who runs.
        self.waiting = trio.CancelScope()
        self.broken: Exception | None = None
        #: Trio's time at the network's time 0.
        self.epoch = trio.current_time() - network.scheduler.now / _NANOSECONDS

    async def run(self) -> None:
        """Move the network until told to stop; keep what goes wrong for whoever attached it."""
        try:
            with self.scope:
                if self.clock is None:
                    await self._run_at_the_clocks_pace()
                else:
                    await self._run_in_virtual_time(self.clock)
        except Exception as error:
            self.failure = error
            self.body.cancel()
        finally:
            self.ended.set()

    def _now(self) -> int:
        return round((trio.current_time() - self.epoch) * _NANOSECONDS)

    # Virtual time

    async def _run_in_virtual_time(self, clock: MockClock) -> None:
        if any(isinstance(medium, Tap) for medium in self.network.media.values()):
            raise RuntimeError("a tap joins real time: use trio.run and attach(), not net.run")
        threshold, clock.autojump_threshold = clock.autojump_threshold, math.inf
        passes = Passes(self.network, self._instant_over, lambda: self.waiting.cancel())
        trio.lowlevel.add_instrument(passes)
        try:
            while True:
                with self.waiting:
                    await self._move_when_blocked(clock, passes)
                self.waiting = trio.CancelScope()
                if self.broken is not None:
                    raise self.broken
                if not active_thread_count() and await only_pollers(self.network):
                    self.network.flush()
                    await self._jump(clock)
        finally:
            trio.lowlevel.remove_instrument(passes)
            clock.autojump_threshold = threshold

    def _instant_over(self) -> None:
        """Move the network inside this instant. Trio calls this, so no error may leave it."""
        if active_thread_count():
            return
        try:
            while self._move():
                if trio.lowlevel.current_statistics().tasks_runnable:
                    break
        except Exception as error:
            self.broken = error
            self.waiting.cancel()

    async def _move_when_blocked(self, clock: MockClock, passes: Passes) -> None:
        while True:
            await self._all_blocked()
            passes.idle()
            if passes.woken > 1:
                continue  # who waited for idleness too goes first: no time passes meanwhile
            if not self._move():
                await self._jump(clock)

    async def _all_blocked(self) -> None:
        await wait_all_tasks_blocked()
        while active_thread_count():
            await wait_all_tasks_blocked(_THREAD_LOOK_S)

    def _move(self) -> bool:
        """Flush what tasks wrote and run what is due now; whether there was anything."""
        network = self.network
        now = max(self._now(), network.scheduler.now)
        moved = network.flush()
        due = network.next_time()
        if due is not None and due <= now:
            network.scheduler.run_due(now)
            return True
        return moved

    async def _jump(self, clock: MockClock) -> None:
        """Nothing is left in this instant: tell who settles, or go to the next one."""
        network = self.network
        if self._tell_settled():
            return
        network._news = trio.Event()
        due = network.next_time()
        event = math.inf
        if due is not None:
            event = max(due / _NANOSECONDS + self.epoch - trio.current_time(), 0.0)
        deadline = trio.lowlevel.current_statistics().seconds_to_next_deadline
        step = min(event, max(deadline, 0.0))
        if step == math.inf:
            await woken_by_any_task(network._news)  # by a thread or a real descriptor
            return
        clock.jump(step)
        if due is not None and event <= step:
            network.scheduler.run_due(due)
        elif self._now() > network.scheduler.now:
            network.scheduler.run_due(self._now())

    def _tell_settled(self) -> bool:
        network = self.network
        quiet = [entry for entry in network._settling if network.is_quiet(entry[0])]
        for entry in quiet:
            network._settling.remove(entry)
            entry[1].set()
        return bool(quiet)

    # Any other clock

    async def _run_at_the_clocks_pace(self) -> None:
        taps = [medium for medium in self.network.media.values() if isinstance(medium, Tap)]
        if not taps:
            await self._keep_pace()
            return
        async with trio.open_nursery() as nursery:
            for tap in taps:
                nursery.start_soon(self._read, tap, name=f"wsock {tap.name}")
            await self._keep_pace()

    async def _read(self, tap: Tap) -> None:
        """Let what Linux sends by a tap arrive when it comes."""
        while True:
            await trio.lowlevel.wait_readable(tap.fileno())
            self.network.run_due(max(self._now(), self.network.scheduler.now))
            tap.read()
            self.network._news.set()

    async def _keep_pace(self) -> None:
        network = self.network
        while True:
            network._news = trio.Event()
            network.run_due(max(self._now(), network.scheduler.now))
            self._tell_settled()
            due = network.next_time()
            deadline = math.inf if due is None else due / _NANOSECONDS + self.epoch
            with trio.move_on_at(deadline):
                await network._news.wait()
