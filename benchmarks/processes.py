# Several cores: how much more two workers serve than one, in one run, one after the other.
#
#   python -m benchmarks.processes [--workers 2] [--work 5000] [--rounds 5] [--json FILE]
#
# Each message costs the server some work of the interpreter, so that the load generator leaves
# room: with no work it takes a core itself, and two cores show nothing. Beside each throughput
# stands how busy the generator was. Both servers are wsock.serve_processes, with one worker and
# with several. What the machine has to give is measured in the same rounds: the same work in as
# many bare processes without a network. Two processors of a shared machine are often less than two.

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

import wsock
from benchmarks.environment import ROOT, describe
from benchmarks.report import markdown, shown
from benchmarks.running import load_command, parse_load
from benchmarks.summary import Figure
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 50
READ_BYTES = 65536


def work(amount: int) -> None:
    """What a message costs beside the network."""
    sum(range(amount))


def busy(amount: int, seconds: float, done: multiprocessing.Queue[int]) -> None:
    """Do the work again and again; tell how often it was done."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        work(amount)
        count += 1
    done.put(count)


def bare(processes: int, amount: int, seconds: float) -> float:
    """How often a second so many processes do the work, with nothing else to do."""
    done: multiprocessing.Queue[int] = multiprocessing.Queue()
    running = [
        multiprocessing.Process(target=busy, args=(amount, seconds, done)) for _ in range(processes)
    ]
    for process in running:
        process.start()
    total = sum(done.get() for _ in running)
    for process in running:
        process.join()
    return total / seconds


async def serve(worker: wsock.Worker, rounds: int) -> None:
    """Echo in the message model, with that much work before each echo."""

    def procedure(message: wsock.Message) -> None:
        sock = message.socket
        if message.event == FD_ACCEPT:
            with contextlib.suppress(wsock.WSAEWOULDBLOCK):  # another worker was faster
                sock.accept_nowait()
        elif message.event == FD_READ:
            data = sock.recv_nowait(READ_BYTES)
            if rounds:
                work(rounds)
            sock.send_all_nowait(data)
        else:
            sock.close()

    async with wsock.Window() as window:
        worker.listener.async_select(window, WM_USER, FD_ACCEPT | FD_READ | FD_CLOSE)
        await window.run(procedure, on_error=wsock.reset_client)


async def supervise(workers: int, rounds: int) -> None:
    """Serve on a free port; tell it."""
    async with trio.open_nursery() as nursery:
        start = partial(wsock.serve_processes, serve, ("127.0.0.1", 0), args=(rounds,))
        server = await nursery.start(partial(start, workers=workers))
        await server.wait_ready()  # else the first one takes every connection
        print(server.addresses[0][1], flush=True)


@contextlib.contextmanager
def running(workers: int, rounds: int) -> Iterator[int]:
    """A server with so many workers; gives its port."""
    command = [sys.executable, "-m", __spec__.name, "--serve", str(workers), "--work", str(rounds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def load(port: int, seconds: float) -> tuple[float, float]:
    """Messages a second of a closed loop, and how busy the generator was (1: a whole core)."""
    options = ["--port", str(port), "--mode", "echo", "--connections", str(CONNECTIONS)]
    options += ["--size", "64", "--warmup", "1.0", "--duration", str(seconds)]
    done = subprocess.run(
        [*load_command(), *options], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    result = parse_load(done.stdout)
    return result["messages"] / result["seconds"], result["generator_busy"]


def measure(workers: int, rounds: int, seconds: float) -> tuple[float, float]:
    """One run of a fresh server."""
    with running(workers, rounds) as port:
        return load(port, seconds)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--work", type=int, default=5000, help="numbers to add for a message; 0: none"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="where the raw samples go")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turn, print medians and the median of the ratios of each round."""
    options = parse()
    if options.serve:
        trio.run(supervise, options.serve, options.work)
        return
    counts = (1, options.workers)
    served: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    possible: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(options.rounds):
        for count in counts if number % 2 else counts[::-1]:
            served[count].append(measure(count, options.work, options.seconds))
            if options.work:
                possible[count].append(bare(count, options.work, options.seconds))
    if options.json:
        kept = {
            "command": f"python -m benchmarks.processes {' '.join(sys.argv[1:])}",
            "machine": describe(Path(sys.executable)),
            "served": {count: served[count] for count in counts},
            "bare": {count: possible[count] for count in counts},
        }
        options.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    rows = []
    for count in counts:
        rates = [rate for rate, _ in served[count]]
        rows.append(
            [
                str(count),
                shown(Figure.of(rates), 0),
                shown(Figure.of([part for _, part in served[count]])),
                shown(ratio(rates, [rate for rate, _ in served[1]])),
                shown(ratio(possible[count], possible[1])),
            ]
        )
    print(f"{options.rounds} rounds of {options.seconds} s, {options.work} numbers a message")
    header = [
        "workers",
        "messages a second",
        "load busy",
        "beside one",
        "bare processes beside one",
    ]
    print(markdown(header, rows))


def ratio(above: list[float], below: list[float]) -> Figure | None:
    """The median, over the rounds, of one beside the other."""
    return Figure.of([top / bottom for top, bottom in zip(above, below, strict=True)])


if __name__ == "__main__":
    main()
