# The tracer's hooks: traced subclasses of the TDI objects, and the record that they write.
#
#   tdimon           rings, filters, views          who reads records
# > tdi              addresses, connections         THIS FILE: one record per verb and event
#   kernel, virtual  providers                      never know that they are watched
#
# Rule 1: nothing here costs anything while nobody watches: attaching swaps an object's class
#         (same layout), detaching swaps it back (ruling A5). So no slots here, and nobody may
#         keep a bound method of a swappable object.
# Rule 2: a row is written on completion with the final status; an event's row when its handler
#         has returned (NOTES R12), and before the notifications that come of it. PENDING is never
#         written.
# Rule 3: a tracer looks and never takes. A receive indication on a kernel socket asks how many
#         bytes wait and leaves them there.
# Rule 4: detaching may happen in another thread, in the middle of a method here, and then self is a
#         plain object: so nothing is looked up in self that only a traced object has, and plain
#         methods are called by their class (super() would refuse).
# Rule 5: a record holds values, not text. Text is made when somebody reads it.
# ruff: noqa: D102  (the verbs are documented on the plain classes that these wrap)
"""Records of TDI traffic, and the subclasses that write them."""

from __future__ import annotations

import contextlib
import socket as std
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

from .address import AddressObject
from .connection import ConnectionObject
from .status import DisconnectFlags, EventKind, ReceiveFlags, SendFlags, Status, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from .device import Device
    from .provider import BytesLike, TransportFile

__all__ = [
    "TraceRecord",
    "TracedAddressObject",
    "TracedConnectionObject",
    "Tracer",
    "attach",
    "detach",
    "emit_behind",
    "trace_objects",
]


class TraceRecord:
    """One row: a request, an event, an API call, a notification or a change of state.

    ``kind`` is "tdi" (``request`` is a TDI name), "call" (a Winsock call), "fd" (a notification),
    "message" (queue traffic) or "state". Addresses are packed (``addresses.show`` prints them).
    ``sequence``, ``time_ns`` and ``cause`` are the tracer's to fill; ``extra`` holds what only
    some rows have, by name.
    """

    __slots__ = (
        "association",
        "cause",
        "client_key",
        "context",
        "duration_ns",
        "event",
        "extra",
        "family",
        "flags",
        "free",
        "host",
        "kind",
        "length",
        "local",
        "number",
        "object_id",
        "object_kind",
        "pending",
        "protocol",
        "remote",
        "request",
        "rx_fill",
        "sequence",
        "socket",
        "status",
        "task",
        "time_ns",
        "tx_fill",
    )

    def __init__(self, kind: str, request: str, status: Status | int, time_ns: int) -> None:
        self.kind = kind
        self.request = request
        self.status = status
        self.time_ns = time_ns
        self.sequence = 0
        self.duration_ns = 0
        self.host = ""
        self.task = ""
        self.cause = ""
        #: Which socket of its host, in the order of opening, from 1; 0 where none is known.
        self.socket = 0
        #: "address", "connect" (made by connect), "Connect" (made by listen or accept), or "".
        self.object_kind = ""
        self.object_id = 0
        #: Which of the listening socket's connection objects, from 1; 0 where that says nothing.
        self.number = 0
        #: Groups the objects of one listening socket: id of the address object.
        self.client_key = 0
        self.protocol = 0
        self.family = 0
        self.local = b""
        self.remote = b""
        #: Event kind of TDI_SET_EVENT_HANDLER, and whether the handler was cleared.
        self.event: tuple[EventKind, bool] | None = None
        #: Context of IRP_MJ_CREATE on a connection.
        self.context = 0
        #: Packed address of TDI_ASSOCIATE_ADDRESS.
        self.association = b""
        self.length = -1
        self.flags = 0
        self.rx_fill = 0
        self.tx_fill = 0
        self.free = 0
        self.pending = 0
        self.extra: dict[str, Any] | None = None


class Tracer(Protocol):
    """Who takes records: tdimon's ring, or a list in a test."""

    def emit(self, record: TraceRecord) -> None:
        """Take ``record``; plain, quick, and never raises."""


#: Bytes that a connection of a transport that is not eager has indicated and nobody has taken. Not
#: an attribute: traced classes have the layout of the plain ones.
_indicated: Final[weakref.WeakKeyDictionary[ConnectionObject, int]] = weakref.WeakKeyDictionary()
#: Connections whose release by the peer has its row: a read may see it before the edge does.
_released: Final[weakref.WeakSet[ConnectionObject]] = weakref.WeakSet()


