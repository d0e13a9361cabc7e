# Sequence diagrams as SVG: one file that needs nothing else, for browsers and paper.
#
# > svg     Diagram -> XML          THIS FILE
#   model   records -> steps
#
# Rule 1: self-contained: no script, no font, no image from elsewhere. Colours are variables, so the
#         reader's light or dark scheme chooses, and paper is always light.
# Rule 2: colour never tells alone: a failed request is also dashed and says its status, each kind
#         of arrow has a shape of its own, every step has its whole row as a tooltip.
# Rule 3: widths are computed from the texts with the widest digit that common monospace fonts have,
#         since nobody here can ask a font.
"""Draws a sequence diagram as a self-contained SVG."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock.tdimon.diagram.model import Arrow, Diagram, Step

__all__ = ["draw"]

_CHAR: Final = 7.3  # pixels a character of 12 px monospace
_SMALL: Final = 6.1  # of 10 px
_TIME_WIDTH: Final = 78
_MARGIN: Final = 20
_TOP: Final = 96
_LINE: Final = 13  # pixels a line of detail
_MIN_GAP: Final = 116
_HEAD_PAD: Final = 7  # beside the name of a lane

_STYLE: Final = """
svg { --paper:#ffffff; --ink:#1f2328; --faint:#59636e; --rail:#d1d9e0; --band:#f6f8fa;
      --box:#ffffff; --call:#8250df; --request:#0969da; --event:#1a7f37; --wire:#9a6700;
      --notice:#bf3989; --failed:#cf222e;
      font: 12px ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }
