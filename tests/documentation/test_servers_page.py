"""docs/servers.md: its programs print what it shows, and the one with workers serves."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.pages import Page

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Page("docs/servers.md")
*PROGRAMS, SEVERAL_CORES = PAGE.listings


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_prints_what_the_page_shows(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the letter."""
    listing = PROGRAMS[number]
    PAGE.run(listing, {"__name__": "__main__"})
    assert listing.output
    assert capsys.readouterr().out == listing.output


@pytest.mark.skipif(sys.platform == "win32", reason="a worker leaves by SIGTERM")
def test_the_program_with_workers_echoes_and_ends(tmp_path: Path) -> None:
    """As a file that is run; only the port is another."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = tmp_path / "echo.py"
    program.write_text(SEVERAL_CORES.program.replace("7778", str(port)), encoding="utf-8")
    with subprocess.Popen([sys.executable, str(program)]) as process:
        try:
            talk(port, process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def talk(port: int, process: subprocess.Popen[bytes]) -> None:
    """Get an echo as soon as the program listens."""
    while process.poll() is None:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            continue
        with sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            return
    raise AssertionError("the program has ended")
