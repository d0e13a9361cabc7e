# The load generator for machines without a C compiler: same options, same JSON, fewer modes.
#
# Echo (closed loop), churn, sink, source, idle, and the checks, in as many processes as it has
# CPUs, two at least; each has an epoll of its own and a share of the connections (in churn one
# client at a time). A Python generator is often busier than the server it loads: throughput is then
# its own, and the server, woken for fewer messages at a time, pays more for each (15 us where it
# pays 6 under the generator in C). The report says so, and judges no goal.

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

CHUNK: Final = 1 << 18
SILENCE_S: Final = 5.0
PATTERN: Final = bytes(range(251)) * 34000  # 8 MiB that repeat only after a prime


class LoadError(Exception):
    """The server did not do what it should."""


@dataclass
class Tally:
    """What one process has counted within its window."""

    messages: int = 0
    received: int = 0
    cpu_s: float = 0.0
    latencies_ns: list[int] = field(default_factory=list)

    def begin(self) -> None:
        """Forget the warm-up; from now on it counts."""
        self.messages = self.received = 0
        self.latencies_ns.clear()
        self.cpu_s = -time.process_time()

    def end(self) -> None:
        """The window is over: cpu_s is what this process used in it."""
        self.cpu_s += time.process_time()


Results: TypeAlias = "multiprocessing.Queue[tuple[Tally, str]]"


