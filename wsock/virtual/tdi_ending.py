# The end of a connection of a virtual host: what is left of it after its user has gone.
#
#   tdi stream            VirtualStream             addresses, opening, sending, receiving
# > tdi ending            THIS FILE: releases and resets, and how long a closed socket waits
#   tcp                   TcpLayer, Connection      FIN and RST
#
# Rule 1: a release is complete when all earlier sends are and the FIN is out (ruling A7).
# Rule 2: a file outlives its connection object: after the object is given back TCP ends by itself,
#         and this file has nobody to tell.
# Rule 3: nothing that is closed is kept for ever: not a rest that does not move, and not a
#         connection whose peer does not release it.
#
# Sources: virtual-network 2 (the table of user calls); NOTES R8; rulings A1, A7, B17.

"""The end of a virtual host's stream file."""

from __future__ import annotations

import errno
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from wsock.tdi import DisconnectFlags, Status, status_from_errno
from wsock.virtual.tcp.states import State
from wsock.virtual.tdi_file import FileOfHost

if TYPE_CHECKING:
    from wsock.tdi import ConnectionObject
    from wsock.virtual.tcp.connection import Connection
    from wsock.virtual.tdi_provider import VirtualProvider

__all__ = ["RELEASE_PATIENCE_NS", "EndingStream"]

_NANOSECONDS: Final = 1_000_000_000
_FOREVER_S: Final = 1e9  # a flush_timeout may be math.inf

#: A client that closed first waits so long for the peer's release, then it aborts (NOTES R8).
RELEASE_PATIENCE_NS: Final = 120 * _NANOSECONDS


class EndingStream(FileOfHost):
    """A TCP socket of a virtual host as far as the end of its connection goes."""

    __slots__ = (
        "_closed_above", "_moved_ns", "_patience", "as_a_kernel", "connection", "host", "provider",
        "tcp",
    )  # fmt: skip

    def __init__(self, provider: VirtualProvider) -> None:
        self.provider = provider
        self.host = provider.host
        self.connection: ConnectionObject | None = None
        self.tcp: Connection | None = None
        #: Its user expects what POSIX says, not Winsock: a port with connections is in use, and
        #: who receives no more throws away what comes.
        self.as_a_kernel = False
        #: Closed by its user, while what was accepted still goes out.
        self._closed_above = False
        self._patience: Any = None
        #: When bytes were acknowledged last, since something is waited for.
        self._moved_ns = 0

    @abstractmethod
    def available(self) -> int:
        """Bytes that have arrived and that nobody above has."""

    @abstractmethod
    def flush_receive(self) -> None:
        """Hand up what has been gathered for an outstanding TDI_RECEIVE."""

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

        Without SO_LINGER the sending takes as long as it takes, while it gets on: it may stand
        still for the provider's ``flush_timeout``.
        """
        now = self.host.scheduler.now
        end = now + RELEASE_PATIENCE_NS
        tcp = self.tcp
        if timeout is not None:
            lingered = now + round(timeout * _NANOSECONDS)
            self._patience = self.provider.call_at(lingered, lambda: self._lingered_until(end))
        elif tcp is not None and len(tcp.send_buffer):
            self._moved_ns = now
            self._await_rest()
        else:
            self._patience = self.provider.call_at(end, self._out_of_patience)

    def _await_rest(self) -> None:
        """Look again when the time is over; earlier, if that is long: all may have gone by then."""
        at = min(self._rest_limit(), self.provider.clock() + RELEASE_PATIENCE_NS)
        self._patience = self.provider.call_at(at, self._look_at_rest)

    def _rest_limit(self) -> int:
        """When the rest is given up if it does not move."""
        seconds = min(self.provider.flush_timeout, _FOREVER_S)
        return self._moved_ns + round(seconds * _NANOSECONDS)

    def _look_at_rest(self) -> None:
        """Go on waiting if bytes were acknowledged meanwhile: for more, or for the release."""
        if not self.rest_length():
            self._start_patience(None)
        elif self._rest_limit() > self.provider.clock():
            self._await_rest()
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
            if self.rest_length():
                self.provider.flushes_given_up += 1
            tcp.abort()
            connection.complete_disconnect(Status.IO_TIMEOUT, DisconnectFlags.ABORT)

    def _end(self, connection: ConnectionObject | None, status: Status, flags: int) -> None:
        if connection is not None:
            connection.complete_disconnect(status, flags)

    def rest_length(self) -> int:
        """Bytes that TCP has taken and not had acknowledged."""
        return len(self.tcp.send_buffer) if self.tcp is not None else 0

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

    # Upcalls of TCP (TcpClient)

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
