# A worker process, from the outside: started, listened to, asked to leave, reaped.
#
#   processes        serve_processes                decides when
# > worker process   WorkerProcess                  THIS FILE: one of them
#   worker           Worker                         the same, from the inside
#
# Rule 1: workers are fresh interpreters (multiprocessing's "spawn"), never forks of a running
#         Trio, whose epoll, tasks and locks a child must not have.
# Rule 2: what a terminal sends to the whole process group ends nothing that is started here:
#         neither a worker that has no handlers yet nor multiprocessing's resource tracker, which
#         "spawn" starts whether anything is tracked or not, and which minds Ctrl-C but no hang-up.
#         Nor does SIGTERM end a worker before it can act on it.
# Rule 3: whoever makes one runs ``reap``; it ends with the process, of which nothing is left.
#
# Sources: multiprocessing, "Contexts and start methods".
"""Worker processes as their supervisor sees them."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket as std
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Final

import trio

from ._worker import GONE, OPEN, READY, STOPPED, Board, blocked_signals, run_worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

__all__ = ["Job", "WorkerProcess", "shared_board"]

#: What a worker gets beyond ``drain_timeout``: its program's clean-up, the interpreter's end.
GRACE_S: Final = 5.0

_SPAWN: Final = multiprocessing.get_context("spawn")

_logger: Final = logging.getLogger("wsock")


def shared_board(workers: int, listeners: int) -> Board:
    """Make the memory that all see: no worker is there yet, and all listening sockets are open."""
    return Board(
        loads=_SPAWN.RawArray("i", [GONE] * workers), doors=_SPAWN.RawArray("i", [OPEN] * listeners)
    )


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Start processes in which ``signals`` are blocked; here they wait until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start multiprocessing's resource tracker, unless it runs: deaf to SIGHUP for its life."""
    with _blocked({signal.SIGHUP}):
        resource_tracker.ensure_running()


@dataclass(frozen=True)
class Job:
    """What each worker runs."""

    function: Callable[..., Awaitable[object]]
    args: tuple[Any, ...]
    wait_ready: bool
    drain_timeout: float


class WorkerProcess:
    """A worker process: started when this is made, ``ended`` once it was reaped."""

    def __init__(
        self,
        index: int,
        job: Job,
        sockets: Sequence[std.socket],
        board: Board,
    ) -> None:
        ours, theirs = std.socketpair()
        with theirs:
            self._process = _SPAWN.Process(
                target=run_worker,
                args=(
                    job.function,
                    job.args,
                    index,
                    sockets,
                    board,
                    theirs,
                    job.wait_ready,
                    job.drain_timeout,
                ),
                name=f"wsock worker {index}",
            )
            try:
                _start_tracker()  # by itself: it unblocks SIGINT in this thread
                with _blocked(blocked_signals()):
                    self._process.start()
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._control = trio.socket.from_stdlib_socket(ours)
        self.index = index
        self.pid: int = self._process.pid or 0
        self.began = trio.current_time()
        self._leave_limit_s = job.drain_timeout + GRACE_S
        #: Set when it said so, or has ended.
        self.ready = trio.Event()
        #: Clients may still be taken by it from the kernel's queue.
        self.taking = True
        self.ended = trio.Event()

    def __repr__(self) -> str:
        return f"worker {self.index} (pid {self.pid})"

    async def reap(self) -> None:
        """Listen to it until it has ended; once, in a task of its own that nothing cancels."""
        with self._control:
            with suppress(OSError):
                while word := await self._control.recv(64):
                    if READY in word:
                        self.ready.set()
                    if STOPPED in word:
                        self.taking = False
            await trio.lowlevel.wait_readable(self._process.sentinel)
            self._process.join()
        self.ended.set()
        self.ready.set()

    def how_it_ended(self) -> str:
        """Say "signal 9" or "exit code 1"."""
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it at once."""
        if not self.ended.is_set():
            self._process.kill()

    async def leave(self) -> None:
        """Ask it to leave (SIGTERM), and wait for its end.

        It keeps to the time for that by itself; one that does not, because it hangs, is killed.
        """
        if not self.ended.is_set():
            self._process.terminate()
        with trio.move_on_after(self._leave_limit_s):
            await self.ended.wait()
            return
        _logger.error("%r did not leave within %g s: killed", self, self._leave_limit_s)
        self.kill()
        await self.ended.wait()
