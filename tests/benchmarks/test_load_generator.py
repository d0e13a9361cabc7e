from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.build import compiler, load_generator
from benchmarks.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
PYTHON = [sys.executable, "-m", "benchmarks.load_python"]
SHORT = ("--warmup", "0.05", "--duration", "0.2")


@pytest.fixture(params=["c", "python"])
def generator(request: pytest.FixtureRequest) -> list[str]:
    """Each of the two load generators."""
    if request.param == "python":
        return PYTHON
    if compiler() is None:
        pytest.skip("needs a C compiler")
    return [str(load_generator())]


def load(generator: list[str], port: int, *options: str) -> dict[str, Any]:
    """Run it to the end."""
    command = [*generator, "--port", str(port), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if "error" in result else 0)
    return result


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A thread per connection runs `handle`; gives the port."""

    def guarded(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            handle(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=guarded, args=(listening.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(sock: socket.socket) -> None:
    while data := sock.recv(65536):
        sock.sendall(data)


def changing(sock: socket.socket) -> None:
    while data := sock.recv(65536):
        sock.sendall(bytes(reversed(data)))


def closing_at_once(sock: socket.socket) -> None:
    """Closes at the peer's end although bytes wait: what a careless server does."""
    waiting = bytearray()
    sock.settimeout(0.05)
    while True:
        try:
            data = sock.recv(65536)
        except TimeoutError:
            sock.sendall(waiting)
            waiting.clear()
            continue
        if not data:
            return
        waiting += data


kept: list[socket.socket] = []  # what these servers leave open


@pytest.fixture(autouse=True)
def kept_until_the_end() -> Iterator[None]:
    yield
    while kept:
        kept.pop().close()


def staying_open(sock: socket.socket) -> None:
    """Never answers the peer's end with its own."""
    echo(sock)
    kept.append(sock.dup())


def buffering_without_end(sock: socket.socket) -> None:
    """Reads on while its peer does not: what comes back waits in memory, however much it is."""
    waiting = bytearray()
    sock.setblocking(False)
    ended = False
    while waiting or not ended:
        readers = [] if ended else [sock]
        readable, writable, _ = select.select(readers, [sock] if waiting else [], [])
        if readable:
            data = sock.recv(1 << 20)
            ended = not data
            waiting += data
        if writable:
            del waiting[: sock.send(waiting)]


def staying_open_sink(sock: socket.socket) -> None:
    """Reads everything, then does not close."""
    while sock.recv(65536):
        pass
    kept.append(sock.dup())


def dying_of_a_reset(sock: socket.socket) -> None:
    """Serves nobody any more once a client has reset."""
    try:
        while (data := sock.recv(65536)) and not kept:
            sock.sendall(data)
    except OSError:
        kept.append(sock.dup())


def kept_and_not_read(sock: socket.socket) -> None:
    """A sink that is blocked."""
    kept.append(sock.dup())


def sending_little(sock: socket.socket) -> None:
    """A source that dries up."""
    sock.sendall(bytes(1 << 20))


def test_check_passes_a_server_that_echoes(generator: list[str]) -> None:
    """Equal bytes, a reader that stops, half close."""
    with serving(echo) as port:
        assert load(generator, port, "--mode", "check") == {"check": "passed"}


@pytest.mark.parametrize(
    ("handle", "reason"),
    [
        (changing, "changed|not the"),
        (closing_at_once, "end of file after|reset|not the"),
        (staying_open, "no end of file"),
        (dying_of_a_reset, "end of file after|not the|reset"),
    ],
)
def test_check_fails_a_server_that_does_less_work(
    generator: list[str], handle: Callable[[socket.socket], None], reason: str
) -> None:
    """Bytes lost or changed, no end after the peer's, harm by another: such are not measured."""
    with serving(handle) as port:
        told = load(generator, port, "--mode", "check", "--patience", "1")
    assert re.search(reason, told["error"])


def test_check_tells_of_a_server_that_holds_nobody_back(generator: list[str]) -> None:
    """It does less work than one whose memory a peer cannot fill."""
    with serving(buffering_without_end) as port:
        told = load(generator, port, "--mode", "check-pressure")
    assert "of a peer that reads nothing" in told["error"]
    with serving(echo) as port:
        assert load(generator, port, "--mode", "check-pressure") == {"check": "passed"}


@pytest.mark.parametrize(
    ("mode", "handle", "reason"),
    [
        ("check-sink", echo, "sent something|bytes after|does not read"),
        ("check-sink", staying_open_sink, "no end of file"),
        ("check-sink", kept_and_not_read, "does not read"),
        ("check-source", sending_little, "stopped"),
    ],
)
def test_check_fails_a_one_way_server_that_does_something_else(
    generator: list[str], mode: str, handle: Callable[[socket.socket], None], reason: str
) -> None:
    """A sink is silent and ends after its peer; a source goes on."""
    with serving(handle) as port:
        told = load(generator, port, "--mode", mode, "--patience", "1")
    assert re.search(reason, told["error"])


def test_echo_counts_whole_messages(generator: list[str]) -> None:
    """Messages times size is what came back, to within one read."""
    options = ("--connections", "3", "--size", "100", "--depth", "4", *SHORT)
    with serving(echo) as port:
        result = load(generator, port, *options)
    assert result["messages"] > 0
    assert abs(result["bytes"] - result["messages"] * 100) <= 3 * 4 * 100


