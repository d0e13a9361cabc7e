# Sequence diagrams in Mermaid's language: for Markdown pages that are drawn by who shows them.
#
# > mermaid   Diagram -> sequenceDiagram      THIS FILE
#   model     records -> steps
#
# Rule: every text is quoted for Mermaid: ``#`` and ``;`` would end or change a line.
"""Writes a sequence diagram as Mermaid text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wsock.tdimon.diagram.model import Diagram, Step

__all__ = ["draw"]

_HEADS: Final = {"wire": "-)", "notice": "-->>", "failed": "-x"}


def draw(diagram: Diagram) -> str:
    """Return a ``sequenceDiagram``; hosts are boxes, failed requests end in a cross."""
    lines = ["sequenceDiagram"]
    open_host = ""
    for number, lane in enumerate(diagram.lanes):
        if lane.host != open_host:
            lines += ["    end"] if open_host else []
            lines += [f"    box {_quoted(lane.host)}"] if lane.host else []
            open_host = lane.host
        lines.append(f"    participant L{number} as {_quoted(lane.role)}")
    lines += ["    end"] if open_host else []
    for step in diagram.steps:
        lines += _lines(step)
    return "\n".join(lines) + "\n"


def _lines(step: Step) -> list[str]:
    lines = []
    if step.note is not None:
        lines.append(f"    Note over L{step.note[0]}: {_quoted(step.note[1])}")
    order = step.arrows
    if len(order) == 2 and order[1].end == order[0].start:  # the wire's arrow comes in first
        order = order[::-1]
    for arrow in order:
        text = [step.label(arrow)]
        if arrow is step.arrows[0]:
            text += step.detail
        head = _HEADS.get(arrow.style, "->>")
        said = "<br/>".join(_quoted(line) for line in text if line) or " "
        lines.append(f"    L{arrow.start}{head}L{arrow.end}: {said}")
    return lines


def _quoted(text: str) -> str:
    """Return ``text`` with what Mermaid or HTML would take for markup as entity codes."""
    return "".join(f"#{ord(c)};" if c in "#;<>&%\n\r" else c for c in text)
