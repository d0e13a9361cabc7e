"""docs/tdimon.md keeps its word: its program writes what it says, and what it names exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from click.testing import CliRunner

from tests.pages import Page
from wsock._cli import cli
from wsock.tdimon import PROFILES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = Page("docs/tdimon.md")
TEXT = PAGE.text


def test_the_program_watches_and_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table on the screen, a trace and a picture in the folder."""
    monkeypatch.chdir(tmp_path)
    (program,) = [one for one in PAGE.listings if "trace.table" in one.program]
    PAGE.run(program, {"__name__": "__main__"})
    assert "TDI_CONNECT" in capsys.readouterr().out
    assert {"run.jsonl", "run.svg"} <= {path.name for path in tmp_path.iterdir()}


def test_commands_exist() -> None:
    """Every command and option of the page is one."""
    lines = re.findall(r"^\$ wsock tdimon (.*?)(?:  +#.*)?$", TEXT, re.MULTILINE)
    assert len(lines) == 14
    for line in lines:
        command = re.match(r"(show|draw|stats|diff|fields|attach)\b", line)
        helped = CliRunner().invoke(cli, ["tdimon", command[1] if command else "run", "--help"])
        assert helped.exit_code == 0
        for option in re.findall(r"(?<= )--?[a-z]+", f" {line}"):
            assert option in helped.output, line


def test_profiles_are_named() -> None:
    """The table lists every profile."""
    assert re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE) == [
        "plain",
        *(name for name in PROFILES if name != "plain"),
    ]


def test_what_the_page_points_at_is_there() -> None:
    """Picture and schema."""
    assert (PAGE.path.parent / "story.svg").is_file()
    assert (PAGE.path.parent.parent / "wsock" / "tdimon" / "schema.py").is_file()
