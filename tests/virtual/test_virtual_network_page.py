"""The page on the virtual network names what there is (tests/documentation runs its listings)."""

from __future__ import annotations

import re

from tests.pages import Page
from wsock.virtual.faults import Faults
from wsock.virtual.node import HostCore

PAGE = Page("docs/virtual-network.md").text


def test_every_verb_on_the_page_exists() -> None:
    """The table names nothing that is not there."""
    table = PAGE.partition("| verb |")[2].partition("\n\n")[0]
    verbs = {
        verb
        for row in table.splitlines()
        for verb in re.findall(r"`(?:host\.)?([a-z_]+)(?=[(`])", row.split(" | ")[0])
    }
    assert {"partition", "crash", "loss", "swizzle"} <= verbs
    for verb in verbs:
        assert hasattr(Faults, verb) or verb in vars(HostCore), verb
