# Runs one server and one load against it, each on its CPU, and takes the figures.
#
# A server lives for one run: nothing of an earlier load is left in it. The load generator reads
# the server's CPU time at both edges of its window, so starting and warming up do not count.

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from benchmarks.build import compiler, load_generator
from benchmarks.environment import ROOT, cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cells import Cell, Work

# asyncio reads into 256 KiB. By glibc's defaults each such buffer is mapped and unmapped anew,
# 30 us a message in place of 8, unless something larger was freed before. That is luck, so it is
# taken out, for all.
MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "8388608"}
DONT_WRITE_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"
START_LIMIT_S: Final = 20.0
LOAD_LIMIT_S: Final = 120.0


class RunError(Exception):
    """The server did not start or did not do the work; the text says which."""


@dataclass(frozen=True)
class Server:
    """A running server: its process and port, and the settings it told."""

    process: subprocess.Popen[str]
    port: int
    settings: dict[str, Any]


@contextlib.contextmanager
def on_cpus(*cpus: int) -> Iterator[None]:
    """What is started inside runs on these CPUs only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cpus))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def generator() -> Literal["c", "python"]:
    """Which load generator is used: the one in C where a compiler is there."""
    return "python" if compiler() is None else "c"


def load_command() -> list[str]:
    """How the load generator is called."""
    if generator() == "c":
        return [str(load_generator())]
    return [sys.executable, "-m", "benchmarks.load_python"]


def load_cpus() -> list[int]:
    """One CPU for the generator in C; for the one in Python all but the server's."""
    server, load = cpus()
    others = sorted(os.sched_getaffinity(0) - {server})
    return others if generator() == "python" and others else [load]


def server_environment() -> dict[str, str]:
    """The environment of every server: MALLOC, and bytecode is kept.

    Where it is not, whatever was not installed by pip is compiled at each start, and leaves free
    memory behind: an idle connection of wsock then seems to take 0.05 KiB less.
    """
    kept = {name: value for name, value in os.environ.items() if name != DONT_WRITE_BYTECODE}
    return kept | MALLOC


@contextlib.contextmanager
def running_server(python: Path, name: str, work: Work = "echo") -> Iterator[Server]:
    """Start a server on a free port and on its CPU; end it afterwards.

    Raises:
      RunError: it ended, or said nothing, before it listened.
    """
    command = [str(python), "-m", f"benchmarks.servers.{name}", "0", work]
    with on_cpus(cpus()[0]):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=server_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            settings = json.loads(first_line(process))
            yield Server(process, settings["port"], settings | MALLOC)
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str], limit_s: float = START_LIMIT_S) -> str:
    """The line with which a server tells that it listens.

    Raises:
      RunError: it ended, or said nothing within `limit_s` seconds.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    ready, _, _ = select.select([process.stdout], [], [], limit_s)
    line = process.stdout.readline() if ready else ""
    if line:
        return line
    process.kill()
    raise RunError(last_line(process.stderr) or "did not start")


def last_line(stream: IO[str]) -> str:
    """The last line that is not empty: of a traceback, the exception."""
    lines = [line for line in stream.read().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def parse_load(output: str) -> dict[str, Any]:
    """The load generator's JSON object.

    Raises:
      RunError: it reports an error, or nothing that can be read.
    """
    try:
        result: dict[str, Any] = json.loads(output)
    except ValueError:
        raise RunError(f"the load generator said {output!r}") from None
    if "error" in result:
        raise RunError(result["error"])
    return result


def run_load(options: list[str]) -> dict[str, Any]:
    """Run the load generator on its CPU to the end; returns its result.

    Raises:
      RunError: it failed, or took longer than LOAD_LIMIT_S.
    """
    with on_cpus(*load_cpus()):
        process = subprocess.Popen(
            [*load_command(), *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
    with process:
        try:
            output, _ = process.communicate(timeout=LOAD_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RunError(f"no result within {LOAD_LIMIT_S:.0f} s") from None
    return parse_load(output)


CHECKS: Final[tuple[tuple[Work, str], ...]] = (
    ("echo", "check"),
    ("sink", "check-sink"),
    ("source", "check-source"),
)


def check(python: Path, name: str) -> str:
    """Let the load generator check all three works of a server; "" or what is wrong with it."""
    return next((reason for step in CHECKS if (reason := fault(python, name, *step))), "")


def unbounded(python: Path, name: str) -> str:
    """What an echo server did when a peer sent for ever and never read; "" if it held it back."""
    return fault(python, name, "echo", "check-pressure")


def fault(python: Path, name: str, work: Work, mode: str) -> str:
    """Let the load generator check one thing; "" or what it says."""
    try:
        with running_server(python, name, work) as server:
            run_load(["--port", str(server.port), "--mode", mode])
    except RunError as error:
        return f"{work}: {error}"
    return ""


def measure(python: Path, name: str, cell: Cell, warmup_s: float, seconds: float) -> dict[str, Any]:
    """One run of one cell on one server; returns the raw sample (with "error" if it failed)."""
    sample: dict[str, Any] = {"server": name, "cell": cell.name}
    try:
        with running_server(python, name, cell.work) as server:
            common = ["--port", str(server.port), "--server-pid", str(server.process.pid)]
            if cell.mode == "idle":
                return sample | measure_idle(server, cell, common)
            times = ["--warmup", str(warmup_s), "--duration", str(seconds)]
            sample |= run_load([*common, *cell.options(), *times])
            sample["us"] = cost_us(sample)
    except RunError as error:
        sample["error"] = str(error)
    return sample


def cost_us(sample: dict[str, Any]) -> float:
    """CPU microseconds of the server for a message (a connection, in churn).

    Raises:
      RunError: there was no message.
    """
    if sample["messages"] == 0:
        raise RunError("no message was answered within the window")
    microseconds: float = sample["server_cpu_ns"] / 1e3 / sample["messages"]
    return microseconds


def measure_idle(server: Server, cell: Cell, common: list[str]) -> dict[str, Any]:
    """Memory of the server for each connection of an idle crowd, in KiB.

    Each connection echoes one byte first. What a server needs once (imports, first buffers) is
    made to exist by one short load before, and does not count.
    """
    run_load([*common, "--connections", "50", "--warmup", "0.1", "--duration", "0.2"])
    before = memory_kib(server.process.pid)
    with idle_crowd([*common, *cell.options()]) as (_, ready):
        after = memory_kib(server.process.pid)
    return {f"{name}_kib": (after[name] - before[name]) / ready for name in after}


@contextlib.contextmanager
def idle_crowd(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Connections that stay, each served once: who holds them, and how many; at the end they go."""
    with on_cpus(*load_cpus()):
        crowd = subprocess.Popen(
            [*load_command(), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with crowd:
        assert crowd.stdout is not None
        yield crowd, parse_load(crowd.stdout.readline())["ready"]


def memory_kib(pid: int) -> dict[str, float]:
    """Rss and Pss of a process, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    fields = {line.split(":")[0].lower(): float(line.split()[1]) for line in lines}
    return {name: fields[name] for name in ("rss", "pss")}
