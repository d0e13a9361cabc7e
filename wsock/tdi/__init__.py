# tdi: the transport driver interface, sans-IO.
#
#   window, event    messages, event objects        who is told, and how
#   socket           recv, send, accept             where tasks wait
#   afd              endpoints                      which event is pending, what re-enables it
# > tdi              addresses, connections         THIS LAYER: verbs and events of the transport
#   kernel, virtual  providers                      who moves the bytes
#
# Rule 1: nothing here waits and nothing here imports Trio.
# Rule 2: it knows errors and constants, and nothing else of wsock.
"""The transport driver interface: address and connection objects, statuses, trace records."""

from __future__ import annotations

from . import addresses
from .address import AddressObject
from .connection import ConnectionClient, ConnectionObject
from .device import Device
from .provider import NOSIGNAL, BytesLike, Provider, TransportFile
from .status import (
    HANDLER_ORDER,
    MORE_PROCESSING_REQUIRED,
    STATUS_TO_WSA,
    SUCCESS,
    DisconnectFlags,
    EventKind,
    ReceiveFlags,
    SendFlags,
    Status,
    StatusError,
    status_from_errno,
)
from .trace import (
    TracedAddressObject,
    TracedConnectionObject,
    Tracer,
    TraceRecord,
    attach,
    detach,
    emit_behind,
    trace_objects,
)
from .unsupported import UnsupportedRequests

__all__ = [
    "HANDLER_ORDER",
    "MORE_PROCESSING_REQUIRED",
    "NOSIGNAL",
    "STATUS_TO_WSA",
    "SUCCESS",
    "AddressObject",
    "BytesLike",
    "ConnectionClient",
    "ConnectionObject",
    "Device",
    "DisconnectFlags",
    "EventKind",
    "Provider",
    "ReceiveFlags",
    "SendFlags",
    "Status",
    "StatusError",
    "TraceRecord",
    "TracedAddressObject",
    "TracedConnectionObject",
    "Tracer",
    "TransportFile",
    "UnsupportedRequests",
    "addresses",
    "attach",
    "detach",
    "emit_behind",
    "status_from_errno",
    "trace_objects",
]
