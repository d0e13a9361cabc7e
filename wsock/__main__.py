# The wsock command. All of it needs the extra "cli"; without it, one line says how to get it.
"""``python -m wsock`` and the ``wsock`` command."""

from __future__ import annotations

import importlib.util
import sys

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

    cli(prog_name="wsock")


if __name__ == "__main__":
    main()
