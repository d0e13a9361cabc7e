# Pages of documentation, as tests read them: listings with their output, commands, links, tables.
#
# One place knows how a listing is cut out and run, so a page costs its test a line. A listing is a
# ```python block; a ```text block right behind it is what it prints, character by character.
"""The README and the pages of docs/, to be run and compared."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_LISTING = re.compile(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"\[`(test_\w+)`\]\((?:\.\./)?(tests/[\w/]+\.py)\)")


class Listing(NamedTuple):
    """A program of a page."""

    number: int  # from 1
    program: str
    output: str  # "" where the page shows none


class Page:
    """One page, by its path below the root: ``Page("docs/rules.md")``."""

    def __init__(self, path: str | Path) -> None:
        self.path = ROOT / path
        self.name = self.path.relative_to(ROOT).as_posix()
        self.text = self.path.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def listings(self) -> list[Listing]:
        """Its Python programs, in order."""
        found = _LISTING.findall(self.text)
        return [Listing(number, *both) for number, both in enumerate(found, 1)]

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Language and text of every fenced block."""
        return _BLOCK.findall(self.text)

    @cached_property
    def commands(self) -> list[str]:
        """What a reader types into a shell, without the comments behind it."""
        lines = [
            line for kind, text in self.blocks if kind == "console" for line in text.splitlines()
        ]
        return [re.sub(r"  +#.*", "", line[2:]).rstrip() for line in lines if line.startswith("$ ")]

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _BLOCK.sub("", self.text)

    @cached_property
    def links(self) -> list[str]:
        """Where its links and pictures point to."""
        return [link or picture for link, picture in _LINK.findall(self.prose)]

    def target(self, link: str) -> str:
        """Where a link leads, below the root; an address of the web as it is."""
        if re.match(r"https?:|mailto:", link):
            return link
        path = (self.path.parent / link.partition("#")[0]).resolve()
        return path.relative_to(ROOT).as_posix()

    @cached_property
    def anchors(self) -> set[str]:
        """The names by which links find its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        plain = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower() for heading in headings)
        return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the table whose first line begins so, without its two head lines."""
        start = self.text.index(f"| {heading} |")
        return self.cells(self.text[start:].split("\n\n")[0].splitlines()[2:])

    @staticmethod
    def cells(lines: Iterable[str]) -> list[list[str]]:
        """The cells of a table's lines."""
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]

    @cached_property
    def tests(self) -> list[tuple[str, str]]:
        """The tests that it links to: name, and path below the root."""
        return _TEST.findall(self.text)

    def run(self, listing: Listing, names: dict[str, Any]) -> None:
        """Run a listing with these names, as a reader would type it."""
        where = f"{self.name}, listing {listing.number}"
        exec(compile(listing.program, where, "exec"), names)


def every_page() -> list[Page]:
    """Every Markdown file of the repository: README, docs, and those of examples and tests."""
    folders = ("docs", "examples", "tests")
    inside = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return [Page(path) for path in [*sorted(ROOT.glob("*.md")), *sorted(inside)]]


@cache
def docstrings_of_tests(path: str) -> dict[str, str]:
    """The test functions of a file, by its path below the root, with their docstrings."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (
        one for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return {
        one.name: ast.get_docstring(one) or "" for one in functions if one.name.startswith("test_")
    }


def without_comments(program: str) -> list[str]:
    """The tokens of a program: two are the same program if these are equal."""
    tokens = tokenize.generate_tokens(io.StringIO(program).readline)
    unseen = {tokenize.COMMENT, tokenize.NL}
    return [token.string for token in tokens if token.type not in unseen]
