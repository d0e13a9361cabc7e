# The fallback engine: readiness through Trio's own waits, where there is no epoll.
#
#   afd              endpoints                      decide what a readiness means
# > kernel           the machine's sockets          THIS FILE: wait_readable, wait_writable
#
# Works wherever Trio works; slower, because each wait is an epoll_ctl (or its like) and a scheduler
# pass. Tested on Linux by choosing it (``Stack(engine="waits")``, ``WSOCK_ENGINE=waits``).
#
# Rule 1: the system's answer is level-triggered here, so a wait is armed only when its answer would
#         be news: after a read that found nothing more, after a write that was refused (ruling
#         B13). Armed while unread data lies there, it would spin.
# Rule 2: hence a release or a reset behind unread data is noticed when the data has been read, and
#         a reset behind a release by the next recv or send.
# Rule 3: wait_readable is not woken by an urgent byte (measured). While urgent data is of interest
#         a 20 ms look with select tells; nothing else polls.
"""The reactor over Trio's waits."""

from __future__ import annotations

import logging
import select
from threading import get_ident
from typing import TYPE_CHECKING, Final

import trio

from .bits import OUT, PRI

if TYPE_CHECKING:
    from .files import KernelFile

__all__ = ["WaitsReactor"]

URGENT_LOOK_S: Final = 0.020

#: How long the drain at the end of a run may take in all (ruling A1).
DRAIN_LIMIT_S: Final = 30.0

_logger: Final = logging.getLogger("wsock")


class _Watch:
    """What is armed for one file."""

    __slots__ = ("file", "number", "read", "reading", "urgent", "write", "writing")

    def __init__(self, file: KernelFile) -> None:
        self.file = file
        self.number = file.fileno()
        #: Armed: the next answer of the system would be news.
        self.read = True
        self.write = False
        #: A task waits in the system now.
        self.reading = False
        self.writing = False
        self.urgent = False


