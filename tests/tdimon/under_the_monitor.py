"""A pytest plugin that runs every test inside ``tdimon.watch()``.

``PYTHONPATH=tests/tdimon python -m pytest -p under_the_monitor tests/notification``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock import tdimon

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTS = {"tests": 0, "records": 0}


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    """Watch everything while the test runs, and read it in every profile afterwards."""
    with tdimon.watch() as trace:
        yield
    COUNTS["tests"] += 1
    COUNTS["records"] += len(trace)
    for profile in tdimon.PROFILES:
        trace.rows(profile=profile)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell that the tests were watched indeed."""
    terminalreporter.write_line("watched: {tests} tests, {records} records".format(**COUNTS))