def _emit(device: Device, record: TraceRecord) -> None:
    tracer = device.tracer
    if tracer is not None:
        record.host = device.host
        tracer.emit(record)


#: Rows that wait for the row of the event in whose handler they were written, by device.
_held: Final[dict[Device, list[TraceRecord]]] = {}


def emit_behind(device: Device, record: TraceRecord) -> None:
    """Write a notification or a state: behind the row of the event that brought it, if any did."""
    held = _held.get(device)
    if held is not None:
        held.append(record)
    else:
        _emit(device, record)


class _Handling:
    """The time in which the handler of an event runs; its ``record`` is written at the end.

    Rows of tdi that the handler causes come before it, notifications and states behind it.
    """

    __slots__ = ("_began_ns", "_device", "_mine", "_outer", "record")

    def __init__(self, device: Device) -> None:
        self._device = device
        self._mine: list[TraceRecord] = []
        self.record: TraceRecord | None = None

    def __enter__(self) -> Self:
        self._outer = _held.get(self._device)
        _held[self._device] = self._mine
        self._began_ns = self._device.provider.clock()
        return self

    def __exit__(self, *error: object) -> None:
        if self._outer is None:
            del _held[self._device]
        else:
            _held[self._device] = self._outer
        record = self.record
        if record is not None:
            record.duration_ns = max(self._device.provider.clock() - self._began_ns, 0)
            record.time_ns = self._began_ns
            _emit(self._device, record)
        for waiting in self._mine:
            emit_behind(self._device, waiting)


def _address_row(
    address: AddressObject, request: str, status: Status = Status.SUCCESS
) -> TraceRecord:
    device = address.device
    record = TraceRecord("tdi", request, status, device.provider.clock())
    record.object_kind = "address"
    record.object_id = record.client_key = id(address)
    record.protocol = address.protocol
    record.family = address.family
    record.local = address.local
    if address.owner is not None:
        record.socket = address.owner.number
    return record


def _disconnect_row(address: AddressObject, connection: ConnectionObject, flags: int) -> None:
    """Write that the peer released or aborted ``connection``; a release is written once."""
    if flags & DisconnectFlags.RELEASE:
        if connection in _released:
            return
        _released.add(connection)
    record = _address_row(address, "TDI_EVENT_DISCONNECT")
    record.remote = connection.remote
    record.flags = flags
    record.extra = {"active": connection.active}
    _emit(address.device, record)


class TracedAddressObject(AddressObject):
    """An address object whose verbs and events are written down."""

    __slots__ = ()

    def create(
        self, local: bytes, *, reuse: bool = False, exclusive: bool = False, implicit: bool = False
    ) -> None:
        try:
            AddressObject.create(self, local, reuse=reuse, exclusive=exclusive, implicit=implicit)
        except StatusError as error:
            record = _address_row(self, "IRP_MJ_CREATE", error.status)
            record.local = local
            _emit(self.device, record)
            raise
        _emit(self.device, _address_row(self, "IRP_MJ_CREATE"))

    def adopt(self) -> None:
        AddressObject.adopt(self)
        _emit(self.device, _address_row(self, "IRP_MJ_CREATE"))

    def set_event_handler(self, kind: EventKind, handler: Callable[..., Any] | None) -> None:
        AddressObject.set_event_handler(self, kind, handler)
        record = _address_row(self, "TDI_SET_EVENT_HANDLER")
        record.event = (kind, handler is None)
        _emit(self.device, record)

    def query_information(self) -> bytes:
        answer = AddressObject.query_information(self)
        _emit(self.device, _address_row(self, "TDI_QUERY_INFORMATION"))
        return answer

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        count = AddressObject.send_datagram(self, data, remote, flags)
        record = _address_row(self, "TDI_SEND_DATAGRAM")
        record.remote = remote or self.file.remote_address()
        record.length = count
        _emit(self.device, record)
        return count

    def cleanup(self) -> None:
        AddressObject.cleanup(self)
        _emit(self.device, _address_row(self, "IRP_MJ_CLEANUP"))

    def event_connect(
        self, remote: bytes, file: TransportFile
    ) -> tuple[Status, ConnectionObject | None]:
        with _Handling(self.device) as handling:
            status, connection = AddressObject.event_connect(self, remote, file)
            record = handling.record = _address_row(self, "TDI_EVENT_CONNECT", status)
            record.remote = remote
        return status, connection

    def event_disconnect(self, connection: ConnectionObject, flags: int, reason: Status) -> Status:
        # The row comes before the rows that its handler causes (a waiting client gives its
        # objects back in the handler; golden close1-2).
        _disconnect_row(self, connection, flags)
        return AddressObject.event_disconnect(self, connection, flags, reason)

    def event_error(self, status: Status) -> Status:
        with _Handling(self.device) as handling:
            handling.record = _address_row(self, "TDI_EVENT_ERROR", status)
            return AddressObject.event_error(self, status)

    def event_receive_datagram(
        self, remote: bytes, available: int, data: BytesLike | None
    ) -> Status:
        with _Handling(self.device) as handling:
            status = AddressObject.event_receive_datagram(self, remote, available, data)
            record = handling.record = _address_row(self, "TDI_EVENT_RECEIVE_DATAGRAM", status)
            record.remote = remote
            # A kernel socket keeps the datagram and did not look how long it is.
            record.length = self.file.available() if available < 0 else available
        return status


