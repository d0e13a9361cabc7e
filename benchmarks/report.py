# The result as Markdown tables: goals with verdicts, where wsock loses, every cell. No I/O.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.cells import LIMITS, WSOCK
from benchmarks.goals import GOALS, Goal
from benchmarks.summary import Figure, Table, compared

if TYPE_CHECKING:
    from collections.abc import Iterable


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; the columns are padded, so that it reads well in a terminal too."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)


def shown(figure: Figure | None, digits: int = 2) -> str:
    """Median and spread, as 1.07 ±0.02 (the distance of the quartiles), or a dash."""
    if figure is None:
        return "-"
    spread = "" if figure.count < 2 else f" ±{figure.spread:.{digits}f}"
    return f"{figure.median:.{digits}f}{spread}"


def goal_rows(
    table: Table, goals: Iterable[Goal] = GOALS, *, judged: bool = True
) -> list[list[str]]:
    """A line for each goal whose cell was measured; with a verdict if it may be judged."""
    rows = []
    for goal in goals:
        figure = goal.figure(table)
        if figure is None:
            continue
        stretch = "" if goal.stretch is None else f"{goal.stretch:.2f}"
        row = [str(goal), f"{goal.bound:.2f}", stretch, shown(figure)]
        row.append(goal.verdict(table) if judged else "not judged")
        rows.append(row)
    return rows


def losses(table: Table) -> list[list[str]]:
    """Each cell and wsock model that costs more than the cheapest other Python server, worst first.

    The two limits are left out: nobody writes a program as a bare epoll loop; they stand in the
    table of all cells.
    """
    found = []
    for cell in table.cells():
        metric = "pss_kib" if cell.startswith("idle") else "us"
        for server in table.servers(cell):
            best = cheapest_peer(table, cell, metric)
            if server not in WSOCK or best is None:
                continue
            ratio = table.ratio((server, cell), (best, cell), metric)
            if ratio and ratio.median > 1:
                found.append((ratio.median, [cell, server, best, shown(ratio)]))
    return [row for _ratio, row in sorted(found, key=lambda pair: -pair[0])]


def cheapest_peer(table: Table, cell: str, metric: str) -> str | None:
    """The server, neither wsock's nor a limit, with the smallest median; None if there is none."""
    medians = {
        server: figure.median
        for server in table.servers(cell)
        if server not in WSOCK + LIMITS and (figure := table.figure(server, cell, metric))
    }
    return min(medians, key=medians.__getitem__, default=None)


def cell_rows(table: Table) -> list[list[str]]:
    """A line for each cell and server."""
    rows = []
    for cell in table.cells():
        for server in table.servers(cell):
            if cell.startswith("idle"):
                rows.append([cell, server, shown(table.figure(server, cell, "pss_kib")) + " KiB"])
                continue
            rows.append([cell, server, shown(table.figure(server, cell, "us"))])
        for row in rows[-len(table.servers(cell)) :]:
            row += detail(table, row[1], cell)
    return rows


def detail(table: Table, server: str, cell: str) -> list[str]:
    """User and system microseconds, messages a second, p50, how busy the load generator was."""
    messages = table.figure(server, cell, "messages")
    if messages is None or messages.median == 0:
        return ["-"] * 5
    user, system, seconds, busy = (
        median(table, server, cell, metric)
        for metric in ("server_user_s", "server_system_s", "seconds", "generator_busy")
    )
    return [
        f"{user * 1e6 / messages.median:.2f}",
        f"{system * 1e6 / messages.median:.2f}",
        f"{messages.median / seconds:,.0f}",
        shown(table.figure(server, cell, "p50_us"), 0),
        f"{busy:.2f}",
    ]


def median(table: Table, server: str, cell: str, metric: str) -> float:
    """The median alone; 0 if there is none."""
    figure = table.figure(server, cell, metric)
    return figure.median if figure else 0.0


def rate_rows(samples: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Percentiles of the runs at a given rate, the only ones that may be told above p50.

    What was never answered is in them, with the age that it had reached.
    """
    rows: dict[tuple[str, str], list[list[float]]] = {}
    for sample in samples:
        if "p99_us" in sample:
            columns = ("p50_us", "p90_us", "p99_us", "p999_us", "unanswered")
            figures = [sample[name] for name in columns]
            rows.setdefault((sample["cell"], sample["server"]), []).append(figures)
    return [
        [*place, *(f"{sorted(column)[len(column) // 2]:.0f}" for column in zip(*runs, strict=True))]
        for place, runs in rows.items()
    ]


def provenance(results: dict[str, Any]) -> str:
    """Command, machine and the versions that matter most, in one line: for below a chart."""
    machine = results["machine"]
    versions = [f"{name} {machine['versions'][name]}" for name in ("trio", "uvloop")]
    where = [machine["cpu"], f"{machine['cpus']} CPUs", machine["kernel"], machine["python"]]
    return f"{results['command']}\n" + ", ".join([*where, *versions, f"wsock {machine['wsock']}"])


def report(results: dict[str, Any]) -> str:
    """The whole report of one set of results, as `python -m benchmarks --json` writes them."""
    table = Table(results["samples"])
    machine = results["machine"]
    equal, apart = compared(results["settings"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rounds = 1 + max((sample["round"] for sample in results["samples"]), default=-1)
    parts = [
        "# Benchmark",
        f"{results['command']}; {rounds} rounds of {results['seconds']} s, interleaved; "
        f"load generator: {GENERATORS[results['generator']]}",
        f"{machine['cpu']}, {machine['cpus']} CPUs (server on {machine['server_cpu']}, load on "
        f"{machine['load_cpu']}), {machine['kernel']}, {machine['python']}, "
        f"wsock {machine['wsock']}; {versions}.",
        f"Equal for all servers: {', '.join(f'{name} {value}' for name, value in equal.items())}.",
    ]
    goals = goal_rows(table, judged=results["generator"] == "c")
    sections = [
        ("Goals", ["figure", "at most", "stretch", "measured", "verdict"], goals),
        ("Where wsock loses", ["cell", "wsock", "to", "ratio of CPU or memory"], losses(table)),
        ("All cells", CELL_HEADER, cell_rows(table)),
        (
            "At a given rate, from the moment due",
            ["cell", "server", "p50 us", "p90 us", "p99 us", "p99.9 us", "unanswered"],
            rate_rows(results["samples"]),
        ),
        ("Not equal for all servers", ["setting", "value", "server"], apart),
        (
            "Measured, although they hold back no peer that does not read",
            ["server", "what it did"],
            [[server, reason] for server, reason in results["unbounded"].items()],
        ),
        (
            "Not measured",
            ["server", "cell", "reason"],
            [[server, cell, reason] for (server, cell), reason in table.errors.items()]
            + [[server, "all", reason] for server, reason in results["failed_checks"].items()],
        ),
    ]
    for title, header, rows in sections:
        if rows:
            parts += [f"## {title}", markdown(header, rows)]
    return "\n\n".join(parts) + "\n"


GENERATORS = {
    "c": "the one in C.",
    "python": "the one in Python, since no C compiler was found. It is often busier than the "
    "server (column *load busy*): throughput and latency are its own, and messages come so thinly "
    "that a server wakes for fewer at a time, so that each costs more than under the one in C. "
    "The figures say which server costs more, not by how much; no goal is judged. Slow readers, a "
    "given rate and c_epoll need a compiler.",
}
CELL_HEADER = ["cell", "server", "CPU us", "user", "system", "a second", "p50 us", "load busy"]
