# Datagram endpoints: bind, connect as a fixed peer, sendto, recvfrom.
#
#   socket           sendto, recvfrom               waits where this says WSAEWOULDBLOCK
# > afd              datagram endpoints             THIS FILE: one UDP or raw socket
#   tdi              address objects                TDI_SEND_DATAGRAM, event receive datagram
#
# Rule 1: a datagram is taken whole or cut; the rest of a cut one is lost, and the caller is told
#         (WSAEMSGSIZE). An empty datagram is data, not an end.
# Rule 2: connect stores a peer and asks tdi for nothing (NOTES R16).
# Rule 3: a port unreachable that came back is told once, by the next receive (ruling B19); it never
#         makes a send to somebody else fail.
#
# Sources: sendto, recvfrom pages; winsock 10 and 11; tdi-afd 6.
"""Datagram endpoints."""

from __future__ import annotations

import socket as std
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..constants import FD_CONNECT, FD_OOB, FD_READ, FD_WRITE
from ..tdi import STATUS_TO_WSA, SUCCESS, EventKind, Status, StatusError, addresses
from .endpoint import Endpoint, EndpointHost
from .states import OPEN, RELEASED, SHUT_RECEIVE, SHUT_SEND

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tdi import AddressObject, BytesLike

__all__ = ["MAX_DATAGRAM", "DatagramEndpoint"]

#: The largest UDP payload over IPv4: 65,535 less IP and UDP headers.
MAX_DATAGRAM: Final = 65507

READ_AND_OOB: Final = FD_READ | FD_OOB


def _on_error(address: AddressObject, status: Status) -> None:
    if address.owner is not None:
        address.owner.on_error(status)


def _on_receive_datagram(
    address: AddressObject, remote: bytes, available: int, data: BytesLike | None
) -> Status:
    owner: DatagramEndpoint | None = address.owner
    if owner is None:
        return Status.DATA_NOT_ACCEPTED
    return owner.on_datagram(remote, available, data)


def _on_send_possible(address: AddressObject) -> None:
    if address.owner is not None:
        address.owner.on_send_possible()


_HANDLERS: Final = (
    (EventKind.ERROR, _on_error),
    (EventKind.RECEIVE_DATAGRAM, _on_receive_datagram),
)


