# Programs: what a scenario's client and server do, as a plain client of TCP. No Trio, no sockets.
#
#   scenarios             say what happens when
# > programs              THIS FILE: one program at one end of a connection
#   tcp                   TcpClient, Connection

"""A small program at the end of a TCP connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.tcp import Binding, Connection, Listener, TcpSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.node import HostCore


class Program:
    """Keeps what it receives, notes what happens, and does what it is told at events.

    Attributes:
      connection: its connection, once there is one.
      received: the bytes so far.
      events: connected, accepted, peer closed, closed, failed ..., reset ..., in order.
      reading: whether it takes what arrives; while it does not, the window fills.
      on_data: called when bytes have come.
    """

    def __init__(self, *, on_data: Callable[[Program], object] | None = None) -> None:
        self.connection: Connection | None = None
        self.received = bytearray()
        self.events: list[str] = []
        self.reading = True
        self.on_data = on_data

    def send(self, data: bytes) -> None:
        """Send all of ``data``; TCP keeps what it cannot send yet."""
        assert self.connection is not None
        self.connection.send(data)

    def close(self) -> None:
        """End this side."""
        assert self.connection is not None
        self.connection.close()

    def read(self) -> None:
        """Begin to take what arrives, and what waits."""
        self.reading = True
        if self.connection is not None:
            self.connection.resume()

    # The upcalls of TCP.

    def connected(self, connection: Connection) -> None:
        """The connection is made."""
        self.connection = connection
        self.events.append("connected")

    def accepted(self, connection: Connection) -> None:
        """A client's connection is made."""
        self.connection = connection
        self.events.append("accepted")

    def failed(self, connection: Connection, error: int) -> None:
        """The connection could not be made."""
        self.events.append(f"failed {LocalError(error).name}")

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        """Take bytes, unless the program is not reading."""
        if not self.reading:
            return 0
        self.received += data
        if self.on_data is not None:
            self.on_data(self)
        return len(data)

    def urgent(self, connection: Connection, distance: int) -> None:
        """Urgent data is announced."""
        self.events.append("urgent")

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        """The urgent byte."""
        self.events.append(f"urgent {data!r}")

    def sent(self, connection: Connection, count: int) -> None:
        """Bytes were acknowledged: nothing to do."""

    def send_possible(self, connection: Connection) -> None:
        """There is room again: nothing waits here."""

    def peer_closed(self, connection: Connection) -> None:
        """The peer has ended its side."""
        self.events.append("peer closed")

    def reset(self, connection: Connection, error: int) -> None:
        """The connection is gone."""
        self.events.append(f"reset {error}")

    def closed(self, connection: Connection) -> None:
        """The connection has ended in order."""
        self.events.append("closed")


def serve(host: HostCore, port: int, program: Program, *, receive_buffer: int = 0) -> Listener:
    """Let ``program`` have the next connection to a port.

    Args:
      host: where.
      port: which.
      program: its end of the connection.
      receive_buffer: the largest window offered; 0 for the profile's.
    """
    binding = host.tcp.bind(ANY_ADDRESS, port)
    assert isinstance(binding, Binding)
    settings = TcpSettings(host.profile)
    settings.receive_buffer = receive_buffer or settings.receive_buffer
    listener = host.tcp.listen(binding, 5, on_connect=lambda _: program, settings=settings)
    assert isinstance(listener, Listener)
    return listener


def connect(host: HostCore, port: int, program: Program, to: HostCore) -> None:
    """Begin to connect ``program`` to a port of another host."""
    connection = host.tcp.connect(program, to.address.packed, port)
    assert isinstance(connection, Connection)
    program.connection = connection
