"""UDP time client: ``python -m examples.udp_time.client PORT``.

Watch: a datagram may be lost, so the client asks again; and a port where nobody listens is known
at once, because ``connect`` fixed the peer and the "port unreachable" comes back (WSAECONNRESET).
"""

from __future__ import annotations

import argparse
import socket
import sys

import trio

import wsock

WAIT_S = 1.0
ATTEMPTS = 3
QUESTION = b"what time is it, please?"  # as long as the answer may be


async def ask(host: str, port: int, *, wait: float = WAIT_S) -> str:
    """The server's time. Raises trio.TooSlowError when no answer comes."""
    with wsock.socket(type=socket.SOCK_DGRAM) as sock:
        await sock.connect((host, port))
        for _ in range(ATTEMPTS):
            await sock.send(QUESTION)
            with trio.move_on_after(wait):
                return (await sock.recv(512)).decode()
    raise trio.TooSlowError(f"no answer after {ATTEMPTS} questions")


def main() -> int:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.client")
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    try:
        print(trio.run(ask, options.host, options.port))
    except (OSError, trio.TooSlowError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
