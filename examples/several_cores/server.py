"""A server that stretches keys: each line is hashed 2,000 times, which is work for a processor.

Watch: this file knows nothing of other processes. It gets a listening socket that all workers
share, and serves it in the message model; ``wsock.serve_processes`` starts as many of it as there
are CPUs. Kill one, and another takes its place; send SIGHUP to the first process, and all are
replaced, while clients come and go.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

import wsock
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER

ROUNDS = 2_000
MAX_LINE = 1_000


def stretch(line: bytes) -> bytes:
    """What is worth a core of its own."""
    return hashlib.pbkdf2_hmac("sha256", line, b"salt", ROUNDS).hex().encode("ascii")


def on_message(message: wsock.Message) -> None:
    """The window procedure; ``sock.data`` is the beginning of a line that has not ended yet."""
    sock = message.socket
    if message.event == FD_ACCEPT:
        with suppress(wsock.WSAEWOULDBLOCK):  # another worker was faster
            sock.accept_nowait()[0].data = b""
    elif message.event == FD_READ:
        *lines, sock.data = (sock.data + sock.recv_nowait(4096)).split(b"\n")
        if len(sock.data) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} bytes")
        for line in lines:
            sock.send_all_nowait(b"%d %s\n" % (os.getpid(), stretch(line)))
    else:
        sock.close()


async def serve(worker: wsock.Worker) -> None:
    """One worker: until it is cancelled, which it is when its last client has gone."""
    async with wsock.Window() as window:
        worker.listener.async_select(window, WM_USER, FD_ACCEPT | FD_READ | FD_CLOSE)
        await window.run(on_message, on_error=wsock.reset_client)
