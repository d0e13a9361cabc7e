"""Every listing of docs/porting.md runs, and prints what the page shows below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "porting.md"
LISTING = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
LISTINGS = LISTING.findall(PAGE.read_text())


@pytest.mark.parametrize("number", range(len(LISTINGS)))
def test_listing(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As a program of its own."""
    program, shown = LISTINGS[number]
    exec(compile(program, f"{PAGE.name}, listing {number + 1}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown


def test_the_page_has_listings_with_output() -> None:
    """All of them say what they print."""
    assert len(LISTINGS) >= 6
    assert all(shown for _, shown in LISTINGS)


def test_what_the_page_says_of_hidden_names() -> None:
    """Each name it lists is exported, and no builtin is."""
    import builtins

    from wsock import win32

    paragraph = PAGE.read_text().split("## What `import *` hides")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", paragraph.split("after the star")[0]))
    assert named <= set(win32.__all__)
    assert not set(win32.__all__) & set(dir(builtins))
