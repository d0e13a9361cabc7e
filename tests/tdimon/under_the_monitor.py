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
#: Of the scenarios, which all go the same ways, so many are left out for one that runs.
THINNED = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep every fifth of the scenarios, whatever its engine."""
    scenarios = [item for item in items if item.name.startswith("test_scenario[")]
    kept = set(scenarios[:: THINNED + 1])
    items[:] = [item for item in items if item not in scenarios or item in kept]


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
