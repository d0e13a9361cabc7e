# A worker process of a server that uses several cores: what it is given, and how it leaves.
#
#   processes        serve_processes                starts, watches and replaces workers
# > worker           Worker                         THIS FILE: one of them, from the inside
#   socket           Socket                         listening sockets that all workers share
#
# How it leaves: SIGTERM asks it to. It goes on accepting until the kernel's queue was seen empty
# (LINGER_S at most: on a busy server it never is, and then others serve what is left), takes no
# further connection, serves those that it has to their end, and ends. So no client is lost: one
# whose connection had been taken from the kernel would be reset by closing the listening socket.
#
# When all leave there are no others. Then the supervisor marks the sockets that it will shut as
# CLOSING before it asks: nobody comes in there any more, and who is in is taken until it is shut.
#
# Who takes a client: the kernel tells all workers of each, and the first to come takes it, which is
# nearly always the same (51 of 50 + 1 were counted). So all see how many sockets each has, and who
# has more than another stands back for STAND_BACK_S, in case the other is too busy to come.
#
# Rule 1: it must never outlive its supervisor. The supervisor holds the other end of ``control``;
#         its end is as good as a SIGTERM.
# Rule 2: Ctrl-C and a hang-up reach the whole process group; only the supervisor acts on them.
# Rule 3: SIGTERM is blocked until this worker can act on it. One that is still beginning serves who
#         waits, and leaves then: there may be nobody else.
"""The inside of a worker process."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from ._socket_making import from_stdlib_socket
from ._stack import current_stack
from .constants import FD_ACCEPT

if TYPE_CHECKING:
    import socket as std
    from collections.abc import Awaitable, Callable, MutableSequence, Sequence

    from ._socket import Socket

__all__ = ["Board", "Share", "Worker", "blocked_signals", "run_worker"]

#: How long a worker that leaves still accepts, if clients keep coming.
LINGER_S: Final = 1.0

#: How often a worker that leaves looks whether its clients have gone.
LOOK_S: Final = 0.05

#: How long a worker leaves a client to those that have fewer.
STAND_BACK_S: Final = 0.005

#: In place of a number of sockets: nobody is there to take a client.
GONE: Final = (1 << 31) - 1

#: Where a listening socket stands: clients come; none comes and those that are in are taken; shut.
OPEN: Final = 0
CLOSING: Final = 1
SHUT: Final = 2

#: What a worker says to its supervisor: it can serve; it takes no client any more.
READY: Final = b"r"
STOPPED: Final = b"s"

_logger: Final = logging.getLogger("wsock")


class Worker:
    """What ``serve_processes`` hands to the function that it runs in each process.

    Attributes:
      index: 0 for the first worker, 1 for the second ...; kept by whoever replaces it.
      listeners: the listening sockets, in the order of the addresses; every worker has them.
      stopping: set when this worker has been asked to leave. A server need not care: it is
        cancelled once its last client has gone. One whose clients stay for hours may tell them.
    """

    __slots__ = ("_tell", "index", "listeners", "stopping")

    def __init__(self, index: int, listeners: Sequence[Socket], tell: Callable[[], None]) -> None:
        self.index = index
        self.listeners = tuple(listeners)
        self.stopping = trio.Event()
        self._tell = tell

    def __repr__(self) -> str:
        left = ", leaving" if self.stopping.is_set() else ""
        return f"<Worker {self.index}{left}>"

    @property
    def listener(self) -> Socket:
        """The first listening socket, for the usual case of one."""
        return self.listeners[0]

    def ready(self) -> None:
        """Say that clients can be served: the worker that this one replaces leaves now.

        Needed with ``wait_ready=True`` only, by a server that must, say, open a database first;
        else it is said when the function begins. Saying it again does nothing.
        """
        self._tell()


@dataclass(frozen=True)
class Board:
    """What the supervisor and its workers all see: numbers in memory that they share.

    Attributes:
      loads: how many sockets each worker has, by index; each writes its own.
      doors: where each listening socket stands (OPEN, CLOSING, SHUT); the supervisor writes.
    """

    loads: MutableSequence[int]
    doors: MutableSequence[int]


class Supervisor:
    """The supervisor, as a worker sees it."""

    def __init__(self, control: std.socket, doors: Sequence[int]) -> None:
        self._control = trio.socket.from_stdlib_socket(control)
        self._say = control.send
        self._doors = doors
        self._gone = False

    def say(self, word: bytes) -> None:
        """Tell it READY or STOPPED. Never waits."""
        with suppress(OSError):  # it is gone, or has been told
            self._say(word)

    def will_shut(self, index: int) -> bool:
        """Whether this listening socket takes nobody in, and is to be served until it is shut."""
        return self._doors[index] == CLOSING and not self._gone

    async def wait_gone(self) -> None:
        """Wait for its end."""
        with suppress(OSError):
            while await self._control.recv(64):
                pass  # it never says anything: its end is all that matters
        self._gone = True


class Share:
    """This worker's part of what all see: how many sockets each has.

    Args:
      loads: by index, in memory that the workers share.
      index: whose own number this worker writes.
    """

    def __init__(self, loads: MutableSequence[int], index: int) -> None:
        self._loads = loads
        self._index = index
        self._others = [other for other in range(len(loads)) if other != index]

    def enter(self) -> None:
        """Tell the others that this worker can take clients."""
        self._loads[self._index] = 0

    def delay(self) -> float:
        """Return for how many seconds the others may have the next client."""
        loads = self._loads
        mine = loads[self._index] = len(current_stack().endpoints)
        fewest = min([loads[other] for other in self._others], default=GONE)
        return STAND_BACK_S if mine > fewest else 0.0

    def leave(self) -> None:
        """Tell the others not to wait for this worker any more."""
        self._loads[self._index] = GONE


async def _leave(worker: Worker, share: Share, supervisor: Supervisor) -> None:
    """Serve what has been taken on, and what waits; return when nothing is left."""
    worker.stopping.set()
    share.leave()
    async with trio.open_nursery() as nursery:
        for index, listener in enumerate(worker.listeners):
            will_shut = partial(supervisor.will_shut, index)
            nursery.start_soon(_finish_accepting, listener, will_shut)
    supervisor.say(STOPPED)
    await _until_none(current_stack().accepted_connections)


async def _finish_accepting(listener: Socket, will_shut: Callable[[], bool]) -> None:
    """Take who waits; return when there is nobody, and no further one is taken."""
    if listener.closed:  # by the program, at any time
        return
    listener.defer_accepting(None)
    with trio.move_on_after(LINGER_S):
        # systemd sends SIGTERM to all processes at once: let the supervisor come to say that this
        # is the end of all, before an empty queue is believed in.
        await trio.sleep(LOOK_S)
        await _until_none(lambda: _waiting(listener))
    await _until_none(lambda: will_shut() and not listener.closed)
    await _until_none(lambda: _stopped(listener))


async def _until_none(count: Callable[[], int]) -> None:
    """Return when ``count()`` is 0. It looks now and then: nobody pays for it while serving."""
    while count():  # noqa: ASYNC110 (an endpoint tells nobody that it has ended)
        await trio.sleep(LOOK_S)


def _waiting(listener: Socket) -> bool:
    """Whether a client waits for accept; if none does, the kernel's queue was seen empty."""
    if listener.closed:
        return False
    return any(row.condition for row in listener.notifications() if row.event == FD_ACCEPT)


