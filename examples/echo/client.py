"""The echo client, in the blocking mode: ``python -m examples.echo.client PORT [TEXT ...]``.

Watch: TCP carries bytes, not messages. One ``send_all`` may come back in several pieces, so the
client reads until it has as many bytes as it sent. Without TEXT it sends what you type.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import trio

import wsock


async def echo(sock: wsock.Socket, data: bytes) -> bytes:
    """Send ``data``, and read until as much has come back."""
    await sock.send_all(data)
    answer = b""
    while len(answer) < len(data):
        part = await sock.recv(len(data) - len(answer))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        answer += part
    return answer


async def run(host: str, port: int, texts: list[str]) -> None:
    """Connect and echo each text."""
    with wsock.socket() as sock:
        await sock.connect((host, port))
        if texts:
            for text in texts:
                print((await echo(sock, text.encode())).decode())
            return
        read = partial(trio.to_thread.run_sync, sys.stdin.readline, abandon_on_cancel=True)
        while line := await read():
            print((await echo(sock, line.encode())).decode(), end="", flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.client")
    parser.add_argument("port", type=int)
    parser.add_argument("text", nargs="*", help="without one: standard input, line by line")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    try:
        trio.run(run, options.host, options.port, options.text)
    except OSError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("stopped")


if __name__ == "__main__":
    main()
