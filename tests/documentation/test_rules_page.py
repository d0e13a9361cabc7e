"""docs/rules.md: its table is the code's, and every rule has a source and a test."""

from __future__ import annotations

import pytest
from re_enabling import HEAD, SHOWN, table

from tests.pages import Page
from wsock import FD, NotificationState
from wsock.afd import RE_ENABLED_BY

PAGE = Page("docs/rules.md")
RULES = [
    row
    for section in PAGE.text.split("| rule | source | shown by |")[1:]
    for row in Page.cells(section.split("\n\n")[0].splitlines()[2:])
]


def test_the_table_is_that_of_the_code() -> None:
    """Event for event what ``sock.notifications()`` says too."""
    assert PAGE.text[PAGE.text.index(HEAD) :].split("\n\n")[0].splitlines() == table()
    assert {int(event) for event in SHOWN} == set(RE_ENABLED_BY)
    assert set(RE_ENABLED_BY) == {int(event) for event in FD if event <= FD.CLOSE}
    assert "re_enabled_by" in NotificationState._fields


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0][:40])
def test_a_rule_has_a_source_and_a_test(row: list[str]) -> None:
    """The source is one of the page's list; the tests are looked up by test_pages."""
    sources = {cells[0] for cells in PAGE.rows("short | page")}
    rule, source, shown_by = row
    assert rule.endswith(".")
    assert set(source.split(", ")) <= sources
    assert "](../tests/" in shown_by


def test_there_are_enough_rules() -> None:
    """A table that lost its head would go unnoticed otherwise."""
    assert len(RULES) > 40
