# The wsock command. All of it needs the extra "cli"; without it, one line says how to get it.
"""``python -m wsock`` and the ``wsock`` command."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits with its code, 1 when the extra is not installed."""
    for stream in (sys.stdout, sys.stderr):
        # A console of another code page shows "?" for what it lacks, and never a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if any(importlib.util.find_spec(name) is None for name in ("click", "rich")):
        print('The wsock command needs two more packages: pip install "wsock[cli]"')
        sys.exit(1)
    from wsock._cli import cli

    try:
        cli(prog_name="wsock")
    except OSError as error:  # what nobody below has expected: standard output is full
        if error.errno != errno.ENOSPC:
            raise
        _give_up(error)
    finally:
        try:
            sys.stdout.flush()
        except ValueError:
            pass  # a program under the monitor has closed it
        except OSError as error:
            _give_up(error)


def _give_up(error: OSError) -> NoReturn:
    """Say that what was printed is lost, unless its reader went away; exit code 1."""
    if not isinstance(error, BrokenPipeError):
        print(f"Error: cannot write: {error}", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):  # or the interpreter tries again, and complains
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


if __name__ == "__main__":
    main()
