"""The echo server as a program of its own."""

from __future__ import annotations

import socket as std
import subprocess
import sys
from typing import TYPE_CHECKING

import programs
import pytest
from process_clients import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The echo server on a free port, in a process of its own; killed at the end."""
    with std.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, programs.__file__, str(port)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process, port
        process.kill()
