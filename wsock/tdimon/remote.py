# Remote: watch a program that is running already, if it allows it.
#
# > remote     allow (in the program), follow (in the command)      THIS FILE
#   attachment attaches a ring while somebody looks
#   schema     records as lines
#
# Rule 1: off unless the program says ``with tdimon.allow(path)``. The door is a Unix socket that
#         only its owner may open; a caller of another user is turned away (SO_PEERCRED).
# Rule 2: while nobody looks nothing is attached and nothing is recorded. Payload is never sent.
# Rule 3: who looks can do nothing but look: nothing is read from the caller but the end.
#
# The door lives in a thread of its own, so that it needs no task of the program. Attaching swaps
# classes of live objects, each in one step; only the walk over a stack's sockets may meet a change
# of their number, and begins again then.
"""Watching a running program through a Unix socket."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from wsock.tdimon.attachment import Attachment
from wsock.tdimon.formats import read_header, write_header
from wsock.tdimon.ring import Ring
from wsock.tdimon.schema import RecordWriter, record_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock.tdi.trace import TraceRecord

__all__ = ["allow", "follow"]

_INTERVAL_S: Final = 0.1
_PATIENCE_S: Final = 5.0  # a caller that takes nothing for so long is dropped


@contextlib.contextmanager
def allow(path: str | Path) -> Iterator[None]:
    """Let ``wsock tdimon attach PATH`` watch this program while the block runs.

    Args:
      path: of the Unix socket to make, removed at the end. Nothing may be there but a socket
        that a killed program has left: it takes the place of that.

    Raises:
      OSError: it cannot be made there, or this system has no Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets to attach by")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _bind(listener, str(path))
        try:
            Path(path).chmod(0o600)  # before listen: until then nobody can connect
            listener.listen(4)
            listener.settimeout(_INTERVAL_S)  # not every system wakes an accept that is closed
            door = _Door(listener)
            try:
                yield
            finally:
                door.close()
        finally:
            Path(path).unlink(missing_ok=True)


def _bind(listener: socket.socket, path: str) -> None:
    """Bind; a socket there that nobody serves any more gives way, all else stays."""
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if not _is_left_over(path):
            raise OSError(errno.EADDRINUSE, "another program or a file is there", path) from None
        Path(path).unlink(missing_ok=True)
        listener.bind(path)


def _is_left_over(path: str) -> bool:
    """Whether a Unix socket is there, and nobody listens: its program was killed."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)  # a full backlog is somebody, too
        return caller.connect_ex(path) == errno.ECONNREFUSED


class _Door:
    """Serves the callers of one listening socket, each by a thread."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._ended = threading.Event()
        self._callers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, name="tdimon door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Turn everybody out and wait until they are gone."""
        self._ended.set()
        self._thread.join()
        for caller in self._callers:
            caller.join()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # too many open files: once a moment
                self._ended.wait(_INTERVAL_S)
                continue
            caller = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._callers = [one for one in self._callers if one.is_alive()] + [caller]
            caller.start()

    def _serve(self, connection: socket.socket) -> None:
        ring = Ring()
        attachment = Attachment(ring)
        with connection:
            if not _is_owner(connection):
                return
            try:
                connection.settimeout(_PATIENCE_S)
                _attach(attachment)
                self._send(connection, ring)
            except OSError:
                pass  # the caller went away
            finally:
                attachment.detach()

    def _send(self, connection: socket.socket, ring: Ring) -> None:
        writer = RecordWriter()
        connection.sendall(f"{write_header()}\n".encode())
        sent = 0
        while True:
            ended = self._ended.wait(_INTERVAL_S)
            records = ring.since(sent)
            lines = [json.dumps(writer.dict_of(record), default=str) for record in records]
            if records:
                sent = records[-1].sequence
                connection.sendall("".join(f"{line}\n" for line in lines).encode())
            if ended or _has_left(connection):
                return


def _attach(attachment: Attachment) -> None:
    while True:
        try:
            attachment.attach()
        except RuntimeError:  # a socket was opened or closed during the walk
            attachment.detach()
        else:
            return


def _is_owner(connection: socket.socket) -> bool:
    """Whether the caller is this user or root; if the system cannot tell, the file's mode did."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return struct.unpack("3i", credentials)[1] in (0, os.geteuid())


def _has_left(connection: socket.socket) -> bool:
    """Whether the caller has closed; what it sends is thrown away."""
    connection.settimeout(0)  # with any other, recv would wait in spite of MSG_DONTWAIT
    try:
        return not connection.recv(4096)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(_PATIENCE_S)


def follow(path: str | Path) -> Iterator[TraceRecord]:
    """Attach to the program behind the door at ``path``; yield its records until it ends.

    When this returns the program is watched; what it does from then on is in the records.

    Raises:
      OSError: there is no such door, or it does not let this user in.
      FormatError: what answers is no monitor, or one of another version.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    lines = connection.makefile("r", encoding="utf-8")
    with contextlib.ExitStack() as opened:
        opened.enter_context(connection)
        opened.enter_context(lines)
        try:
            connection.connect(str(path))
        except OSError as error:  # the system's own error does not say where
            raise OSError(error.errno, error.strerror, str(path)) from None
        header = lines.readline()
        if not header:
            raise PermissionError(f"{path} lets only its owner in")
        read_header(header)
        opened.pop_all()
    return _records(connection, lines)


def _records(connection: socket.socket, lines: IO[str]) -> Iterator[TraceRecord]:
    with connection, lines:
        for line in lines:
            yield record_from_dict(json.loads(line))
