"""The wires judged by Linux at both ends (J4): two namespaces, two taps, and our link between."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from linux_over_tap import IP, WHY, namespace_with_tun

from wsock.virtual.network import Network
from wsock.virtual.tap import Tap, run_in_real_time

if TYPE_CHECKING:
    from collections.abc import Iterator

IPERF = shutil.which("iperf3")

pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY or "can be run"),
    pytest.mark.skipif(IPERF is None, reason="needs iperf3"),
]

#: What a full segment of Linux carries on a link of 1500 bytes: timestamps take 12.
SMSS, MTU = 1448, 1500
LATENCY = 0.02

#: Round trips of echo requests, one after the other; Linux' own clock measures.
PING = """
import os, socket, struct, time
def checksum(data):
    return 0xFFFF ^ (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(5)
s.connect(("198.51.100.2", 0))
for n in range(30):
    head = struct.pack("!BBHHH", 8, 0, 0, 77, n)
    begin = time.perf_counter()
    s.send(struct.pack("!BBHHH", 8, 0, checksum(head), 77, n))
    while s.recv(65535)[20:28][4:] != struct.pack("!HH", 77, n):
        pass
    print(time.perf_counter() - begin)
"""


class Ends(NamedTuple):
    """Two Linux machines that our routers join."""

    net: Network
    taps: list[Tap]
    namespaces: list[str]

    def start(self, end: int, *command: str) -> subprocess.Popen[str]:
        """Start a program at an end."""
        assert IP is not None
        whole = [IP, "netns", "exec", self.namespaces[end], *command]
        return subprocess.Popen(whole, stdout=subprocess.PIPE, text=True)

    def run(self, end: int, *command: str, limit: float = 60.0) -> str:
        """Run a program at an end, to its end; return what it printed."""
        with self.start(end, *command) as process:
            try:
                run_in_real_time(
                    self.net, self.taps, lambda: process.poll() is not None, limit=limit
                )
            finally:
                process.kill()
            output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def iperf(self, seconds: int) -> dict[str, Any]:
        """Send by TCP from the first to the second; what the receiver has counted."""
        assert IPERF is not None
        with self.start(1, IPERF, "-s", "-1", "--forceflush") as server:
            assert server.stdout is not None
            while "listening" not in server.stdout.readline():
                assert server.poll() is None
            try:
                words = ("-c", "198.51.100.2", "-J", "-t", str(seconds))
                report = self.run(0, IPERF, *words, limit=seconds + 30)
            finally:
                server.kill()
        found: dict[str, Any] = json.loads(report)["end"]["sum_received"]
        return found


@contextmanager
def two_linuxes(**conditions: float) -> Iterator[Ends]:
    """192.0.2.2 and 198.51.100.2, and two routers of ours with a link of these conditions."""
    net = Network(1)
    left, right = net.router("left"), net.router("right")
    net.link(left, right, **conditions)  # type: ignore[arg-type]
    prefixes = ("192.0.2", "198.51.100")
    with (
        namespace_with_tun("a", f"{prefixes[0]}.2") as (one, first),
        namespace_with_tun("b", f"{prefixes[1]}.2") as (two, second),
    ):
        taps = []
        for router, prefix, namespace, descriptor in (
            (left, prefixes[0], one, first),
            (right, prefixes[1], two, second),
        ):
            subprocess.run(
                [str(IP), "-n", namespace, "route", "add", "default", "via", f"{prefix}.1"],
                check=True,
            )
            ends = (f"{prefix}.1", f"{prefix}.2")
            taps.append(net.tap(router, descriptor, ends, name=f"linux-{namespace}"))
        net.fill_routes()
        try:
            yield Ends(net, taps, [one, two])
        finally:
            for tap in taps:
                tap.close()


def test_j4_the_round_trip_is_twice_the_latency() -> None:
    """Within a millisecond, as Linux' ping would see it; never less."""
    with two_linuxes(latency=LATENCY) as ends:
        times = [float(line) for line in ends.run(0, "python3", "-c", PING).split()]
    assert min(times) >= 2 * LATENCY - 0.0001
    assert min(times) <= 2 * LATENCY + 0.001


@pytest.mark.parametrize("bandwidth", [4_000_000, 16_000_000])
def test_j4_bandwidth_is_what_iperf_measures(bandwidth: int) -> None:
    """Within a tenth, headers counted."""
    with two_linuxes(latency=0.005, bandwidth=bandwidth, queue=60_000) as ends:
        found = ends.iperf(3)["bits_per_second"] * MTU / SMSS
    assert found == pytest.approx(bandwidth, rel=0.1)


@pytest.mark.parametrize("loss", [0.01, 0.02, 0.05])
def test_j4_reno_is_as_slow_as_mathis_says(loss: float) -> None:
    """Within a factor of two of SMSS / RTT * sqrt(3/2) / sqrt(p), as losses come one by one."""
    with two_linuxes(latency=LATENCY, loss=loss) as ends:
        found = ends.iperf(4)["bits_per_second"]
    mathis = 8 * SMSS / (2 * LATENCY) * math.sqrt(1.5 / loss)
    print(found / mathis)
    assert 0.5 < found / mathis < 2


def test_j3_iperf_runs_at_fifty_megabits() -> None:
    """What our routers forward, checksums made anew on each hop, with nothing in the way."""
    with two_linuxes() as ends:
        best = max(ends.iperf(1)["bits_per_second"] for _ in range(3))
    assert best >= 50_000_000
