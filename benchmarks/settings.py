# The settings that must be equal for all servers: as each announces them, and as the system has
# them on a connection that the server has accepted.
#
# A server can announce what it likes. So one of its connections is looked at from outside: Linux
# gives a copy of another process's descriptor (pidfd_getfd), and getsockopt answers for it. Where
# that is forbidden the announcement stands alone, and the report says so.

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import running

if TYPE_CHECKING:
    from collections.abc import Iterator

PIDFD_GETFD: Final = 438  # the same number on every architecture
OPTIONS: Final = {
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "SO_SNDBUF": (socket.SOL_SOCKET, socket.SO_SNDBUF),
}

Settings = dict[str, Any]


def settings_of(python: Path, server: str) -> Settings:
    """What one server announces, and what its accepted sockets have.

    Raises:
      RunError: it did not start.
    """
    with running.running_server(python, server) as one:
        told = {name: value for name, value in one.settings.items() if name != "port"}
        with socket.create_connection(("127.0.0.1", one.port), timeout=10) as client:
            client.sendall(b"w")
            client.recv(1)  # so it has accepted
            try:
                return told | accepted_options(one.process.pid, client.getsockname())
            except OSError as error:
                return told | {"accepted sockets": f"not looked at: {error.strerror}"}


def accepted_options(pid: int, peer: tuple[str, int]) -> Settings:
    """The options of the socket of process `pid` that is connected to `peer`.

    Raises:
      OSError: the system does not let this process look, or there is no such socket.
    """
    for sock in sockets_of(pid):
        with contextlib.suppress(OSError):
            if sock.getpeername() == peer:
                return {name: sock.getsockopt(*option) for name, option in OPTIONS.items()}
    raise OSError(0, "no such connection found")


def sockets_of(pid: int) -> Iterator[socket.socket]:
    """Copies of all sockets of a process, one after the other; each is closed again.

    Raises:
      OSError: the system does not let this process look.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not os.readlink(entry).startswith("socket:"):
                continue
            copy = libc.syscall(PIDFD_GETFD, process, int(entry.name), 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with socket.socket(fileno=copy) as sock:
                yield sock
    finally:
        os.close(process)
