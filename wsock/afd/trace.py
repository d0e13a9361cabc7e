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
# ruff: noqa: D102  (the calls are documented on the plain classes that these wrap)
"""Endpoints that write down what the application does and is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..tdi import Status, TraceRecord, trace_objects
from .datagram import DatagramEndpoint
from .endpoint import Endpoint
from .stream import StreamEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tdi import BytesLike
    from .states import Trigger

__all__ = ["TracedDatagramEndpoint", "TracedStreamEndpoint", "trace_endpoint"]

_BUFFERS: Final = (bytes, bytearray, memoryview)


class _TracedEndpoint(Endpoint):
    """What traced stream and datagram endpoints share."""

    __slots__ = ()

    def _record(self, kind: str, request: str) -> TraceRecord | None:
        device = self.host.device
        if device.tracer is None:
            return None
        record = TraceRecord(kind, request, Status.SUCCESS, device.provider.clock())
        record.host = device.host
        record.object_kind = "socket"
        record.object_id = id(self)
        record.protocol = self.type
        record.family = self.family
        if self.address is not None:
            record.client_key = id(self.address)
            record.local = self.address.local
        record.remote = self.peer_address()
        record.rx_fill, record.tx_fill, record.free, record.pending = self.fills()
        return record

    def _called(
        self,
        request: str,
        call: Callable[..., Any],
        *arguments: Any,  # noqa: ANN401
        length: int = -1,
    ) -> Any:  # noqa: ANN401
        record = self._record("call", request)
        if record is None:
            return call(*arguments)
        record.length = length
        task_name = getattr(self.host.device.provider, "task_name", None)
        if task_name is not None:  # a transport that knows of tasks
            record.task = task_name()
        record.duration_ns = -1  # still running: what is written meanwhile is caused by this call
        tracer = self.host.device.tracer
        assert tracer is not None
        tracer.emit(record)
        try:
            result = call(*arguments)
        except errors.WSAError as error:
            record.extra = {"error": error.name}
            raise
        finally:
            record.duration_ns = self.host.device.provider.clock() - record.time_ns
        data = _moved(arguments, result)
        if data is not None:
            record.length = len(data)
            limit = getattr(tracer, "payload_bytes", 0)  # only a tracer that wants bytes has it
            if limit:
                record.extra = {"payload": bytes(data[:limit]).hex()}
        return result

    def _emit(self, record: TraceRecord | None) -> None:
        tracer = self.host.device.tracer
        if record is not None and tracer is not None:
            tracer.emit(record)

    def step(self, trigger: Trigger) -> None:
        before = self.state
        super().step(trigger)
        record = self._record("state", trigger)
        if record is not None:
            record.extra = {"from": before, "to": self.state}
            self._emit(record)

    def arrive(self, bit: int, code: int = 0) -> None:
        owed = self.armed & bit
        super().arrive(bit, code)
        if owed and not self.armed & bit and self.mask & bit:
            record = self._record("fd", "FD")
            if record is not None:
                record.flags = bit
                record.extra = {"code": code}
                if self.target is not None and self.target.kind == "message":
                    record.extra["message"] = self.message
                self._emit(record)

    def bind(self, local: bytes, *, implicit: bool = False) -> None:
        if implicit:
            super().bind(local, implicit=True)
        else:
            self._called("bind", super().bind, local)


class TracedStreamEndpoint(_TracedEndpoint, StreamEndpoint):
    """A stream endpoint whose calls, notifications and states are written down."""

    __slots__ = ()

    def connect(self, remote: bytes) -> None:
        self._called("connect", super().connect, remote)

    def listen(self, backlog: int) -> None:
        self._called("listen", super().listen, backlog)

    def accept(self) -> StreamEndpoint:
        accepted: StreamEndpoint = self._called("accept", super().accept)
        return accepted

    def on_readable(self) -> None:
        self.readable = True
        self.on_readable_carefully()  # by ``arrive``, which writes the row

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        data: bytes = self._called("recv", super().recv, max_bytes, flags)
        return data

    def recv_into(self, buffer: memoryview, flags: int = 0) -> int:
        count: int = self._called("recv", super().recv_into, buffer, flags)
        return count

    def send(self, data: BytesLike, flags: int = 0) -> int:
        count: int = self._called("send", super().send, data, flags, length=len(data))
        return count

    def shutdown(self, how: int) -> None:
        self._called("shutdown", super().shutdown, how)

    def close(self, *, abort: bool = False) -> None:
        def close() -> None:
            super(TracedStreamEndpoint, self).close(abort=abort)

        self._called("closesocket", close)


class TracedDatagramEndpoint(_TracedEndpoint, DatagramEndpoint):
    """A datagram endpoint whose calls, notifications and states are written down."""

    __slots__ = ()

    def connect(self, remote: bytes) -> None:
        self._called("connect", super().connect, remote)

    def sendto(self, data: BytesLike, remote: bytes, flags: int = 0) -> int:
        count: int = self._called("sendto", super().sendto, data, remote, flags, length=len(data))
        return count

    def recvfrom(self, max_bytes: int, flags: int = 0) -> tuple[bytes, bool, bytes]:
        answer: tuple[bytes, bool, bytes] = self._called(
            "recvfrom", super().recvfrom, max_bytes, flags
        )
        return answer

    def close(self, *, abort: bool = False) -> None:
        def close() -> None:
            super(TracedDatagramEndpoint, self).close(abort=abort)

        self._called("closesocket", close)


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
    if endpoint.pool is not None:
        trace_objects(*endpoint.pool.free, *endpoint.pool.pending, on=on)
