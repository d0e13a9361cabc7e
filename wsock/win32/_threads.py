# Threads: which task a C call runs in, and how it waits.
#
#   ws2_32, user32, kernel32   the calls
# > threads                    THIS FILE: a thread is a Trio task behind a greenback portal
#   _socket, _window, _event   what they call
#
# A ported program is plain functions. Its main, and every function given to CreateThread, runs in
# a Trio task of its own; a call that blocks in C awaits through the task's portal, so only that
# task is suspended. What Windows keeps per thread (last error, message queue) lies on Thread,
# what it keeps per process (handles, WSAStartup's count, window classes) on Process: one for each
# Trio run. All programs that start() runs in one Trio run share it.
#
# Rule 1: Process and Thread are found through a context variable, 0.03 us a call. A task that a
#         program starts by itself, through Trio, is no thread: calls there raise RuntimeError.
# Rule 2: a call that succeeds at once awaits nothing, except every 256th in a row, so that a loop
#         that always finds work leaves the other threads alive. An answer of "not now" passes the
#         scheduler every time. (One checkpoint through a portal costs 5.8 us, a call 1 us.)
# Rule 3: no system tasks. Threads live in the nursery of the start() that they belong to, and an
#         exception in one leaves through it, as an unhandled exception ends a process.
#
# Sources: learn.microsoft.com on CreateThread, ExitThread, GetLastError.

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import trio

try:
    import greenback
except ImportError as missing:  # pragma: no cover
    raise ImportError(
        "wsock.win32 suspends plain functions with greenback: pip install 'wsock[win32]'"
    ) from missing

from wsock import _handles
from wsock._event import Event
from wsock.win32 import _blocking_calls
from wsock.win32.constants import FALSE, STILL_ACTIVE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock._socket import Socket
    from wsock.win32._queues import ThreadQueue, Window

_T = TypeVar("_T")

CALLS_IN_A_ROW: Final = 256
"""So many calls may succeed at once before one passes the scheduler."""


class ThreadExit(BaseException):
    """ExitThread was called: unwinds to the thread's first function."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Process:
    """What all threads of a Trio run share."""

    __slots__ = (
        "__weakref__",
        "atoms",
        "classes",
        "handles",
        "objects",
        "programs",
        "sockets",
        "startups",
        "threads",
        "windows",
    )

    def __init__(self) -> None:
        self.programs = 0
        self.startups = 0
        # Strong references: a handle keeps its object alive until it is closed.
        self.sockets: dict[int, Socket] = {}
        self.handles: dict[Socket, int] = {}  # the way back, for messages
        self.objects: dict[int, object] = {}
        self.windows: dict[int, Window] = {}
        self.threads: dict[int, Thread] = {}
        self.classes: dict[str, Callable[[int, int, int, int], int]] = {}
        self.atoms: dict[str, int] = {}

    def add_object(self, thing: object) -> int:
        """A handle that keeps ``thing`` alive until CloseHandle."""
        handle = _handles.handle_of(thing)
        self.objects[handle] = thing
        return handle

    def close_sockets(self) -> None:
        """Close every socket that has a handle here."""
        while self.sockets:
            _, sock = self.sockets.popitem()
            sock.close()
        self.handles.clear()

    def end(self) -> None:
        """The last program has ended: give everything back, as Windows does with a process."""
        self.startups = 0
        self.close_sockets()
        while self.objects:
            _, thing = self.objects.popitem()
            close = getattr(thing, "close", None)
            if close is not None:
                close()


class Program:
    """One start(): its nursery, and the failure that ends it."""

    __slots__ = ("failures", "nursery")

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.failures: list[BaseException] = []


class Thread:
    """One task of a program, as the C calls see it."""

    __slots__ = (
        "__weakref__",
        "calls_left",
        "done",
        "exit_code",
        "identifier",
        "last_error",
        "process",
        "program",
        "queue",
        "started",
        "work",
    )

    def __init__(
        self, process: Process, program: Program, work: Callable[..., Any], *args: object
    ) -> None:
        self.process = process
        self.program = program
        self.work = (work, args)
        self.last_error = 0
        self.calls_left = CALLS_IN_A_ROW
        self.queue: ThreadQueue | None = None
        self.done = Event(manual_reset=True)
        self.started = False
        self.exit_code = STILL_ACTIVE
        self.identifier = _handles.handle_of(self)

    def __repr__(self) -> str:
        state = "running" if self.exit_code == STILL_ACTIVE else f"ended with {self.exit_code}"
        return f"<Thread {self.identifier:#x} {state}>"

    def start(self) -> None:
        """Ask for the thread; like CreateThread this does not run it yet."""
        if not self.started:
            self.started = True
            self.program.nursery.start_soon(self._body, name=self)

    async def _body(self) -> None:
        try:
            await self.run()
        except trio.Cancelled:
            raise
        except BaseException as failure:
            self.program.failures.append(failure)
            self.program.nursery.cancel_scope.cancel()

    async def run(self) -> Any:
        """Run the thread's function in this task until it returns or exits; its result."""
        work, args = self.work
        token = _current.set(self)
        self.process.threads[self.identifier] = self
        try:
            result = await greenback.with_portal_run_sync(work, *args)
        except ThreadExit as leaving:
            result = leaving.code
        finally:
            del self.process.threads[self.identifier]
            if self.queue is not None:
                self.queue.close()
            _current.reset(token)
        # Not after a failure: that ends the program, and nobody may go on as if all were well.
        self.exit_code = _exit_code(result)
        self.done.set()
        return result