def _connection_row(
    connection: ConnectionObject, request: str, status: Status = Status.SUCCESS
) -> TraceRecord:
    device = connection.device
    record = TraceRecord("tdi", request, status, device.provider.clock())
    record.object_kind = "connect" if connection.active else "Connect"
    record.object_id = id(connection)
    record.context = connection.context
    record.number = connection.number
    address = connection.address
    if address is not None:
        record.client_key = id(address)
        record.protocol = address.protocol
        record.family = address.family
        record.local = connection.local_shown()
        if address.owner is not None:  # of an offer that nobody has accepted yet
            record.socket = address.owner.number
    record.remote = connection.remote
    client = connection.client
    if client is not None:
        record.socket = client.number
        fills = client.fills()
        record.rx_fill, record.tx_fill, record.free, record.pending = fills
    return record


def _sent_row(connection: ConnectionObject, length: int, status: Status, flags: int) -> TraceRecord:
    record = _connection_row(connection, "TDI_SEND", status)
    record.length = length
    record.flags = SendFlags.EXPEDITED if flags & std.MSG_OOB else 0
    return record


def _taken(connection: ConnectionObject, count: int) -> None:
    """Write what came, and was taken, before the transport was asked for its edge."""
    if connection.device.provider.eager:
        return
    left = _indicated.get(connection, 0) - count
    _indicated[connection] = max(left, 0)
    if left < 0:
        _receive_rows(connection, -left)
    if count == 0 and isinstance(connection.address, TracedAddressObject):
        _disconnect_row(connection.address, connection, DisconnectFlags.RELEASE)


def _receive_rows(connection: ConnectionObject, available: int) -> None:
    """Write what the transport would have indicated of ``available`` new bytes."""
    lookahead = connection.device.provider.lookahead
    entire = available <= lookahead
    status = Status.SUCCESS if entire else Status.MORE_PROCESSING_REQUIRED
    record = _connection_row(connection, "TDI_EVENT_RECEIVE", status)
    record.length = available if entire else lookahead
    record.flags = ReceiveFlags.COPY_LOOKAHEAD | ReceiveFlags.AT_DISPATCH_LEVEL
    if entire:
        record.flags |= ReceiveFlags.ENTIRE_MESSAGE
        _emit(connection.device, record)
        return
    _emit(connection.device, record)
    rest = _connection_row(connection, "TDI_RECEIVE")
    rest.length = available - lookahead
    _emit(connection.device, rest)


