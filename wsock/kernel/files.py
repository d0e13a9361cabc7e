# Files of the kernel provider: a socket of this machine as tdi sees it.
#
#   afd              endpoints                      decide
#   tdi              addresses, connections         carry requests down and events up
# > kernel           the machine's sockets          THIS FILE: what stream, listener, datagram share
#
# A file *is* the system's socket: a subclass of the C type, so that ``recv`` and ``recv_into``, the
# hot path, are C methods that a connection object calls directly (one object less for each of
# 9,000 connections, too).
#
# Rule 1: descriptors are nonblocking, never inherited, and closed by this file alone, after the
#         reactor has let go of them.
# Rule 2: errno ends here, but for the hot path (provider.py, rule 2).
#
# Sources: socket(7), tcp(7), ip(7).
"""The base of kernel files."""

from __future__ import annotations

import socket as std
import struct
from sys import byteorder
from typing import TYPE_CHECKING, Any, Final

from ..tdi import StatusError, UnsupportedRequests, addresses, status_from_errno
from .bits import IN
from .reactor import current_reactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..tdi import AddressObject, ConnectionObject
    from .provider import KernelProvider
    from .reactor import Reactor

try:
    from fcntl import ioctl
    from termios import FIONREAD as _FIONREAD
except ImportError:  # no such calls on this system: look with a peek instead
    ioctl = None  # type: ignore[assignment]

__all__ = ["FIRST", "NO_STREAM", "ROOM", "KernelFile", "ioctl", "system_errors"]

#: A write was refused or cut short: there will be room.
ROOM: Final = 1
#: The file was registered just now: all that holds will be told.
FIRST: Final = 2

#: The ``phase`` of files that are no streams: the reactor asks their ``ready`` always.
NO_STREAM: Final = -1

_ABORT: Final = struct.pack("ii", 1, 0)
_BUFFER_SIZES: Final = (std.SO_RCVBUF, std.SO_SNDBUF)


