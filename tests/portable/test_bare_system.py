"""wsock where there is no epoll, no fork, no fcntl, no AF_UNIX, no SIGHUP: as on Windows."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.portable.bare_system import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_what_posix_has(program: str) -> None:
    """Every module imports, and real programs run, with the names of POSIX taken away."""
    environment = {name: text for name, text in os.environ.items() if name != "WSOCK_ENGINE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.portable.bare_system", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"done {program}\n")
