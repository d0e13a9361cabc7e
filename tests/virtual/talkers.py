"""Two programs at the ends of a TCP connection, as plain state machines without Trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.tcp import Binding, Connection, Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.node import HostCore


class Talker:
    """A client of TCP that keeps what it receives and notes what happens."""

    def __init__(self, on_data: Callable[[Talker], object] | None = None) -> None:
        self.connection: Connection | None = None
        self.received = bytearray()
        self.events: list[str] = []
        self.on_data = on_data
        self.close_with_peer = True
        self.unsent = memoryview(b"")

    def connected(self, connection: Connection) -> None:
        self.connection = connection
        self.events.append("connected")

    def accepted(self, connection: Connection) -> None:
        self.connection = connection
        self.events.append("accepted")

    def failed(self, connection: Connection, error: int) -> None:
        self.events.append(f"failed {LocalError(error).name}")

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        self.connection = connection
        self.received += data
        if self.on_data is not None:
            self.on_data(self)
        return len(data)

    def urgent(self, connection: Connection, distance: int) -> None:
        self.events.append("urgent")

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        self.events.append(f"urgent {data!r}")

    def sent(self, connection: Connection, count: int) -> None:
        pass

    def send_possible(self, connection: Connection) -> None:
        self.pump()

    def peer_closed(self, connection: Connection) -> None:
        self.events.append("peer closed")
        if self.close_with_peer:
            connection.close(final=True)

    def reset(self, connection: Connection, error: int) -> None:
        self.events.append(f"reset {error}")

    def closed(self, connection: Connection) -> None:
        self.events.append("closed")

    def send(self, data: bytes) -> None:
        """Send everything, as room comes."""
        self.unsent = memoryview(bytes(self.unsent) + data)
        self.pump()

    def pump(self) -> None:
        """Send what TCP takes."""
        assert self.connection is not None
        while self.unsent and self.connection.send(bytes(self.unsent[:8192])) == 0:
            self.unsent = self.unsent[8192:]

    def close(self) -> None:
        """End this side."""
        assert self.connection is not None
        self.connection.close(final=not self.close_with_peer)


def serve(host: HostCore, port: int, make: Callable[[], Talker]) -> Listener:
    """Listen; every connection gets a talker of its own."""
    binding = host.tcp.bind(ANY_ADDRESS, port)
    assert isinstance(binding, Binding)
    listener = host.tcp.listen(binding, 16, on_connect=lambda _: make())
    assert isinstance(listener, Listener)
    return listener


def dial(host: HostCore, talker: Talker, remote: bytes, port: int) -> Connection:
    """Begin to connect."""
    connection = host.tcp.connect(talker, remote, port)
    assert isinstance(connection, Connection)
    talker.connection = connection
    return connection
