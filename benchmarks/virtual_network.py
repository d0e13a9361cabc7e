"""python -m benchmarks.virtual_network: how fast the virtual network is, on one core.

Figures are per second of CPU time, so that a busy machine does not spoil them; the last one, which
starts a process, counts that process's CPU time. A shared processor stretches CPU time, too; so a
checkpoint of Trio is measured beside, and what it costs more than on the quiet machine that the
goals are for is allowed to all. A figure that then misses half of its goal makes the exit code 1;
`tests/benchmarks/test_virtual_network_speed.py` judges the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from wsock.virtual import Network as PumpedNetwork
from wsock.virtual.network import Network
from wsock.virtual.programs import Program, connect, serve
from wsock.virtual.tcp.settings import TcpSettings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parent.parent
#: Microseconds of a Trio checkpoint (CPython 3.11) on the quiet machine that the goals are for.
CHECKPOINT_US: Final = 2.7
CHECKPOINTS: Final = 20_000
BULK: Final = 20_000_000
MESSAGES: Final = 4_000
MESSAGE: Final = bytes(64)
IDLE_CONNECTIONS: Final = 1_000
KEEP_ALIVE_S: Final = 1200
HOSTS: Final = 1_000


class Figure(NamedTuple):
    """A measured value and its goal."""

    name: str
    value: float
    unit: str
    goal: float
    at_least: bool  # the goal is a floor (a rate), or else a ceiling (seconds)

    @property
    def share(self) -> float:
        """How much of the goal is reached: 1 and more is met, below a half fails."""
        return self.value / self.goal if self.at_least else self.goal / self.value

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.share >= 1 else "missed" if self.share >= 0.5 else "FAILED"
        amount = f"{self.value:,.2f}" if self.value < 100 else f"{self.value:,.0f}"
        bound = f"{sign} {self.goal:,g} {self.unit}"
        return f"{self.name:<44}{amount:>10} {self.unit:<12}{bound:<24}{verdict}"


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def slowness() -> float:
    """How many times slower than that machine this one is just now; at least 1."""

    async def checkpoints() -> float:
        start = time.process_time()
        for _ in range(CHECKPOINTS):
            await trio.lowlevel.checkpoint()
        return (time.process_time() - start) / CHECKPOINTS * 1e6

    return max(1.0, trio.run(checkpoints) / CHECKPOINT_US)


def failed(figure: Figure, slower: float) -> bool:
    """Whether a figure misses half of its goal, on a machine so many times slower."""
    return figure.share * slower < 0.5


def two_hosts(make: Callable[[], Network] = Network) -> Network:
    """A client and a server on a link of a millisecond."""
    net = make()
    net.link(net.host("server"), net.host("client"), latency=0.001)
    return net


def transfer(net: Network) -> float:
    """Send BULK bytes from client to server; the CPU time."""
    near, far = Program(), Program()
    serve(net.hosts["server"], 80, far)
    connect(net.hosts["client"], 80, near, net.hosts["server"])
    net.run_until(lambda: "accepted" in far.events)
    near.send(bytes(BULK))
    return cpu_seconds(lambda: net.run_until(lambda: len(far.received) == BULK, limit=1000.0))


def bulk() -> list[Figure]:
    """One connection, one direction, without Trio: every packet built, parsed, its sums checked."""
    counted = two_hosts()  # a run is repeatable: one tells how many packets, another how fast
    capture = counted.capture(counted.hosts["client"])
    transfer(counted)
    packets, spent = len(capture), transfer(two_hosts())
    return [
        Figure("stack alone, bulk", packets / spent, "packets/s", 25_000, at_least=True),
        Figure("stack alone, bulk", BULK / spent / 1e6, "MB/s", 20, at_least=True),
    ]


async def _echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def _ping_pong(net: PumpedNetwork) -> None:
    async with net.hosts["server"].running(partial(trio.serve_tcp, _echo, 80)):
        await net.settle()
        with net.hosts["client"]:
            stream = await trio.open_tcp_stream("server", 80)
            for _ in range(MESSAGES // 2):
                await stream.send_all(MESSAGE)
                await stream.receive_some()
            await stream.aclose()


def small_messages() -> list[Figure]:
    """A plain Trio client and echo server; a message is 64 bytes in one direction."""
    net = two_hosts(PumpedNetwork)
    spent = cpu_seconds(lambda: net.run(_ping_pong, net))
    rate = MESSAGES / spent
    return [Figure("Trio sockets, small messages", rate, "messages/s", 8_000, at_least=True)]


def idle_hour() -> list[Figure]:
    """A thousand connections, each asked every 20 minutes whether it is alive, for one hour."""
    net = two_hosts()
    server, client = net.hosts["server"], net.hosts["client"]
    settings = TcpSettings(client.profile)
    settings.keep_alive, settings.keep_alive_idle_ns = True, KEEP_ALIVE_S * 10**9
    ends = [Program() for _ in range(IDLE_CONNECTIONS)]
    for port, end in enumerate(ends, 1000):
        serve(server, port, Program())
        client.tcp.connect(end, server.address.packed, port, settings=settings.copy())
    net.run_for(10)
    assert all(end.events == ["connected"] for end in ends)
    name = f"idle hour, {IDLE_CONNECTIONS:,} keep-alive connections"
    spent = cpu_seconds(lambda: net.run_for(3600))
    assert all(end.events == ["connected"] for end in ends)  # and nobody was thought dead
    return [Figure(name, spent, "s", 0.5, at_least=False)]


def thousand_hosts() -> list[Figure]:
    """On one LAN, each with its stack and its Winsock."""

    def build() -> None:
        net = PumpedNetwork()
        lan = net.segment("lan", "10.0.0.0/16")
        for number in range(HOSTS):
            net.host(f"host{number}", lan)

    return [Figure(f"{HOSTS:,} hosts built", cpu_seconds(build), "s", 1.0, at_least=False)]


def lesson() -> list[Figure]:
    """`wsock scenario handshake --pcap FILE`, from process start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "handshake.pcapng"
        command = [sys.executable, "-m", "wsock", "scenario", "handshake", "--pcap", str(path)]
        before = os.times()
        subprocess.run(command, cwd=ROOT, check=True)
        after = os.times()
        assert path.stat().st_size > 300
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    return [Figure("handshake lesson, process start to pcapng", spent, "s", 1.0, at_least=False)]


BENCHMARKS: Final = (bulk, small_messages, idle_hour, thousand_hosts, lesson)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.virtual_network")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    figures, bad, slower = [], False, 1.0
    for measure in BENCHMARKS:
        slower = slowness()
        for figure in measure():
            print(figure, flush=True)
            figures.append(figure)
            bad |= failed(figure, slower)
    print(f"{slower:.1f} times slower just now than the quiet machine that the goals are for")
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