def test_the_servers_cpu_time_and_the_generators_own_are_told(generator: list[str]) -> None:
    """The server's to the nanosecond, its two parts to 10 ms; the generator's as a share."""
    with serving(echo) as port:
        options = ("--connections", "5", "--server-pid", str(os.getpid()), *SHORT)
        result = load(generator, port, *options)
    assert 0 < result["server_cpu_ns"] < 0.5e9 * 2
    parts = result["server_user_s"] + result["server_system_s"]
    assert parts == pytest.approx(result["server_cpu_ns"] / 1e9, abs=0.05)
    assert 0 < result["generator_busy"] < 1.2
    assert result["generator_busy"] != 1.0


def test_a_closed_loop_tells_no_percentile_above_the_median(generator: list[str]) -> None:
    """Coordinated omission would flatter a slow server."""
    with serving(echo) as port:
        result = load(generator, port, "--connections", "2", *SHORT)
    assert result["p50_us"] > 0
    assert not {"p90_us", "p99_us", "p999_us", "histogram_us"} & result.keys()


@needs_compiler
def test_at_a_given_rate_that_many_messages_are_sent_and_percentiles_told() -> None:
    """In 0.2 s at 500 a second 100 are due."""
    with serving(echo) as port:
        result = load([str(load_generator())], port, "--rate", "500", "--connections", "4", *SHORT)
    assert result["messages"] == pytest.approx(100, abs=10)
    assert result["p50_us"] <= result["p99_us"] <= result["p999_us"]


@needs_compiler
def test_at_a_given_rate_latency_counts_from_the_moment_due() -> None:
    """A server that pauses for 0.15 s makes all the messages due meanwhile late, not one."""

    def pausing(sock: socket.socket) -> None:
        seen = 0
        while data := sock.recv(100):
            if seen < 2000 <= seen + len(data):
                threading.Event().wait(0.15)
            seen += len(data)
            sock.sendall(data)

    with serving(pausing) as port:
        options = ("--rate", "1000", "--connections", "1", "--size", "20")
        result = load(
            [str(load_generator())], port, *options, "--warmup", "0.05", "--duration", "0.4"
        )
    assert result["unanswered"] == 0
    assert result["p99_us"] > 100_000
    assert result["p90_us"] > 50_000


@needs_compiler
def test_at_a_given_rate_what_could_not_be_sent_in_time_is_late_too() -> None:
    """A pause of 0.3 s makes 2,400 messages late: also those that the generator held back then."""

    def pausing(sock: socket.socket) -> None:
        seen = 0
        while data := sock.recv(65536):
            if seen < 8000 <= seen + len(data):
                threading.Event().wait(0.3)
            seen += len(data)
            sock.sendall(data)

    with serving(pausing) as port:
        options = ("--rate", "8000", "--connections", "1", "--size", "20", "--warmup", "0")
        result = load([str(load_generator())], port, *options, "--duration", "0.5")
    assert result["p90_us"] > 100_000
    assert result["p50_us"] > 10_000


@needs_compiler
def test_at_a_given_rate_what_is_never_answered_counts_too() -> None:
    """With the age that it has reached: who falls silent does not look fast."""

    def falling_silent(sock: socket.socket) -> None:
        sock.sendall(sock.recv(1))  # the first byte of a connection
        for _ in range(20):
            sock.sendall(sock.recv(20, socket.MSG_WAITALL))
        while sock.recv(65536):
            pass

    with serving(falling_silent) as port:
        options = ("--rate", "500", "--connections", "1", "--size", "20")
        result = load([str(load_generator())], port, *options, "--warmup", "0", "--duration", "0.2")
    assert result["messages"] == 20
    assert result["unanswered"] == pytest.approx(80, abs=3)
    assert result["p50_us"] > 1_000_000


@pytest.mark.parametrize("mode", ["churn", "sink", "source", "slow", "idle"])
def test_a_rate_is_refused_where_the_loop_is_closed(mode: str) -> None:
    """Else its percentiles would be told of a closed loop."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    assert "rate" in load([str(load_generator())], 1, "--mode", mode, "--rate", "100")["error"]


def test_churn_counts_connections(generator: list[str]) -> None:
    """Connect, one echo, close, and again."""
    with serving(echo) as port:
        result = load(generator, port, "--mode", "churn", "--connections", "4", *SHORT)
    assert result["messages"] > 0
    assert not {"p90_us", "p99_us", "p999_us", "histogram_us"} & result.keys()


def test_an_idle_crowd_stands_until_standard_input_ends(generator: list[str]) -> None:
    """It tells when all are there; who measures decides how long they stay."""
    with serving(echo) as port:
        crowd = subprocess.Popen(
            [*generator, "--port", str(port), "--mode", "idle", "--connections", "30"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert crowd.stdout is not None
        assert json.loads(crowd.stdout.readline()) == {"ready": 30}
        assert crowd.poll() is None
        crowd.communicate()
    assert crowd.returncode == 0


def test_a_server_that_closes_in_the_middle_is_an_error(generator: list[str]) -> None:
    """Not a run with fewer connections."""

    def once(sock: socket.socket) -> None:
        sock.sendall(sock.recv(65536))
        sock.recv(65536)

    with serving(once) as port:
        result = load(generator, port, "--connections", "2", *SHORT)
    assert "error" in result
