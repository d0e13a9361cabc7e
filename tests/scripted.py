"""A provider in memory: two or more hosts, one wire that moves only when it is told to.

Just enough of a transport to drive endpoints through the story of the traces: segments of 1,452
bytes with PUSH on the last one of a send, refusals, releases and resets. It has no timers and loses
nothing. What a segment or a FIN causes happens when ``Wire.run()`` takes it off the wire, in order.
"""

from __future__ import annotations

import socket as std
from collections import deque
from typing import TYPE_CHECKING, Any

from wsock.tdi import (
    DisconnectFlags,
    ReceiveFlags,
    Status,
    StatusError,
    addresses,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENT = 1452
FIRST_PORT = 1025
INDICATED = ReceiveFlags.COPY_LOOKAHEAD | ReceiveFlags.AT_DISPATCH_LEVEL


class Wire:
    """The hosts by address, and what is under way between them."""

    def __init__(self) -> None:
        self.under_way: deque[Callable[[], None]] = deque()
        self.listeners: dict[bytes, ScriptedFile] = {}
        self.next_port = FIRST_PORT
        self.time_ns = 0

    def later(self, event: Callable[[], None]) -> None:
        """Put something on the wire."""
        self.under_way.append(event)

    def run(self) -> None:
        """Deliver until nothing is under way."""
        while self.under_way:
            self.time_ns += 1000
            self.under_way.popleft()()


class ScriptedProvider:
    """The transport of one host on a wire."""

    lookahead = SEGMENT
    eager = True
    waits_for_release = True

    def __init__(self, wire: Wire, host: str) -> None:
        self.wire = wire
        self.host = std.inet_aton(host)
        self.files: list[ScriptedFile] = []

    def open(self, family: int, type: int, proto: int) -> ScriptedFile:  # noqa: A002
        del family, proto
        file = ScriptedFile(self, type)
        self.files.append(file)
        return file

    def turn(self) -> bool:
        return False

    def clock(self) -> int:
        return self.wire.time_ns


class ScriptedFile:
    """One socket of a scripted host."""

    thread = 0

    def __init__(self, provider: ScriptedProvider, type: int) -> None:  # noqa: A002
        self.provider = provider
        self.wire = provider.wire
        self.type = type
        self.address: Any = None
        self.connection: Any = None
        self.peer: ScriptedFile | None = None
        self.local = b""
        self.remote = b""
        self.refused: deque[tuple[bytes, bool]] = deque()
        self.outstanding: tuple[int, bytes] | None = None  # room left, bytes gathered
        self.urgent = b""
        self.registered = False

    # Addresses

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        del reuse, exclusive, implicit
        host, port = local[:4], int.from_bytes(local[4:], "big")
        if any(host) and host != self.provider.host:
            raise StatusError(Status.INVALID_ADDRESS_COMPONENT)
        if not port:
            port, self.wire.next_port = self.wire.next_port, self.wire.next_port + 1
        taken = host + port.to_bytes(2, "big")
        if any(other.local == taken for other in self.provider.files if other is not self):
            raise StatusError(Status.ADDRESS_ALREADY_EXISTS)
        self.local = taken
        return taken

    def local_address(self) -> bytes:
        if self.remote:
            return self.provider.host + self.local[4:]
        return self.local

    def remote_address(self) -> bytes:
        return self.remote

    # Connections

    def start_listen(self, backlog: int) -> ScriptedFile:
        del backlog
        self.wire.listeners[self.provider.host + self.local[4:]] = self
        return self

    def offer_next(self) -> None:
        """Offers are made when SYNs arrive."""

    def start_connect(self, remote: bytes) -> None:
        self.remote = remote
        self.wire.later(lambda: self._syn(remote))

    def _syn(self, remote: bytes) -> None:
        listener = self.wire.listeners.get(remote)
        connection = None
        if listener is not None:
            far = ScriptedFile(listener.provider, self.type)
            far.local, far.remote = listener.local, self.local_address()
            far.peer, self.peer = self, far
            _, connection = listener.address.event_connect(far.remote, far)
        if connection is None:
            self.remote = b""
            self.connection.complete_connect(Status.CONNECTION_REFUSED)
            return
        connection.local = remote
        connection.accept(far.remote, far)
        self.connection.local = self.local_address()
        self.connection.complete_connect(Status.SUCCESS)
        connection.complete_accept(Status.SUCCESS)

    def register(self) -> None:
        self.registered = True

    begin = register

    # Data

    def send(self, data: Any, flags: int) -> int:
        data = bytes(data)
        if not data:
            return 0
        if flags & std.MSG_OOB:
            self.wire.later(lambda: self._urgent(data, flags))
            return 0
        pieces = [data[start : start + SEGMENT] for start in range(0, len(data), SEGMENT)]
        for piece in pieces:
            last = piece is pieces[-1]
            self.wire.later(lambda piece=piece, last=last: self._segment(piece, last))
        self.wire.later(lambda: self._acknowledged(len(data), flags))
        return 0

    def queue(self, data: Any) -> int:
        return self.send(data, 0)

    def keep(self, data: Any, done: int) -> None:
        """The wire has it all."""

    def refused(self) -> None:
        """It never refuses."""

    def _urgent(self, data: bytes, flags: int) -> None:
        assert self.peer is not None
        self.peer.urgent = data[-1:]
        self.peer.connection.event_receive_expedited(ReceiveFlags.EXPEDITED, data)
        self._acknowledged(len(data), flags)

    def _acknowledged(self, length: int, flags: int) -> None:
        if self.connection is not None:
            self.connection.complete_send(length, Status.SUCCESS, flags)
            self.connection.sent(length)

    def _segment(self, piece: bytes, push: bool) -> None:
        peer = self.peer
        if peer is None or peer.connection is None:
            self._reset_by_peer()
        else:
            peer.arrive(piece, push)

    def _reset_by_peer(self) -> None:
        if self.connection is not None:
            self.connection.event_disconnect(DisconnectFlags.ABORT)

    def arrive(self, piece: bytes, push: bool) -> None:
        if self.outstanding is not None:
            self._fill(piece, push)
            return
        if self.refused:
            self.refused.append((piece, push))
            return
        flags = INDICATED | (ReceiveFlags.ENTIRE_MESSAGE if push else 0)
        status, taken, capacity = self.connection.event_receive(
            flags, len(piece), len(piece), piece
        )
        if status == Status.DATA_NOT_ACCEPTED and self.connection is not None:
            self.refused.append((piece[taken:], push))
        elif status == Status.MORE_PROCESSING_REQUIRED:
            self.outstanding = (capacity, b"")

    def _fill(self, piece: bytes, push: bool) -> None:
        assert self.outstanding is not None
        room, gathered = self.outstanding
        gathered += piece[:room]
        rest = piece[room:]
        room -= min(room, len(piece))
        self.outstanding = (room, gathered)
        if push or not room:
            self.flush_receive()
        if rest:
            self.arrive(rest, push)

    def flush_receive(self) -> None:
        if self.outstanding is not None and self.outstanding[1]:
            (_, gathered), self.outstanding = self.outstanding, None
            self.connection.complete_receive(Status.SUCCESS, gathered)

    def resume_receive(self, capacity: int) -> None:
        self.outstanding = (capacity, b"")
        while self.refused and self.outstanding is not None:
            self._fill(*self.refused.popleft())
        self.flush_receive()

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        if flags & std.MSG_OOB and self.urgent:
            data = self.urgent[:max_bytes]
            if not flags & std.MSG_PEEK:
                self.urgent = b""
            return data
        raise BlockingIOError

    def available(self) -> int:
        return 0

    def has_datagram(self) -> bool:
        return False

    def has_room(self) -> bool:
        return True

    def at_mark(self) -> bool:
        return False

    def urgent_received(self) -> None:
        """A mark is no hindrance."""

    def skip_mark(self) -> None:
        """No urgent byte comes twice."""

    def watch_urgent(self, *, on: bool) -> None:
        """It tells anyway."""

    def stop_receive(self) -> None:
        self.refused.clear()

    # Datagrams

    def send_datagram(self, data: Any, remote: bytes, flags: int) -> int:
        del flags
        remote = remote or self.remote
        data = bytes(data)
        source = self.provider.host + self.local[4:]
        self.wire.later(lambda: self.wire_datagram(source, remote, data))
        return len(data)

    def wire_datagram(self, source: bytes, remote: bytes, data: bytes) -> None:
        far = self.wire.listeners.get(remote)
        if far is not None:
            far.address.event_receive_datagram(source, len(data), data)

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        raise BlockingIOError

    def set_peer(self, remote: bytes) -> None:
        self.remote = remote

    # Ends

    def start_disconnect(self, flags: int, *, final: bool, timeout: float | None) -> None:
        del final, timeout
        connection = self.connection
        if flags & DisconnectFlags.ABORT:
            connection.complete_disconnect(Status.SUCCESS, flags)
            self.wire.later(self._tell_abort)
            return
        self.wire.later(lambda: self._release(connection, flags))

    def _release(self, connection: Any, flags: int) -> None:
        connection.complete_disconnect(Status.SUCCESS, flags)
        self.wire.later(self._tell_release)

    def _tell_release(self) -> None:
        if self.peer is not None and self.peer.connection is not None:
            self.peer.flush_receive()
            self.peer.connection.event_disconnect(DisconnectFlags.RELEASE)

    def _tell_abort(self) -> None:
        if self.peer is not None and self.peer.connection is not None:
            self.peer.connection.event_disconnect(DisconnectFlags.ABORT)

    def finish_release(self, timeout: float | None) -> None:
        """The release is under way already."""

    def close_address(self) -> None:
        """The address goes with the file."""

    def drop_rest(self) -> int:
        """Nothing is kept here: what was sent is on the wire."""
        return 0

    def abandon(self) -> None:
        if self in self.provider.files:
            self.provider.files.remove(self)
        for where, listener in list(self.wire.listeners.items()):
            if listener is self:
                del self.wire.listeners[where]

    # Options

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Nothing here depends on any."""

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        return bytes(size) if size else 0

    def number(self) -> int:
        return 1 << 30


def at(host: str, port: int) -> bytes:
    """A packed IPv4 address."""
    return addresses.pack(std.AF_INET, (host, port))
