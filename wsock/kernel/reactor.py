# The reactor: who hears from the kernel that a socket is ready.
#
#   afd              endpoints                      decide what a readiness means
#   tdi              addresses, connections         carry it up
# > kernel           the machine's sockets          THIS FILE: one epoll for a Trio run
#
# How it works: one epoll, whose own descriptor one system task waits for. Each socket is registered
# once, edge-triggered, for everything, and never modified. That is what makes it cheap: Trio's own
# wait_readable costs an epoll_ctl and a scheduler pass for every wait.
#
# The task only makes Trio's loop wake up. What is ready is served in the loop itself, by its hook
# after_io_wait: whoever is woken there runs in the same pass, not in the one after the task's. With
# one connection that is one pass in two for a message, one in three for a task that waits, and a
# median latency of 42 us in place of 51 (uvloop: 33, in the same run).
#
# Rule 1: serving runs no user code. ``file.ready(events)`` updates an endpoint, posts, sets or
#         wakes, and returns.
#         (For the usual edge of a stream the reader is told from here: a frame less.)
# Rule 2: an error while serving one file fails that file; nothing leaves the reactor (what leaves a
#         system task ends the program, what leaves a hook takes the hook away).
# Rule 3: unregister, then close, always. An epoll entry belongs to the open file, not to the
#         number:
#         closed here while a copy lives elsewhere, the old connection's data would be reported
#         under the number of the next socket (ruling A4, measured).
# Rule 4: in a forked child every reactor of the parent is dead: close() closes and touches no
#         epoll, for unregistering there would deafen the parent.
# Rule 5: the reactor lives from the first socket to the end of the run, then drains what programs
#         had been promised: bytes accepted by send and not yet with the system.
#
# Sources: epoll(7); rulings A1, A4; measurements in design notes.
"""The epoll reactor."""

from __future__ import annotations

import logging
import os
import select
import weakref
from threading import get_ident
from typing import TYPE_CHECKING, Final, Protocol

import trio

from .bits import ET, IN, OUT, PRI, RDHUP
from .waits import DRAIN_LIMIT_S, WaitsReactor

if TYPE_CHECKING:
    from .files import KernelFile

__all__ = ["EpollReactor", "Reactor", "current_reactor"]

#: What most edges of a stream say: data has come, and there is room.
_DATA: Final = IN | OUT
_EVERYTHING: Final = IN | PRI | OUT | RDHUP | ET

#: Files served before tasks get a turn; the rest is for the next pass. When 9,000 connections end
#: at once a pass so takes 15 to 30 ms of CPU time (with 2,048 it took 85).
_BATCH: Final = 256

_logger: Final = logging.getLogger("wsock")


class Reactor(Protocol):
    """What a file asks of the reactor of its run."""

    dead: bool
    #: The thread of its run, as ``threading.get_ident`` has it.
    thread: int
    token: trio.lowlevel.TrioToken

    def add(self, file: KernelFile) -> None:
        """Report ``file``'s readiness from now on."""

    def remove(self, file: KernelFile) -> None:
        """Report it no more; called before its descriptor is closed."""

    def want_write(self, file: KernelFile) -> None:
        """``file`` was refused a write and has to hear when there is room."""

    def want_read(self, file: KernelFile) -> None:
        """``file`` was read empty and has to hear when there is more."""

    def watch_urgent(self, file: KernelFile, *, on: bool) -> None:
        """Urgent data of ``file`` has to be heard of, or no longer."""

    def look_for_urgent(self, file: KernelFile) -> None:
        """Report urgent data of ``file`` that waits now, if nobody would hear of it otherwise."""

    def turn(self) -> bool:
        """Look once, without waiting, what is ready; whether anything was."""


