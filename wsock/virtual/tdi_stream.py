# Stream files of a virtual host: TDI's requests as calls of TcpLayer, its upcalls as TDI events.
#
#   afd, tdi              endpoints, connection objects     requests down, events up
# > tdi stream            THIS FILE: one TCP socket of a host; thin, no second state machine
#   tcp                   TcpLayer, Connection            the one TCP of the project
#
# Rule 1: bytes are pushed: each segment is indicated (TDI_EVENT_RECEIVE) and AFD takes it, takes it
#         and asks for the rest of the send (TDI_RECEIVE), or refuses it; then TCP keeps it and its
#         window closes.
# Rule 2: a TDI_SEND is complete when its last byte is acknowledged, a release when all earlier
#         sends are and the FIN is out (ruling A7).
# Rule 3: a file outlives its connection object: after the object is given back TCP ends by itself,
#         and this file has nobody to tell.
#
# Sources: virtual-network 2 (the table of user calls); NOTES R5, R6, R8; rulings A7, B12.

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
from wsock.virtual.tdi_file import FileOfHost
from wsock.virtual.tdi_options import get_stream_option, set_stream_option

if TYPE_CHECKING:
    from wsock.tdi import AddressObject, BytesLike, ConnectionObject
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
_NANOSECONDS: Final = 1_000_000_000

#: A client that closed first waits so long for the peer's release, then it aborts (NOTES R8).
RELEASE_PATIENCE_NS: Final = 120 * _NANOSECONDS
#: How often a closed socket looks whether its rest has moved; if it has not, it aborts.
REST_PATIENCE_NS: Final = 60 * _NANOSECONDS

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


