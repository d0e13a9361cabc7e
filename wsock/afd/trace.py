# Traced endpoints: rows for Winsock calls, notifications and changes of state.
#
# > afd              endpoints                      THIS FILE: the rows that are not TDI's
#   tdi              trace                          the record, the rows of TDI
#
# Rule 1: as in tdi/trace.py: a class swap, no slots, nothing on the hot path when off. The traced
#         endpoint writes API-call, FD_ and state rows, so that Socket, whose class programs extend,
#         is never touched (ruling A5).
# Rule 2: a call's row is written before the rows that it causes, with its result filled in when it
#         returns; so a reader sees the call and, below it, what it did.
# Rule 3: detaching may happen in another thread, in the middle of a method here, and then self is a
#         plain object: nothing is looked up in self that only a traced one has, and plain methods
#         are called by their class.
# ruff: noqa: D102  (the calls are documented on the plain classes that these wrap)
"""Endpoints that write down what the application does and is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..tdi import Status, TraceRecord, emit_behind, trace_objects
from .datagram import DatagramEndpoint
from .stream import StreamEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tdi import BytesLike
    from .endpoint import Endpoint
    from .states import Trigger

__all__ = ["TracedDatagramEndpoint", "TracedStreamEndpoint", "trace_endpoint"]

_BUFFERS: Final = (bytes, bytearray, memoryview)
#: What Winsock calls a method that has another name here.
_CALL_NAMES: Final = {"close": "closesocket", "recv_into": "recv"}


def _record(endpoint: Endpoint, kind: str, request: str) -> TraceRecord:
    device = endpoint.host.device
    record = TraceRecord(kind, request, Status.SUCCESS, device.provider.clock())
    record.host = device.host
    record.object_kind = "socket"
    record.object_id = id(endpoint)
    record.socket = endpoint.number
    record.protocol = endpoint.type
    record.family = endpoint.family
    if endpoint.address is not None:
        record.client_key = id(endpoint.address)
        record.local = endpoint.address.local
    record.remote = endpoint.peer_address()
    record.rx_fill, record.tx_fill, record.free, record.pending = endpoint.fills()
    return record


def _called(
    endpoint: Endpoint,
    call: Callable[..., Any],
    *arguments: Any,  # noqa: ANN401
    length: int = -1,
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Do a call of the plain class, with a row before what it causes."""
    device = endpoint.host.device
    tracer = device.tracer
    if tracer is None:
        return call(endpoint, *arguments, **options)
    record = _record(endpoint, "call", _CALL_NAMES.get(call.__name__, call.__name__))
    record.length = length
    task_name = getattr(device.provider, "task_name", None)
    if task_name is not None:  # a transport that knows of tasks
        record.task = task_name()
    record.duration_ns = -1  # still running: what is written meanwhile is caused by this call
    try:
        tracer.emit(record)
        result = call(endpoint, *arguments, **options)
    except errors.WSAError as error:
        record.extra = {"error": error.name}
        raise
    finally:
        record.duration_ns = max(device.provider.clock() - record.time_ns, 0)
    data = _moved(arguments, result)
    if data is not None:
        record.length = len(data)
        limit = getattr(tracer, "payload_bytes", 0)  # only a tracer that wants bytes has it
        if limit:
            record.extra = {"payload": bytes(data[:limit]).hex()}
    return result


def _step(endpoint: Endpoint, plain: Callable[..., Any], trigger: Trigger) -> None:
    before = endpoint.state
    plain(endpoint, trigger)
    if endpoint.host.device.tracer is not None:
        record = _record(endpoint, "state", trigger)
        record.extra = {"from": before, "to": endpoint.state}
        emit_behind(endpoint.host.device, record)


def _arrive(endpoint: Endpoint, plain: Callable[..., Any], bit: int, code: int) -> None:
    owed = endpoint.armed & bit
    plain(endpoint, bit, code)
    device = endpoint.host.device
    if device.tracer is not None and owed and not endpoint.armed & bit and endpoint.mask & bit:
        record = _record(endpoint, "fd", "FD")
        record.flags = bit
        record.extra = {"code": code}
        if endpoint.target is not None and endpoint.target.kind == "message":
            record.extra["message"] = endpoint.message
        emit_behind(device, record)


