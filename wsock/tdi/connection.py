# Connection objects: the transport's half of a connection.
#
#   afd              endpoints                      buffers, FD_ record
# > tdi              addresses, connections         THIS FILE: one object per connection
#   kernel, virtual  providers                      who moves the bytes
#
# Rule 1: nothing here waits, nothing imports Trio. Up-calls are plain functions that return at
#         once; who needs to wait posts a record and lets a task pick it up.
# Rule 2: this file has never heard of FD_READ. It reports that data is there; afd decides.
# Rule 3: a method here is one TDI verb or one TDI event. The traced subclass (trace.py) wraps
#         each of them and nothing else, so a call that passes by these methods is invisible. Data
#         of a connection that nobody watches does pass by: ``open_way`` makes file and client
#         known to each other, three frames less for an echoed message.
#
# Why connections exist before anyone connects: an offer must find its object ready, because the
# connect handler may not wait. So listen makes as many as the backlog, and accept replaces the
# one it hands out (NOTES R2, R3).
#
# Sources: TDI_CONNECT (ff565083), TDI_ACCEPT (ff565066), TDI_SEND (ff565549), TDI_RECEIVE
# (ff565131), TDI_DISCONNECT (ff565090), ClientEventReceive (ff545260).
"""The connection object of TDI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from .status import EventKind, Status, StatusError

if TYPE_CHECKING:
    from .address import AddressObject
    from .device import Device
    from .provider import BytesLike, TransportFile

__all__ = ["ConnectionClient", "ConnectionObject"]

# As plain ints: an enum's members are slow to look up, and slow to index with.
_RECEIVE: Final = int(EventKind.RECEIVE)
_RECEIVE_EXPEDITED: Final = int(EventKind.RECEIVE_EXPEDITED)


class ConnectionClient(Protocol):
    """What a connection object calls: the endpoint above it."""

    #: Which socket of its host; for who watches.
    number: int
    #: What data goes to; the connection's to set.
    transport: Any

    def fills(self) -> tuple[int, int, int, int]:
        """Bytes buffered for receiving and sending, free and pending places of the pool."""

    def on_connected(self, status: Status) -> None:
        """TDI_CONNECT ended."""

    def on_accepted(self, connection: ConnectionObject, status: Status) -> None:
        """TDI_ACCEPT of a pool object ended; the client is the listening endpoint."""

    def on_begun(self) -> None:
        """The first report since ``begin_telling``: there is room (it comes behind data)."""

    def on_readable(self) -> None:
        """The transport holds data (providers that are not eager)."""

    def on_received(self, data: BytesLike) -> None:
        """The TDI_RECEIVE that was outstanding brought ``data`` (eager providers)."""

    def on_urgent(self) -> None:
        """The transport holds an urgent byte (providers that are not eager)."""

    def on_sent(self, count: int) -> None:
        """``count`` more bytes of what was accepted are done with."""

    def on_send_possible(self) -> None:
        """There is room again after a send was refused for lack of any."""

    def on_disconnected(self, status: Status) -> None:
        """TDI_DISCONNECT ended."""


class ConnectionObject:
    """A transport endpoint file: one end of one connection, or a place kept for one.

    To make one is IRP_MJ_CREATE with a context.
    """

    __slots__ = (
        "__weakref__",
        "address",
        "client",
        "device",
        "file",
        "local",
        "number",
        "remote",
    )

    client: Any
    file: Any

    def __init__(self, device: Device, number: int) -> None:
        self.device = device
        self.number = number
        self.address: AddressObject | None = None
        # The client and the file are Any: an attribute of a Protocol type costs nothing at run
        # time, but either would have to be checked for None on every message.
        self.client = None
        self.file = None
        #: Packed; filled by a provider that knows which interface a wildcard address became.
        self.local = b""
        self.remote = b""

    @property
    def active(self) -> bool:
        """Whether connect made it, not listen or accept, which number theirs."""
        return not self.number

    @property
    def context(self) -> int:
        """What it is called in records (ConnectionContext)."""
        return self.device.context_of(self)

    # Requests of the client: control

    def associate(self, address: AddressObject) -> None:
        """TDI_ASSOCIATE_ADDRESS: this connection will use ``address``.

        Raises:
          StatusError: INVALID_PARAMETER, it has an address already, and keeps that.
        """
        if self.address is not None:
            raise StatusError(Status.INVALID_PARAMETER)
        self.address = address

    def disassociate(self) -> None:
        """TDI_DISASSOCIATE_ADDRESS.

        Raises:
          StatusError: INVALID_CONNECTION, it has no address.
        """
        if self.address is None:
            raise StatusError(Status.INVALID_CONNECTION)
        self.address = None

    def connect(self, remote: bytes) -> None:
        """TDI_CONNECT: ask ``remote`` for a connection; ``complete_connect`` follows."""
        self.remote = remote
        self.file.connection = self
        self.file.start_connect(remote)

    def accept(self, remote: bytes, file: TransportFile) -> None:
        """TDI_ACCEPT: take the offer of ``remote``, which ``file`` moves.

        The transport calls it with what the connect handler answered, and ``complete_accept``
        when the handshake is complete.
        """
        self.remote = remote
        self.file = file
        file.connection = self

    def disconnect(self, flags: int, *, final: bool, timeout: float | None = None) -> None:
        """TDI_DISCONNECT: RELEASE ends sending after what is queued, ABORT resets.

        ``final`` says that nobody will use the connection again, ``timeout`` after how many seconds
        a release becomes an abort; ``complete_disconnect`` follows.
        """
        self.file.start_disconnect(flags, final=final, timeout=timeout)

    def query_information(self) -> bytes:
        """TDI_QUERY_INFORMATION "Query Address" on an associated connection."""
        return b"" if self.address is None else self.local or self.address.local

    def local_shown(self) -> bytes:
        """The local address: the chosen interface's once connected, the address object's before."""
        if self.address is None:
            return b""
        return self.local or self.address.local

    def cleanup(self) -> None:
        """IRP_MJ_CLEANUP: the client wants nothing more; the file goes its own way."""
        file = self.file
        if file is not None:
            file.connection = file.reader = None
        self.client = None

    def close(self) -> None:
        """IRP_MJ_CLOSE: the last reference is gone."""
        self.device.live_connections -= 1

    # Requests of the client: data

    def open_way(self) -> None:
        """Let data go straight between file and client; the connection is established.

        ``send``, ``recv`` and ``recv_into`` then go to the client's ``transport``, and that data
        has arrived is told to the file's ``reader``.
        """
        self.client.transport = self.file
        self.file.reader = self.client

    def send(self, data: BytesLike, flags: int) -> int:
        """TDI_SEND: return how many bytes are done at once; ``keep`` the rest.

        Raises:
          BlockingIOError: no room at all, nothing taken; say ``refused``.
          OSError: the connection has failed.
        """
        return self.file.send(data, flags)  # type: ignore[no-any-return]

    def queue_send(self, data: BytesLike) -> int:
        """TDI_SEND behind earlier ones that are pending; return how many bytes are done at once."""
        return self.file.queue(data)  # type: ignore[no-any-return]

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Take bytes that the transport holds already; no request, so never a row (fact S0-28).

        Raises:
          BlockingIOError: it holds none.
          OSError: the connection has failed.
        """
        return self.file.recv(max_bytes, flags)  # type: ignore[no-any-return]

    def recv_into(self, buffer: memoryview, max_bytes: int) -> int:
        """Take bytes that the transport holds into ``buffer``, as ``recv``."""
        return self.file.recv_into(buffer, max_bytes)  # type: ignore[no-any-return]

    def receive(self, capacity: int) -> None:
        """TDI_RECEIVE: room for ``capacity`` bytes again; ``complete_receive`` follows."""
        self.file.resume_receive(capacity)

    # Up-calls of the provider: completions

    def complete_connect(self, status: Status) -> None:
        """TDI_CONNECT ended with ``status``."""
        self.client.on_connected(status)

    def complete_accept(self, status: Status) -> None:
        """TDI_ACCEPT ended: the handshake is complete, or the peer is gone."""
        self.client.on_accepted(self, status)

    def sent(self, count: int) -> None:
        """``count`` bytes of pending sends are done with."""
        self.client.on_sent(count)

    def complete_send(self, length: int, status: Status, flags: int = 0) -> None:
        """The pending TDI_SEND of ``length`` bytes ended (one that ends at once is not told)."""

    def complete_receive(self, status: Status, data: BytesLike) -> None:
        """The TDI_RECEIVE that was outstanding ended with ``data`` (eager providers)."""
        if self.client is not None:
            self.client.on_received(data)

    def complete_disconnect(self, status: Status, flags: int) -> None:
        """TDI_DISCONNECT with ``flags`` ended."""
        if self.client is not None:
            self.client.on_disconnected(status)

    # Up-calls of the provider: events

    def on_readable(self) -> None:
        """TDI_EVENT_RECEIVE of a transport that keeps the bytes: data has arrived and waits."""
        self.client.on_readable()

    def indicate_expedited(self) -> None:
        """An urgent byte has arrived and waits in the transport."""
        self.client.on_urgent()

    def send_possible(self) -> None:
        """TDI_EVENT_SEND_POSSIBLE: there is room after a refused send."""
        self.client.on_send_possible()

    def event_receive(
        self, flags: int, indicated: int, available: int, data: BytesLike
    ) -> tuple[Status, int, int]:
        """TDI_EVENT_RECEIVE (eager providers): ``data`` holds ``indicated`` of ``available`` bytes.

        Returns:
          The handler's status, the bytes it took, and with MORE_PROCESSING_REQUIRED the capacity
          of the TDI_RECEIVE that it handed down for the rest.
        """
        handler = self.address.handlers[_RECEIVE] if self.address else None
        if handler is None or self.client is None:
            return Status.DATA_NOT_ACCEPTED, 0, 0
        answer: tuple[Status, int, int] = handler(self.client, flags, indicated, available, data)
        return answer

    def event_receive_expedited(self, flags: int, data: BytesLike) -> Status:
        """TDI_EVENT_RECEIVE_EXPEDITED (eager providers): urgent bytes."""
        handler = self.address.handlers[_RECEIVE_EXPEDITED] if self.address else None
        if handler is None or self.client is None:
            return Status.DATA_NOT_ACCEPTED
        answer: Status = handler(self.client, flags, data)
        return answer

    def event_disconnect(self, flags: int, reason: Status = Status.CONNECTION_RESET) -> None:
        """TDI_EVENT_DISCONNECT: the peer released, or the connection is aborted for ``reason``."""
        if self.address is not None:
            self.address.event_disconnect(self, flags, reason)
