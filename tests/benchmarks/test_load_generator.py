from __future__ import annotations

import contextlib
import json
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


def test_check_passes_a_server_that_echoes(generator: list[str]) -> None:
    """Equal bytes, a reader that stops, half close."""
    with serving(echo) as port:
        assert load(generator, port, "--mode", "check") == {"check": "passed"}


@pytest.mark.parametrize("handle", [changing, closing_at_once])
def test_check_fails_a_server_that_loses_or_changes_bytes(
    generator: list[str], handle: Callable[[socket.socket], None]
) -> None:
    """Who does less work is not measured."""
    with serving(handle) as port:
        assert "error" in load(generator, port, "--mode", "check")


def test_echo_counts_whole_messages(generator: list[str]) -> None:
    """Messages times size is what came back, to within one read."""
    options = ("--connections", "3", "--size", "100", "--depth", "4", *SHORT)
    with serving(echo) as port:
        result = load(generator, port, *options)
    assert result["messages"] > 0
    assert abs(result["bytes"] - result["messages"] * 100) <= 3 * 4 * 100


def test_a_closed_loop_tells_no_percentile_above_the_median(generator: list[str]) -> None:
    """Coordinated omission would flatter a slow server."""
    with serving(echo) as port:
        result = load(generator, port, "--connections", "2", *SHORT)
    assert result["p50_us"] > 0
    assert not {"p90_us", "p99_us", "p999_us"} & result.keys()


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
    assert result["p99_us"] > 100_000
    assert result["p90_us"] > 50_000


def test_churn_counts_connections(generator: list[str]) -> None:
    """Connect, one echo, close, and again."""
    with serving(echo) as port:
        result = load(generator, port, "--mode", "churn", "--connections", "4", *SHORT)
    assert result["messages"] > 0


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
