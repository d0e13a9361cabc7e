# Bar charts of one set of results, as SVG, for a light and for a dark page.
#
#   python -m benchmarks.charts RESULTS.json FOLDER
#
# One chart a cell: CPU microseconds a message, user and system apart, the shortest bar first; the
# whisker is the distance of the quartiles; below stand the command, the machine and the versions,
# so that a chart that is copied elsewhere still says where it is from. Needs matplotlib (extra
# bench, .venv-bench).

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.cells import LIMITS, WSOCK
from benchmarks.report import median, provenance
from benchmarks.summary import Table

THEMES = {
    "light": {"text": "#24292f", "wsock": "#0969da", "peer": "#8c959f", "limit": "#d0d7de"},
    "dark": {"text": "#e6edf3", "wsock": "#4493f8", "peer": "#7d8590", "limit": "#3d444d"},
}


def kind(server: str) -> str:
    """wsock, limit or peer: the colour of its bar."""
    return "wsock" if server in WSOCK else "limit" if server in LIMITS else "peer"


def rows(table: Table, cell: str, metric: str) -> list[tuple[float, float, str]]:
    """Median, spread, server; the largest first, because bars are drawn from below."""
    figures = [(table.figure(server, cell, metric), server) for server in table.servers(cell)]
    found = [(figure.median, figure.spread, server) for figure, server in figures if figure]
    return sorted(found, reverse=True)


def draw(table: Table, cell: str, colours: dict[str, str], origin: str) -> Figure:
    """The chart of one cell; `origin` stands below it."""
    idle = cell.startswith("idle")
    bars = rows(table, cell, "pss_kib" if idle else "us")
    figure = Figure(figsize=(8, 1.0 + 0.34 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for place, (value, spread, server) in enumerate(bars):
        error = spread / 2 if spread < value else 0
        axes.barh(place, value, color=colours[kind(server)], xerr=error, ecolor=colours["text"])
        if not idle:
            axes.barh(place, system_us(table, server, cell, value), color="#00000033")
        axes.text(value + error, place, f"  {value:.2f}", va="center", color=colours["text"])
    axes.set_yticks(range(len(bars)), [server for _value, _spread, server in bars])
    unit = "KiB for an idle connection" if idle else "CPU us a message (shaded: in the system)"
    axes.set_title(f"{cell}: {unit}", color=colours["text"], loc="left", fontsize=11)
    axes.tick_params(colors=colours["text"], length=0)
    axes.margins(x=0.12)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.xaxis.set_visible(False)
    figure.supxlabel(origin, color=colours["text"], x=0.01, ha="left", fontsize=7)
    return figure


def system_us(table: Table, server: str, cell: str, us: float) -> float:
    """The part of `us` that the server spent in the system."""
    user = median(table, server, cell, "server_user_s")
    system = median(table, server, cell, "server_system_s")
    return us * system / (user + system) if user + system else 0.0


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw every cell in both themes; returns the files."""
    mpl.rcParams["svg.hashsalt"] = "wsock"  # the same samples give the same file
    table = Table(results["samples"])
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for cell in table.cells():
        for theme, colours in THEMES.items():
            path = folder / f"{cell.replace(' ', '-').replace('/', '-')}-{theme}.svg"
            chart = draw(table, cell, colours, provenance(results))
            chart.savefig(path, transparent=True, metadata={"Date": None})
            files.append(path)
    return files


if __name__ == "__main__":
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for written in write(results, Path(sys.argv[2])):
        print(written)