class TracedStreamEndpoint(StreamEndpoint):
    """A stream endpoint whose calls, notifications and states are written down."""

    __slots__ = ()

    def step(self, trigger: Trigger) -> None:
        _step(self, StreamEndpoint.step, trigger)

    def arrive(self, bit: int, code: int = 0) -> None:
        _arrive(self, StreamEndpoint.arrive, bit, code)

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        if implicit:
            StreamEndpoint.bind(self, local, implicit=True)
        else:
            _called(self, StreamEndpoint.bind, local)

    def connect(self, remote: bytes) -> None:
        _called(self, StreamEndpoint.connect, remote)

    def listen(self, backlog: int) -> None:
        _called(self, StreamEndpoint.listen, backlog)

    def accept(self) -> StreamEndpoint:
        accepted: StreamEndpoint = _called(self, StreamEndpoint.accept)
        return accepted

    def on_readable(self) -> None:
        self.readable = True
        StreamEndpoint.on_readable_carefully(self)  # by ``arrive``, which writes the row

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        data: bytes = _called(self, StreamEndpoint.recv, max_bytes, flags)
        return data

    def recv_into(self, buffer: memoryview, flags: int = 0) -> int:
        count: int = _called(self, StreamEndpoint.recv_into, buffer, flags)
        return count

    def send(self, data: BytesLike, flags: int = 0) -> int:
        count: int = _called(self, StreamEndpoint.send, data, flags, length=len(data))
        return count

    def shutdown(self, how: int) -> None:
        _called(self, StreamEndpoint.shutdown, how)

    def close(self, *, abort: bool = False) -> None:
        _called(self, StreamEndpoint.close, abort=abort)


class TracedDatagramEndpoint(DatagramEndpoint):
    """A datagram endpoint whose calls, notifications and states are written down."""

    __slots__ = ()

    def step(self, trigger: Trigger) -> None:
        _step(self, DatagramEndpoint.step, trigger)

    def arrive(self, bit: int, code: int = 0) -> None:
        _arrive(self, DatagramEndpoint.arrive, bit, code)

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        if implicit:
            DatagramEndpoint.bind(self, local, implicit=True)
        else:
            _called(self, DatagramEndpoint.bind, local)

    def connect(self, remote: bytes) -> None:
        _called(self, DatagramEndpoint.connect, remote)

    def sendto(self, data: BytesLike, remote: bytes, flags: int = 0) -> int:
        count: int = _called(self, DatagramEndpoint.sendto, data, remote, flags, length=len(data))
        return count

    def recvfrom(self, max_bytes: int, flags: int = 0) -> tuple[bytes, bool, bytes]:
        answer: tuple[bytes, bool, bytes] = _called(
            self, DatagramEndpoint.recvfrom, max_bytes, flags
        )
        return answer

    def close(self, *, abort: bool = False) -> None:
        _called(self, DatagramEndpoint.close, abort=abort)


def _moved(arguments: tuple[Any, ...], result: Any) -> BytesLike | None:  # noqa: ANN401
    """Return the bytes that a call has moved, ``None`` for one that moves none."""
    if isinstance(result, tuple):  # recvfrom
        result = result[0]
    if isinstance(result, bytes):
        return result
    if isinstance(result, int) and arguments and isinstance(arguments[0], _BUFFERS):
        return memoryview(arguments[0]).cast("B")[:result]  # send, sendto, recv_into
    return None


def trace_endpoint(endpoint: Endpoint, *, on: bool) -> None:
    """Swap the classes of a live endpoint and of the TDI objects that it uses."""
    if isinstance(endpoint, StreamEndpoint):
        endpoint.__class__ = TracedStreamEndpoint if on else StreamEndpoint
    elif isinstance(endpoint, DatagramEndpoint):
        endpoint.__class__ = TracedDatagramEndpoint if on else DatagramEndpoint
    if endpoint.address is not None:
        trace_objects(endpoint.address, on=on)
    if endpoint.connection is not None:
        trace_objects(endpoint.connection, on=on)
        if endpoint.connection.file is not None:
            endpoint.connection.open_way()
    if endpoint.pool is not None:
        trace_objects(*endpoint.pool.free, *endpoint.pool.pending, on=on)