class system_errors:
    """Turn an OSError of the body into the StatusError that says the same."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StatusError(status_from_errno(error.errno or 0)) from None


class KernelFile(UnsupportedRequests, std.SocketType):
    """A nonblocking socket of the machine, and where it belongs."""

    __slots__ = ("address", "connection", "provider", "reactor", "reader", "recorded", "thread")

    connection: Any
    provider: KernelProvider
    phase: int = NO_STREAM
    #: Which edge is owed to this file, ROOM or FIRST; 0: none.
    owed: int = 0
    #: What this file holds in the table of bindings; only stream files ever do.
    bound: tuple[int, bytes, int] | None = None

    def __init__(
        self,
        provider: KernelProvider,
        family: int,
        type: int,  # noqa: A002
        proto: int,
        fileno: int | None = None,
    ) -> None:
        std.SocketType.__init__(self, family, type, proto, fileno)
        self.setblocking(False)
        self.provider = provider
        self.address: AddressObject | None = None
        self.connection: ConnectionObject | None = None
        self.reader: Any = None
        self.reactor: Reactor | None = None
        #: Where the run is that this file is registered with; 0 while it is with none.
        self.thread = 0
        #: Options that were set: a descriptor made anew gets them again (ruling B14).
        self.recorded: dict[tuple[int, int], int | bytes] | None = None

    # Readiness

    def register(self) -> None:
        """Have the run's reactor report this file; outside a run nothing happens."""
        if self.reactor is None:
            reactor = current_reactor(self.provider.engine)
            if reactor is not None and self.fileno() >= 0:  # a reset may have closed it meanwhile
                reactor.add(self)
                self.reactor = reactor
                self.thread = reactor.thread

    def unregister(self) -> None:
        """Have the reactor let go; before the descriptor is closed or replaced."""
        reactor, self.reactor = self.reactor, None
        self.thread = 0
        if reactor is not None:
            reactor.remove(self)

    def ready(self, events: int) -> None:
        """The reactor saw ``events`` (EPOLL bits)."""

    def look(self) -> int:
        """Say what it means that a level-triggered wait calls this file readable."""
        return IN

    def fail(self) -> None:
        """Serving this file raised: end it, and tell its client."""
        self.abandon()

    def run_over(self) -> None:
        """The Trio run has ended: nobody will move bytes any more."""
        self.reactor = None
        self.thread = 0
        for client in self._clients():
            client.on_run_over()

    def _clients(self) -> Iterator[Any]:
        if self.connection is not None and self.connection.client is not None:
            yield self.connection.client
        elif self.address is not None and self.address.owner is not None:
            yield self.address.owner

    def rest_length(self) -> int:
        """Bytes taken and not yet with the system."""
        return 0

    # Addresses

    def local_address(self) -> bytes:
        """Return the packed local address (getsockname)."""
        return addresses.pack(self.family, self.getsockname())

    def remote_address(self) -> bytes:
        """Return the packed peer address (getpeername), ``b""`` for none."""
        try:
            return addresses.pack(self.family, self.getpeername())
        except OSError:
            return b""

    def has_peer(self) -> bool:
        """Whether the socket is connected."""
        try:
            self.getpeername()
        except OSError:
            return False
        return True

    def is_bound(self) -> bool:
        """Whether the socket has a local address."""
        name = self.getsockname()
        return bool(name[1]) if isinstance(name, tuple) else bool(name)

    def is_listening(self) -> bool:
        """Whether the socket listens."""
        return bool(self.getsockopt(std.SOL_SOCKET, std.SO_ACCEPTCONN))

    # Data that waits

    def available(self) -> int:
        """Return how many bytes wait (FIONREAD); 0 also for an end, an error, a closed file."""
        number = self.fileno()
        if number < 0:
            return 0
        if ioctl is None:
            return self._peeked()
        # A buffer of one's own: given bytes, ioctl first fails to take them for one, and words an
        # error that nobody sees (2,500 of 5,400 instructions).
        count = bytearray(4)
        ioctl(number, _FIONREAD, count)
        return int.from_bytes(count, byteorder)

    def _peeked(self) -> int:
        try:
            return len(self.recv(65536, std.MSG_PEEK))
        except OSError:
            return 0

    def watch_urgent(self, *, on: bool) -> None:
        """Have urgent data reported, where the reactor must look for it itself."""
        if self.reactor is not None:
            self.reactor.watch_urgent(self, on=on)

    def look_for_urgent(self) -> None:
        """Report urgent data that waits now (select and SIOCATMARK ask)."""
        if self.reactor is not None:
            self.reactor.look_for_urgent(self)

    # Options

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the system's socket."""
        with system_errors():
            self.setsockopt(level, option, value)
        if self.recorded is None:
            self.recorded = {}
        self.recorded[level, option] = value

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option of the system's socket.

        Buffer sizes that nobody set are a fresh socket's: this system lets those of a connection
        grow as it sees fit, which is nothing that the program asked for.
        """
        unset = self.recorded is None or (level, option) not in self.recorded
        with system_errors():
            if level == std.SOL_SOCKET and option in _BUFFER_SIZES and unset:
                with std.socket(self.family, self.type, self.proto) as fresh:
                    return fresh.getsockopt(level, option)
            return self.getsockopt(level, option, size) if size else self.getsockopt(level, option)

    # The end

    def number(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self.fileno()

    def give_away(self) -> int:
        """Unregister and return the open descriptor."""
        self.unregister()
        self._forget_binding()
        return self.detach()

    def abandon(self) -> None:
        """Unregister and close, without telling anybody."""
        reactor = self.reactor
        if reactor is not None:
            self.reactor = None
            self.thread = 0
            reactor.remove(self)
        if self.bound is not None:
            self._forget_binding()
        self.close()

    def reset(self) -> None:
        """Unregister and close with a reset."""
        if self.fileno() >= 0:
            self.setsockopt(std.SOL_SOCKET, std.SO_LINGER, _ABORT)
        self.abandon()

    def _forget_binding(self) -> None:
        """Only stream files are in the table of bindings."""

    def begin(self) -> None:
        """Report from now on."""
        self.register()
