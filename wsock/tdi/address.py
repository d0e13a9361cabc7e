# Address objects: a local address, and the handlers that hear what arrives there.
#
#   afd              endpoints                      registers handlers, is called through them
# > tdi              addresses, connections         THIS FILE: one object per local address
#   kernel, virtual  providers                      who moves the bytes
#
# Rule 1: the address object manages event handlers, the connection object manages the
#         connection and its data (fact S0-40). Neither does the other's work.
# Rule 2: a handler slot is empty until TDI_SET_EVENT_HANDLER fills it, and an empty slot means
#         what the transport's documentation says: offers are refused, data is not accepted.
# Rule 3: handlers return at once. Nothing here waits.
#
# Sources: TDI_SET_EVENT_HANDLER (ff565576), ClientEventConnect (ff544257), ClientEventDisconnect
# (ff544258), ClientEventError (ff545256), ClientEventReceive (ff545260).
"""The address object of TDI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .status import SUCCESS, EventKind, Status, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import ConnectionObject
    from .device import Device
    from .provider import BytesLike, TransportFile

__all__ = ["AddressObject"]

# As plain ints: an enum's members are slow to look up, and slow to index with.
_CONNECT: Final = int(EventKind.CONNECT)
_DISCONNECT: Final = int(EventKind.DISCONNECT)
_ERROR: Final = int(EventKind.ERROR)
_RECEIVE_DATAGRAM: Final = int(EventKind.RECEIVE_DATAGRAM)
_SEND_POSSIBLE: Final = int(EventKind.SEND_POSSIBLE)


class AddressObject:
    """A transport address file: a local address with one slot for each kind of event handler."""

    __slots__ = (
        "__weakref__",
        "device",
        "family",
        "file",
        "handlers",
        "local",
        "owner",
        "protocol",
        "users",
    )

    def __init__(self, device: Device, file: TransportFile, protocol: int, family: int) -> None:
        self.device = device
        self.file = file
        self.protocol = protocol
        self.family = family
        self.local = b""
        self.handlers: list[Callable[..., Any] | None] = [None] * len(EventKind)
        #: The endpoint that opened the address: its connect and error handlers are the address's.
        self.owner: Any = None
        #: Endpoints that live on this address: its opener, and those accepted from it.
        self.users = 1

    # Requests of the client

    def create(
        self, local: bytes, *, reuse: bool = False, exclusive: bool = False, implicit: bool = False
    ) -> None:
        """IRP_MJ_CREATE "Address Open": take ``local`` (zero parts: the transport chooses).

        Raises:
          StatusError: the address is taken or not this host's; the object is then spent.
        """
        try:
            self.local = self.file.open_address(
                local, reuse=reuse, exclusive=exclusive, implicit=implicit
            )
        except StatusError:
            self.device.live_addresses -= 1
            raise
        self.file.address = self

    def adopt(self) -> None:
        """IRP_MJ_CREATE for a file that has its address already."""
        self.local = self.file.local_address()
        self.file.address = self

    def set_event_handler(self, kind: EventKind, handler: Callable[..., Any] | None) -> None:
        """TDI_SET_EVENT_HANDLER: register ``handler`` for ``kind``, or ``None`` to take it away."""
        self.handlers[kind] = handler

    def query_information(self) -> bytes:
        """TDI_QUERY_INFORMATION "Query Address": the packed local address."""
        return self.local

    def listen(self, backlog: int) -> None:
        """Let the transport offer connections to the connect handler from now on."""
        self.file = self.file.start_listen(backlog)
        self.file.address = self

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        """TDI_SEND_DATAGRAM: send one datagram to ``remote`` (``b""``: the fixed peer)."""
        return self.file.send_datagram(data, remote, flags)

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """Take a datagram that the transport holds: bytes, whether it was cut, sender."""
        return self.file.receive_datagram(max_bytes, flags)

    def cleanup(self) -> None:
        """IRP_MJ_CLEANUP: the end of the object; every handler is dropped."""
        self.file.close_address()
        self.handlers = [None] * len(EventKind)
        self.owner = None  # endpoint, file and address would keep one another alive
        self.device.live_addresses -= 1

    # Up-calls of the provider

    def event_connect(
        self, remote: bytes, file: TransportFile
    ) -> tuple[Status, ConnectionObject | None]:
        """TDI_EVENT_CONNECT: ``remote`` asks for a connection, which would be moved by ``file``.

        Returns:
          MORE_PROCESSING_REQUIRED and the connection object that takes the offer (the transport
          then calls its ``accept``), or a refusal and ``None``.
        """
        handler = self.handlers[_CONNECT]
        if handler is None:
            return Status.CONNECTION_REFUSED, None
        answer: tuple[Status, ConnectionObject | None] = handler(self, remote)
        return answer

    def event_disconnect(self, connection: ConnectionObject, flags: int, reason: Status) -> Status:
        """TDI_EVENT_DISCONNECT: the peer of ``connection`` released or aborted it, and why."""
        handler = self.handlers[_DISCONNECT]
        if handler is not None and connection.client is not None:
            handler(connection.client, flags, reason)
        return SUCCESS

    def event_error(self, status: Status) -> Status:
        """TDI_EVENT_ERROR: the transport met an error that concerns this address."""
        handler = self.handlers[_ERROR]
        if handler is not None:
            handler(self, status)
        return SUCCESS

    def event_receive_datagram(
        self, remote: bytes, available: int, data: BytesLike | None
    ) -> Status:
        """TDI_EVENT_RECEIVE_DATAGRAM: a datagram of ``available`` bytes came from ``remote``.

        ``data`` holds it where the provider is eager; a kernel socket passes ``None`` and keeps
        it until it is fetched.
        """
        handler = self.handlers[_RECEIVE_DATAGRAM]
        if handler is None:
            return Status.DATA_NOT_ACCEPTED
        status: Status = handler(self, remote, available, data)
        return status

    def event_send_possible(self) -> None:
        """There is room for datagrams again after one was refused."""
        handler = self.handlers[_SEND_POSSIBLE]
        if handler is not None:
            handler(self)
