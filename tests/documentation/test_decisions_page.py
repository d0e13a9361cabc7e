"""docs/decisions.md: every decision says all five things, and a test holds it."""

from __future__ import annotations

import re

import pytest

from tests.pages import Page

PAGE = Page("docs/decisions.md")
DECISIONS = re.findall(r"^### (.*)\n\n((?:.+\n?)+)", PAGE.text, re.MULTILINE)
PARTS = ["Question.", "Choice.", "Why.", "What would change it.", "Held by"]


@pytest.mark.parametrize(("title", "text"), DECISIONS, ids=[title for title, _ in DECISIONS])
def test_a_decision_is_complete(title: str, text: str) -> None:
    """In this order, none of them empty."""
    assert re.findall(r"^- \*\*([^*]+)\*\*", text, re.MULTILINE) == PARTS, title
    parts = re.split(r"^- \*\*[^*]+\*\* ?", text, flags=re.MULTILINE)[1:]
    assert all(len(part.split()) > 2 for part in parts[:4])
    assert "](../tests/" in parts[4]


def test_there_are_enough_of_them() -> None:
    """A page whose headings changed would go unnoticed otherwise."""
    assert len(DECISIONS) > 35
