"""What docs/porting.md says of its listings and of names (tests/documentation runs them)."""

from __future__ import annotations

import re

from tests.pages import Page

PAGE = Page("docs/porting.md")


def test_the_page_has_listings_with_output() -> None:
    """All of them say what they print."""
    assert len(PAGE.listings) >= 6
    assert all(listing.output for listing in PAGE.listings)


def test_what_the_page_says_of_hidden_names() -> None:
    """Each name it lists is exported, and no builtin is."""
    import builtins

    from wsock import win32

    paragraph = PAGE.text.split("## What `import *` hides")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", paragraph.split("after the star")[0]))
    assert named <= set(win32.__all__)
    assert not set(win32.__all__) & set(dir(builtins))
