# TCP as a host has it: the layer, and the memory of connections that have ended.
#
#   node, netstat, ladders
# > host tcp            THIS FILE
#   tcp                 the state machine, which forgets a connection at once
#
# What is remembered is each connection's trace of state changes, for ladders and reports. Memory is
# bounded: a host keeps the latest HISTORY_LIMIT ended connections.

"""The TCP layer of a host, with a history."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual.tcp import Connection, TcpLayer

if TYPE_CHECKING:
    from wsock.virtual.ipv4_layer import Ipv4Layer
    from wsock.virtual.tcp import StateChange

HISTORY_LIMIT: Final = 256


class ConnectionTrace(NamedTuple):
    """What a connection went through: both its ends, and its state changes."""

    local: tuple[bytes, int]
    remote: tuple[bytes, int]
    changes: list[StateChange]


def trace_of(connection: Connection) -> ConnectionTrace:
    """Return the trace of a connection; its list goes on growing with it."""
    return ConnectionTrace(
        (connection.local, connection.local_port),
        (connection.remote, connection.remote_port),
        connection.trace,
    )


class HostTcpLayer(TcpLayer):
    """TCP that remembers the traces of ended connections."""

    __slots__ = ("_ended",)

    def __init__(self, ip: Ipv4Layer) -> None:
        super().__init__(ip)
        self._ended: deque[ConnectionTrace] = deque(maxlen=HISTORY_LIMIT)

    def remove(self, connection: Connection) -> None:
        """Take a connection out of the tables, and remember its trace."""
        super().remove(connection)
        if not any(trace.changes is connection.trace for trace in self._ended):
            self._ended.append(trace_of(connection))

    @property
    def traces(self) -> list[ConnectionTrace]:
        """The traces of ended connections, oldest first, then of those that are alive."""
        return [*self._ended, *map(trace_of, self.connections())]
