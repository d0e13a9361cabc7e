"""A trace recorded on the virtual network: every view of it, and its picture in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from wsock import tdimon

from .story import SIDES, golden_text

RECORDED = Path(__file__).parent / "story.jsonl"
PICTURE = Path(__file__).parent.parent.parent / "docs" / "story.svg"
TITLE = "The story of the source notes: what Winsock calls cause below"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


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
    assert calls == ["bind", "listen", "accept", "recv", "recv", "closesocket", "closesocket"]
    margin = {row.request for row in rows if not row.request.startswith(" ")} - set(calls)
    assert margin == {
        *("TDI_DISCONNECT", "TDI_DISASSOCIATE_ADDRESS", "IRP_MJ_CLEANUP", "IRP_MJ_CLOSE"),
        "TDI_EVENT_CONNECT",
        "TDI_ACCEPT",
        "TDI_EVENT_RECEIVE",
        "TDI_RECEIVE",
        "TDI_EVENT_DISCONNECT",
    }


def test_figures() -> None:
    """All 3000 bytes arrive; the pool of two never had fewer than one free place."""
    found = tdimon.load(RECORDED).statistics()
    assert (found.bytes_sent, found.bytes_received) == (3000, 3000)
    assert [(pool.accepted, pool.lowest_free) for pool in found.pools] == [(1, 1)]


def test_the_picture_in_the_documentation_is_the_one_that_is_drawn() -> None:
    """docs/story.svg is ``wsock tdimon draw tests/tdimon/story.jsonl docs/story.svg``."""
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


@pytest.mark.skipif(CHROMIUM is None, reason="draws in a browser, and none is installed")
@pytest.mark.parametrize(
    ("scheme", "paper"), [("1", "rgb(255, 255, 255)"), ("0", "rgb(13, 17, 23)")]
)
def test_the_picture_in_a_browser(tmp_path: Path, scheme: str, paper: str) -> None:
    """Light and dark: no text leaves the picture, and none covers another one."""
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body style='margin:0'>{PICTURE.read_text()}{SCRIPT}",
        encoding="utf-8",
    )
    assert CHROMIUM is not None
    output = subprocess.check_output(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1600,1200",
            "--dump-dom",
            page.as_uri(),
        ],
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    found = re.search(r"texts=(\d+) outside=(\d+) pairs=(\d+) dark=(\w+) paper=([^<\n]+)", output)
    assert found is not None
    assert int(found[1]) > 200
    assert (found[2], found[3], found[5]) == ("0", "0", paper)
