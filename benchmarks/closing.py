# Thousands of connections close at once: how long does the loop do nothing else?
#
#   python -m benchmarks.closing [--connections 9000] [--rounds 5] [--json FILE]
#
# The server is stopped (SIGSTOP) while its clients' process is killed, so that every end of a
# connection waits when it goes on. A pass of Trio's loop is what lies between two waits for I/O;
# nothing else that is due, a timer or another task, is served earlier than the next pass. So the
# longest pass is the pause that a client of the same process would see.

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

import wsock
from benchmarks.environment import ROOT, cpus
from benchmarks.report import markdown, shown
from benchmarks.running import first_line, idle_crowd, on_cpus
from benchmarks.summary import Figure
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_MS: Final = 50.0
READ_BYTES: Final = 65536


class Passes(trio.abc.Instrument):
    """The passes of Trio's loop since `start`: how many, the longest, and all together."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was."""
        self.longest_s = self.busy_s = 0.0
        self.count = 0
        self.began = time.perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        """A pass begins."""
        self.began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        """It is over."""
        took_s = time.perf_counter() - self.began
        self.longest_s = max(self.longest_s, took_s)
        self.busy_s += took_s
        self.count += 1


class Crowd:
    """Counts connections; says when all are there, and measures from then until all are gone."""

    def __init__(self, size: int, passes: Passes) -> None:
        self.size = size
        self.passes = passes
        self.here = 0
        self.all_gone = trio.Event()

    def came(self) -> None:
        """One was answered."""
        self.here += 1
        if self.here == self.size:
            self.passes.start()

    def left(self) -> None:
        """One was closed."""
        self.here -= 1
        if self.here == 0:
            self.all_gone.set()


def echo(sock: Any, data: bytes, crowd: Crowd) -> None:  # noqa: ANN401 (either face's socket)
    """Answer the one byte of a connection."""
    sock.send_nowait(data)
    crowd.came()


async def message(listening: wsock.Socket, crowd: Crowd) -> None:
    """Window messages."""

    def procedure(message: wsock.Message) -> None:
        sock = message.socket
        if message.event == FD_ACCEPT:
            sock.accept_nowait()
        elif message.event == FD_READ:
            echo(sock, sock.recv_nowait(READ_BYTES), crowd)
        else:
            sock.close()
            crowd.left()

    async with wsock.Window() as window:
        listening.async_select(window, WM_USER, FD_ACCEPT | FD_READ | FD_CLOSE)
        await window.run(procedure)


async def async_socket(listening: wsock.Socket, crowd: Crowd) -> None:
    """A class for each connection."""

    class Connection(wsock.AsyncSocket):
        def on_receive(self, error: int) -> None:
            echo(self.socket, self.receive(READ_BYTES), crowd)

        def on_close(self, error: int) -> None:
            self.close()
            crowd.left()

    class Listener(wsock.AsyncSocket):
        accepted_class = Connection

        def on_accept(self, error: int) -> None:
            self.accept()

    async with wsock.Window() as window:
        Listener(window).attach(listening)
        await window.run()


async def blocking(listening: wsock.Socket, crowd: Crowd) -> None:
    """A task for each connection."""

    async def serve(sock: wsock.Socket) -> None:
        with sock:
            while data := await sock.recv(READ_BYTES):
                echo(sock, data, crowd)
        crowd.left()

    async with trio.open_nursery() as nursery:
        while True:
            sock, _address = await listening.accept()
            nursery.start_soon(serve, sock)


MODELS: Final[dict[str, Callable[[wsock.Socket, Crowd], Any]]] = {
    "message": message,
    "async_socket": async_socket,
    "blocking": blocking,
}


async def serve(model: str, size: int) -> None:
    """Be the server of one run: tell the port, then what was measured."""
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    crowd = Crowd(size, passes)
    with wsock.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(MODELS[model], listening, crowd)
            await crowd.all_gone.wait()
            await trio.lowlevel.checkpoint()  # the pass in which the last one went is over
            told = {"longest_ms": passes.longest_s * 1e3, "busy_ms": passes.busy_s * 1e3}
            print(json.dumps(told | {"passes": passes.count}), flush=True)
            nursery.cancel_scope.cancel()


def closed_at_once(model: str, size: int) -> dict[str, float]:
    """One run: the longest pass and all together, in ms, and how many passes it took."""
    connections = ("--connections", str(size))
    command = [sys.executable, "-m", __spec__.name, "--serve", model, *connections]
    with on_cpus(cpus()[0]):
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    with server:
        try:
            port = json.loads(first_line(server))["port"]
            with idle_crowd(["--port", str(port), "--mode", "idle", *connections]) as (crowd, _):
                server.send_signal(signal.SIGSTOP)
                os.waitpid(server.pid, os.WUNTRACED)  # it has stopped
                crowd.kill()
            server.send_signal(signal.SIGCONT)
            told: dict[str, float] = json.loads(first_line(server))
        finally:
            server.kill()
    return told


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.closing")
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the raw samples go")
    parser.add_argument("--serve", choices=MODELS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turn, print medians, and whether the pause is below the goal."""
    options = parse()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.serve:
        trio.run(serve, options.serve, options.connections)
        return
    samples = [
        {"model": model, "round": number} | closed_at_once(model, options.connections)
        for number in range(options.rounds)
        for model in MODELS
    ]
    if options.json:
        options.json.write_text(json.dumps(samples, indent=1), encoding="utf-8")
    print(f"{options.connections} connections close at once; {options.rounds} rounds")
    rows = []
    for model in MODELS:
        mine = [sample for sample in samples if sample["model"] == model]
        longest, busy, count = (
            Figure.of([one[key] for one in mine]) for key in ("longest_ms", "busy_ms", "passes")
        )
        verdict = longest.verdict(GOAL_MS) if longest else "not measured"
        figures = (shown(longest, 1), f"{GOAL_MS:.0f}", verdict, shown(busy, 0), shown(count, 0))
        rows.append([model, *figures])
    header = ["model", "longest pass, ms", "at most", "verdict", "all passes, ms", "passes"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
