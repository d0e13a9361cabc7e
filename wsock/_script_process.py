# What a script would have alone in a process of its own, while several share one.
#
#   _script_hosts      which script runs on which host
# > _script_process    THIS FILE: argv, __main__, sys.path, and trio.run for each
#
# How it works (ruling B11): a script's ``trio.run(main)`` cannot start a second run inside the one
# that is there, and a second thread would have a second clock. So while scripts run, ``trio.run``
# and ``win32.run`` await in the run that is there: each script is in a greenback portal.
#
# Rule 1: a script sees its own sys.argv, sys.path and __main__ whenever one of its tasks runs; they
#         are exchanged when the scheduler goes over to another script. Modules are shared: there is
#         one interpreter.
# Rule 2: all of it is put back at the end.
"""A process of its own for each of several scripts, as far as scripts can tell."""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import runpy
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import greenback
import trio

from wsock import win32

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from types import ModuleType

__all__ = ["Process", "several_processes", "trio_run"]

#: Kept from before it is replaced: what starts the run that all scripts share.
trio_run: Final = trio.run


class Process:
    """One script: what it is, and what it would have of its own.

    Args:
      words: path and arguments; with ``module`` a module's name and arguments.
      module: run it as ``python -m`` does.

    Raises:
      ValueError: there is no such file.
    """

    def __init__(self, words: Sequence[str], *, module: bool = False) -> None:
        if not words or not (module or Path(words[0]).is_file()):
            raise ValueError(f"there is no script {' '.join(words)!r}")
        self.words = list(words)
        self.module = module
        folder = "" if module else str(Path(words[0]).resolve().parent)
        self.argv = list(words)
        self.path = [folder, *sys.path]
        self.main: ModuleType | None = sys.modules.get("__main__")
        self.code = 0
        self.ended = False

    @property
    def name(self) -> str:
        """What the script is called: its file's or its module's last name."""
        return self.words[0].rpartition(".")[2] if self.module else Path(self.words[0]).stem

    async def run(self) -> BaseException | None:
        """Run it to its end; ``code`` is then its exit code. What it failed of, if it did.

        Raises:
          trio.Cancelled: it was stopped.
          KeyboardInterrupt: Ctrl-C met it.
        """
        await greenback.ensure_portal()
        token = _current.set(self)
        _exchange(self)
        try:
            self._interpret()
        except (trio.Cancelled, KeyboardInterrupt):
            raise
        except SystemExit as leaving:
            self._leave(leaving.code)
        except BaseExceptionGroup as group:
            return self._failed(_without_cancellations(group))
        except Exception as error:
            return self._failed(error)
        finally:
            self.ended = True
            _current.reset(token)
        return None

    # Trio looks for this mark on the way down the stack, which ends where the portal begins.
    @trio.lowlevel.disable_ki_protection
    def _interpret(self) -> None:
        if self.module:
            runpy.run_module(self.words[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(self.words[0], run_name="__main__")

    def _leave(self, code: object) -> None:
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
        self.code = code if isinstance(code, int) else int(code is not None)

    def _failed(self, error: BaseException) -> BaseException:
        """Show an exception as Python shows one that nobody caught."""
        sys.excepthook(type(error), error, error.__traceback__)
        self.code = 1
        return error

    def __repr__(self) -> str:
        return f"<Process {' '.join(self.words)}>"


def _without_cancellations(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what a script failed of.

    Raises:
      KeyboardInterrupt: that is in it.
      BaseExceptionGroup: nothing else than cancellations, which belong to who cancelled.
    """
    rest = group.split(trio.Cancelled)[1]
    if rest is None:
        raise group
    if rest.subgroup(KeyboardInterrupt) is not None:
        raise KeyboardInterrupt from group
    return rest


_current: Final[contextvars.ContextVar[Process | None]] = contextvars.ContextVar(
    "wsock_script", default=None
)
_shown: list[Process] = []  # whose sys.argv, sys.path and __main__ are in place; at most one


def _exchange(process: Process) -> None:
    """Put a script's own names into ``sys``, and keep those that were there."""
    if _shown and _shown[0] is process:
        return
    if _shown:
        before = _shown.pop()
        before.argv, before.path = sys.argv, sys.path
        before.main = sys.modules.get("__main__")
    _shown.append(process)
    sys.argv, sys.path = process.argv, process.path
    if process.main is not None:
        sys.modules["__main__"] = process.main


class _Exchange(trio.abc.Instrument):
    """Does that before each step of a task of a script."""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        process = task.context.get(_current)
        if process is not None:
            _exchange(process)


@contextlib.contextmanager
def several_processes() -> Iterator[trio.abc.Instrument]:
    """While this lasts scripts can run; gives the instrument that their run needs."""
    main = sys.modules.get("__main__")
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(trio, "run", _run))
        stack.enter_context(mock.patch.object(win32, "run", _win32_run))
        stack.enter_context(mock.patch.object(sys, "argv", sys.argv))
        stack.enter_context(mock.patch.object(sys, "path", sys.path))
        for module, name, instead in (
            (time, "sleep", "await trio.sleep(seconds), in the C face Sleep(milliseconds),"),
            (builtins, "input", "await trio.to_thread.run_sync(input)"),
        ):
            stack.enter_context(mock.patch.object(module, name, _warning(module, name, instead)))
        try:
            yield _Exchange()
        finally:
            _shown.clear()
            if main is not None:
                sys.modules["__main__"] = main


def _run(fn: Callable[..., Awaitable[Any]], *args: object, **_: object) -> Any:  # noqa: ANN401
    """Stand in for ``trio.run``: await in this run; its clock and instruments hold."""
    return greenback.await_(fn(*args))


def _win32_run(main: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401
    """Stand in for ``win32.run``."""
    return greenback.await_(win32.start(main, *args))


def _warning(module: object, name: str, instead: str) -> Callable[..., Any]:
    original = getattr(module, name)

    def warning_first(*args: object, **kwargs: object) -> Any:  # noqa: ANN401
        if trio.lowlevel.in_trio_task() and _current.get() is not None:
            warnings.warn(
                f"{name}() stops every script, and the network with them; {instead} stops only "
                "the one that calls it",
                RuntimeWarning,
                stacklevel=2,
            )
        return original(*args, **kwargs)

    return warning_first
