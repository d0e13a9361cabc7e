"""What the pages show: the losses beside the first chart, and where all figures are from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.environment import ROOT, VENV
from benchmarks.report import provenance
from tests.pages import Page

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("README.md", "docs/benchmarks.md", "docs/README.ko.md")


def beside_first_chart(page: str) -> str:
    """The text between the first chart and the next chart or heading."""
    after = Page(page).text.partition("</picture>")[2]
    return re.split(r"<picture>|^#", after, maxsplit=1, flags=re.MULTILINE)[0]


def losses(page: str) -> list[str]:
    """The lines of the table that says where wsock loses."""
    return re.findall(r"^\|.*\|$", beside_first_chart(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_where_wsock_loses_stands_beside_the_first_chart(page: str) -> None:
    """Not behind a link, nor below the figures that please."""
    assert re.search(r"\*\*(Where wsock loses|wsock이 지는 곳)\*\*", beside_first_chart(page))
    assert len(losses(page)) > 2


def test_all_pages_tell_the_same_losses() -> None:
    """None is left out for those who read only one."""
    assert losses(PAGES[0]) == losses(PAGES[1]) == losses(PAGES[2])


def test_the_figures_are_those_of_the_published_samples() -> None:
    """Goals, losses, and every cell: the samples beside the page give the same lines."""
    samples = ROOT / "docs" / "benchmarks" / "quick.json"
    report = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--from", str(samples)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    tables = re.findall(r"^\|.*\|$", report, re.MULTILINE)
    assert len(tables) > 50
    page = set(Page("docs/benchmarks.md").text.splitlines())
    assert [line for line in tables if line not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_command_machine_and_versions_stand_with_the_figures(page: str) -> None:
    """Whoever doubts can run it."""
    text = Page(page).text
    assert re.search(r"`python -m benchmarks --suite quick [^`]*`", text)
    assert re.search(r"Linux \d+\.\d+, CPython\s+3\.\d+\.\d+,\s+trio\s+[\d.]+, uvloop [\d.]+", text)


@pytest.mark.parametrize("page", PAGES)
def test_every_chart_is_there_for_a_light_and_a_dark_page(page: str) -> None:
    """The same cell in both."""
    shown = re.findall(
        r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)-dark.svg">'
        r'<img src="([^"]+)-light.svg"',
        Page(page).text,
    )
    assert len(shown) == Page(page).text.count("<picture>") > 0
    for dark, light in shown:
        assert dark == light
        for theme in ("dark", "light"):
            assert (Page(page).path.parent / f"{light}-{theme}.svg").is_file()


def results() -> dict[str, object]:
    """Two servers in two cells."""
    return {
        "command": "python -m benchmarks",
        "machine": {
            "cpu": "A CPU",
            "cpus": 2,
            "kernel": "Linux 6",
            "python": "CPython 3",
            "versions": {"trio": "0.1", "uvloop": "0.2"},
            "wsock": "abc",
        },
        "samples": [
            {"server": server, "cell": cell, "round": number, "us": 5.0, "pss_kib": 1.0}
            for server in ("message", "uvloop_protocol")
            for cell in ("echo 50x64", "idle 9000")
            for number in range(3)
        ],
    }


def test_a_chart_says_where_it_is_from() -> None:
    """Command, machine, versions: also where somebody copies it to."""
    assert provenance(results()) == (
        "python -m benchmarks\nA CPU, 2 CPUs, Linux 6, CPython 3, trio 0.1, uvloop 0.2, wsock abc"
    )


@pytest.mark.skipif(not (VENV / "installed-all").exists(), reason="needs make bench's environment")
def test_charts_are_drawn_in_two_themes(tmp_path: Path) -> None:
    """One file a cell and theme; the same samples give the same bytes."""
    source = tmp_path / "x.json"
    source.write_text(json.dumps(results()))
    drawn = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        command = [VENV / "bin" / "python", "-m", "benchmarks.charts", source, folder]
        subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
        drawn.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert sorted(drawn[0]) == [
        f"{cell}-{theme}.svg" for cell in ("echo-50x64", "idle-9000") for theme in ("dark", "light")
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0]["echo-50x64-dark.svg"] != drawn[0]["echo-50x64-light.svg"]
