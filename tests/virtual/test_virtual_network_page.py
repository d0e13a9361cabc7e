"""The page on the virtual network keeps its word: its listings run, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsock.virtual.faults import Faults
from wsock.virtual.node import HostCore

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "virtual-network.md").read_text(encoding="utf-8")


def test_the_listings_run_and_print_what_the_page_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One after the other, in one namespace, as a reader would type them."""
    names: dict[str, Any] = {}
    for listing in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(listing, "virtual-network.md", "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert capsys.readouterr().out == shown


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
