"""A program gives the same results with the monitor and without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
BEHAVIOUR = ("notification", "socket", "async_socket")


def test_the_behaviour_tests_pass_under_the_monitor() -> None:
    """S0-1: every rule of notifications and calls holds while watched, and rows are written."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "under_the_monitor", "-p", "no:cacheprovider"]
        + [str(TESTS / name) for name in BEHAVIOUR],
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": str(TESTS / "tdimon")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # of a run that takes ten seconds: a hang is a failure too
    )
    assert finished.returncode == 0, finished.stdout[-4000:]
    watched = re.search(r"watched: (\d+) tests, (\d+) records", finished.stdout)
    assert watched is not None
    assert int(watched[1]) > 100
    assert int(watched[2]) > 1000