class WaitsReactor:
    """Readiness by ``trio.lowlevel.wait_readable`` and ``wait_writable``, socket by socket."""

    def __init__(self) -> None:
        self._watches: dict[KernelFile, _Watch] = {}
        self._work: set[tuple[_Watch, bool]] = set()
        self._news = trio.Event()
        self._interest = trio.Event()
        self._urgent: set[_Watch] = set()
        self.dead = False
        self.thread = get_ident()
        self.token = trio.lowlevel.current_trio_token()

    def add(self, file: KernelFile) -> None:
        """Arm a wait for reading."""
        if self.dead:
            return
        watch = self._watches[file] = _Watch(file)
        self._start(watch, write=False)

    def remove(self, file: KernelFile) -> None:
        """Disarm; whoever waits in the system is sent away before the descriptor closes."""
        watch = self._watches.pop(file, None)
        if watch is None or self.dead:
            return
        self._urgent.discard(watch)
        self._work.discard((watch, False))
        self._work.discard((watch, True))
        watch.read = watch.write = False
        if watch.reading or watch.writing:
            trio.lowlevel.notify_closing(watch.number)

    def want_read(self, file: KernelFile) -> None:
        """``file`` was read empty: its next data is news."""
        watch = self._watches.get(file)
        if watch is not None and not watch.read:
            watch.read = True
            self._start(watch, write=False)

    def want_write(self, file: KernelFile) -> None:
        """``file`` was refused a write (or connects): its next room is news."""
        watch = self._watches.get(file)
        if watch is not None and not watch.write:
            watch.write = True
            self._start(watch, write=True)

    def watch_urgent(self, file: KernelFile, *, on: bool) -> None:
        """Look for urgent data every 20 ms, or no longer."""
        watch = self._watches.get(file)
        if watch is None:
            return
        if on:
            self._urgent.add(watch)
            self._interest.set()
        else:
            self._urgent.discard(watch)

    def look_for_urgent(self, file: KernelFile) -> None:
        """Look now, once, whether urgent data waits, and report it."""
        watch = self._watches.get(file)
        if watch is not None and watch.number in _look([watch])[2]:
            self._deliver(watch, PRI)

    def _start(self, watch: _Watch, *, write: bool) -> None:
        if not (watch.writing if write else watch.reading):
            self._work.add((watch, write))
            self._news.set()

    def turn(self) -> bool:
        """Look once, without waiting, at everything that is armed; whether anything was ready."""
        watches = [watch for watch in self._watches.values() if watch.read or watch.write]
        served = False
        for start in range(0, len(watches), 256):  # where select must do, it has a limit
            part = watches[start : start + 256]
            readable, writable, urgent = _look(part)
            for watch in part:
                served |= self._serve_looked(watch, readable, writable, urgent)
        return served

    def _serve_looked(
        self, watch: _Watch, readable: set[int], writable: set[int], urgent: set[int]
    ) -> bool:
        served = False
        if watch in self._urgent and watch.number in urgent:
            served = self._deliver(watch, PRI)
        if watch.read and watch.number in readable:
            served = self._serve(watch, write=False)
        if watch.write and watch.number in writable:
            served = self._serve(watch, write=True)
        return served

    async def run(self) -> None:
        """The system task: starts a waiting task for each wait that is armed."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_for_urgent)
                while True:
                    while self._work:
                        watch, write = self._work.pop()
                        if write:
                            watch.writing = True
                        else:
                            watch.reading = True
                        nursery.start_soon(self._wait, watch, write)
                    await self._next_news()
        finally:
            await self._drain()
            self._end()

    async def _next_news(self) -> None:
        await self._news.wait()
        self._news = trio.Event()

    async def _wait(self, watch: _Watch, write: bool) -> None:
        """Wait for one direction as long as it is armed."""
        wait = trio.lowlevel.wait_writable if write else trio.lowlevel.wait_readable
        try:
            while watch.write if write else watch.read:
                await wait(watch.number)
                if watch.write if write else watch.read:
                    self._serve(watch, write=write)
        except (trio.ClosedResourceError, OSError):
            watch.read = watch.write = False
        finally:
            if write:
                watch.writing = False
            else:
                watch.reading = False
            if watch.file in self._watches and (watch.write if write else watch.read):
                self._start(watch, write=write)

    def _serve(self, watch: _Watch, *, write: bool) -> bool:
        if write:
            watch.write = False
            return self._deliver(watch, OUT)
        watch.read = False
        events = watch.file.look()
        if not events:
            watch.read = True  # somebody took it between the answer and the look
            return False
        if events == OUT:
            watch.read = True  # a connect ended: what is readable behind it is still to be told
        return self._deliver(watch, events)

    def _deliver(self, watch: _Watch, events: int) -> bool:
        try:
            watch.file.ready(events)
        except Exception:
            _logger.exception("serving %r failed; its connection is aborted", watch.file)
            watch.file.fail()
        return True

    async def _look_for_urgent(self) -> None:
        while True:
            await self._interest.wait()
            await trio.sleep(URGENT_LOOK_S)
            watches = list(self._urgent)
            if not watches:
                self._interest = trio.Event()
                continue
            for watch in watches:
                if watch.number in _look([watch])[2]:
                    self._deliver(watch, PRI)

    async def _drain(self) -> None:
        """Move what sends have promised, while there is progress (ruling A1)."""
        limit = trio.current_time() + DRAIN_LIMIT_S
        with trio.CancelScope(shield=True) as scope:
            while not self.dead:
                left = [file for file in self._watches if file.rest_length()]
                if not left:
                    return
                patience = max(file.provider.exit_flush_timeout for file in left)
                before = sum(file.rest_length() for file in left)
                scope.deadline = min(trio.current_time() + patience, limit)
                while sum(file.rest_length() for file in left) == before:
                    await trio.sleep(0.005)
                    self.turn()

    def forget(self) -> None:
        """Called in a forked child: Trio's own epoll is the parent's; never touch it again."""
        self.dead = True
        self._watches = {}

    def _end(self) -> None:
        for file in list(self._watches):
            file.run_over()
        self.dead = True
        self._watches.clear()
        self._urgent.clear()
        self._work.clear()


def _look(watches: list[_Watch]) -> tuple[set[int], set[int], set[int]]:
    numbers = [watch.number for watch in watches]
    if hasattr(select, "poll"):
        return _poll(numbers)
    try:
        readable, writable, urgent = select.select(numbers, numbers, numbers, 0)
    except (OSError, ValueError):
        return set(), set(), set()
    return set(readable), set(writable), set(urgent)


def _poll(numbers: list[int]) -> tuple[set[int], set[int], set[int]]:
    """The same by poll, which takes any number of descriptors, and numbers above 1023."""
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN | select.POLLOUT | select.POLLPRI)
    readable, writable, urgent = set(), set(), set()
    ends = select.POLLHUP | select.POLLERR
    for number, events in poll.poll(0):
        if events & (select.POLLIN | ends):
            readable.add(number)
        if events & (select.POLLOUT | ends):
            writable.add(number)
        if events & select.POLLPRI:
            urgent.add(number)
    return readable, writable, urgent
