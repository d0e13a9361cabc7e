"""Winsock's I/O models for Python on Trio.

One socket, three modes: blocking (``await sock.recv(n)`` suspends this task only), nonblocking
(``sock.recv_nowait(n)`` answers at once), and asynchronous notification, as messages to a window's
queue (``sock.async_select``) or through event objects (``sock.event_select``).
"""

from __future__ import annotations

from . import _hints
from ._async_socket import WM_SOCKET_NOTIFY, WM_TLS_NOTIFY, AsyncSocket
from ._event import Event, wait_for_multiple_events, wait_for_multiple_events_nowait
from ._processes import ProcessServer, serve_processes
from ._socket import NetworkEvents, NotificationState, Socket
from ._socket_making import create_server, from_stdlib_socket, netstat, reset_client, socket
from ._socket_waiting import resolve
from ._stack import Stack, current_stack
from ._streams import (
    SocketListener,
    SocketStream,
    open_tcp_listeners,
    open_tcp_stream,
    serve_tcp,
)
from ._window import Message, MessageQueue, QueueStatistics, Window
from ._worker import Worker
from .constants import *
from .constants import __all__ as _constants
from .errors import *
from .errors import __all__ as _errors
from .tls import TLSError, TLSFilter

__all__ = [
    "WM_SOCKET_NOTIFY",
    "WM_TLS_NOTIFY",
    "AsyncSocket",
    "Event",
    "Message",
    "MessageQueue",
    "NetworkEvents",
    "NotificationState",
    "ProcessServer",
    "QueueStatistics",
    "Socket",
    "SocketListener",
    "SocketStream",
    "Stack",
    "TLSError",
    "TLSFilter",
    "Window",
    "Worker",
    "create_server",
    "current_stack",
    "from_stdlib_socket",
    "netstat",
    "open_tcp_listeners",
    "open_tcp_stream",
    "reset_client",
    "resolve",
    "serve_processes",
    "serve_tcp",
    "socket",
    "wait_for_multiple_events",
    "wait_for_multiple_events_nowait",
    *_constants,
    *_errors,
]

if _hints.wanted():
    _hints.install()
