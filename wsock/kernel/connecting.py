# How a stream file gets its address and its peer.
#
#   tdi              addresses, connections         ask
# > kernel           the machine's sockets          THIS FILE: bind, connect, connect again
#   stream           data, ends and resets          what a file does once it is connected
#
# Rule 1: on POSIX an address that this process uses is in the table of bindings, so that sharing a
#         port means what it means in Winsock (bindings.py).
# Rule 2: after a failed connect the descriptor gets a fresh socket: number, port, options and this
#         object stay (ruling B14).
# Rule 3: where nothing tells that a connect may go on (AF_UNIX, the listener's queue is full), it
#         is tried again by a timer; for everybody above it is a connect under way.
#
# Sources: connect(2), unix(7), socket(7) on SO_REUSEADDR; rulings A10, B14.
"""The part of stream files that binds and connects."""

from __future__ import annotations

import errno
import os
import socket as std
from typing import Final

from .. import _timers
from ..tdi import SUCCESS, Status, StatusError, addresses, status_from_errno
from . import bindings
from .bits import ERR, HUP, IN, OUT
from .files import KernelFile, system_errors
from .reactor import current_reactor

__all__ = ["CONNECTING", "MOVING", "QUEUEING", "ConnectingFile"]

#: Where a stream file is in its life; anything but MOVING keeps readiness off the fast path.
MOVING: Final = 0
CONNECTING: Final = 1
QUEUEING: Final = 4  # AF_UNIX: the listener's queue is full, and connect is tried again and again

_REUSEPORT: Final[int | None] = getattr(std, "SO_REUSEPORT", None)
_AF_UNIX: Final[int | None] = getattr(std, "AF_UNIX", None)
_POSIX: Final = os.name == "posix"

#: The pauses between tries where an AF_UNIX listener's queue is full: doubled from first to last.
_FIRST_TRY_S: Final = 0.001
_LAST_TRY_S: Final = 0.05


class ConnectingFile(KernelFile):
    """A stream file as far as its address and its peer go."""

    __slots__ = ("bound", "connect_failed", "failed_with", "phase")

    connect_failed: bool
    #: An error that was asked of the kernel and is still to be told: asking clears it there.
    failed_with: int
    #: Family, host and port in the table of bindings, while this file holds them.
    bound: tuple[int, bytes, int] | None

    # Address

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Bind; an address that nobody asked for is left to the kernel's connect."""
        if implicit or self.family == _AF_UNIX:
            if not implicit:
                with system_errors():
                    self.bind(addresses.unpack(self.family, local))
            return local
        port = addresses.port_of(self.family, local)
        host = local[: 4 if self.family == std.AF_INET else 16]
        if _POSIX and port:
            bindings.claim(id(self), self.family, host, port, reuse=reuse, exclusive=exclusive)
            self.bound = (self.family, host, port)
        try:
            with system_errors():
                if _POSIX and port:
                    self.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
                if _POSIX and reuse and _REUSEPORT is not None:
                    self.set_option(std.SOL_SOCKET, _REUSEPORT, 1)  # recorded for _renew
                self.bind(addresses.unpack(self.family, local))
        except StatusError:
            self._forget_binding()
            raise
        taken = self.local_address()
        if _POSIX and not port:
            port = addresses.port_of(self.family, taken)
            bindings.claim(id(self), self.family, host, port, reuse=reuse, exclusive=exclusive)
            self.bound = (self.family, host, port)
            # Only now: asked before bind(0) the kernel might choose a port that another one holds.
            # Without it TIME-WAIT would keep the port from the next socket, whatever that asks for.
            with system_errors():
                self.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
        return taken

    def _forget_binding(self) -> None:
        bound, self.bound = self.bound, None
        if bound is not None:
            bindings.release(id(self), bound[0], bound[2])

    # Connect

    def start_connect(self, remote: bytes) -> None:
        """Connect; the end is told by ``complete_connect``."""
        if self.connect_failed and _POSIX:
            self._renew()
        with system_errors():
            number = self.connect_ex(addresses.unpack(self.family, remote))
        if number == 0:
            self.register()
            self.connection.complete_connect(SUCCESS)
        elif number == errno.EAGAIN and self.family == _AF_UNIX:
            # Not "in progress": nothing has begun, and nothing will tell.
            if current_reactor(self.provider.engine) is None:
                raise StatusError(Status.DEVICE_NOT_READY)
            self.phase = QUEUEING
            self._try_later(remote, _FIRST_TRY_S)
        elif number in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            self.phase = CONNECTING
            self.register()
            if self.reactor is not None:
                self.reactor.want_write(self)
        else:
            self.connect_failed = number not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
            raise StatusError(status_from_errno(number))

    def _try_later(self, remote: bytes, seconds: float) -> None:
        """AF_UNIX, the listener's queue is full: nothing tells when it has room, so look again."""

        def again() -> None:
            if self.phase != QUEUEING or self.connection is None:
                return  # closed meanwhile
            number = self.connect_ex(addresses.unpack(self.family, remote))
            if number == errno.EAGAIN:
                self._try_later(remote, min(2 * seconds, _LAST_TRY_S))
                return
            self.phase = MOVING
            if number:
                self.connect_failed = True
                self.connection.complete_connect(status_from_errno(number))
            else:
                self.register()
                self.connection.complete_connect(SUCCESS)

        _timers.call_later(seconds, again)

    def register(self) -> None:
        """As every file, but not while connect queues: epoll calls a fresh AF_UNIX socket ready."""
        if self.phase != QUEUEING:
            super().register()

    def _renew(self) -> None:
        """Put a fresh socket behind the same descriptor (ruling B14).

        After a failed connect Linux answers the next one with ECONNABORTED once and then loses a
        port that bind(0) chose; number, port, options and this object stay.
        """
        self.unregister()
        self.connect_failed = False
        with system_errors(), std.socket(self.family, self.type, self.proto) as fresh:
            for (level, option), value in (self.recorded or {}).items():
                fresh.setsockopt(level, option, value)
            if self.bound is not None:
                local = self.getsockname()
                fresh.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
                # The old socket still holds the port: it must be gone before the new one binds.
                os.dup2(fresh.fileno(), self.fileno(), inheritable=False)
                self.bind(local)
            else:
                os.dup2(fresh.fileno(), self.fileno(), inheritable=False)
        self.setblocking(False)

    def _connect_ended(self, events: int) -> None:
        number = self.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
        self.phase = MOVING
        if number == errno.ECONNRESET:
            # Refused would be ECONNREFUSED: it was connected, and reset before anybody looked here.
            # What the peer had sent is still there.
            self.failed_with = number
            events = IN | ERR | HUP
        elif number:
            self.unregister()
            self.connect_failed = True
            self.connection.complete_connect(status_from_errno(number))
            return
        self.connection.complete_connect(SUCCESS)
        if self.connection is not None and events & ~OUT:
            self.ready(events & ~OUT)
