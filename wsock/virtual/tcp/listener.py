# Listeners: LISTEN, and the queue of connections that nobody has taken yet.
#
#   tdi face          gives a connect handler, which decides about each SYN at once
# > listener          THIS FILE: who decides, and who waits
#   layer             finds the listener, makes the connection
#
# Rule 1: somebody decides when the SYN arrives, not when the handshake is done: that is when a
#         refusal can still be a RST (TDI_EVENT_CONNECT).
# Rule 2: with a handler, counting is the handler's business. Without one the listener counts:
#         half-open and waiting together are at most ``backlog``.
# Rule 3: a connection that is reset while it waits stays in the queue; whoever takes it learns.

"""Passive OPEN."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wsock.virtual.tcp.client import ConnectAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.tcp.client import TcpClient
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.layer import TcpLayer
    from wsock.virtual.tcp.settings import TcpSettings

    #: Called with the offered connection; returns its client, or why there is none. It must not
    #: call the connection: there is none yet.
    ConnectHandler = Callable[[Connection], TcpClient | ConnectAnswer]


class Unclaimed:
    """The client of a connection in the queue: everything waits."""

    __slots__ = ()

    def connected(self, connection: Connection) -> None:
        """Cannot happen: the connection is passive."""

    def accepted(self, connection: Connection) -> None:
        """Nothing: the listener counts."""

    def failed(self, connection: Connection, error: int) -> None:
        """Nothing: a handshake that fails leaves no trace."""

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        """Refuse: the bytes wait in TCP."""
        return 0

    def urgent(self, connection: Connection, distance: int) -> None:
        """Nothing."""

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        """Keep the newest, as a socket has room for one; ``attach`` hands it on."""
        connection.urgent_waiting = data

    def sent(self, connection: Connection, count: int) -> None:
        """Cannot happen: nothing was sent."""

    def send_possible(self, connection: Connection) -> None:
        """Cannot happen."""

    def peer_closed(self, connection: Connection) -> None:
        """Cannot happen: the connection counts as refused, so the FIN waits."""

    def reset(self, connection: Connection, error: int) -> None:
        """Nothing: whoever takes the connection is told then."""

    def closed(self, connection: Connection) -> None:
        """Cannot happen: it takes a CLOSE."""


UNCLAIMED = Unclaimed()


class Listener:
    """One listening port."""

    __slots__ = (
        "_half_open", "_layer", "_waiting", "address", "backlog", "on_connect", "on_ready", "port",
        "settings",
    )  # fmt: skip

    def __init__(
        self,
        layer: TcpLayer,
        address: bytes,
        port: int,
        settings: TcpSettings,
        backlog: int,
        on_connect: ConnectHandler | None,
        on_ready: Callable[[], object] | None,
    ) -> None:
        self._layer = layer
        self.address = address
        self.port = port
        #: what accepted connections start with.
        self.settings = settings
        self.backlog = max(backlog, 1)
        self.on_connect = on_connect
        #: called when ``accept`` has something to give that it did not have before.
        self.on_ready = on_ready
        self._half_open: dict[Connection, None] = {}
        self._waiting: deque[Connection] = deque()

    def decide(self, connection: Connection) -> TcpClient | ConnectAnswer:
        """Say who takes a connection whose SYN has come, or why nobody does."""
        if self.on_connect is not None:
            return self.on_connect(connection)
        if len(self._half_open) + len(self._waiting) >= self.backlog:
            return ConnectAnswer.FULL
        connection.refused = True
        return UNCLAIMED

    def began(self, connection: Connection) -> None:
        """Count a handshake under way."""
        self._half_open[connection] = None

    def completed(self, connection: Connection) -> None:
        """The handshake is done."""
        self._half_open.pop(connection, None)
        if connection.client is UNCLAIMED:
            self._waiting.append(connection)
            if self.on_ready is not None:
                self.on_ready()

    def ended(self, connection: Connection) -> None:
        """The connection is forgotten; if that was in the handshake, its place is free."""
        self._half_open.pop(connection, None)

    def accept(self, client: TcpClient) -> Connection | None:
        """Take the oldest waiting connection, or None.

        ``client`` may be called before this returns. A connection that was reset meanwhile is
        handed out all the same: the client gets ``reset``.
        """
        if not self._waiting:
            return None
        connection = self._waiting.popleft()
        connection.attach(client)
        return connection

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._half_open)

    @property
    def waiting(self) -> int:
        """Connections that ``accept`` can take."""
        return len(self._waiting)

    def close(self) -> None:
        """Stop listening; what nobody has taken is reset. Taken connections go on."""
        self._layer.stop_listening(self)
        unclaimed = [*self._half_open, *self._waiting]
        self._waiting.clear()
        for connection in unclaimed:
            if connection.client is UNCLAIMED:
                connection.abort()

    def __repr__(self) -> str:
        where = f"{'.'.join(map(str, self.address))}:{self.port}"
        return f"<Listener {where}, {self.half_open} half-open, {self.waiting} waiting>"
