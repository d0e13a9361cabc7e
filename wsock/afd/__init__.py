# afd: the endpoints, sans-IO.
#
#   window, event    messages, event objects        who is told, and how
#   socket           recv, send, accept             where tasks wait
# > afd              endpoints                      THIS LAYER: state, buffers, FD_ record
#   tdi              addresses, connections         verbs and events of the transport
#   kernel, virtual  providers                      who moves the bytes
#
# Rule 1: nothing here waits and nothing here imports Trio.
# Rule 2: it knows errors, constants and tdi, and nothing else of wsock.
"""Endpoints: what Winsock knows of a socket, between the calls above and tdi below."""

from __future__ import annotations

from .adopting import adopt
from .datagram import MAX_DATAGRAM, DatagramEndpoint
from .endpoint import Endpoint, EndpointHost, Watcher
from .notify import RE_ENABLED_BY, Notifier, Target
from .options import get_option, set_option
from .pool import MAX_BACKLOG, BacklogPool
from .states import PEER_RELEASED, RELEASED
from .stream import StreamEndpoint
from .trace import TracedDatagramEndpoint, TracedStreamEndpoint, trace_endpoint

__all__ = [
    "MAX_BACKLOG",
    "MAX_DATAGRAM",
    "PEER_RELEASED",
    "RELEASED",
    "RE_ENABLED_BY",
    "BacklogPool",
    "DatagramEndpoint",
    "Endpoint",
    "EndpointHost",
    "Notifier",
    "StreamEndpoint",
    "Target",
    "TracedDatagramEndpoint",
    "TracedStreamEndpoint",
    "Watcher",
    "adopt",
    "get_option",
    "set_option",
    "trace_endpoint",
]
