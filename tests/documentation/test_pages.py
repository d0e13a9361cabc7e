"""Every page keeps its word: listings run and print what is shown, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from tests.pages import DOCS, ROOT, Page, docstrings_of_tests, every_page
from wsock._cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pages import Listing

PAGES = every_page()
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=str)

#: How the listings of a page are run: each as a program of its own, or all in one session. A page
#: that stands in neither has a test file of its own, which names it.
PROGRAMS = {"docs/mfc.md", "docs/porting.md", "docs/rules.md", "docs/tdimon.md"}
SESSIONS = {
    "docs/fd-write.md",
    "docs/models.md",
    "docs/network-model.md",
    "docs/virtual-network.md",
}


def listings_of(names: set[str]) -> list[Any]:
    return [
        pytest.param(page, listing, id=f"{page} {listing.number}")
        for page in PAGES
        if page.name in names
        for listing in page.listings
    ]


@pytest.mark.parametrize(("page", "listing"), listings_of(PROGRAMS))
def test_a_program_prints_what_the_page_shows(
    page: Page,
    listing: Listing,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In an empty folder; where the page shows no output, any is fine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page.run(listing, {"__name__": "__main__"})
    printed = capsys.readouterr().out
    if listing.output:
        assert printed == listing.output


@pytest.mark.parametrize("name", sorted(SESSIONS))
def test_a_session_prints_what_the_page_shows(
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One listing after the other, in one namespace; nothing is printed that is not shown."""
    page, names = Page(name), {"__name__": "__main__"}
    monkeypatch.chdir(tmp_path)
    for listing in page.listings:
        page.run(listing, names)
        assert capsys.readouterr().out == listing.output


@EACH_PAGE
def test_every_listing_is_run(page: Page) -> None:
    """By a test above, or by one that names the page."""
    if page.listings and page.name not in PROGRAMS | SESSIONS:
        tests = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
        assert any(page.path.name in text for text in tests), "no test runs its listings"


@EACH_PAGE
def test_links_lead_somewhere(page: Page) -> None:
    """To a file of the repository, and to a heading in it where one is named."""
    for link in page.links:
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor and target.suffix == ".md":
            assert anchor in Page(target).anchors, link


def test_every_page_can_be_found() -> None:
    """From the README, in as many steps as it takes."""
    found, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        found.add(page)
        linked = {(page.parent / link.partition("#")[0]).resolve() for link in Page(page).links}
        new |= {path for path in linked if path.suffix == ".md" and path.exists()} - found
    assert set(DOCS.glob("*.md")) <= found


@EACH_PAGE
def test_paths_that_are_named_exist(page: Page) -> None:
    """`wsock/tdimon/schema.py`, `tests/golden`: what stands as code is there."""
    for path in re.findall(r"`((?:wsock|examples|tests|benchmarks|docs)/[\w./-]+)`", page.text):
        assert (ROOT / path).exists(), path


@EACH_PAGE
def test_tests_that_are_linked_exist(page: Page) -> None:
    """Each in the file that the link leads to."""
    for name, path in page.tests:
        assert name in docstrings_of_tests(path), f"{path} has no {name}"


@EACH_PAGE
def test_commands_exist(page: Page) -> None:
    """Each `wsock ...` is a command with these options, each `python -m` a module of ours."""
    for line in page.commands:
        words = line.split()
        if words[0] == "wsock":
            check_command(words[1:], line)
        elif words[:2] == ["python", "-m"] and words[2].startswith(("examples", "wsock")):
            assert importlib.util.find_spec(words[2]) is not None, line
        elif words[0] == "make":
            goals = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert words[1] in goals, line


def check_command(words: list[str], line: str) -> None:
    """A chain of subcommands, then options that its help names."""
    command: click.Command = cli
    chain: list[str] = []
    while isinstance(command, click.Group) and words:
        inner = command.get_command(click.Context(command), words[0])
        if inner is None:
            inner = command.commands["run"]  # the default of some: wsock tdimon echo.py
            words = ["run", *words]
        command = inner
        chain.append(words[0])
        words = words[1:]
    helped = CliRunner().invoke(cli, [*chain, "--help"])
    assert helped.exit_code == 0, line
    for option in words:
        if option.startswith("-") and option != "-":
            assert option.partition("=")[0] in helped.output, line
        if option == "-m" or option.endswith(".py"):
            break  # what follows belongs to the program
