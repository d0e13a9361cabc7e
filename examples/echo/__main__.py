"""``python -m examples.echo MODEL PORT``: the echo server in one of wsock's models.

Talk to it with ``python -m examples.echo.client PORT`` or ``nc 127.0.0.1 PORT``; Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from functools import partial
from typing import Any, Final

import trio

import wsock

MODELS: Final = {
    "blocking": "a task per client; each call blocks that task only",
    "polling": "one task asks every socket in turn, nothing ever waits",
    "select": "one wait for all sockets, then a look at each of them",
    "message": "WSAAsyncSelect: sockets post messages to a window",
    "event": "WSAEventSelect: each socket sets an event object",
    "async_socket": "CAsyncSocket: override on_receive and its kin",
    "stream": "Trio's streams: serve_listeners does the rest",
    "tls": "Trio's SSLStream on top of them (try: openssl s_client)",
    "async_tls": "CAsyncSocket with start_tls: TLS in the message model",
}


def main() -> str | None:
    """Read the command line and serve until Ctrl-C. Returns what stands against it."""
    models = "; ".join(f"{name}: {text}" for name, text in MODELS.items())
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", epilog=f"models: {models}")
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("port", type=int, help="0: any free one")
    options = parser.parse_args()
    if options.port not in range(1 << 16):
        parser.error(f"there is no port {options.port}: 0 to 65535")
    server = partial(importlib.import_module(f".{options.model}", __package__).serve, options.port)
    problem = None
    try:
        # A Ctrl-C between a system call and its bookkeeping would leave them apart.
        trio.run(serve, server, restrict_keyboard_interrupt_to_checkpoints=True)
    except* KeyboardInterrupt:
        print("stopped")
    except* wsock.WSAEADDRINUSE:
        problem = f"port {options.port} is in use"
    return problem


async def serve(server: partial[Any]) -> None:
    """Start the server, say where it listens, and let it run."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server)
        print(f"listening on 127.0.0.1 port {port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