class DatagramEndpoint(Endpoint):
    """The state of one datagram (or raw) socket."""

    __slots__ = ("errors_waiting", "peer", "type")

    type: int  # type: ignore[misc]  # SOCK_DGRAM or SOCK_RAW: an attribute here, not of the class

    def __init__(
        self,
        host: EndpointHost,
        family: int,
        protocol: int,
        file: Any,  # noqa: ANN401  (see Endpoint)
        type: int = std.SOCK_DGRAM,  # noqa: A002
    ) -> None:
        self.type = type
        #: Packed address of the fixed peer, ``b""`` for none.
        self.peer = b""
        #: Statuses that came back for datagrams sent, oldest first.
        self.errors_waiting: deque[Status] | None = None
        super().__init__(host, family, protocol, file)

    def handlers(self) -> tuple[tuple[EventKind, Callable[..., Any]], ...]:
        """The two handlers that bind registers, in order (NOTES R16)."""
        return _HANDLERS

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        """Open an address object for datagrams."""
        super().bind(local, implicit=implicit)
        assert self.address is not None
        self.address.owner = self
        # A slot of our own use, filled without a request: Windows' AFD is always writable.
        self.address.handlers[EventKind.SEND_POSSIBLE] = _on_send_possible
        if not self.host.device.provider.eager:
            self.file.begin()
        self.evaluate(FD_WRITE)  # for event objects: from now on there is room

    def open_existing_address(self) -> None:
        """Make the address object of a file that is bound already (adopting)."""
        super().open_existing_address()
        assert self.address is not None
        self.address.handlers[EventKind.SEND_POSSIBLE] = _on_send_possible

    def peer_address(self) -> bytes:
        """Return the packed address of the fixed peer, ``b""`` for none."""
        return self.peer

    def getpeername(self) -> bytes:
        """Return the packed peer; WSAENOTCONN without one."""
        self.check_open("getpeername")
        if not self.peer:
            raise errors.WSAENOTCONN("getpeername", self.state)
        return self.peer

    def connect(self, remote: bytes) -> None:
        """Fix the peer; an address without host and port takes it away (winsock 10).

        Windows announces it with FD_WRITE, its page with FD_CONNECT too, to whoever has selected
        that; a later selection tells of no connect, there was nothing to wait for.
        """
        self.check_open("connect")
        if self.state == OPEN:
            self.bind(addresses.wildcard(self.family), implicit=True)
        internet = self.family in (std.AF_INET, std.AF_INET6)
        if internet and not (addresses.port_of(self.family, remote) and any(remote[:-2])):
            remote = b""
        try:
            self.file.set_peer(remote)
        except StatusError as error:
            raise self.failure("connect", error) from None
        self.peer = remote
        if not remote:
            return
        self.socket_error = 0
        self.armed |= FD_WRITE
        if not self.windows_rules and self.mask & FD_CONNECT:
            self.armed |= FD_CONNECT
            self.arrive(FD_CONNECT, 0)
        self.arrive(FD_WRITE)

    def _has_unnamed_peer(self) -> bool:
        """A socket pair of AF_UNIX has a fixed peer, though it has no name."""
        local = self.family not in (std.AF_INET, std.AF_INET6)
        return local and bool(self.file.has_peer())

    def sendto(self, data: BytesLike, remote: bytes, flags: int = 0) -> int:
        """Send one datagram to ``remote``, or to the fixed peer where it is ``b""``.

        Raises:
          WSAENOTCONN: no address and no peer. WSAEMSGSIZE: over 65,507 bytes.
          WSAEWOULDBLOCK: no room; FD_WRITE will tell. WSAEINVAL: an unknown flag.
          WSAEOPNOTSUPP: MSG_OOB. WSAESHUTDOWN, WSAENOTSOCK, WSAEACCES.
        """
        self.check_open("sendto")
        if flags:
            self.check_send_flags("sendto", flags)
        if self.attention & SHUT_SEND:
            raise errors.WSAESHUTDOWN("sendto", self.state)
        if flags & std.MSG_OOB:
            raise errors.WSAEOPNOTSUPP("sendto", self.state, "datagrams have no urgent data")
        if not remote and not self.peer and not self._has_unnamed_peer():
            raise errors.WSAENOTCONN("sendto", self.state, "no address and no fixed peer")
        if len(data) > MAX_DATAGRAM:
            raise errors.WSAEMSGSIZE("sendto", self.state, f"{len(data)} bytes")
        if self.state == OPEN:
            self.bind(addresses.wildcard(self.family), implicit=True)
        assert self.address is not None
        try:
            return self.address.send_datagram(data, remote, flags)
        except BlockingIOError:
            self.owe_room()
            raise errors.WSAEWOULDBLOCK("sendto", self.state) from None
        except (OSError, StatusError) as error:
            raise self.failure("sendto", error) from None

    def send(self, data: BytesLike, flags: int = 0) -> int:
        """Send one datagram to the fixed peer; as ``sendto``."""
        return self.sendto(data, b"", flags)

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Take one datagram without its sender; as ``take``."""
        return self.take(max_bytes, flags)[0]

    def take(self, max_bytes: int, flags: int = 0) -> tuple[bytes, bytes]:
        """Take one whole datagram and its sender (packed).

        Raises:
          WSAEMSGSIZE: it was longer; ``data`` of the error holds what fitted, ``address`` who sent
          it. Else as ``recvfrom``.
        """
        data, cut, remote = self.recvfrom(max_bytes, flags)
        if cut:
            error = errors.WSAEMSGSIZE("recvfrom", self.state, f"longer than {max_bytes} bytes")
            error.data = data  # type: ignore[attr-defined]
            error.address = (  # type: ignore[attr-defined]
                addresses.unpack(self.family, remote) if remote else None
            )
            raise error
        return data, remote

    def recvfrom(self, max_bytes: int, flags: int = 0) -> tuple[bytes, bool, bytes]:
        """Take one datagram: the bytes that fit, whether it was cut, and its sender (packed).

        Raises:
          WSAEINVAL: not bound, an unknown flag. WSAEWOULDBLOCK: none waits.
          WSAECONNRESET: an earlier datagram found no port. WSAESHUTDOWN, WSAENOTSOCK.
        """
        self.check_open("recvfrom")
        try:
            if max_bytes < 0:
                cls = errors.WSAEFAULT if self.windows_rules else errors.WSAEINVAL
                raise cls("recvfrom", self.state, f"length {max_bytes} is negative")
            self.check_receive_flags("recvfrom", flags)
            if flags & std.MSG_OOB:
                raise errors.WSAEOPNOTSUPP("recvfrom", self.state, "datagrams have no urgent data")
            if self.state == OPEN:
                raise errors.WSAEINVAL("recvfrom", self.state, "the socket is not bound")
            if self.attention & SHUT_RECEIVE:
                raise errors.WSAESHUTDOWN("recvfrom", self.state)
            return self._take(max_bytes, flags & std.MSG_PEEK)
        finally:
            self.re_enable(READ_AND_OOB)

    def _take(self, max_bytes: int, peek: int) -> tuple[bytes, bool, bytes]:
        waiting = self.errors_waiting
        if waiting:
            status = waiting[0] if peek else waiting.popleft()
            raise errors.error_class(STATUS_TO_WSA.get(status, 10054))("recvfrom", self.state)
        if self.rx:
            data, remote = self.rx[0]
            if not peek:
                self.rx.popleft()
                self.rx_count -= len(data)
            return data[:max_bytes], len(data) > max_bytes, remote
        assert self.address is not None
        try:
            answer = self.address.receive_datagram(max_bytes, peek)
        except BlockingIOError:
            self.readable = False
            if self.errors_waiting:  # the transport found one where it looked for a datagram
                return self._take(max_bytes, peek)
            raise errors.WSAEWOULDBLOCK("recvfrom", self.state) from None
        except (OSError, StatusError) as error:
            raise self.failure("recvfrom", error) from None
        if not answer[2] and self.peer:
            return answer[0], answer[1], self.peer
        return answer

    def select_state(self) -> tuple[bool, bool, bool]:
        """A datagram socket is always writable; readable with a datagram or an error."""
        return self.can_receive(), True, False

    # What conditions ask

    def can_receive(self) -> bool:
        """FD_READ: a datagram (also an empty one) or an error waits."""
        if self.state == OPEN or self.attention & SHUT_RECEIVE:
            return False
        return bool(self.rx or self.errors_waiting) or bool(self.file.has_datagram())

    def can_send(self) -> bool:
        """FD_WRITE at a selection: always, in event mode once the socket is bound."""
        if self.attention & SHUT_SEND:
            return False
        bound = self.state != OPEN
        return bound or (self.target is not None and self.target.kind == "message")

    def unread(self) -> int:
        """Return the length of the datagram that waits first, as this system does (FIONREAD)."""
        if self.state == OPEN or self.attention & (SHUT_RECEIVE | RELEASED):
            return 0
        if self.rx:
            return self.rx_count
        return int(self.file.available())

    # What happens below

    def on_datagram(self, remote: bytes, available: int, data: BytesLike | None) -> Status:
        """TDI_EVENT_RECEIVE_DATAGRAM: keep it if it was pushed to us and there is room."""
        if self.attention & (SHUT_RECEIVE | RELEASED):
            return Status.DATA_NOT_ACCEPTED
        if data is not None:
            if self.rx_count + available > self.receive_buffer() and self.rx:
                return Status.DATA_NOT_ACCEPTED
            if self.rx is None:
                self.rx = deque()
            self.rx.append((bytes(data), remote))
            self.rx_count += available
        self.on_readable()
        return SUCCESS

    def receive_buffer(self) -> int:
        """SO_RCVBUF as set, or the stack's default."""
        value = self.option(std.SOL_SOCKET, std.SO_RCVBUF)
        return int(value) or self.host.default_receive_buffer

    def on_readable(self) -> None:
        """A datagram or an error waits: serve a waiting task first, else report FD_READ."""
        self.readable = True
        if not self.wake_receiver():
            self.arrive(FD_READ)

    def on_error(self, status: Status) -> None:
        """TDI_EVENT_ERROR: something came back for a datagram sent; the next receive tells it."""
        if self.attention & (SHUT_RECEIVE | RELEASED):
            return
        if status == Status.CONNECTION_REFUSED:  # how a kernel says that there was no port
            status = Status.PORT_UNREACHABLE
        if self.errors_waiting is None:
            self.errors_waiting = deque(maxlen=16)
        self.errors_waiting.append(status)
        self.on_readable()

    def on_send_possible(self) -> None:
        """There is room for datagrams again."""
        if not self.wake_sender():
            self.arrive(FD_WRITE)

    # shutdown and close

    def shutdown(self, how: int) -> None:
        """Refuse to send, to receive, or both, from now on; nothing goes over the network."""
        self.check_open("shutdown")
        if how not in (std.SHUT_RD, std.SHUT_WR, std.SHUT_RDWR):
            raise errors.WSAEINVAL("shutdown", self.state, f"direction {how}")
        if how != std.SHUT_WR:
            self.attention |= SHUT_RECEIVE
            while self.wake_receiver():
                pass
        if how != std.SHUT_RD:
            self.attention |= SHUT_SEND

    def close(self, *, abort: bool = False) -> None:
        """closesocket: give the address back. What was sent is on its way; never waits."""
        del abort
        if self.attention & RELEASED:
            raise errors.WSAENOTSOCK("closesocket", self.state, "the socket is closed")
        self._end()
        self.file.abandon()
        self._given_back()

    def give_away(self) -> int:
        """Give the descriptor away and forget it (detach)."""
        self.check_open("detach")
        descriptor: int = self.file.give_away()
        self._end()
        self._given_back()
        return descriptor

    def _end(self) -> None:
        self.attention |= RELEASED
        self.step("close")
        if self.target is not None:
            self.deselect()
        self.rx, self.rx_count = None, 0
        self.wake_all()

    def _given_back(self) -> None:
        if self.address is not None:
            self.address.owner = None
        self.give_back_address()
        self.finish()
