# Stream endpoints: connect, listen, accept, close.
#
#   socket           the calls                      waits where this says WSAEWOULDBLOCK
# > afd              stream endpoints               THIS FILE: one socket of TCP from open to closed
#   tdi              addresses, connections         asked in the order that the traces show
#
# Rule 1: what is asked of tdi, and in which order, is what the traces of Windows 2000 show
#         (NOTES R2, R8, R10, R14); a row more or less is a fault.
# Rule 2: accept hands over a connection that exists already. TDI_ACCEPT and accept have nothing to
#         do with each other (fact S0-20).
# Rule 3: closesocket ends what the socket is at that moment: a connection (ending.py), a listener
#         with all that nobody has accepted, a connect under way, or nothing but an address.
#
# Sources: connect, listen, accept, closesocket pages; tdi-afd 6 and 9.
"""Stream endpoints."""

from __future__ import annotations

import socket as std
from contextlib import suppress
from operator import index
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..constants import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE, SOMAXCONN
from ..tdi import (
    HANDLER_ORDER,
    MORE_PROCESSING_REQUIRED,
    STATUS_TO_WSA,
    SUCCESS,
    DisconnectFlags,
    EventKind,
    Status,
    StatusError,
    addresses,
)
from . import options
from .ending import EndingEndpoint
from .pool import BacklogPool
from .states import (
    BUFFERED,
    CONNECTED,
    CONNECTING,
    LISTENING,
    NOT_CONNECTED,
    OPEN,
    PEER_RELEASED,
    RELEASED,
    RESET,
    SHUT_SEND,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tdi import AddressObject, ConnectionObject
    from .notify import Target

__all__ = ["StreamEndpoint", "connect_handler"]


_ENDED: Final = PEER_RELEASED | RESET

#: The backlog is an int of C.
_SMALLEST_BACKLOG: Final = -SOMAXCONN - 1


# Handlers are plain functions that look the endpoint's method up at each call: a tracer may swap
# the endpoint's class, and a bound method kept here would go on running the old one (ruling A5).


def connect_handler(address: AddressObject, remote: bytes) -> Any:  # noqa: ANN401
    """The connect event of a listening address (registered by listen alone; fact S0-12)."""
    listener: StreamEndpoint = address.owner
    return listener.on_offer(remote)


def _on_disconnect(endpoint: StreamEndpoint, flags: int, reason: Status) -> None:
    endpoint.on_disconnect_event(flags, reason)


def _on_error(address: AddressObject, status: Status) -> None:
    if address.owner is not None:
        address.owner.on_error(status)


def _on_receive(endpoint: StreamEndpoint, *indication: Any) -> Any:  # noqa: ANN401
    return endpoint.on_receive(*indication)


def _on_expedited(endpoint: StreamEndpoint, *indication: Any) -> Any:  # noqa: ANN401
    return endpoint.on_expedited(*indication)


def _on_chained(endpoint: StreamEndpoint, *indication: Any) -> Status:  # noqa: ANN401
    """Registered as Windows does and never called by our providers (NOTES R5)."""
    del endpoint, indication
    return Status.DATA_NOT_ACCEPTED


_HANDLERS: Final[dict[EventKind, Callable[..., Any]]] = {
    EventKind.ERROR: _on_error,
    EventKind.DISCONNECT: _on_disconnect,
    EventKind.RECEIVE: _on_receive,
    EventKind.RECEIVE_EXPEDITED: _on_expedited,
    EventKind.CHAINED_RECEIVE: _on_chained,
}
_HANDLERS_IN_ORDER: Final = tuple((kind, _HANDLERS[kind]) for kind in HANDLER_ORDER)


class StreamEndpoint(EndingEndpoint):
    """The state of one stream socket."""

    __slots__ = ()

    def handlers(self) -> tuple[tuple[EventKind, Callable[..., Any]], ...]:
        """The five handlers that bind registers, in order (fact S0-10)."""
        return _HANDLERS_IN_ORDER

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        """Open an address object, register the handlers, ask for the address."""
        super().bind(local, implicit=implicit)
        assert self.address is not None
        self.address.owner = self

    def peer_address(self) -> bytes:
        """Return the packed peer address, remembered also after a reset."""
        return b"" if self.connection is None else self.connection.remote

    def getpeername(self) -> bytes:
        """Return the packed peer address.

        Raises:
          WSAENOTCONN: there is none; by the page also while connecting, where Windows answers.
        """
        self.check_open("getpeername")
        connecting = self.state == CONNECTING and self.windows_rules
        if self.state != CONNECTED and not connecting:
            raise errors.WSAENOTCONN("getpeername", self.state)
        return self.peer_address()

    # connect

    def connect(self, remote: bytes) -> None:
        """Begin to connect; ``connect_code`` tells the end, FD_CONNECT announces it.

        Raises:
          WSAEALREADY, WSAEISCONN, WSAEINVAL (listening), WSAEADDRNOTAVAIL (no host or port),
          or what the transport says at once.
        """
        self.check_connectable()
        self._check_remote(remote)
        if self.state == OPEN:
            self.bind(addresses.wildcard(self.family), implicit=True)
        assert self.address is not None
        connection = self.host.device.open_connection(0)
        connection.client = self
        connection.file = self.file
        connection.associate(self.address)
        self.connection = connection
        self.connect_code = -1
        self.armed |= FD_CONNECT | FD_WRITE
        self.record &= ~FD_CONNECT
        self.step("connect")
        try:
            connection.connect(remote)
        except StatusError as error:
            self._connect_failed(error.status)
            self.armed &= ~FD_CONNECT  # the call tells it: FD_CONNECT is for what went ahead
            raise self.failure("connect", error) from None

    def check_connectable(self) -> None:
        """Raise what stands against connecting now, whatever the address."""
        self.check_open("connect")
        if self.state == CONNECTING:
            self.asked_in_vain()
            raise errors.WSAEALREADY("connect", self.state)
        if self.state == CONNECTED:
            raise errors.WSAEISCONN("connect", self.state)
        if self.state == LISTENING:
            raise errors.WSAEINVAL("connect", self.state, "the socket is listening")

    def _check_remote(self, remote: bytes) -> None:
        if self.family in (std.AF_INET, std.AF_INET6):
            port = addresses.port_of(self.family, remote)
            if not port or not any(remote[: 4 if self.family == std.AF_INET else 16]):
                raise errors.WSAEADDRNOTAVAIL("connect", self.state, "no host or no port")

    def on_connected(self, status: Status) -> None:
        """TDI_CONNECT ended."""
        if self.state != CONNECTING:
            return
        if status is SUCCESS:
            self.step("connected")
            self.become_connected()
            if self.mask & FD_OOB:  # selected before there was anything to watch
                self.file.watch_urgent(on=True)
            self.connect_code = self.socket_error = 0
            while self.wake_sender():
                pass
            self.arrive(FD_CONNECT, 0)
            if self.can_send():
                self.arrive(FD_WRITE)
            return
        self._connect_failed(status)
        self.arrive(FD_CONNECT, self.connect_code)

    def _connect_failed(self, status: Status) -> None:
        """Give the connection object back; the socket may try again."""
        connection, self.connection = self.connection, None
        self._release_objects(connection)
        self.step("connect failed")
        code = STATUS_TO_WSA.get(status, errors.WSAECONNREFUSED.winerror)
        self.connect_code = self.socket_error = code
        while self.wake_sender():
            pass

    def become_connected(self) -> None:
        """Connected or accepted: calls may take the fast path, unless data is pushed to us."""
        self.attention &= ~NOT_CONNECTED
        self.connection.open_way()
        if self.host.device.provider.eager:
            self.attention |= BUFFERED
            self.send_buffer_changed()

    def send_buffer_changed(self) -> None:
        """SO_SNDBUF was set: where the transport bounds nothing by itself, it does."""
        if self.host.device.provider.eager and not self.attention & NOT_CONNECTED:
            full = self.unsent > self.send_limit
            self.send_limit = max(self.send_buffer() - 1, 0)
            if full and self.unsent <= self.send_limit:
                self.on_send_possible()

    # listen and accept

    def listen(self, backlog: int) -> None:
        """Make ``backlog`` connection objects and take offers (fact S0-18); again: resize."""
        self.check_open("listen")
        if self.state == OPEN:
            raise errors.WSAEINVAL("listen", self.state, "the socket is not bound")
        if self.state == CONNECTING:
            raise errors.WSAEINVAL("listen", self.state, "the socket is connecting")
        if self.state == CONNECTED:
            raise errors.WSAEISCONN("listen", self.state)
        backlog = min(max(index(backlog), _SMALLEST_BACKLOG), SOMAXCONN)
        address = self.address
        assert address is not None
        again = self.pool is not None
        if not again:
            self.pool = BacklogPool(self.host.device, address, self)
        self.pool.resize(backlog)
        if not again:
            address.set_event_handler(EventKind.CONNECT, connect_handler)
        try:
            address.listen(backlog)
        except StatusError as error:
            if not again:
                address.set_event_handler(EventKind.CONNECT, None)
                self._release_pool()
            raise self.failure("listen", error) from None
        self.file = address.file
        self.step("listen")

    def on_offer(self, remote: bytes) -> tuple[Status, ConnectionObject | None]:
        """TDI_EVENT_CONNECT: give the offer a free connection object, or refuse it (R4)."""
        del remote
        connection = self.pool.take() if self.pool is not None else None
        if connection is None:
            return Status.INSUFFICIENT_RESOURCES, None
        return MORE_PROCESSING_REQUIRED, connection

    def on_offer_behind(self) -> None:
        """A further client waits behind the one in hand: in event mode Windows records that."""
        self.arrive(FD_ACCEPT)

    def on_accepted(self, connection: ConnectionObject, status: Status) -> None:
        """TDI_ACCEPT ended: the connection waits for accept, or its place is free again."""
        if status is not SUCCESS:
            self.pool.failed(connection)
            return
        self.pool.established(connection)
        if self.host.device.provider.eager:
            self._endpoint_for(connection)  # what comes before accept has to be buffered somewhere
        if self.waiters is None or not self.wake_receiver():
            self.arrive(FD_ACCEPT)

    def accept(self) -> StreamEndpoint:
        """Hand over the connection that has waited longest.

        The new endpoint reports nothing until ``begin``: its socket object must exist first.

        Raises:
          WSAEWOULDBLOCK: nobody waits. WSAEINVAL: not listening.
        """
        if self.attention != NOT_CONNECTED or self.file.thread != get_ident():
            self.check_open("accept")
        pool = self.pool
        if pool is None:
            raise errors.WSAEINVAL("accept", self.state, "the socket is not listening")
        try:
            if not pool.pending:
                self._find_client()
            connection = pool.accept()
            connection.query_information()
            endpoint = connection.client
            if endpoint is self:
                endpoint = self._endpoint_for(connection)
            elif self.options is not None:  # made when the client came: what holds now counts
                options.inherit(endpoint, self)
            endpoint.nonblocking = self.nonblocking
        except BaseException:
            self.re_enable(FD_ACCEPT)
            raise
        # ``re_enable`` in place, and before the next offer, which so is told of as any arrival.
        self.armed |= FD_ACCEPT
        self.record &= ~FD_ACCEPT
        if pool.pending:
            self.arrive(FD_ACCEPT)
        try:  # noqa: SIM105  (suppress is three calls of Python for each connection)
            self.file.offer_next()
        except StatusError:  # out of descriptors: the transport tries again by itself
            pass
        if self.waiters is not None and pool.pending:
            self.wake_receiver()
        return endpoint  # type: ignore[no-any-return]

    def defer_accepting(self, delay: Callable[[], float] | None) -> None:
        """Have ``delay`` asked before each connection is taken from the system."""
        self.file.defer_offers(delay)

    def stop_accepting(self) -> int:
        """Have no further connection offered; return how many wait that were offered already."""
        self.file.stop_offers()
        return len(self.pool.pending)

    def on_error(self, status: Status) -> None:
        """TDI_EVENT_ERROR: a listener that the transport gave up tells whoever waits."""
        if self.state == LISTENING:
            while self.wake_receiver():
                pass
            self.arrive(FD_ACCEPT, STATUS_TO_WSA.get(status, errors.WSAENETDOWN.winerror))

    def held_connection(self) -> ConnectionObject | None:
        """Return the connection that accept would hand over, without taking it; None for none.

        Raises WSAEINVAL on a socket that does not listen (WSAAccept asks before it accepts).
        """
        self.check_open("accept")
        if self.pool is None:
            raise errors.WSAEINVAL("accept", self.state, "the socket is not listening")
        if not self.pool.pending:
            self._look_for_client()
        return self.pool.pending[0] if self.pool.pending else None

    def refuse_held(self) -> None:
        """Reset the connection that accept would hand over; its place is free again."""
        self._reset_pending(self.pool, self.pool.accept())
        with suppress(StatusError):
            self.file.offer_next()
        self.re_enable(FD_ACCEPT)

    def select_state(self) -> tuple[bool, bool, bool]:
        """A fresh socket and an idle listener are in none; a refused connect is in except."""
        if self.state == LISTENING:
            return self.held_connection() is not None, False, False
        if self.state != CONNECTED:
            return False, False, self.connect_code > 0
        if self.attention & RESET:
            return True, True, False
        readable = bool(self.attention & PEER_RELEASED) or self.can_receive()
        self.look_for_urgent()
        writable = self.has_room() or bool(self.attention & SHUT_SEND)  # a send fails at once
        return readable, writable, self.has_urgent()

    def _look_for_client(self) -> None:
        try:
            self.file.offer_next()
        except StatusError as error:
            raise self.failure("accept", error) from None

    def _find_client(self) -> None:
        """Look for a client where none is in hand; WSAEWOULDBLOCK if nobody waits."""
        self._look_for_client()
        if not self.pool.pending:
            self.asked_in_vain()
            raise errors.WSAEWOULDBLOCK("accept", self.state)

    def _endpoint_for(self, connection: ConnectionObject) -> StreamEndpoint:
        endpoint = type(self)(self.host, self.family, self.protocol, connection.file)
        address: Any = self.address
        endpoint.address = address
        address.users += 1
        endpoint.connection = connection
        connection.client = endpoint
        endpoint.step("accepted")
        if self.options is not None:
            options.inherit(endpoint, self)
        endpoint.become_connected()
        return endpoint

    def begin(self) -> None:
        """The accepted socket exists: report what holds, and let the transport report.

        Where the first report of the transport says what holds, messages wait for that: an edge
        comes anyhow, and a look before it is one call of the system more for each connection.
        """
        mask = self.mask
        if (
            self.posts
            and not self.attention
            and self.file.begin_telling(room=mask & FD_WRITE != 0)
        ):
            return
        if mask & FD_OOB:
            self.evaluate(FD_OOB)
        if mask & FD_READ and self.can_receive():
            self.arrive(FD_READ)  # before FD_WRITE, where both hold
        attention = self.attention
        if not attention & RESET:
            self.arrive(FD_WRITE)
        if attention & _ENDED:
            self.evaluate(FD_CLOSE)
        self.file.begin()
        if mask & FD_OOB:
            self.file.watch_urgent(on=True)

    def on_begun(self) -> None:
        """The transport has begun to report, and there is room."""
        if not self.attention & RESET:
            self.arrive(FD_WRITE)

    # close

    def select(self, target: Target | None, message: int, mask: int, owner: Any) -> None:  # noqa: ANN401
        """Replace the selection; the transport looks for urgent data only while it is of use."""
        super().select(target, message, mask, owner)
        self.file.watch_urgent(on=bool(mask & FD_OOB))

    def close(self, *, abort: bool = False) -> None:
        """closesocket: end the connection and give its objects back (R8, R10). Never waits.

        ``abort``: reset, as SO_LINGER with 0 seconds also asks.
        """
        if self.attention & RELEASED:
            raise errors.WSAENOTSOCK("closesocket", self.state, "the socket is closed")
        state = self.state
        self.attention |= RELEASED
        self.step("close")
        if self.target is not None:
            self.deselect()
        if self.waiters is not None or self.send_waiters is not None:
            self.wake_all()
        if state == CONNECTED:
            self._close_connection(abort=abort)  # it may ask what is unread
            self.rx, self.rx_count = None, 0
        elif state == LISTENING:
            self._close_listener()
        else:
            if state == CONNECTING:
                connection, self.connection = self.connection, None
                self._release_objects(connection)
            self.file.abandon()
            self.give_back_address()
            self.finish()

    def _close_listener(self) -> None:
        """Connect handler off, pending connections reset, free objects back (R10)."""
        address = self.address
        assert address is not None
        address.set_event_handler(EventKind.CONNECT, None)
        address.owner = None
        self._release_pool()
        self.file.abandon()
        self.give_back_address()
        self.finish()

    def _release_pool(self) -> None:
        pool, self.pool = self.pool, None
        for connection in (*pool.in_handshake, *pool.pending):
            self._reset_pending(pool, connection)
        while pool.free:
            pool.release(pool.free.pop())

    def _reset_pending(self, pool: BacklogPool, connection: ConnectionObject) -> None:
        client = connection.client
        if client is not self:
            client.close(abort=True)
        else:
            connection.disconnect(DisconnectFlags.ABORT, final=True, timeout=None)
            pool.release(connection)

    def give_away(self) -> int:
        """Give the descriptor away and forget it (detach); WSAEINVAL with bytes unsent."""
        self.check_open("detach")
        if self.unsent:
            raise errors.WSAEINVAL("detach", self.state, f"{self.unsent} bytes are unsent")
        descriptor: int = self.file.give_away()
        self.attention |= RELEASED
        self.step("close")
        if self.target is not None:
            self.deselect()
        self.wake_all()
        if self.pool is not None:
            self._release_pool()
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self._release_objects(connection)
        self.give_back_address()
        self.finish()
        return descriptor
