# Several cores: worker processes that share listening sockets, and who watches over them.
#
# > processes        serve_processes                THIS FILE: starts, restarts, replaces, stops
#   worker process   WorkerProcess                  one of them
#   worker           Worker                         the same, from the inside
#   socket           Socket                         what a worker serves with
#
# Why one listening socket that all inherit, and not one each with SO_REUSEPORT: the kernel deals
# clients to the queue of one listener, and closing that listener resets all that wait in it. With
# a shared socket the queue stays as long as anybody holds it, and this process holds it throughout.
#
# How it stops: all workers leave, so nobody would take who comes. New handshakes are held back, the
# workers serve who is in the queue, and as soon as that is empty the listening socket is shut:
# newcomers are refused while the clients are served to their end.
#
# Rule 1: this process never accepts. Its sockets are plain ones of the standard library; a Socket
#         of wsock would take a connection in hand.
# Rule 2: nothing is started that is not waited for: when serve_processes returns or raises, each
#         worker has ended and was reaped.
# Rule 3: a listening socket that was handed in is never shut: that would end it for whoever else
#         holds it (systemd, the caller, the next generation). Its newcomers wait for the next one.
#
# Sources: the signals of nginx and of other servers that have workers.
"""serve_processes: a server on several cores."""

from __future__ import annotations

import logging
import os
import signal
import socket as std
import sys
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Final

import trio

from . import errors
from ._listener_shutdown import handshake_under_way, hold_back, queued, shut
from ._worker import CLOSING, GONE, SHUT
from ._worker_process import Job, WorkerProcess, shared_board

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["ProcessServer", "serve_processes"]

#: A worker that lived this long was well: the next one that replaces it starts at once.
HEALTHY_S: Final = 10.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 30.0
#: How long a new worker may take until it is ready, while another one waits to leave.
READY_LIMIT_S: Final = 60.0
#: How long a stop waits for handshakes: two round trips around the world. Some never end.
HANDSHAKE_S: Final = 1.0
#: How often a stop looks whether the queue is empty. The first look is after that time: what passed
#: the filter just before it was there has got into the queue by then.
LOOK_S: Final = 0.01
#: As many as the kernel lets (it cuts at net.core.somaxconn): while workers are replaced clients
#: wait here.
DEFAULT_BACKLOG: Final = 4096

_logger: Final = logging.getLogger("wsock")


