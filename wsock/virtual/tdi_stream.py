# Stream files of a virtual host: TDI's requests as calls of TcpLayer, its upcalls as TDI events.
#
#   afd, tdi              endpoints, connection objects     requests down, events up
# > tdi stream            THIS FILE: one TCP socket of a host; thin, no second state machine
#   tdi ending            its base: releases and resets, and what a closed socket waits for
#   tcp                   TcpLayer, Connection            the one TCP of the project
#
# Rule 1: bytes are pushed: each segment is indicated (TDI_EVENT_RECEIVE) and AFD takes it, takes it
#         and asks for the rest of the send (TDI_RECEIVE), or refuses it; then TCP keeps it and its
#         window closes.
# Rule 2: a TDI_SEND is complete when its last byte is acknowledged (ruling A7).
#
# Sources: virtual-network 2 (the table of user calls); NOTES R5, R6; rulings A7, B12.

"""TCP of a virtual host as TDI files."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING, Any, Final

from wsock.tdi import (
    DisconnectFlags,
    ReceiveFlags,
    Status,
    StatusError,
    status_from_errno,
)
from wsock.virtual.layers import LocalError
from wsock.virtual.tcp.client import ConnectAnswer
from wsock.virtual.tcp.settings import TcpSettings
from wsock.virtual.tcp.states import State
from wsock.virtual.tdi_ending import EndingStream
from wsock.virtual.tdi_options import get_stream_option, set_stream_option

if TYPE_CHECKING:
    from wsock.tdi import AddressObject, BytesLike
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tcp.listener import Listener
    from wsock.virtual.tcp.port_table import Binding
    from wsock.virtual.tdi_provider import VirtualProvider

# As plain ints: each operation on the enum's members costs half a microsecond.
_MSG_OOB: Final = int(std.MSG_OOB)
_MSG_PEEK: Final = int(std.MSG_PEEK)
_INDICATED: Final = ReceiveFlags.COPY_LOOKAHEAD | ReceiveFlags.AT_DISPATCH_LEVEL
_ENTIRE: Final = int(_INDICATED | ReceiveFlags.ENTIRE_MESSAGE)
_PARTIAL: Final = int(_INDICATED)

#: A peer that floods with urgent bytes: only so many, the newest, are kept.
MOST_URGENT: Final = 4096


def packed(address: bytes, port: int) -> bytes:
    """Return address and port as tdi keeps them."""
    return address + port.to_bytes(2, "big")


def unpacked(address: bytes) -> tuple[bytes, int]:
    """Return the four address bytes and the port."""
    return address[:4], address[4] << 8 | address[5]


class _Outstanding:
    """A TDI_RECEIVE that is not complete: the room that it has left, and what it has gathered."""

    __slots__ = ("pieces", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self.pieces: list[bytes] = []


class VirtualStream(EndingStream):
    """One TCP socket of a virtual host. Also the client that its TCP connection calls."""

    __slots__ = (
        "_deaf", "_last_send", "address", "binding", "descriptor", "listener", "outstanding",
        "reader", "refusing", "settings", "type", "urgent_bytes",
    )  # fmt: skip

    def __init__(self, provider: VirtualProvider, descriptor: int) -> None:
        super().__init__(provider)
        self.descriptor = descriptor
        self.type = std.SOCK_STREAM
        self.settings = TcpSettings(self.host.profile)
        self.reader: Any = None  # asked by nobody: data is pushed here
        self.address: AddressObject | None = None
        self.binding: Binding | None = None
        self.listener: Listener | None = None
        #: A listener that takes no further connection.
        self.refusing = False
        self.outstanding: _Outstanding | None = None
        #: urgent bytes that nobody has received, oldest first.
        self.urgent_bytes = b""
        #: Nobody receives any more: data that comes resets the connection.
        self._deaf = False
        #: length of the last TDI_SEND, 0 if something was queued behind it.
        self._last_send = 0

    # Addresses

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Take a local address and port."""
        binding = self.host.tcp.bind(
            *unpacked(local),
            reuse=reuse,
            exclusive=exclusive,
            past_connections=not exclusive,
            posix=self.as_a_kernel,
        )
        if isinstance(binding, LocalError):
            if self.as_a_kernel and binding is LocalError.ENOBUFS:  # no port is left
                binding = LocalError.EADDRNOTAVAIL if implicit else LocalError.EADDRINUSE
            raise StatusError(status_from_errno(binding))
        self.settings.reuse_address = reuse
        self.binding = binding
        return packed(binding.address, binding.port)

    def local_address(self) -> bytes:
        """Return the interface's address once connected, else what was bound."""
        if self.tcp is not None:
            return packed(self.tcp.local, self.tcp.local_port)
        return packed(self.binding.address, self.binding.port) if self.binding else bytes(6)

    def remote_address(self) -> bytes:
        """Return the peer's address, ``b""`` for none."""
        return packed(self.tcp.remote, self.tcp.remote_port) if self.tcp is not None else b""

    def close_address(self) -> None:
        """Give the binding back: what is left of the connection keeps its pair, nothing else."""
        binding, self.binding = self.binding, None
        if binding is not None:
            self.host.tcp.ports.release(binding)

    # Adopting: nothing exists here that was not made here

    def has_peer(self) -> bool:
        """Whether it is connected."""
        return self.tcp is not None

    def is_bound(self) -> bool:
        """Whether it has a local address."""
        return self.binding is not None or self.tcp is not None

    def is_listening(self) -> bool:
        """Whether it listens."""
        return self.listener is not None

    def as_listener(self) -> VirtualStream:
        """It is the listener itself."""
        return self

    # Passive OPEN

    def start_listen(self, backlog: int) -> VirtualStream:
        """Let SYNs be offered to the address object; the pool above counts the places."""
        self.refusing = False
        if self.listener is None:
            assert self.binding is not None
            listener = self.host.tcp.listen(
                self.binding, max(backlog, 1), on_connect=self._offer, settings=self.settings
            )
            if isinstance(listener, LocalError):
                raise StatusError(status_from_errno(listener))
            self.listener = listener
        return self

    def _offer(self, tcp: Connection) -> VirtualStream | ConnectAnswer:
        """A SYN: TDI_EVENT_CONNECT, and with MORE_PROCESSING_REQUIRED a TDI_ACCEPT."""
        if self.refusing:
            return ConnectAnswer.REFUSE
        file = VirtualStream(self.provider, self.provider.next_descriptor())
        file.settings = tcp.settings
        file.tcp = tcp
        remote = packed(tcp.remote, tcp.remote_port)
        assert self.address is not None
        status, connection = self.address.event_connect(remote, file)
        if connection is None:
            full = status == Status.INSUFFICIENT_RESOURCES
            return ConnectAnswer.FULL if full else ConnectAnswer.REFUSE
        connection.local = packed(tcp.local, tcp.local_port)
        connection.accept(remote, file)
        return file

    def offer_next(self) -> None:
        """Offers come with the SYNs; none waits here."""

    def stop_offers(self) -> None:
        """Answer every further SYN with a RST."""
        self.refusing = True

    # Active OPEN

    def start_connect(self, remote: bytes) -> None:
        """Send a SYN when the instant is over."""
        tcp = self.host.tcp.connect(
            self, *unpacked(remote), binding=self.binding, settings=self.settings
        )
        if isinstance(tcp, LocalError):
            if self.as_a_kernel and tcp is LocalError.EADDRINUSE:  # the pair exists
                tcp = LocalError.EADDRNOTAVAIL
            raise StatusError(status_from_errno(tcp))
        self.tcp = tcp

    # Sending

    def send(self, data: BytesLike, flags: int, /) -> int:
        """TDI_SEND: TCP takes all of it; nothing is done before it is acknowledged."""
        tcp = self.tcp
        if tcp is None:
            raise OSError(errno.ENOTCONN, "not connected")
        length = len(data)
        if not length:
            return 0
        urgent = bool(flags & _MSG_OOB)

        def done() -> None:
            if self.connection is not None:
                self.connection.complete_send(length, Status.SUCCESS, flags & _MSG_OOB)

        number = tcp.send(data, urgent=urgent, on_done=done)
        if number == errno.EWOULDBLOCK:
            raise self.provider.not_now("no room")
        if number:
            raise OSError(number, "the connection has failed")
        self._last_send = length
        return 0

    def queue(self, data: BytesLike) -> int:
        """Behind what is pending, as every send is."""
        self.send(data, 0)
        self._last_send = 0
        return 0

    def keep(self, data: BytesLike, done: int) -> None:
        """Nothing to do: TCP has it all."""

    def refused(self) -> None:
        """Nothing to do: TCP tells of room whenever there is some again."""

    def drop_rest(self) -> int:
        """Take back what has not gone out of the last send, unless something is queued behind."""
        length, self._last_send = self._last_send, 0
        dropped = self.tcp.unsend(length) if self.tcp is not None else 0
        if dropped and self.connection is not None:
            self.connection.complete_send(length, Status.CANCELLED)
        return dropped

    # Receiving

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        """Bytes in order: fill the outstanding TDI_RECEIVE, or indicate them."""
        if self._deaf:
            self._refuse_data()
            return len(data)
        del connection
        if self.outstanding is not None:
            return self._fill(self.outstanding, data, push=push)
        if self.connection is None:
            return len(data)
        flags = _ENTIRE if push else _PARTIAL
        status, taken, capacity = self.connection.event_receive(flags, len(data), len(data), data)
        if status == Status.MORE_PROCESSING_REQUIRED:
            self.outstanding = _Outstanding(capacity)
        return 0 if status == Status.DATA_NOT_ACCEPTED else taken

    def _fill(self, outstanding: _Outstanding, data: memoryview, *, push: bool) -> int:
        part = bytes(data[: outstanding.room])
        outstanding.pieces.append(part)
        outstanding.room -= len(part)
        if not outstanding.room or (push and len(part) == len(data)):
            self.flush_receive()
        return len(part)

    def flush_receive(self) -> None:
        """Complete the outstanding TDI_RECEIVE with what it has gathered, if that is anything."""
        outstanding = self.outstanding
        if outstanding is None or not outstanding.pieces:
            return
        self.outstanding = None
        if self.connection is not None:
            self.connection.complete_receive(Status.SUCCESS, b"".join(outstanding.pieces))

    def resume_receive(self, capacity: int) -> None:
        """TDI_RECEIVE after a refusal: fetch what waits in TCP, up to ``capacity``.

        What is left is indicated again: the refusal ended with the request.
        """
        if self.tcp is None:
            return
        self.outstanding = _Outstanding(capacity)
        self.tcp.resume(capacity)
        self.flush_receive()
        if self.tcp.available and self.outstanding is None:
            self.tcp.resume()

    def stop_receive(self) -> None:
        """Receive no more: data that waits, or still comes, resets the connection.

        That is Winsock's rule; where POSIX's are expected TCP throws away what comes.
        """
        tcp, connection = self.tcp, self.connection
        if tcp is None or connection is None:
            return
        if self.as_a_kernel:
            tcp.stop_receive()
            return
        self._deaf = True
        self.urgent_bytes = b""
        if self.available() or connection.client.fills()[0]:
            self._refuse_data()

    def _refuse_data(self) -> None:
        tcp, connection = self.tcp, self.connection
        if tcp is not None and not tcp.abort() and connection is not None:
            self.outstanding = None
            self._stop_patience()
            connection.event_disconnect(DisconnectFlags.ABORT, Status.CONNECTION_ABORTED)

    def recv(self, max_bytes: int, flags: int = 0, /) -> bytes:
        """Urgent bytes with MSG_OOB; everything else was pushed."""
        if flags & _MSG_OOB and self.urgent_bytes and max_bytes > 0:
            data = self.urgent_bytes[:max_bytes]
            if not flags & _MSG_PEEK:
                self.urgent_bytes = self.urgent_bytes[max_bytes:]
            return data
        raise self.provider.not_now("nothing waits in the transport")

    def recv_into(self, buffer: bytearray | memoryview, max_bytes: int, flags: int = 0, /) -> int:
        """As ``recv``."""
        data = self.recv(max_bytes, flags)
        buffer[: len(data)] = data
        return len(data)

    def available(self) -> int:
        """Return what TCP holds because it was refused, and what a TDI_RECEIVE has gathered."""
        waiting = self.tcp.available if self.tcp is not None else 0
        if self.outstanding is not None:
            waiting += sum(map(len, self.outstanding.pieces))
        return waiting

    def at_mark(self) -> bool:
        """Urgent bytes are kept apart: the position is behind them when they are read."""
        return not self.urgent_bytes

    # Giving back

    def abandon(self) -> None:
        """Give everything back at once, without a word to the client."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.close()
        tcp = self.tcp
        if tcp is not None and tcp.state is not State.CLOSED:
            tcp.abort()
        self.close_address()

    def give_away(self) -> int:
        """A virtual socket has no descriptor that another program could use."""
        raise StatusError(Status.NOT_SUPPORTED)

    def number(self) -> int:
        """Return the number that stands for a descriptor."""
        return self.descriptor

    # Upcalls of TCP (TcpClient)

    def connected(self, connection: Connection) -> None:
        """The active OPEN succeeded."""
        if self.connection is not None:
            self.connection.local = packed(connection.local, connection.local_port)
            self.connection.complete_connect(Status.SUCCESS)

    def accepted(self, connection: Connection) -> None:
        """The handshake of an offer is complete."""
        del connection
        if self.connection is not None:
            self.connection.complete_accept(Status.SUCCESS)

    def failed(self, connection: Connection, error: int) -> None:
        """The handshake failed."""
        del connection
        tdi = self.connection
        if tdi is None:
            return
        if tdi.active:
            self.tcp = None
            tdi.complete_connect(status_from_errno(error))
        else:
            tdi.complete_accept(status_from_errno(error))

    def urgent(self, connection: Connection, distance: int) -> None:
        """Urgent data is announced; the byte itself follows."""

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        """The urgent byte, out of the stream: behind those that nobody has received yet."""
        del connection
        if self._deaf:
            self._refuse_data()
            return
        self.flush_receive()
        self.urgent_bytes = (self.urgent_bytes + data)[-MOST_URGENT:]
        if self.connection is not None:
            self.connection.event_receive_expedited(ReceiveFlags.EXPEDITED, data)

    def sent(self, connection: Connection, count: int) -> None:
        """More bytes were acknowledged."""
        del connection
        if self._patience is not None:
            self._moved_ns = self.provider.clock()
        if self.connection is not None and self.connection.client is not None:
            self.connection.sent(count)

    def send_possible(self, connection: Connection) -> None:
        """TCP has room again."""
        del connection
        if self.connection is not None:
            self.connection.send_possible()

    # Options

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of this connection (or of those that a listener will accept)."""
        set_stream_option(self.settings, level, option, value)
        if self.tcp is not None:
            self.tcp.start_keep_alive()
            self.host.mark_dirty(self.tcp)

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option."""
        value = get_stream_option(self.settings, self.host.profile, level, option)
        return value.to_bytes(size, "little") if size else value
