# What tdi asks of a transport, and what a transport may rely on.
#
#   afd              endpoints                      client of tdi
# > tdi              addresses, connections         THIS FILE: the doors between tdi and a provider
#   kernel, virtual  providers                      who moves the bytes
#
# Rule 1: requests go down by the methods of TransportFile; everything that happens later comes
#         up by the methods of the object the file was given (``connection``, ``address``), in the
#         loop's thread, and returns at once.
# Rule 2: control requests fail with StatusError. ``recv``, ``recv_into`` and ``send`` are the hot
#         path and speak the system's language instead: BlockingIOError for "not now", another
#         OSError for a failed connection. So the lowest object can be the system's own socket.
# Rule 3: a file outlives its object where the protocol wants it (a FIN that is under way); it then
#         has ``connection`` None and reports to nobody.
"""The interface between TDI objects and a transport provider."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from .address import AddressObject
    from .connection import ConnectionObject

__all__ = ["NOSIGNAL", "BytesLike", "Provider", "TransportFile"]

#: A flag of every send: never SIGPIPE, also where a host program has restored its default. A plain
#: int: ``|`` with the standard library's enum costs 1.1 us against 0.04 (timeit, CPython 3.11).
NOSIGNAL: Final[int] = int(getattr(std, "MSG_NOSIGNAL", 0))

#: What may be sent: ``bytes`` is kept by reference, every other buffer is copied before the call
#: returns (ruling A1).
BytesLike = bytes | bytearray | memoryview


class TransportFile(Protocol):
    """The provider's half of one socket: a descriptor, or a transmission control block."""

    connection: ConnectionObject | None
    address: AddressObject | None
    #: Who is told that data has arrived (``on_readable``), while there is a connection.
    reader: Any

    @property
    def thread(self) -> int:
        """The one thread that may use this file (``threading.get_ident``); 0: any may."""

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Take a local address (packed; zero port and host: chosen). Return the one taken.

        ``implicit``: nobody asked for this address; the transport may choose it at connect.

        Raises:
          StatusError: ADDRESS_ALREADY_EXISTS, SHARING_VIOLATION, ACCESS_DENIED or
            INVALID_ADDRESS_COMPONENT.
        """

    def local_address(self) -> bytes:
        """Return the packed local address as the transport knows it now."""

    def remote_address(self) -> bytes:
        """Return the packed peer address, ``b""`` when there is none."""

    def has_peer(self) -> bool:
        """Whether an adopted file is connected."""

    def is_bound(self) -> bool:
        """Whether an adopted file has a local address."""

    def is_listening(self) -> bool:
        """Whether an adopted file listens."""

    def as_listener(self) -> TransportFile:
        """Return the file that goes on for one that listens already."""

    def start_listen(self, backlog: int) -> TransportFile:
        """Begin to offer connections to ``address``; return the file that goes on listening.

        The one asked is spent if another one comes back (``listen`` may need another shape).
        """

    def start_connect(self, remote: bytes) -> None:
        """Begin to connect; ``connection.complete_connect(status)`` follows, perhaps at once."""

    def begin(self) -> None:
        """Start to report on an accepted connection that a client has taken over."""

    def begin_telling(self, *, room: bool) -> bool:
        """The same where the first report comes by itself and tells all that holds; else False.

        It is urgent data, ``on_readable`` if data waits, ``on_begun`` of the client if ``room`` is
        true, and the end if there is one, in this order. False (also while the listener reports
        to nobody): nothing was begun, and the client asks.
        """

    def offer_next(self) -> None:
        """A place became free: offer the next connection, if one waits, by ``event_connect``."""

    def defer_offers(self, delay: Callable[[], float] | None) -> None:
        """Ask ``delay`` before each offer for how many seconds others may take it instead."""

    def stop_offers(self) -> None:
        """Offer no further connection; those that were offered may still be accepted."""

    def send(self, data: BytesLike, flags: int, /) -> int:
        """TDI_SEND: take what there is room for. Return how many bytes are done with at once.

        The caller then says ``keep`` unless that is all.

        Raises:
          BlockingIOError: no room at all, nothing was taken; the caller then says ``refused``.
          OSError: the connection has failed.
        """

    def keep(self, data: BytesLike, done: int) -> None:
        """Take the rest of ``data``, beyond the first ``done`` bytes, if ``send`` has not.

        For it ``connection.sent(n)`` and ``connection.complete_send(length, status)`` follow.
        """

    def refused(self) -> None:
        """A send found no room: ``connection.send_possible`` has to follow."""

    def queue(self, data: BytesLike) -> int:
        """Take all of ``data`` behind what is pending already. Return how many bytes are done."""

    def has_room(self) -> bool:
        """Whether ``send`` would take anything now, as far as is known without asking."""

    def recv(self, max_bytes: int, flags: int = 0, /) -> bytes:
        """Take bytes that the transport holds; raises BlockingIOError if it holds none."""

    def recv_into(self, buffer: bytearray | memoryview, max_bytes: int, flags: int = 0, /) -> int:
        """Take bytes into ``buffer``, as ``recv``."""

    def available(self) -> int:
        """Return how many bytes (or whether a datagram) the transport holds; 0 for none."""

    def has_datagram(self) -> bool:
        """Whether a datagram waits; an empty one counts."""

    def at_mark(self) -> bool:
        """Whether the read position is at the urgent mark (SIOCATMARK of this system)."""

    def urgent_received(self) -> None:
        """An urgent byte was received, perhaps before it was told of: there is a mark."""

    def skip_mark(self) -> None:
        """Throw away the urgent byte that is next, if it was received apart: it is inline now."""

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        """Send one datagram; to the connected peer when ``remote`` is empty."""

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """Take one datagram: the bytes that fit, whether it was cut, and its sender (packed)."""

    def set_peer(self, remote: bytes) -> None:
        """Fix the peer of a datagram socket; ``b""`` takes it away."""

    def resume_receive(self, capacity: int) -> None:
        """TDI_RECEIVE: room for ``capacity`` bytes; ``connection.complete_receive`` follows."""

    def flush_receive(self) -> None:
        """Complete an outstanding TDI_RECEIVE with what it has gathered: somebody waits for it."""

    def stop_receive(self) -> None:
        """The client wants no more data: what comes is refused or thrown away."""

    def start_disconnect(self, flags: int, *, final: bool, timeout: float | None) -> None:
        """End the sending side (RELEASE, after queued sends) or the connection (ABORT).

        ``final``: nobody will use the file again, so it also closes itself when that is done.
        ``timeout``: seconds until a release that is not done becomes an abort; None: the
        transport's own patience. ABORT completes at once.
        ``connection.complete_disconnect(status)`` follows, perhaps at once.
        """

    def finish_release(self, timeout: float | None) -> None:
        """Nobody will use the file again, and its release was asked for before: end by itself."""

    def drop_rest(self) -> int:
        """Forget the pending send that was interrupted, unless that would leave a hole.

        Returns how many of its bytes will not go out.
        """

    def register(self) -> None:
        """Report readiness from now on, if that was not possible earlier (no Trio run yet)."""

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Set a socket option, in the standard library's numbers."""

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return a socket option; an int, or ``size`` bytes."""

    def watch_urgent(self, *, on: bool) -> None:
        """Urgent data is of interest from now on, or no more (providers that must look for it)."""

    def number(self) -> int:
        """Return the descriptor, or a number that stands for one."""

    def close_address(self) -> None:
        """The address object is gone: others may have the address, as far as the rules go."""

    def give_away(self) -> int:
        """Stop reporting and return the open descriptor; the file is spent (``detach``)."""

    def abandon(self) -> None:
        """Close at once without a word to anyone; for files that never got an object."""


class Provider(Protocol):
    """A transport: the machine's sockets, or the virtual network's TCP/IP of one host."""

    @property
    def lookahead(self) -> int:
        """Bytes shown with a receive indication at most (one full segment; NOTES R5)."""

    @property
    def eager(self) -> bool:
        """Whether data is pushed at indications (virtual network) or fetched by ``recv``."""

    @property
    def waits_for_release(self) -> bool:
        """Whether a closed connection keeps its object until the peer's release (R8, A2)."""

    def open(self, family: int, type: int, proto: int) -> TransportFile:  # noqa: A002
        """Make the provider's half of a new socket.

        Raises:
          StatusError: TOO_MANY_OPENED_FILES, INSUFFICIENT_RESOURCES, NOT_SUPPORTED.
        """

    def adopt(self, descriptor: int, family: int, type: int, proto: int) -> TransportFile:  # noqa: A002
        """Make a file around a descriptor that exists already."""

    def turn(self) -> bool:
        """Look once, without waiting, what has happened; whether anything had."""

    def clock(self) -> int:
        """Return the time in nanoseconds that trace records carry."""