_current: Final[ContextVar[Thread]] = ContextVar("wsock.win32 thread")
_process: Final[trio.lowlevel.RunVar[Process]] = trio.lowlevel.RunVar("wsock.win32 process")


def _exit_code(result: object) -> int:
    """A thread's exit code: an int as DWORD, anything else (None) as 0."""
    return result & 0xFFFFFFFF if isinstance(result, int) else 0


def current() -> Thread:
    """The thread that is calling.

    Raises:
      RuntimeError: called outside win32.run and win32.start.
    """
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError(
            "the calls of wsock.win32 work inside win32.run(main), or inside "
            "`await win32.start(main)` of a Trio program; this is neither"
        ) from None


def in_program() -> bool:
    """Whether the caller runs in a thread of a program, not in some worker that copied its context.

    Trio's worker threads get a copy of the context, hence the second question.
    """
    return _current.get(None) is not None and trio.lowlevel.in_trio_task()


get_thread: Final = _current.get
"""``current`` without the explanation, for the calls that are made per message."""


# ------------------------------------------------------------------------------------- programs


def run(main: Callable[..., _T], *args: object) -> _T:
    """Run a ported program: ``win32.run(main)`` where C has ``int main()``.

    ``main`` is a plain function. Its blocking calls suspend only it; the threads it makes with
    CreateThread go on. When main ends all of them end, as a process does.

    Returns:
      what ``main`` returns; ExitThread's code if main left by that.

    Raises:
      RuntimeError: a Trio program is already running here: use ``await win32.start(main)``.
      what ``main`` or a thread raises; with several at once an ExceptionGroup of them.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "Trio is running already. Inside a Trio program: await win32.start(main, ...)"
        )
    return trio.run(start, main, *args)


def _current_process() -> Process:
    try:
        return _process.get()
    except LookupError:
        process = Process()
        _process.set(process)
        return process


async def start(main: Callable[..., _T], *args: object) -> _T:
    """Run a ported program inside a running Trio program; otherwise as :func:`run`.

    Always a checkpoint. Cancelling it ends main and all its threads where they wait.
    """
    process = _current_process()
    process.programs += 1
    try:
        with _blocking_calls.warned_of(in_program):
            return await _run_program(process, main, *args)
    finally:
        process.programs -= 1
        if not process.programs:
            process.end()


async def _run_program(process: Process, main: Callable[..., _T], *args: object) -> _T:
    result: list[_T] = []
    async with trio.open_nursery() as nursery:
        program = Program(nursery)
        thread = Thread(process, program, main, *args)
        thread.started = True
        try:
            result.append(await thread.run())
        except trio.Cancelled:
            if not program.failures:
                raise
        except BaseException as failure:
            program.failures.append(failure)
        nursery.cancel_scope.cancel()
    if program.failures:
        _raise(program.failures)
    return result[0]


def _raise(failures: list[BaseException]) -> NoReturn:
    if len(failures) == 1:
        raise failures[0]
    raise BaseExceptionGroup("several threads of the program failed", failures)


# -------------------------------------------------------------------------------------- waiting


def wait(function: Callable[..., Awaitable[_T]], *args: object) -> _T:
    """Suspend the calling thread until ``await function(*args)`` is done; its result."""
    get_thread().calls_left = CALLS_IN_A_ROW
    result: _T = greenback.await_(function(*args))
    return result


def pass_scheduler() -> None:
    """Let every other task run once: what an answer of "not now" owes to the others."""
    wait(trio.lowlevel.checkpoint)


def succeeded(thread: Thread) -> None:
    """Count a call that succeeded at once; the last of a long row passes the scheduler."""
    thread.calls_left -= 1
    if not thread.calls_left:
        pass_scheduler()


def failed(code: int) -> int:
    """Set the last error and answer FALSE: how a call of the system fails."""
    current().last_error = code
    return FALSE
