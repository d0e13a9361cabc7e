# Adopting: an endpoint around a descriptor that was bound, listening or connected elsewhere.
#
# Rule 1: the TDI objects are made as the calls would have made them, so that the traces, netstat
#         and the close of an adopted socket look like any other's; only the transport is not asked.
#
# Uses: sockets handed over by a service manager or a parent process, socket pairs.
"""Taking over sockets that exist already."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

from ..tdi import EventKind
from .datagram import DatagramEndpoint
from .pool import MAX_BACKLOG, BacklogPool
from .stream import StreamEndpoint, connect_handler

if TYPE_CHECKING:
    from .endpoint import Endpoint

__all__ = ["adopt"]


def adopt(endpoint: Endpoint) -> None:
    """Bring a fresh endpoint to the state that its file is in already."""
    file = endpoint.file
    remote = file.remote_address()
    listening = endpoint.type == std.SOCK_STREAM and file.is_listening()
    if not (remote or listening or file.is_bound() or _is_unnamed_peer(endpoint)):
        return
    endpoint.open_existing_address()
    if isinstance(endpoint, DatagramEndpoint):
        endpoint.peer = remote
        file.begin()
    elif isinstance(endpoint, StreamEndpoint):
        if listening:
            _listen(endpoint)
        elif remote or _is_unnamed_peer(endpoint):
            _connected(endpoint, remote)


def _is_unnamed_peer(endpoint: Endpoint) -> bool:
    """A socket pair of AF_UNIX is connected, though neither end has a name."""
    return bool(endpoint.file.has_peer())


def _listen(endpoint: StreamEndpoint) -> None:
    address = endpoint.address
    assert address is not None
    endpoint.pool = BacklogPool(endpoint.host.device, address, endpoint)
    endpoint.pool.resize(MAX_BACKLOG)
    address.set_event_handler(EventKind.CONNECT, connect_handler)
    address.file = endpoint.file = endpoint.file.as_listener()
    address.file.address = address
    endpoint.step("listen")


def _connected(endpoint: StreamEndpoint, remote: bytes) -> None:
    address = endpoint.address
    assert address is not None
    connection = endpoint.host.device.open_connection(0)
    connection.client = endpoint
    connection.file = endpoint.file
    connection.remote = remote
    connection.associate(address)
    endpoint.file.connection = connection
    endpoint.connection = connection
    endpoint.step("connect")
    endpoint.step("connected")
    endpoint.become_connected()
    endpoint.file.begin()
