# Running: a program under the monitor, as ``python`` would run it.
#
#   cli       options, exit codes
# > running   a script or a module -> exit code     THIS FILE
#
# Rule: the program cannot tell: its arguments, its module path, its exit code and its traceback are
#       those that it has without the monitor.
"""Runs a script or a module in this process."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["run_program"]


def run_program(program: str, arguments: tuple[str, ...], *, module: bool) -> int:
    """Run the program as ``python`` would; return its exit code."""
    sys.argv = [program, *arguments]
    sys.path.insert(0, "" if module else str(Path(program).resolve().parent))
    try:
        if module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the program's own: shown as Python shows it; the trace is saved
        frames = _own_frames(error.__traceback__)
        if frames is None and isinstance(error, ImportError):  # no such module: no program began
            print(f"{sys.executable}: {error}", file=sys.stderr)
            return 1
        frames = frames or error.__traceback__
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        return 1
    return 0


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames that ``python program.py`` has not, or None."""
    rest = traceback
    while rest is not None and rest.tb_frame.f_globals.get("__name__") in (__name__, "runpy"):
        rest = rest.tb_next
    return rest
