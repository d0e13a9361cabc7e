"""docs/facts.md: every fact of the list has its row, and every row tests that really show it."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.pages import ROOT, Page, docstrings_of_tests

PAGE = Page("docs/facts.md")
NUMBERS = {"S0": 45, "S1": 61, "S2": 12, "S3": 18, "S4": 16}
ROW = re.compile(r"^\| (S\d-\d+) \| (.*) \| ([^|]*) \|$", re.MULTILINE)
SHOWN_BY = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")
NUMBER = re.compile(r"S([0-4])-(\d+)(?: to (?:S\1-)?(\d+))?((?:, \d+)*)")


class Fact(NamedTuple):
    number: str
    statement: str
    tests: list[tuple[str, str]]  # name, path


FACTS = [Fact(*row[:2], SHOWN_BY.findall(row[2])) for row in ROW.findall(PAGE.text)]


def named_in(text: str) -> set[str]:
    """The numbers that a docstring names: ``S1-4``, ``S0-3 to S0-39``, ``S1-56, 57``."""
    found = set()
    for part, first, last, more in NUMBER.findall(text):
        numbers = [*range(int(first), int(last or first) + 1), *map(int, re.findall(r"\d+", more))]
        found |= {f"S{part}-{number}" for number in numbers}
    return found


def test_the_list_is_whole() -> None:
    """Every number from S0-1 to S4-16 has one row, in order, and it says what the list says."""
    wanted = [f"{part}-{n}" for part, last in NUMBERS.items() for n in range(1, last + 1)]
    assert [fact.number for fact in FACTS] == wanted
    with (ROOT / "tests" / "facts" / "facts.tsv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [list(fact[:2]) for fact in FACTS] == listed[1:]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.number)
def test_a_fact_has_tests_that_name_it(fact: Fact) -> None:
    """At least one; each is in the file that the row says, and its docstring has the number."""
    assert fact.tests
    for name, path in fact.tests:
        found = docstrings_of_tests(path)
        assert name in found, f"{path} has no {name}"
        assert fact.number in named_in(found[name]), f"{name} does not name {fact.number}"


def test_the_tests_are_collected() -> None:
    """pytest finds each of them: none is hidden by a mark, a name or a second definition."""
    wanted = {f"{path}::{name}" for fact in FACTS for name, path in fact.tests}
    pytest_only_looks = ["pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    listing = subprocess.run(
        [sys.executable, "-m", *pytest_only_looks, *sorted(wanted)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert listing.returncode == 0, listing.stdout[-2000:] + listing.stderr[-2000:]
    collected = {line.partition("[")[0] for line in listing.stdout.splitlines() if "::" in line}
    assert collected == wanted


def test_no_test_names_a_fact_that_is_none() -> None:
    """A slip of the pen in a docstring would be a promise that nobody made."""
    known = {fact.number for fact in FACTS}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name, text in docstrings_of_tests(path.relative_to(ROOT).as_posix()).items():
            assert named_in(text) <= known, f"{path}::{name}"


def test_what_the_sources_have_wrong_is_put_right() -> None:
    """Where the sources slip, the row has the right reading, and never the wrong one alone."""
    rows = {fact.number: fact.statement for fact in FACTS}
    for number, right in {
        "S1-13": "0 to 1023",
        "S1-44": "HDLC",
        "S1-47": "the presentation layer makes data independent of the machine",
        "S1-52": "The version field says 4 or 6",
        "S1-53": "words of four bytes",
        "S1-58": "in units of 8 bytes",
        "S1-59": "every router takes one, at 0 it is dropped",
        "S1-61": "0 to 255",
    }.items():
        assert right in rows[number]
