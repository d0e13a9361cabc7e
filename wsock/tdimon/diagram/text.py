# Sequence diagrams in ASCII: for a terminal, a mail, a console of any code page.
#
# > text    Diagram -> lines        THIS FILE
#   model   records -> steps
#
# Rule: the distance of two lanes is that of the longest text between them; nothing is cut off.
"""Draws a sequence diagram with ASCII characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsock.tdimon.diagram.model import Arrow, Diagram

__all__ = ["draw"]


def draw(diagram: Diagram) -> str:
    """Return the diagram as lines of ASCII text; of no lanes, a line that says so."""
    if not diagram.lanes:
        return "(nothing to draw)\n"
    columns = _columns(diagram)
    lines = _heads(diagram, columns)
    for step in diagram.steps:
        if step.note is not None:
            line = _rails(columns)
            _put(line, columns[step.note[0]] - len(step.note[1]) // 2 - 1, f"[{step.note[1]}]")
            lines.append("".join(line).rstrip())
        if step.arrows:
            line = _rails(columns)
            for arrow in step.arrows:
                _arrow(line, columns, arrow, step.label(arrow))
            lines.append("".join(line).rstrip())
            lines += [_below(columns, step.arrows[0], text) for text in step.detail]
    lines.append("".join(_rails(columns)).rstrip())
    return "\n".join(lines) + "\n"


def _columns(diagram: Diagram) -> list[int]:
    """Return the column of each lane."""
    count = len(diagram.lanes)
    gaps = [4] * (count - 1)
    for number in range(count - 1):
        left, right = diagram.lanes[number : number + 2]
        gaps[number] = max(gaps[number], (len(left.role) + len(right.role)) // 2 + 3)
    wanted = []
    for step in diagram.steps:
        for arrow in step.arrows:
            low, high = sorted((arrow.start, arrow.end))
            text = step.label(arrow)
            width = len(text) + 6
            if arrow is step.arrows[0]:
                width = max(width, *(len(line) + 4 for line in step.detail), 0)
            wanted.append((high - low, low, high, width))
    for _, low, high, width in sorted(wanted):  # narrow arrows first, wide ones share the rest
        missing = width - sum(gaps[low:high])
        if missing > 0:
            gaps[high - 1] += missing
    first = max(len(diagram.lanes[0].role), len(diagram.lanes[0].host)) // 2
    columns = [first]
    for gap in gaps:
        columns.append(columns[-1] + gap)
    return columns


def _heads(diagram: Diagram, columns: list[int]) -> list[str]:
    roles, hosts = ([" "] * (columns[-1] + 40) for _ in range(2))
    for host in dict.fromkeys(lane.host for lane in diagram.lanes if lane.host):
        own = [at for lane, at in zip(diagram.lanes, columns, strict=True) if lane.host == host]
        text = f" {host} ".center(own[-1] - own[0] + 1, "=")
        _put(hosts, (own[0] + own[-1]) // 2 - len(text) // 2, text)
    for lane, at in zip(diagram.lanes, columns, strict=True):
        _put(roles, at - len(lane.role) // 2, lane.role)
    return ["".join(line).rstrip() for line in (hosts, roles)]


def _rails(columns: list[int]) -> list[str]:
    line = [" "] * (columns[-1] + 40)
    for at in columns:
        line[at] = "|"
    return line


def _put(line: list[str], at: int, text: str) -> None:
    at = max(at, 0)
    line[at : at + len(text)] = text


def _arrow(line: list[str], columns: list[int], arrow: Arrow, text: str) -> None:
    start, end = columns[arrow.start], columns[arrow.end]
    low, high = min(start, end) + 1, max(start, end)
    shaft = "." if arrow.style == "notice" else "=" if arrow.style == "wire" else "-"
    line[low:high] = shaft * (high - low)
    if start < end:
        line[high - 1] = ">"
    else:
        line[low] = "<"
    mark = f" {text} " if text else ""
    if arrow.style == "failed":
        mark = f" x {text} "
    _put(line, low + (high - low - len(mark) + 1) // 2, mark)


def _below(columns: list[int], arrow: Arrow, text: str) -> str:
    low, high = sorted((columns[arrow.start], columns[arrow.end]))
    line = _rails(columns)
    _put(line, low + 1 + (high - low - len(text)) // 2, text)
    return "".join(line).rstrip()
