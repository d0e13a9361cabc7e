"""The house rules stand in the project's own files, and hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import wsock

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOLS = PROJECT["tool"]
MOST_LINES = 600


def test_ruff_asks_for_every_group() -> None:
    """And what is ignored everywhere is named, one by one; docstrings are optional in tests."""
    groups = "A ANN ASYNC B C4 C90 D1 E F FA FURB I PERF PIE PT PYI RET RUF SIM TC TRY UP W"
    lint = TOOLS["ruff"]["lint"]
    assert set(groups.split()) <= set(lint["select"])
    assert not set(groups.split()) & set(lint["ignore"])
    assert "D1" in lint["per-file-ignores"]["tests/**"]
    assert lint["mccabe"]["max-complexity"] == 10


def test_mypy_and_pytest_are_strict() -> None:
    """Types in full; an unknown marker, an unknown option and any warning is an error."""
    assert TOOLS["mypy"]["strict"] is True
    options = TOOLS["pytest"]["ini_options"]
    assert {"--strict-markers", "--strict-config"} <= set(options["addopts"])
    assert options["filterwarnings"] == ["error"]


def test_what_it_needs() -> None:
    """Trio and outcome; everything else is an extra, each for its part."""
    project = PROJECT["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~ ]", each)[0] for each in requirements}

    assert PROJECT["build-system"]["build-backend"] == "hatchling.build"
    assert names(project["dependencies"]) == {"trio", "outcome"}
    extras = {name: names(each) for name, each in project["optional-dependencies"].items()}
    assert extras["win32"] == {"greenback"}
    assert extras["cli"] == {"click", "rich"}
    assert extras["pcap"] == {"python-pcapng"}
    assert extras["server"] == {"argon2-cffi", "SQLAlchemy"}
    assert extras["postgres"] == {"psycopg"}
    assert extras["bench"] == {"matplotlib", "pyperf"}
    assert (Path(wsock.__file__).parent / "py.typed").is_file()
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


@pytest.mark.parametrize("goal", ["demo", "test", "lint", "bench"])
def test_every_goal_makes_its_environment(goal: str) -> None:
    """From a fresh clone, with the interpreter that PYTHON names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    needs = re.search(rf"^{goal}:(.*)$", makefile, re.MULTILINE)
    assert needs is not None
    assert re.fullmatch(r"\s*\$\(VENV\)(-bench)?/installed-\w+", needs[1])
    assert "PYTHON ?= python3\n" in makefile
    assert "$(PYTHON) -m venv" in makefile


@pytest.mark.parametrize("folder", ["wsock", "examples", "benchmarks", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    """A file that does not fit on a few screens is two files."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}