def _stopped(listener: Socket) -> bool:
    """Take no further connection; whether one is left that was taken already."""
    return not listener.closed and listener.stop_accepting() > 0


async def _watch_signal(
    leave: Callable[[], None], task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # one may have come before
        task_status.started()
        async for _ in signals:
            leave()


async def _watch_supervisor(supervisor: Supervisor, leave: Callable[[], None]) -> None:
    await supervisor.wait_gone()
    leave()


async def _serve(
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    worker: Worker,
    share: Share,
    supervisor: Supervisor,
    *,
    wait_ready: bool,
    drain_timeout: float,
) -> None:
    """Run ``function`` until it ends, or until this worker was asked to leave and has nothing left.

    An exception of ``function`` leaves as itself.
    """
    asked = trio.Event()
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await asked.wait()
            with trio.move_on_after(drain_timeout) as limit:
                await _leave(worker, share, supervisor)
            if limit.cancelled_caught:
                left = current_stack().accepted_connections()
                _logger.warning("%r: %d clients left after %g s", worker, left, drain_timeout)
            nursery.cancel_scope.cancel()

        nursery.start_soon(leave)
        await nursery.start(_watch_signal, asked.set)
        nursery.start_soon(_watch_supervisor, supervisor, asked.set)
        if not wait_ready:
            worker.ready()
        try:
            await function(worker, *args)
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _main(
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    index: int,
    sockets: Sequence[std.socket],
    board: Board,
    control: std.socket,
    wait_ready: bool,
    drain_timeout: float,
) -> None:
    listeners = [from_stdlib_socket(sock) for sock in sockets]
    supervisor = Supervisor(control, board.doors)
    worker = Worker(index, listeners, partial(supervisor.say, READY))
    share = Share(board.loads, index)
    try:
        if any(map(_came_too_late, listeners, board.doors)):
            return
        share.enter()
        for listener in listeners:
            listener.defer_accepting(share.delay)
        await _serve(
            function,
            args,
            worker,
            share,
            supervisor,
            wait_ready=wait_ready,
            drain_timeout=drain_timeout,
        )
    finally:
        for listener in listeners:
            listener.close()


def _came_too_late(listener: Socket, door: int) -> bool:
    """Whether the supervisor has shut it for good while this worker was beginning."""
    return listener.state != "LISTENING" and door != OPEN


def group_signals() -> set[signal.Signals]:
    """Return the signals that a terminal sends to a whole process group."""
    return {signal.SIGINT, signal.SIGHUP}


def blocked_signals() -> set[signal.Signals]:
    """Return the signals that a worker has blocked until it knows what to do with them."""
    return group_signals() | {signal.SIGTERM}


def run_worker(
    function: Callable[..., Awaitable[object]],
    args: tuple[Any, ...],
    index: int,
    sockets: Sequence[std.socket],
    board: Board,
    control: std.socket,
    wait_ready: bool,
    drain_timeout: float,
) -> None:
    """Be worker ``index``: what a fresh process runs. Returns when the worker has left.

    Args:
      function, args: called as ``await function(worker, *args)``.
      sockets: the listening sockets, bound and listening.
      board: what all processes see.
      control: a stream socket to the supervisor.
      wait_ready: ``function`` says itself when it is ready.
      drain_timeout: seconds that it may take to leave.
    """
    for number in group_signals():
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, group_signals())  # blocked since it was started
    trio.run(_main, function, args, index, sockets, board, control, wait_ready, drain_timeout)
