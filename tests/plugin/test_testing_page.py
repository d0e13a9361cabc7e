"""docs/testing.md keeps its word: its listings run, and fail and print as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
LISTINGS = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))
FAILING = "test_long_names.py"


@pytest.fixture
def page(pytester: pytest.Pytester) -> pytest.Pytester:
    """The files of the page, side by side."""
    for name, text in LISTINGS.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    return pytester


def test_every_listing_is_a_test_file() -> None:
    """Nothing on the page escapes these tests."""
    assert len(LISTINGS) == PAGE.count("```python") > 5
    assert all("def test_" in text for text in LISTINGS.values())


def test_the_listings_pass(page: pytest.Pytester) -> None:
    """As a reader would run them, warnings as errors; apart, for our own files have such names."""
    result = page.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", f"--ignore={FAILING}"
    )
    count = sum(text.count("def test_") for name, text in LISTINGS.items() if name != FAILING)
    assert result.parseoutcomes() == {"passed": count}


def test_the_bug_is_found_and_shown(page: pytest.Pytester) -> None:
    """The failing listing fails by its last line, and the report is the one on the page."""
    result = page.runpytest_subprocess("-p", "no:cacheprovider", FAILING)
    assert result.parseoutcomes() == {"failed": 1}
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    seen = [line.rstrip() for line in result.stdout.lines]
    for line in shown.splitlines():
        start, dots, _ = line.partition("...")
        assert any(one.startswith(start) if dots else one == line for one in seen), line


def test_the_options_of_the_page_exist(page: pytest.Pytester) -> None:
    """``--help`` knows them."""
    text = page.runpytest_inprocess("--help").stdout.str()
    options = set(re.findall(r"--wsock-[a-z]+", PAGE))
    assert {"--wsock-seed", "--wsock-artifacts"} == options
    assert all(option in text for option in options)
