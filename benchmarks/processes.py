# Several cores: how much more two workers serve than one, in one run, one after the other.
#
#   python -m benchmarks.processes [--workers 2] [--work 500] [--rounds 5]
#
# Each message costs the server some work for the processor (key stretching, the interpreter's lock
# released or not, as a real server's), so that the load generator leaves room: with no work it
# takes a core itself, and two cores show nothing. Beside each throughput stands how busy the
# generator was. Both servers are wsock.serve_processes, with one worker and with several.

from __future__ import annotations

import argparse
import contextlib
import hashlib
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

import wsock
from benchmarks.environment import ROOT
from benchmarks.report import markdown, shown
from benchmarks.running import load_command, parse_load
from benchmarks.summary import Figure
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 50
READ_BYTES = 65536


async def serve(worker: wsock.Worker, rounds: int) -> None:
    """Echo in the message model; each message is hashed ``rounds`` times first."""

    def procedure(message: wsock.Message) -> None:
        sock = message.socket
        if message.event == FD_ACCEPT:
            with contextlib.suppress(wsock.WSAEWOULDBLOCK):  # another worker was faster
                sock.accept_nowait()
        elif message.event == FD_READ:
            data = sock.recv_nowait(READ_BYTES)
            if rounds:
                hashlib.pbkdf2_hmac("sha256", data, b"salt", rounds)
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
    parser.add_argument("--work", type=int, default=500, help="hash rounds a message; 0: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turn, print medians and the median of the ratios of each round."""
    options = parse()
    if options.serve:
        trio.run(supervise, options.serve, options.work)
        return
    counts = (1, options.workers)
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    began = time.monotonic()
    for number in range(options.rounds):
        for count in counts if number % 2 else counts[::-1]:
            found[count].append(measure(count, options.work, options.seconds))
    rows = []
    for count in counts:
        rates = [rate for rate, _ in found[count]]
        busy = Figure.of([part for _, part in found[count]])
        ratio = Figure.of([rate / one for rate, (one, _) in zip(rates, found[1], strict=True)])
        rows.append([str(count), shown(Figure.of(rates), 0), shown(busy), shown(ratio)])
    print(
        f"{options.rounds} rounds in {time.monotonic() - began:.0f} s, {options.work} hash rounds"
    )
    print(markdown(["workers", "messages a second", "load busy", "beside one worker"], rows))


if __name__ == "__main__":
    main()