class VirtualStream(FileOfHost):
    """One TCP socket of a virtual host. Also the client that its TCP connection calls."""

    __slots__ = (
        "_closed_above", "_deaf", "_last_send", "_patience", "address", "as_a_kernel", "binding",
        "connection", "descriptor", "host", "listener", "outstanding", "provider", "reader",
        "refusing", "settings", "tcp", "type", "urgent_bytes",
    )  # fmt: skip

    def __init__(self, provider: VirtualProvider, descriptor: int) -> None:
        self.provider = provider
        self.host = provider.host
        self.descriptor = descriptor
        self.type = std.SOCK_STREAM
        self.settings = TcpSettings(self.host.profile)
        self.connection: ConnectionObject | None = None
        self.reader: Any = None  # asked by nobody: data is pushed here
        self.address: AddressObject | None = None
        self.tcp: Connection | None = None
        self.binding: Binding | None = None
        self.listener: Listener | None = None
        #: A listener that takes no further connection.
        self.refusing = False
        self.outstanding: _Outstanding | None = None
        #: urgent bytes that nobody has received, oldest first.
        self.urgent_bytes = b""
        #: Its user expects what POSIX says, not Winsock: a port with connections is in use, and
        #: who receives no more throws away what comes.
        self.as_a_kernel = False
        #: Nobody receives any more: data that comes resets the connection.
        self._deaf = False
        #: Closed by its user, while what was accepted still goes out.
        self._closed_above = False
        #: length of the last TDI_SEND, 0 if something was queued behind it.
        self._last_send = 0
        self._patience: Any = None

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

    # Ends

    def start_disconnect(self, flags: int, *, final: bool, timeout: float | None) -> None:
        """TDI_DISCONNECT: RELEASE closes after what is queued, ABORT resets."""
        tcp, connection = self.tcp, self.connection
        assert tcp is not None
        if flags & DisconnectFlags.ABORT:
            tcp.abort()
            self._end(connection, Status.SUCCESS, flags)
            return

        def done() -> None:
            if self._closed_above:
                tcp.close(final=True)  # before the objects go: the end may be a reset from now on
            self._end(connection, Status.SUCCESS, flags)

        unread = self._unread() if final else 0
        wait = final and self._must_deliver(tcp, unread)
        number = tcp.close(final=final and not wait, unread=unread, on_done=done)
        if number:  # nothing was left to release
            self._end(connection, Status.SUCCESS, DisconnectFlags.RELEASE)
        elif wait:
            self._discard_until_sent(tcp, timeout)
        elif not self._was_reset() and final:
            self._start_patience(timeout)

    def _unread(self) -> int:
        """Bytes that the client holds and nobody has received."""
        return self.connection.client.fills()[0] if self.connection is not None else 0

    def _must_deliver(self, tcp: Connection, unread: int) -> bool:
        """Whether what was accepted must go out before data for a closed socket may reset it.

        Not where the profile resets for what is unread already, and not under a user who expects
        what a kernel does: that resets at the first byte that comes.
        """
        if not len(tcp.send_buffer) or self.as_a_kernel:
            return False
        return not (self.host.profile.reset_on_unread_data and (unread or tcp.available))

    def _discard_until_sent(self, tcp: Connection, timeout: float | None) -> None:
        """Throw away what arrives, so that the peer goes on reading and no reset cuts the rest."""
        self._closed_above = True
        self._start_patience(timeout)
        tcp.stop_receive()

    def _was_reset(self) -> bool:
        """Whether bytes that nobody read have made the final close a reset."""
        tcp, connection = self.tcp, self.connection
        if tcp is None or tcp.state is not State.CLOSED:
            return False
        if connection is not None:
            connection.client.on_unwanted_data()  # it aborts, and no release is waited for
        return True

    def _start_patience(self, timeout: float | None) -> None:
        """Bound what is left: the sending by SO_LINGER's seconds, the peer's release by ours.

        Without SO_LINGER the sending takes as long as it takes, while it gets on.
        """
        now = self.host.scheduler.now
        end = now + RELEASE_PATIENCE_NS
        tcp = self.tcp
        if timeout is not None:
            lingered = now + round(timeout * _NANOSECONDS)
            self._patience = self.provider.call_at(lingered, lambda: self._lingered_until(end))
        elif tcp is not None and len(tcp.send_buffer):
            acked = tcp.send_buffer.start
            self._patience = self.provider.call_at(
                now + REST_PATIENCE_NS, lambda: self._look_at_rest(acked)
            )
        else:
            self._patience = self.provider.call_at(end, self._out_of_patience)

    def _look_at_rest(self, acked: int) -> None:
        """Go on waiting if more is acknowledged than the ``acked`` bytes of the last look."""
        if self.tcp is not None and self.tcp.send_buffer.start > acked:
            self._start_patience(None)
        else:
            self._out_of_patience()

    def _lingered_until(self, end: int) -> None:
        """SO_LINGER's seconds are over; what the peer has acknowledged stays the peer's."""
        tcp = self.tcp
        if tcp is not None and tcp.state is State.FIN_WAIT_2 and end > self.host.scheduler.now:
            self._patience = self.provider.call_at(end, self._out_of_patience)
        else:
            self._out_of_patience()

    def _out_of_patience(self) -> None:
        self._patience = None
        connection, tcp = self.connection, self.tcp
        if connection is not None and tcp is not None:
            tcp.abort()
            connection.complete_disconnect(Status.IO_TIMEOUT, DisconnectFlags.ABORT)

    def _end(self, connection: ConnectionObject | None, status: Status, flags: int) -> None:
        if connection is not None:
            connection.complete_disconnect(status, flags)

    def finish_release(self, timeout: float | None) -> None:
        """Closed above after a release: data that comes when all is sent is answered by a reset."""
        tcp = self.tcp
        if tcp is None:
            return
        unread = self._unread()
        if self._must_deliver(tcp, unread):
            self._discard_until_sent(tcp, timeout)
            return
        tcp.close(final=True, unread=unread)
        if not self._was_reset():
            self._start_patience(timeout)

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

    def rest_length(self) -> int:
        """Bytes that TCP has taken and not had acknowledged."""
        return len(self.tcp.send_buffer) if self.tcp is not None else 0

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
        if self.connection is not None and self.connection.client is not None:
            self.connection.sent(count)

    def send_possible(self, connection: Connection) -> None:
        """TCP has room again."""
        del connection
        if self.connection is not None:
            self.connection.send_possible()

    def peer_closed(self, connection: Connection) -> None:
        """The peer's FIN."""
        del connection
        self.flush_receive()
        self._stop_patience()
        if self.connection is not None:
            self.connection.event_disconnect(DisconnectFlags.RELEASE)

    def reset(self, connection: Connection, error: int) -> None:
        """The connection is gone: the peer's doing, or data came for a socket that is closed."""
        del connection
        self.flush_receive()
        self._stop_patience()
        if self.connection is None:
            return
        if error == errno.ECONNABORTED:
            self.connection.client.on_unwanted_data()  # a TDI_DISCONNECT of its own (NOTES R8)
        else:
            self.connection.event_disconnect(DisconnectFlags.ABORT, status_from_errno(error))

    def closed(self, connection: Connection) -> None:
        """Both sides have ended; TIME-WAIT is over, or was the peer's, or TCP waits no more."""
        del connection
        impatient = self._patience is not None  # no release of the peer's has ended it
        self._stop_patience()
        if impatient and self.connection is not None:
            self.connection.complete_disconnect(Status.IO_TIMEOUT, DisconnectFlags.ABORT)

    def _stop_patience(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None:
            patience.stop()

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
