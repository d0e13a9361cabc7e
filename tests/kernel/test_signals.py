"""A peer that hangs up ends no process, also where SIGPIPE has its default action."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, socket, trio, wsock

signal.signal(signal.SIGPIPE, signal.SIG_DFL)

async def main():
    near, far = (wsock.from_stdlib_socket(s) for s in socket.socketpair())
    far.close()
    for send in (near.send_nowait, near.send_all_nowait):
        try:
            send(b"anybody there?")
        except wsock.WSAError as error:
            print(error.name)
    near.close()

trio.run(main)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="this system has no SIGPIPE")
@pytest.mark.parametrize("engine", ["epoll", "waits"])
def test_a_send_into_a_closed_connection_raises_no_signal(engine: str) -> None:
    """Every send carries MSG_NOSIGNAL: an error of the call, and the program goes on."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"WSOCK_ENGINE": engine},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, (ended.returncode, ended.stderr)
    assert len(ended.stdout.split()) == 2