class TracedConnectionObject(ConnectionObject):
    """A connection object whose verbs and events are written down."""

    __slots__ = ()

    def __init__(self, device: Device, number: int) -> None:
        ConnectionObject.__init__(self, device, number)
        _emit(device, _connection_row(self, "IRP_MJ_CREATE"))

    def associate(self, address: AddressObject) -> None:
        # The row still shows no address: that is what the request is about to give it.
        record = _connection_row(self, "TDI_ASSOCIATE_ADDRESS")
        record.association = address.local
        try:
            ConnectionObject.associate(self, address)
        except StatusError as error:
            record.status = error.status
            _emit(self.device, record)
            raise
        record.client_key = id(address)
        record.protocol = address.protocol
        record.family = address.family
        _emit(self.device, record)

    def disassociate(self) -> None:
        record = _connection_row(self, "TDI_DISASSOCIATE_ADDRESS")
        try:
            ConnectionObject.disassociate(self)
        except StatusError as error:
            record.status = error.status
            _emit(self.device, record)
            raise
        _emit(self.device, record)

    def complete_connect(self, status: Status) -> None:
        # Before the client hears of it: what the client does next is caused by this row.
        if status == Status.SUCCESS and not self.local:
            with contextlib.suppress(OSError):  # reset meanwhile
                self.local = self.file.local_address()
        _emit(self.device, _connection_row(self, "TDI_CONNECT", status))
        ConnectionObject.complete_connect(self, status)

    def complete_accept(self, status: Status) -> None:
        _emit(self.device, _connection_row(self, "TDI_ACCEPT", status))
        ConnectionObject.complete_accept(self, status)

    def query_information(self) -> bytes:
        answer = ConnectionObject.query_information(self)
        _emit(self.device, _connection_row(self, "TDI_QUERY_INFORMATION"))
        return answer

    def send(self, data: BytesLike, flags: int) -> int:
        length = data.nbytes if isinstance(data, memoryview) else len(data)
        count = ConnectionObject.send(self, data, flags)
        if count == length and length:  # a send of nothing is no request
            _emit(self.device, _sent_row(self, length, Status.SUCCESS, flags))
        return count

    def complete_send(self, length: int, status: Status, flags: int = 0) -> None:
        with _Handling(self.device) as handling:
            ConnectionObject.complete_send(self, length, status, flags)
            handling.record = _sent_row(self, length, status, flags)

    def complete_receive(self, status: Status, data: BytesLike) -> None:
        with _Handling(self.device) as handling:
            ConnectionObject.complete_receive(self, status, data)
            record = handling.record = _connection_row(self, "TDI_RECEIVE", status)
            record.length = len(data)

    def complete_disconnect(self, status: Status, flags: int) -> None:
        record = _connection_row(self, "TDI_DISCONNECT", status)
        record.flags = flags
        _emit(self.device, record)
        ConnectionObject.complete_disconnect(self, status, flags)

    def cleanup(self) -> None:
        record = _connection_row(self, "IRP_MJ_CLEANUP")
        ConnectionObject.cleanup(self)
        _emit(self.device, record)

    def close(self) -> None:
        record = _connection_row(self, "IRP_MJ_CLOSE")
        ConnectionObject.close(self)
        _emit(self.device, record)

    def on_readable(self) -> None:
        # Edges overlap: what waits now may have been indicated in part by an earlier one.
        available = self.file.available()
        fresh = available - _indicated.get(self, 0)
        if fresh > 0:
            _indicated[self] = available
            _receive_rows(self, fresh)
        ConnectionObject.on_readable(self)

    def open_way(self) -> None:
        # By this object, so that it can write down what passes.
        self.client.transport = self.file.reader = self

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        data = ConnectionObject.recv(self, max_bytes, flags)
        if not flags and max_bytes > 0:
            _taken(self, len(data))
        return data

    def recv_into(self, buffer: memoryview, max_bytes: int) -> int:
        count = ConnectionObject.recv_into(self, buffer, max_bytes)
        if max_bytes > 0:
            _taken(self, count)
        return count

    def indicate_expedited(self) -> None:
        _emit(self.device, _connection_row(self, "TDI_EVENT_RECEIVE_EXPEDITED"))
        ConnectionObject.indicate_expedited(self)

    def event_receive(
        self, flags: int, indicated: int, available: int, data: BytesLike
    ) -> tuple[Status, int, int]:
        with _Handling(self.device) as handling:
            answer = ConnectionObject.event_receive(self, flags, indicated, available, data)
            record = handling.record = _connection_row(self, "TDI_EVENT_RECEIVE", answer[0])
            record.length = indicated
            record.flags = flags
        return answer

    def event_receive_expedited(self, flags: int, data: BytesLike) -> Status:
        with _Handling(self.device) as handling:
            status = ConnectionObject.event_receive_expedited(self, flags, data)
            record = handling.record = _connection_row(self, "TDI_EVENT_RECEIVE_EXPEDITED", status)
            record.length = len(data)
            record.flags = flags
        return status


def attach(device: Device, tracer: Tracer) -> None:
    """Have ``device`` make traced objects from now on, and tell ``tracer`` of them."""
    device.tracer = tracer
    device.address_class = TracedAddressObject
    device.connection_class = TracedConnectionObject


def detach(device: Device) -> None:
    """Have ``device`` make plain objects again."""
    device.tracer = None
    device.address_class = AddressObject
    device.connection_class = ConnectionObject


def trace_objects(*objects: AddressObject | ConnectionObject, on: bool = True) -> None:
    """Swap the class of live objects: traced ones, or with ``on=False`` the plain ones again."""
    for item in objects:
        if isinstance(item, AddressObject):
            item.__class__ = TracedAddressObject if on else AddressObject
        else:
            _indicated.pop(item, None)  # what an earlier trace knew of it is no longer true
            item.__class__ = TracedConnectionObject if on else ConnectionObject
