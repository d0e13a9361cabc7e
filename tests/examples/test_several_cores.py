"""The example of several cores: run as its page says, with a plain client."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys

import pytest

from examples.several_cores.server import ROUNDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a worker leaves by SIGTERM")


def connected(port: int, process: subprocess.Popen[str]) -> socket.socket:
    """A client, as soon as the program listens."""
    while process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            continue
    raise AssertionError("the program has ended")


def test_lines_are_hashed_by_a_worker_and_sigterm_ends_it() -> None:
    """Two lines in one piece give two answers of one worker; exit code 0."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "examples.several_cores", str(port), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            talk(port, process)
        finally:
            process.kill()
    assert process.returncode == 0


def talk(port: int, process: subprocess.Popen[str]) -> None:
    with connected(port, process) as sock, sock.makefile("rb") as answers:
        sock.sendall(b"hello\nwor")
        sock.sendall(b"ld\n")
        for line in (b"hello", b"world"):
            pid, _, digest = answers.readline().strip().partition(b" ")
            assert int(pid) != process.pid
            expected = hashlib.pbkdf2_hmac("sha256", line, b"salt", ROUNDS).hex()
            assert digest.decode() == expected
    process.send_signal(signal.SIGTERM)
    process.wait(30)