@media (prefers-color-scheme: dark) { svg { --paper:#0d1117; --ink:#e6edf3; --faint:#9198a1;
      --rail:#3d444d; --band:#151b23; --box:#0d1117; --call:#ab7df8; --request:#4493f8;
      --event:#3fb950; --wire:#d29922; --notice:#db61a2; --failed:#f85149 } }
@media print { svg { --paper:#ffffff; --ink:#000000; --faint:#444444; --rail:#bbbbbb;
      --band:#f4f4f4; --box:#ffffff; --call:#6639ba; --request:#0550ae; --event:#116329;
      --wire:#7d4e00; --notice:#99286e; --failed:#a40e26 } }
.paper { fill:var(--paper) } text { fill:var(--ink) } .band { fill:var(--band) }
.rail { stroke:var(--rail); stroke-width:1.2 } .wirerail { stroke-dasharray:2 4; stroke-width:2 }
.box { fill:var(--box); stroke:var(--rail) } .host { font-weight:600; font-size:13px }
.title { font-weight:600; font-size:16px } .small { font-size:10px; fill:var(--faint) }
.rule { stroke:var(--rail); stroke-dasharray:1 5 } .mid { text-anchor:middle }
.halo { paint-order:stroke; stroke:var(--band); stroke-width:4px; stroke-linejoin:round }
.state { fill:var(--band); stroke:var(--notice) }
.call { --c:var(--call) } .request { --c:var(--request) } .event { --c:var(--event) }
.wire { --c:var(--wire) } .notice { --c:var(--notice) } .failed { --c:var(--failed) }
.arrow line { stroke:var(--c); stroke-width:1.6 } .arrow path { fill:var(--c) }
.arrow text { fill:var(--c) } .wire line { stroke-width:3 } .notice line { stroke-dasharray:6 3 }
.failed line { stroke-dasharray:3 3 } .call line { stroke-width:2 }
.wire .halo { stroke:var(--paper) }
"""

_LEGEND: Final = (
    ("call", "Winsock call"), ("request", "TDI request"), ("event", "TDI event"),
    ("notice", "notification, message"), ("wire", "on the wire"), ("failed", "failed"),
)  # fmt: skip


def draw(diagram: Diagram, title: str = "") -> str:
    """Return the diagram as an SVG document."""
    columns = _columns(diagram)
    heights = [_height(step) for step in diagram.steps]
    beside = _edge(diagram, -1) + _MARGIN
    width = max(round((columns[-1] if columns else 0) + beside), 640)
    bottom = _TOP + sum(heights) + 16
    height = bottom + 50
    heading = title or "Sequence diagram of a TDI trace"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" style="max-width:100%;height:auto">',
        f"<title>{_text(heading)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="title" x="{_MARGIN}" y="28">{_text(heading)}</text>',
        *_frame(diagram, columns, bottom),
    ]
    y = float(_TOP)
    start = diagram.steps[0].time_ns if diagram.steps else 0
    shown = ""
    for step, tall in zip(diagram.steps, heights, strict=True):
        moment = _time(step.time_ns - start)
        parts += _step(step, columns, y, "" if moment == shown else moment, width)
        shown = moment if step.arrows else shown
        y += tall
    parts += _legend(bottom + 26, {arrow.style for step in diagram.steps for arrow in step.arrows})
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _columns(diagram: Diagram) -> list[float]:
    """Return the x of each lane: as far apart as the texts between two lanes need."""
    count = len(diagram.lanes)
    heads = [len(lane.role) * _CHAR / 2 + _HEAD_PAD for lane in diagram.lanes]
    gaps = [max(_MIN_GAP, left + right + 6.0) for left, right in pairwise(heads)]
    wanted = []
    for step in diagram.steps:
        for arrow in step.arrows:
            low, high = sorted((arrow.start, arrow.end))
            width = len(step.label(arrow)) * _CHAR + 34
            if arrow is step.arrows[0]:
                width = max(width, *(len(line) * _SMALL + 24 for line in step.detail), 0.0)
            wanted.append((high - low, low, high, width))
    for _, low, high, width in sorted(wanted):
        missing = width - sum(gaps[low:high])
        if missing > 0:
            gaps[high - 1] += missing
    columns = [_MARGIN + _TIME_WIDTH + _edge(diagram, 0)]
    for gap in gaps:
        columns.append(round(columns[-1] + gap, 1))
    return columns[:count] if count else []


def _edge(diagram: Diagram, lane: int) -> float:
    """The room beside the first or the last lane: half of its head, at least."""
    head = len(diagram.lanes[lane].role) * _CHAR / 2 + _HEAD_PAD + 8 if diagram.lanes else 0
    return round(max(_MIN_GAP / 2, head), 1)


def _height(step: Step) -> float:
    return (22 if step.note is not None else 0) + (
        26 + _LINE * len(step.detail) + 6 if step.arrows else 0
    )


def _frame(diagram: Diagram, columns: list[float], bottom: float) -> Iterator[str]:
    """The hosts' bands, the lanes and their titles."""
    for host in dict.fromkeys(lane.host for lane in diagram.lanes if lane.host):
        ends = [x for lane, x in zip(diagram.lanes, columns, strict=True) if lane.host == host]
        heads = [len(lane.role) for lane in diagram.lanes if lane.host == host]
        beside = [max(_MIN_GAP / 2 - 4, size * _CHAR / 2 + _HEAD_PAD + 4) for size in heads]
        left, right = round(ends[0] - beside[0], 1), round(ends[-1] + beside[-1], 1)
        yield (
            f'<rect class="band" x="{left}" y="42" width="{right - left}" '
            f'height="{bottom - 42}" rx="8"/>'
        )
        middle = (left + right) / 2
        yield f'<text class="host mid" x="{middle}" y="58">{_text(host)}</text>'
    for lane, x in zip(diagram.lanes, columns, strict=True):
        wire = "" if lane.host else " wirerail"
        yield f'<line class="rail{wire}" x1="{x}" y1="84" x2="{x}" y2="{bottom}"/>'
        half = len(lane.role) * _CHAR / 2 + _HEAD_PAD
        yield (
            f'<rect class="box" x="{x - half:.1f}" y="64" width="{2 * half:.1f}" height="22" '
            'rx="5"/>'
        )
        yield f'<text class="mid" x="{x}" y="79">{_text(lane.role)}</text>'


def _step(step: Step, columns: list[float], y: float, moment: str, width: float) -> Iterator[str]:
    row = ", ".join(cell for cell in step.row if cell)
    yield f"<g><title>{_text(f'{step.host}: {row}')}</title>"
    if step.kind == "call":
        yield (
            f'<line class="rule" x1="{_MARGIN}" y1="{y + 1}" x2="{width - _MARGIN}" y2="{y + 1}"/>'
        )
    if step.note is not None:
        yield from _note(columns[step.note[0]], y, step.note[1])
        y += 22
    if step.arrows and moment:  # a time stands where it changes
        yield f'<text class="small" x="{_MARGIN}" y="{y + 23}">{moment}</text>'
    for arrow in step.arrows:
        yield from _arrow(arrow, step.label(arrow), columns, y + 20)
    if step.arrows:
        first = step.arrows[0]
        middle = (columns[first.start] + columns[first.end]) / 2
        for number, line in enumerate(step.detail):
            at = y + 32 + number * _LINE
            yield f'<text class="small mid halo" x="{middle}" y="{at}">{_text(line)}</text>'
    yield "</g>"


def _note(x: float, y: float, text: str) -> Iterator[str]:
    half = len(text) * _SMALL / 2 + 7
    yield (
        f'<rect class="state" x="{x - half:.1f}" y="{y + 4}" width="{2 * half:.1f}" height="16" '
        'rx="8"/>'
    )
    yield f'<text class="small mid" x="{x}" y="{y + 15.5}">{_text(text)}</text>'


def _arrow(arrow: Arrow, label: str, columns: list[float], y: float) -> Iterator[str]:
    start, end = columns[arrow.start], columns[arrow.end]
    side = 1 if end > start else -1
    tip = end - 2 * side
    yield f'<g class="arrow {arrow.style}">'
    yield f'<line x1="{start}" y1="{y}" x2="{tip - 6 * side}" y2="{y}"/>'
    yield f'<path d="M{tip} {y}l{-9 * side} -4.5v9z"/>'
    if label:
        yield f'<text class="mid halo" x="{(start + end) / 2}" y="{y - 5}">{_text(label)}</text>'
    yield "</g>"


def _legend(y: float, used: set[str]) -> Iterator[str]:
    x = float(_MARGIN)
    for style, text in (one for one in _LEGEND if one[0] in used):
        yield f'<g class="arrow {style}"><line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}"/>'
        yield f'<path d="M{x + 32} {y}l-9 -4.5v9z"/></g>'
        yield f'<text class="small" x="{x + 38}" y="{y + 4}">{text}</text>'
        x += 48 + len(text) * _SMALL + 14


def _time(nanoseconds: int) -> str:
    """Return a time since the first step in the unit that fits."""
    if nanoseconds == 0:
        return "0"
    if nanoseconds >= 1_000_000_000:
        return f"{nanoseconds / 1e9:.3f} s"
    if nanoseconds >= 1_000_000:
        return f"{nanoseconds / 1e6:.3f} ms"
    return f"{nanoseconds / 1e3:.1f} us"


def _text(text: str) -> str:
    """Return ``text`` for XML, which has no control characters."""
    return escape(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text))