class EpollReactor(trio.abc.Instrument):
    """One epoll for one Trio run."""

    __slots__ = ("__weakref__", "_epoll", "_table", "dead", "thread", "token")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        #: By descriptor, which systems give out from the lowest: 8 bytes for each file, a dict 80.
        self._table: list[KernelFile | None] = []
        self.dead = False
        self.thread = get_ident()
        self.token = trio.lowlevel.current_trio_token()

    def add(self, file: KernelFile) -> None:
        """Register ``file`` for everything; what is ready already is reported first."""
        if self.dead:
            return
        number = file.fileno()
        self._epoll.register(number, _EVERYTHING)
        table = self._table
        if number >= len(table):
            table.extend([None] * (number + 1 - len(table)))
        table[number] = file

    def remove(self, file: KernelFile) -> None:
        """Unregister ``file``; before its descriptor is closed or given away."""
        if self.dead:
            return
        number = file.fileno()
        if number >= 0 and self._table[number] is file:
            self._table[number] = None
            self._epoll.unregister(number)

    def want_write(self, file: KernelFile) -> None:
        """Nothing to do: an edge will come."""

    def want_read(self, file: KernelFile) -> None:
        """Nothing to do: an edge will come."""

    def watch_urgent(self, file: KernelFile, *, on: bool) -> None:
        """Nothing to do: EPOLLPRI is always asked for."""

    def look_for_urgent(self, file: KernelFile) -> None:
        """Nothing to do: a turn reports it."""

    def _files(self) -> list[KernelFile]:
        return [file for file in self._table if file is not None]

    def turn(self) -> bool:
        """Serve what is ready, at most _BATCH files; whether anything was."""
        if self.dead:
            return False
        table = self._table
        ready = self._epoll.poll(0, _BATCH)
        for number, events in ready:
            file = table[number]
            if file is not None:
                try:
                    if events == _DATA and not file.phase and not file.owed:
                        file.reader.on_readable()
                    elif events != OUT or file.phase or file.owed:
                        file.ready(events)
                except Exception:
                    _fail(file)
        return bool(ready)

    def after_io_wait(self, timeout: float) -> None:
        """Serve what is ready: Trio calls this in each pass of its loop, before tasks run."""
        try:
            self.turn()
        except BaseException as error:
            # A signal handler's SystemExit, say, which has to end the run. Raised here it would be
            # logged, and the hook taken away.
            self.token.run_sync_soon(_raise, error)

    async def run(self) -> None:
        """The system task: have the loop wake up when something is ready; at the end drain."""
        trio.lowlevel.add_instrument(self)
        number = self._epoll.fileno()
        wait_readable = trio.lowlevel.wait_readable
        try:
            while True:
                await wait_readable(number)
        finally:
            trio.lowlevel.remove_instrument(self)
            await self._drain()
            self._end()

    async def _drain(self) -> None:
        """Move what sends have promised, while there is progress (ruling A1)."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + DRAIN_LIMIT_S):
            while not self.dead:
                left = [file for file in self._files() if file.rest_length()]
                if not left:
                    return
                patience = max(file.provider.exit_flush_timeout for file in left)
                before = sum(file.rest_length() for file in left)
                deadline = trio.current_time() + patience
                while sum(file.rest_length() for file in left) == before:
                    with trio.move_on_at(deadline) as scope:
                        await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self.turn()
                    if scope.cancelled_caught:
                        return

    def _end(self) -> None:
        for file in self._files():
            file.run_over()
        if not self.dead:
            self._epoll.close()
        self.dead = True
        self._table.clear()

    def forget(self) -> None:
        """Called in a forked child: the epoll is the parent's; never touch it again."""
        self.dead = True
        self._table = []


def _raise(error: BaseException) -> None:
    raise error


def _fail(file: KernelFile) -> None:
    _logger.exception("serving %r failed; its connection is aborted", file)
    try:
        file.fail()
    except Exception:
        _logger.exception("aborting %r failed too", file)


_alive: weakref.WeakSet[EpollReactor | WaitsReactor] = weakref.WeakSet()

#: The last one of each thread and engine.
_of_threads: weakref.WeakValueDictionary[tuple[int, str], EpollReactor | WaitsReactor] = (
    weakref.WeakValueDictionary()
)


def _in_child() -> None:
    for reactor in list(_alive):
        reactor.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

_current: Final = trio.lowlevel.RunVar[dict[str, Reactor]]("wsock_reactors")


def current_reactor(engine: str) -> Reactor | None:
    """Return this Trio run's reactor of that engine, started if need be; None outside a run."""
    try:
        table = _current.get()
    except LookupError:
        table = {}
        _current.set(table)
    except RuntimeError:  # not inside a Trio run
        return None
    reactor = table.get(engine)
    if reactor is None:
        crashed = _of_threads.get((get_ident(), engine))
        if crashed is not None:
            crashed.dead = True  # its run ended without a chance to say so (TrioInternalError)
        if engine == "epoll":
            new: EpollReactor | WaitsReactor = EpollReactor()
        else:
            new = WaitsReactor()
        trio.lowlevel.spawn_system_task(new.run, name=f"wsock reactor ({engine})")
        reactor = table[engine] = new
        _alive.add(new)
        _of_threads[new.thread, engine] = new
    return reactor
