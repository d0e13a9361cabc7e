# python -m benchmarks: measures, judges, reports. `make bench` and `make bench-quick` call it.

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import cells, environment, running
from benchmarks.build import HERE
from benchmarks.report import report
from benchmarks.settings import settings_of
from benchmarks.summary import Table

SUITES = {"first": cells.FIRST, "quick": cells.QUICK, "full": cells.full_grid()}
# Rounds, measured seconds, seconds of warm-up. Five rounds suffice for quartiles. Quick stays below
# five minutes: the figure that counts is CPU time, read to the nanosecond, so half a second does.
DEFAULTS = {"first": (5, 2.0, 0.4), "quick": (5, 0.5, 0.25), "full": (5, 2.0, 0.4)}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="first")
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seconds", type=float, help="measured seconds a run")
    parser.add_argument("--warmup", type=float, help="seconds before that")
    parser.add_argument("--servers", help="only these, by commas")
    parser.add_argument("--cells", help="only cells whose name contains one of these, by commas")
    parser.add_argument("--json", type=Path, help="where the raw samples go")
    parser.add_argument("--report", type=Path, help="where the Markdown goes, beside the terminal")
    parser.add_argument("--charts", type=Path, help="a folder for the SVG charts")
    parser.add_argument("--from", dest="source", type=Path, help="report on these samples again")
    parser.add_argument("--list", action="store_true", help="name the cells and servers")
    return parser.parse_args()


def chosen_cells(options: argparse.Namespace) -> list[cells.Cell]:
    """The suite's cells that the options leave. Ends the program if that is none."""
    wanted = options.cells.split(",") if options.cells else [""]
    chosen = [cell for cell in SUITES[options.suite] if any(part in cell.name for part in wanted)]
    return chosen or sys.exit(f"--cells {options.cells}: no such cell; --list names them")


def chosen_servers(options: argparse.Namespace, chosen: list[cells.Cell]) -> list[str]:
    """The servers that these cells and the options name, in the order of cells.SERVERS.

    Ends the program if the options name one that would not be measured.
    """
    named = {server for cell in chosen for server in cell.servers}
    if options.servers:
        wanted = set(options.servers.split(","))
        if unknown := wanted - named:
            sys.exit(f"--servers {','.join(sorted(unknown))}: in none of these cells")
        named = wanted
    return [server for server in cells.SERVERS if server in named]


def check_all(python: Path, servers: list[str]) -> dict[str, str]:
    """Server -> what is wrong with it, for those that do not do the work."""
    wrong = {}
    for server in servers:
        if reason := running.check(python, server):
            say(f"{server} is left out: {reason}")
            wrong[server] = reason
    return wrong


def measure_all(
    python: Path, chosen: list[cells.Cell], servers: list[str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """All runs, interleaved: every round measures every server in every cell once.

    Each round begins with another server, so that none always comes after the same neighbour.
    """
    samples = []
    for number in range(options.rounds):
        for cell in chosen:
            turn = [server for server in servers if server in cell.servers]
            shift = number % max(1, len(turn))
            for server in turn[shift:] + turn[:shift]:
                sample = running.measure(python, server, cell, options.warmup, options.seconds)
                samples.append(sample | {"round": number, "at": round(time.time(), 3)})
        say(f"round {number + 1} of {options.rounds} done")
    return samples


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check, measure; returns everything that a report needs."""
    python = environment.ensure_environment()
    chosen = chosen_cells(options)
    servers = chosen_servers(options, chosen)
    failed = check_all(python, servers)
    servers = [server for server in servers if server not in failed]
    return {
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}".strip(),
        "machine": environment.describe(python),
        "generator": running.generator(),
        "seconds": options.seconds,
        "settings": {server: settings_of(python, server) for server in servers},
        "failed_checks": failed,
        "unbounded": {
            server: reason for server in servers if (reason := running.unbounded(python, server))
        },
        "samples": measure_all(python, chosen, servers, options),
    }


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Do what the options say."""
    options = parse()
    rounds, seconds, warmup = DEFAULTS[options.suite]
    options.rounds = options.rounds or rounds
    options.seconds = options.seconds or seconds
    options.warmup = warmup if options.warmup is None else options.warmup
    if options.list:
        print("\n".join(cell.name for cell in SUITES[options.suite]), "", *cells.SERVERS, sep="\n")
        return
    results = json.loads(options.source.read_text()) if options.source else run(options)
    target = options.json or HERE / "results" / f"{options.suite}.json"
    if not options.source:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results, indent=1))
        say(f"raw samples: {target}")
    text = report(results)
    print(text)
    if options.report:
        options.report.write_text(text)
    if options.charts and Table(results["samples"]).cells():
        python = environment.ensure_environment()
        source = options.source or target
        command = [str(python), "-m", "benchmarks.charts", str(source), str(options.charts)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
