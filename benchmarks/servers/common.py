# What every server of the benchmark does alike, so that only its I/O model differs.
#
# A server is one small module, `python -m benchmarks.servers.NAME PORT [WORK]`, with one class or
# function per work: echo (send back what came), sink (read and throw away), source (send 1 MiB
# blocks as fast as the reader takes them). All of them hold back reading while the peer does not
# read (no unbounded buffer), send everything that came before the peer's end, then close.
#
# Equal for all: the listening socket made here (backlog, TCP_NODELAY inherited by accepted
# sockets, system's buffer sizes), the collector's default thresholds, and reads of at most
# READ_BYTES: what asyncio and uvloop have built in, so that in bulk nobody reads less at a time.

from __future__ import annotations

import gc
import json
import resource
import socket
import sys
from typing import Final, Literal, cast

READ_BYTES: Final = 262144
BLOCK: Final = bytes(1 << 20)
BACKLOG: Final = 4096

Work = Literal["echo", "sink", "source"]


def arguments() -> tuple[int, Work]:
    """PORT and WORK of the command line; port 0 lets the system choose."""
    work = sys.argv[2] if len(sys.argv) > 2 else "echo"
    if work not in ("echo", "sink", "source"):
        sys.exit(f"{work}: the work is echo, sink or source")
    return int(sys.argv[1]), cast("Work", work)


def listener(port: int) -> socket.socket:
    """A nonblocking listening socket on 127.0.0.1; tells on standard output where it is.

    The line comes before the first accept, which is no harm: the system queues whoever connects.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    sock.listen(BACKLOG)
    announce(sock.getsockname()[1])
    return sock


def announce(port: int) -> None:
    """Print the server's settings as one JSON line."""
    settings = {
        "port": port,
        "tcp_nodelay": True,
        "backlog": BACKLOG,
        "read_bytes": READ_BYTES,
        "gc": list(gc.get_threshold()) if gc.isenabled() else "off",
        "python": sys.version.split()[0],
    }
    print(json.dumps(settings), flush=True)
