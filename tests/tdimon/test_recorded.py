"""A trace recorded on the virtual network: every view of it, and its picture in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from wsock import tdimon

from .browser import DARK, LIGHT, browse, colours, needs_browser, number
from .recording import PICTURE, RECORDED, TITLE, record
from .story import SIDES, golden_text

if TYPE_CHECKING:
    from pathlib import Path



def without_contexts(text: str) -> list[str]:
    return re.sub("Context:0x[0-9A-F]{8}", "Context", text).splitlines()


@pytest.mark.parametrize("side", SIDES)
def test_the_golden_rows(side: str) -> None:
    """Real segments, and in profile tdimon-2003 exactly the rows of the source."""
    rows = tdimon.load(RECORDED).rows(side, profile="tdimon-2003")
    text = "\n".join("\t".join(row) for row in rows)
    assert without_contexts(text) == without_contexts(golden_text(side, 1))[1:]


def test_every_call_stands_before_what_it_caused() -> None:
    """Indented rows follow their call; what a packet or a timer brought stands at the margin.

    The release of the accepted connection is such a one: it ends when the FIN has gone out.
    """
    rows = tdimon.load(RECORDED).rows("server", profile="calls")
    calls = [row.request for row in rows if row.object.startswith("socket")]
    assert calls == ["bind", "listen", "accept", *["recv"] * 3, "closesocket", "closesocket"]
    margin = {row.request for row in rows if not row.request.startswith(" ")} - set(calls)
    assert margin == {
        *("TDI_DISCONNECT", "TDI_DISASSOCIATE_ADDRESS", "IRP_MJ_CLEANUP", "IRP_MJ_CLOSE"),
        "TDI_EVENT_CONNECT",
        "TDI_ACCEPT",
        "TDI_EVENT_RECEIVE",
        "TDI_RECEIVE",
        "TDI_EVENT_DISCONNECT",
    }


def test_the_recording_is_what_happens_today(tmp_path: Path) -> None:
    """The network gives the same records every time, to the byte."""
    record().save(tmp_path / "today.jsonl")
    assert (tmp_path / "today.jsonl").read_text() == RECORDED.read_text()


def test_messages_follow_what_they_tell() -> None:
    """An arrival, the notification that it causes, and the message that is handed out."""
    rows = tdimon.load(RECORDED).rows("server", profile="all")
    told = [
        row.request.strip()
        for row in rows
        if row.request in ("TDI_EVENT_RECEIVE", "TDI_RECEIVE", "TDI_EVENT_DISCONNECT", "TDI_ACCEPT")
        or row.request.startswith("FD_")
        or row.request == "DispatchMessage"
    ]
    assert told == [
        *("TDI_ACCEPT", "FD_ACCEPT", "DispatchMessage"),
        *("TDI_EVENT_RECEIVE", "FD_READ", "DispatchMessage"),
        *("TDI_EVENT_RECEIVE", "FD_READ", "DispatchMessage"),
        *("TDI_RECEIVE", "FD_READ", "DispatchMessage"),
        *("TDI_EVENT_DISCONNECT", "FD_CLOSE", "DispatchMessage"),
        "DispatchMessage",  # WM_TIMER
    ]


def test_figures() -> None:
    """All 3000 bytes arrive; the pool of two never had fewer than one free place."""
    found = tdimon.load(RECORDED).statistics()
    assert (found.bytes_sent, found.bytes_received) == (3000, 3000)
    assert [(pool.accepted, pool.lowest_free) for pool in found.pools] == [(1, 1)]


def test_the_picture_in_the_documentation_is_the_one_that_is_drawn() -> None:
    """docs/story.svg is drawn of tests/tdimon/story.jsonl: ``python -m tests.tdimon.recording``."""
    trace = tdimon.load(RECORDED)
    drawn = trace.diagram().to_svg(TITLE)
    assert len(trace.diagram("client", selection="@data").steps) == 2
    assert PICTURE.read_text(encoding="utf-8") == drawn


#: Measures in the browser: texts outside of the picture, and pairs of texts that cover each other.
SCRIPT = """
<script>
const svg = document.querySelector("svg"), frame = svg.getBoundingClientRect();
const boxes = [...svg.querySelectorAll("text")]
  .map(t => [t.textContent, t.getBoundingClientRect()]);
const outside = boxes.filter(([t, b]) => b.left < frame.left || b.right > frame.right ||
                                         b.top < frame.top || b.bottom > frame.bottom);
let pairs = 0;
boxes.forEach(([s, a], i) => boxes.slice(i + 1).forEach(([t, b]) => {
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (wide > 1 && high > 3) pairs += 1;
}));
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const paper = getComputedStyle(svg.querySelector(".paper")).fill;
document.body.innerHTML = `texts=${boxes.length} outside=${outside.length} pairs=${pairs} ` +
                          `dark=${dark} paper=${paper}`;
</script>
"""


@needs_browser
@pytest.mark.parametrize(
    ("scheme", "paper"), [(LIGHT, "rgb(255, 255, 255)"), (DARK, "rgb(13, 17, 23)")]
)
def test_the_picture_in_a_browser(tmp_path: Path, scheme: str, paper: str) -> None:
    """Light and dark: no text leaves the picture, and none covers another one."""
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body style='margin:0'>{PICTURE.read_text()}{SCRIPT}",
        encoding="utf-8",
    )
    said = browse(page, tmp_path, scheme, "--dump-dom")
    assert number(said, "texts") > 150
    assert number(said, "outside") == number(said, "pairs") == 0
    assert f"paper={paper}" in said


@needs_browser
@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (LIGHT, [(255, 255, 255), (246, 248, 250), (130, 80, 223), (9, 105, 218)]),
        (DARK, [(13, 17, 23), (21, 27, 35), (171, 125, 248), (68, 147, 248)]),
    ],
)
def test_a_screenshot(tmp_path: Path, scheme: str, expected: list[tuple[int, int, int]]) -> None:
    """The file alone, as a reader opens it: paper and bands, arrows of calls and of requests."""
    found = colours(PICTURE, tmp_path, scheme)
    paper, band, call, request = (found[one] for one in expected)
    assert paper + band > 200_000  # of 336,000 pixels; the rest is ink, and the page around it
    assert call > 200
    assert request > 200


@needs_browser
def test_on_paper(tmp_path: Path) -> None:
    """The picture prints, on as many pages as it needs, also for a reader who likes it dark."""
    target = tmp_path / "story.pdf"
    browse(PICTURE, tmp_path, DARK, "--no-pdf-header-footer", f"--print-to-pdf={target}")
    pages = re.findall(rb"/Type\s*/Page\b", target.read_bytes())
    assert 1 <= len(pages) <= 4