def parse(words: list[str]) -> argparse.Namespace:
    """The options of the generator in C, those that exist here."""
    parser = argparse.ArgumentParser(prog="load_python")
    modes = ["echo", "churn", "sink", "source", "idle", "check", "check-sink", "check-source"]
    modes += ["check-pressure", "slow"]
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--mode", choices=modes, default="echo")
    for name, default in (("connections", 50), ("size", 64), ("depth", 1), ("sources", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--duration", type=float, default=2.0)
    parser.add_argument("--server-pid", type=int, default=0)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--slow", type=int, default=0)
    options = parser.parse_args(words)
    if options.rate or options.mode == "slow":
        raise LoadError("a given rate and slow readers need the load generator in C")
    return options


def connect(options: argparse.Namespace, index: int) -> socket.socket:
    """A blocking connection from one of several loopback addresses."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    sock.bind((f"127.0.0.{2 + index % options.sources}", 0))
    sock.connect((options.host, options.port))
    return sock


def cpu_ns(pid: int) -> int:
    """CPU time of a process, all threads, to the nanosecond; 0 for pid 0."""
    # glibc's clock_getcpuclockid, which Python has for threads only.
    return time.clock_gettime_ns((~pid << 3) | 2) if pid else 0


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system seconds of a process, to 10 ms; zeros for pid 0."""
    if pid == 0:
        return 0.0, 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


class Client:
    """One connection of the closed loop: `depth` messages under way, counted by their bytes."""

    def __init__(self, sock: socket.socket, options: argparse.Namespace, tally: Tally) -> None:
        self.sock = sock
        self.mode = options.mode
        self.size = options.size
        self.tally = tally
        self.message = bytes(self.size)
        self.rest = memoryview(b"" if self.mode == "source" else self.message * options.depth)
        self.due = [time.monotonic_ns()] * options.depth
        self.received = 0

    def send(self) -> bool:
        """Send what is owed; True when all of it went."""
        try:
            self.rest = self.rest[self.sock.send(self.rest) :]
        except BlockingIOError:
            return False
        if not self.rest and self.mode == "sink":
            self.tally.messages += 1
            self.tally.received += self.size
            self.rest = memoryview(self.message)
            return False
        return not self.rest

    def receive(self) -> None:
        """Count what came; each whole message is followed by the next."""
        try:
            got = len(self.sock.recv(CHUNK))
        except BlockingIOError:
            return
        if got == 0:
            raise LoadError("the server closed a connection")
        self.received += got
        self.tally.received += got
        whole, self.received = divmod(self.received, self.size)
        self.tally.messages += whole
        if self.mode == "echo" and whole:
            now = time.monotonic_ns()
            self.tally.latencies_ns += [now - due for due in self.due[:whole]]
            self.due = self.due[whole:] + [now] * whole
            self.rest = memoryview(bytes(self.rest) + self.message * whole)


def traffic(options: argparse.Namespace, share: range, tally: Tally, edges: list[float]) -> None:
    """Echo, sink or source on this process's connections, until the window's end."""
    poller = select.epoll()
    clients = {}
    for index in share:
        sock = connect(options, index)
        sock.setblocking(False)
        clients[sock.fileno()] = Client(sock, options, tally)
        both = select.EPOLLIN | select.EPOLLOUT
        poller.register(sock.fileno(), select.EPOLLIN if options.mode == "source" else both)
    start, end = edges
    measuring = False
    while (now := time.monotonic()) < end:
        if not measuring and now >= start:
            tally.begin()
            measuring = True
        ready = poller.poll(SILENCE_S)
        if not ready:
            raise LoadError("the server has done nothing for five seconds")
        for descriptor, events in ready:
            client = clients[descriptor]
            if events & select.EPOLLIN:
                client.receive()
            if client.rest:
                everything = client.send()
                wanted = select.EPOLLIN | (0 if everything else select.EPOLLOUT)
                poller.modify(descriptor, wanted)
            elif events & select.EPOLLOUT:
                poller.modify(descriptor, select.EPOLLIN)


def churn(options: argparse.Namespace, share: range, tally: Tally, edges: list[float]) -> None:
    """One client after the other: connect, one echo, our end, the server's end, close."""
    message = bytes(options.size)
    start, end = edges
    index = share.start
    measuring = False
    while time.monotonic() < end:
        if not measuring and time.monotonic() >= start:
            tally.begin()
            measuring = True
        began = time.monotonic_ns()
        with connect(options, index) as sock:
            exchange(sock, message)
        index += 1
        tally.messages += 1
        tally.received += len(message)
        tally.latencies_ns.append(time.monotonic_ns() - began)


def exchange(
    sock: socket.socket, message: bytes, pause_s: float = 0.0, patience_s: float = 10.0
) -> None:
    """Send all, end this side, read all back and the end.

    Raises:
      LoadError: bytes differ, or the end comes early, or not.
    """
    seen = bytearray()
    sent = 0
    deaf_until = time.monotonic() + pause_s
    sock.setblocking(False)
    limit = time.monotonic() + patience_s + pause_s
    ended = False
    while not ended and time.monotonic() < limit:
        deaf = time.monotonic() < deaf_until
        writers = [sock] if sent < len(message) else []
        readable, writable, _ = select.select([] if deaf else [sock], writers, [], 0.02)
        if writable:
            sent += sock.send(memoryview(message)[sent:])
            if sent == len(message):
                sock.shutdown(socket.SHUT_WR)
        if readable:
            data = sock.recv(CHUNK)
            seen += data
            ended = not data
    if seen != message:
        raise LoadError(f"{len(seen)} bytes came back, not the {len(message)} sent")
    if not ended:
        raise LoadError("no end of file in time after ours")


def most_under_way() -> int:
    """The most that the system and a server's own buffers may hold while nobody reads."""
    total = 16 << 20
    for name in ("tcp_rmem", "tcp_wmem"):
        total += int(Path(f"/proc/sys/net/ipv4/{name}").read_text(encoding="utf-8").split()[2])
    return total


def send_without_reading(sock: socket.socket, limit: int) -> int:
    """Send until nothing was taken for half a second, or `limit`; returns how much was."""
    sock.setblocking(False)
    sent = 0
    while sent < limit and select.select([], [sock], [], 0.5)[1]:
        sent += sock.send(PATTERN)
    return sent


def check_pressure(sock: socket.socket) -> None:
    """Who sends for ever and reads nothing is stopped.

    Raises:
      LoadError: the server took more than the system can hold.
    """
    limit = most_under_way()
    sent = send_without_reading(sock, limit)
    if sent >= limit:
        raise LoadError(f"it took {sent} bytes of a peer that reads nothing")


def check_sink(sock: socket.socket) -> None:
    """8 MiB in, nothing back, the end after our end.

    Raises:
      LoadError: it does not read, or sends, or does not end.
    """
    try:
        sock.sendall(PATTERN)
    except TimeoutError:
        raise LoadError("it does not read on") from None
    sock.shutdown(socket.SHUT_WR)
    try:
        if sock.recv(1):
            raise LoadError("a sink sent something")
    except TimeoutError:
        raise LoadError("no end of file in time after ours") from None


def check_source(sock: socket.socket) -> None:
    """4 MiB come.

    Raises:
      LoadError: they do not.
    """
    left = 4 << 20
    with contextlib.suppress(TimeoutError):
        while left > 0 and (got := len(sock.recv(CHUNK))):
            left -= got
    if left > 0:
        raise LoadError(f"the source stopped {left} bytes early")


def check(options: argparse.Namespace) -> None:
    """The same checks as the generator in C, on fewer sizes."""
    single = {
        "check-sink": check_sink,
        "check-source": check_source,
        "check-pressure": check_pressure,
    }.get(options.mode)
    if single is not None:
        with connect(options, 0) as sock:
            sock.settimeout(options.patience)
            single(sock)
        return
    for size, pause_s in ((1, 0.0), (65537, 0.3), (1 << 20, 0.3), (8 << 20, 0.3)):
        with connect(options, size) as sock:
            exchange(sock, PATTERN[:size], pause_s, options.patience)
    with connect(options, 0) as sock:
        send_without_reading(sock, most_under_way())
    for pause_s in (0.1, 0.0):  # the last one was reset: others are served as before
        with connect(options, 0) as sock:
            exchange(sock, PATTERN[:64], pause_s, options.patience)


def stand_idle(options: argparse.Namespace) -> None:
    """Connect, one byte there and back each, then stand until standard input ends."""
    crowd = [connect(options, index) for index in range(options.connections)]
    for sock in crowd:
        sock.sendall(b"w")
        if sock.recv(1) != b"w":
            raise LoadError("the first byte did not come back")
    print(json.dumps({"ready": len(crowd)}), flush=True)
    sys.stdin.read()


def work(options: argparse.Namespace, share: range, edges: list[float], results: Results) -> None:
    """One process: its share of the connections."""
    tally = Tally()
    try:
        (churn if options.mode == "churn" else traffic)(options, share, tally, edges)
        tally.end()
        results.put((tally, ""))
    except (LoadError, OSError) as error:
        results.put((tally, str(error) or type(error).__name__))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run all processes; returns the result as the generator in C prints it."""
    cpus = len(os.sched_getaffinity(0))
    count = min(max(2, cpus), options.connections)
    share = -(-options.connections // count)
    connecting_s = 0.2 + options.connections * 0.0005
    start = time.monotonic() + connecting_s + options.warmup
    edges = [start, start + options.duration]
    results: Results = multiprocessing.Queue()
    workers = []
    for first in range(0, options.connections, share):
        part = range(first, min(first + share, options.connections))
        workers.append(multiprocessing.Process(target=work, args=(options, part, edges, results)))
        workers[-1].start()
    time.sleep(max(0.0, start - time.monotonic()))
    before, before_ns = cpu_seconds(options.server_pid), cpu_ns(options.server_pid)
    time.sleep(options.duration)
    after, after_ns = cpu_seconds(options.server_pid), cpu_ns(options.server_pid)
    tallies = [results.get(timeout=30) for _worker in workers]
    for worker in workers:
        worker.join()
    if reason := next((reason for _tally, reason in tallies if reason), ""):
        raise LoadError(reason)
    used_s = sum(tally.cpu_s for tally, _reason in tallies)
    return summed([tally for tally, _reason in tallies], options) | {
        "server_cpu_ns": after_ns - before_ns,
        "server_user_s": after[0] - before[0],
        "server_system_s": after[1] - before[1],
        "generator_busy": round(used_s / options.duration / min(len(workers), cpus), 3),
    }


def summed(tallies: list[Tally], options: argparse.Namespace) -> dict[str, Any]:
    """What all processes have counted together."""
    latencies = sorted(ns for tally in tallies for ns in tally.latencies_ns)
    result = {name: getattr(options, name) for name in ("mode", "connections", "size", "depth")}
    result |= {
        "generator": "python",
        "rate": 0.0,
        "seconds": options.duration,
        "messages": sum(tally.messages for tally in tallies),
        "bytes": sum(tally.received for tally in tallies),
    }
    if latencies:
        result["p50_us"] = latencies[len(latencies) // 2] / 1e3
    return result


def main(words: list[str]) -> int:
    """Do what the options say; returns the exit status."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        options = parse(words)
        if options.mode.startswith("check"):
            check(options)
            print(json.dumps({"check": "passed"}))
        elif options.mode == "idle":
            stand_idle(options)
        else:
            print(json.dumps(measure(options)))
    except (LoadError, OSError) as error:
        print(json.dumps({"error": str(error) or type(error).__name__}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
