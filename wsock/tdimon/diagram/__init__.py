"""Sequence diagrams of a trace: as text, Mermaid and SVG."""

from __future__ import annotations

from wsock.tdimon.diagram.model import Arrow, Diagram, Lane, Step, build

__all__ = ["Arrow", "Diagram", "Lane", "Step", "build"]
