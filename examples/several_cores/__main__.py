"""``python -m examples.several_cores PORT``: see server.py. Ctrl-C ends it, SIGHUP reloads it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from functools import partial

import trio

import wsock

from .server import serve


def main() -> None:
    """Read the command line and serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument("port", type=int)
    parser.add_argument("--workers", type=int, help="default: one for each CPU")
    options = parser.parse_args()
    if options.port not in range(1 << 16):
        parser.error(f"there is no port {options.port}: 0 to 65535")
    logging.basicConfig(format="%(message)s")
    print(f"pid {os.getpid()}; try: printf 'hello\\n' | nc 127.0.0.1 {options.port}", flush=True)
    address = ("127.0.0.1", options.port)
    try:
        trio.run(partial(wsock.serve_processes, serve, address, workers=options.workers))
    except wsock.WSAEADDRINUSE:
        sys.exit(f"port {options.port} is in use")


if __name__ == "__main__":
    main()
