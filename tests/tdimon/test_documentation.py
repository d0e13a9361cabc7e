"""docs/tdimon.md keeps its word: its listings run, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from wsock._cli import cli
from wsock.tdimon import PROFILES

PAGE = Path(__file__).parent.parent.parent / "docs" / "tdimon.md"
TEXT = PAGE.read_text(encoding="utf-8")
LISTINGS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("listing", LISTINGS)
def test_listings_run(
    listing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each Python listing is a whole program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    exec(compile(listing, str(PAGE), "exec"), {"__name__": "__main__"})
    if "trace.table" in listing:
        assert "TDI_CONNECT" in capsys.readouterr().out
        assert (tmp_path / "run.jsonl").is_file()


def test_commands_exist() -> None:
    """Every command and option of the page is one."""
    lines = re.findall(r"^\$ wsock tdimon (.*?)(?:  +#.*)?$", TEXT, re.MULTILINE)
    assert len(lines) == 9
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
    assert (PAGE.parent / "story.svg").is_file()
    assert (PAGE.parent.parent / "wsock" / "tdimon" / "schema.py").is_file()