class _Place:
    """The place of one worker: who has it now, and how often it became free."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.process: WorkerProcess | None = None
        self.restarts = 0
        self.pause_s = 0.0

    def next_pause(self, lived_s: float) -> float:
        """Return how long to wait before the next worker, after one that lived ``lived_s``."""
        if lived_s >= HEALTHY_S:
            self.pause_s = 0.0
        else:
            self.pause_s = min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        return self.pause_s


class ProcessServer:
    """The workers of one ``serve_processes``: what ``nursery.start(serve_processes, ...)`` gives.

    Attributes:
      addresses: where they listen, as ``getsockname`` says.
    """

    def __init__(
        self, job: Job, sockets: Sequence[std.socket], own: Sequence[int], workers: int
    ) -> None:
        self._job = job
        self._sockets = sockets
        self._own = own  # which of them nobody else goes on with
        self._places = [_Place(index) for index in range(workers)]
        self._board = shared_board(workers, len(sockets))
        self._stopping = trio.Event()
        self._reload_wanted = trio.Event()
        self._alive: set[WorkerProcess] = set()
        self._watching: trio.Nursery  # one task for each process; ends when all have ended
        self._keeping: trio.Nursery  # restarts and replacements; ends with stop
        self.addresses = [sock.getsockname() for sock in sockets]

    def __repr__(self) -> str:
        return f"<ProcessServer {self.pids} on {self.addresses}>"

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers that have a place now, by index."""
        return [place.process.pid for place in self._places if place.process is not None]

    @property
    def restarts(self) -> int:
        """How many workers ended without having been asked to."""
        return sum(place.restarts for place in self._places)

    async def wait_ready(self) -> None:
        """Wait until every worker that has a place now can serve, or has ended. A checkpoint.

        Who comes earlier is served by the workers that are there already.
        """
        await trio.lowlevel.checkpoint()
        for place in self._places:
            if place.process is not None:
                await place.process.ready.wait()

    def reload(self) -> None:
        """Replace each worker by a fresh one, one after the other: what SIGHUP does.

        A new worker is ready before the old one is asked to leave. Never waits.
        """
        self._reload_wanted.set()

    def stop(self) -> None:
        """Ask all workers to leave, whereupon ``serve_processes`` returns: what SIGTERM does.

        Who has come is served, who comes from now on is refused (where ``serve_processes`` says
        that this can be). A second call kills the workers that are left. Never waits.
        """
        if self._stopping.is_set():
            for process in self._alive:
                process.kill()
        self._stopping.set()

    async def run(self, task_status: trio.TaskStatus[ProcessServer]) -> None:
        """Keep the workers until ``stop``, then let them leave. Cancelled, it kills them."""
        async with trio.open_nursery() as self._watching:
            try:
                async with trio.open_nursery() as self._keeping:
                    for place in self._places:
                        self._start(place)
                    self._keeping.start_soon(self._replace_when_asked)
                    task_status.started(self)
                    await self._stopping.wait()
                    self._keeping.cancel_scope.cancel()
                async with trio.open_nursery() as leaving:
                    for index in self._own:
                        if hold_back(self._sockets[index]):
                            self._board.doors[index] = CLOSING
                            leaving.start_soon(self._shut_when_empty, index)
                    for process in self._alive:
                        leaving.start_soon(process.leave)
            finally:
                self._stopping.set()
                for process in self._alive:
                    process.kill()

    async def _shut_when_empty(self, index: int) -> None:
        """Refuse newcomers as soon as nobody would be reset, or nobody is left to serve them."""
        sock = self._sockets[index]
        patience = trio.current_time() + HANDSHAKE_S
        while any(process.taking for process in self._alive):
            await trio.sleep(LOOK_S)
            patient = trio.current_time() < patience
            if not (patient and handshake_under_way(sock)) and not queued(sock):
                break
        else:
            if lost := queued(sock):
                clients = "1 client" if lost == 1 else f"{lost} clients"
                _logger.error(
                    "%s in the queue of %s: no worker to serve them", clients, self.addresses[index]
                )
        shut(sock)
        self._board.doors[index] = SHUT

    # Starting

    def _start(self, place: _Place) -> None:
        """Give the place to a fresh worker."""
        place.process = self._launch(place)

    def _launch(self, place: _Place) -> WorkerProcess:
        process = WorkerProcess(place.index, self._job, self._sockets, self._board)
        self._alive.add(process)
        self._watching.start_soon(self._watch, place, process)
        return process

    async def _watch(self, place: _Place, process: WorkerProcess) -> None:
        with trio.CancelScope(shield=True):  # what was started is reaped, whatever happens
            await process.reap()
        self._alive.discard(process)
        if place.process is process and not self._stopping.is_set():
            self._board.loads[place.index] = GONE
            self._keeping.start_soon(self._restart, place, process)

    async def _restart(self, place: _Place, ended: WorkerProcess) -> None:
        """Fill the place that ``ended`` left free; later each time, if it never lived long."""
        place.restarts += 1
        pause = place.next_pause(trio.current_time() - ended.began)
        _logger.error(
            "%r ended with %s; the next one starts in %g s", ended, ended.how_it_ended(), pause
        )
        while True:
            await trio.sleep(pause)
            if place.process is not ended:
                return  # a reload has filled it meanwhile
            try:
                self._start(place)
            except OSError as error:
                pause = place.next_pause(0.0)
                _logger.warning("worker %d: %s; tried again in %g s", place.index, error, pause)
            else:
                return

    # Replacing

    async def _replace_when_asked(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted = trio.Event()
            for place in self._places:
                if not await self._replace(place):
                    break

    async def _replace(self, place: _Place) -> bool:
        """Put a fresh worker in this place; False if that came to nothing: the old one stays."""
        old = place.process
        try:
            fresh = self._launch(place)
        except OSError as error:
            _logger.warning("worker %d: %s; those that run stay", place.index, error)
            return False
        with trio.move_on_after(READY_LIMIT_S):
            await fresh.ready.wait()
        if fresh.ended.is_set() or not fresh.ready.is_set():
            fresh.kill()
            _logger.error("%r did not become ready; those that run stay", fresh)
            return False
        place.process = fresh
        place.pause_s = 0.0
        if old is not None:
            self._watching.start_soon(old.leave)
        return True


async def serve_processes(
    function: Callable[..., Awaitable[object]],
    *addresses: tuple[str, int] | std.socket,
    args: tuple[Any, ...] = (),
    workers: int | None = None,
    backlog: int = DEFAULT_BACKLOG,
    drain_timeout: float = 30.0,
    wait_ready: bool = False,
    signals: bool = True,
    task_status: trio.TaskStatus[ProcessServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on several cores: run ``function`` in worker processes that share listening sockets.

    Each worker is a fresh Python with a Trio run of its own, in which it does::

        await function(worker, *args)        # worker: a wsock.Worker; worker.listener is a Socket

    A worker that ends without having been asked to is started again, at once or, if it never lives
    long, after pauses that double from 0.1 s to 30 s. SIGTERM or SIGINT stops: the workers
    accept who waits already, serve their clients to their end, and end; who comes later is refused
    (but see ``addresses``); a second one kills. SIGHUP replaces the workers one by one by fresh
    ones, which have read the program's files anew; no client is refused, since this process holds
    the listening sockets throughout.

    Args:
      function: an async function at the top level of a module (it is looked up by its name in each
        worker, so a program must start itself under ``if __name__ == "__main__":``).
      addresses: ``(host, port)`` with a numeric host, or listening sockets of the standard library,
        which stay the caller's to close. These are never shut, since others may go on with them:
        who comes after a stop waits in their queue. The same holds for all where there is no Linux.
      args: further arguments; they are pickled.
      workers: how many; by default as many as there are CPUs for this process.
      backlog: of the sockets made here; the kernel may cut it (net.core.somaxconn).
      drain_timeout: seconds that a worker may go on serving its clients after it was asked to
        leave; then ``function`` is cancelled (and killed, should it hang).
      wait_ready: ``function`` calls ``worker.ready()`` itself; a reload waits for that (60 s at
        most) before the old worker leaves.
      signals: act on SIGTERM, SIGINT and SIGHUP (main thread only). Without: ``ProcessServer``.

    Returns when all workers have left after a stop. With ``nursery.start`` it gives a
    ``ProcessServer`` once the workers were started. Always a checkpoint; cancelled, it kills the
    workers and waits for their end.

    Raises:
      ValueError: no address, or less than one worker. TypeError: ``function`` or ``args`` cannot be
      sent to another process. WSAEFAULT: an address is none, or its port. WSAEADDRINUSE ...: an
      address cannot be had. RuntimeError: no SIGTERM that a process could catch (Windows).
    """
    if sys.platform == "win32":
        raise RuntimeError("serve_processes: a worker is asked to leave by SIGTERM; not on Windows")
    if not addresses:
        raise ValueError("serve_processes: expected at least one address to listen on")
    count = cpu_count() if workers is None else workers
    if count < 1:
        raise ValueError(f"serve_processes: workers={workers!r}: expected 1 or more")
    job = Job(_importable(function), args, wait_ready, drain_timeout)
    with ExitStack() as stack:
        sockets = [_listening(address, backlog, stack) for address in addresses]
        own = [index for index, sock in enumerate(sockets) if sock is not addresses[index]]
        server = ProcessServer(job, sockets, own, count)
        async with trio.open_nursery() as nursery:
            if signals:
                await nursery.start(_obey_signals, server)
            await server.run(task_status)
            nursery.cancel_scope.cancel()


def _importable(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """Return ``function`` if another process can find it by its name."""
    reason = ""
    try:
        ForkingPickler.dumps(function)
    except Exception as error:
        reason = str(error)
    else:
        main = sys.modules["__main__"]
        name = main.__spec__.name if main.__spec__ else ""
        if function.__module__ == "__main__" and name.endswith("__main__"):
            reason = f"multiprocessing does not import {name}: put it into a module beside that"
    if reason:
        raise TypeError(
            f"serve_processes: {function!r}: expected an async function at the top level of a "
            f"module, which each worker can import; {reason}"
        )
    return function


def cpu_count() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _listening(address: tuple[str, int] | std.socket, backlog: int, stack: ExitStack) -> std.socket:
    """Return a listening socket; one that is made here is closed with ``stack``."""
    if isinstance(address, std.socket):
        if not address.getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN):
            raise ValueError(f"serve_processes: {address!r}: expected a socket that listens")
        return address
    match address:
        case (str(host), int(port)) if 0 <= port < 1 << 16:
            family = std.AF_INET6 if ":" in host else std.AF_INET
        case _:
            expected = f"{address!r}: expected (host, port), the port an int from 0 to 65535"
            raise errors.WSAEFAULT("serve_processes", "", expected)
    try:
        sock = std.create_server(address, family=family, backlog=backlog)
    except OSError as error:
        # create_server makes an OSError of every failure; in its context is the resolver's.
        unknown_name = isinstance(error.__context__, std.gaierror)
        code_of = errors.code_from_gaierror if unknown_name else errors.code_from_errno
        code = code_of(error.errno or 0)
        failure = errors.error_class(code)
        raise failure("serve_processes", "", f"{host}:{port}") from None
    sock.setblocking(False)
    return stack.enter_context(sock)


async def _obey_signals(
    server: ProcessServer, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                server.reload()
            else:
                server.stop()
