# Sending on a stream: the whole buffer or nothing.
#
#   socket           send, send_all                 waits where this says WSAEWOULDBLOCK
# > afd              send side of an endpoint       THIS FILE: quota, FD_WRITE
#   tdi              connection objects             TDI_SEND; the transport keeps what it took
#
# Rule 1: a nonblocking send takes every byte while there is any room, else none (design 8); the
#         page on send allows short counts, Windows does not make them.
# Rule 2: FD_WRITE is armed by WSAEWOULDBLOCK (and WSAENOBUFS of send_all_nowait) alone and reported
#         once when there is room; a send that succeeds neither arms nor clears it.
# Rule 3: what was accepted is delivered, also after close. ``bytes`` is kept by reference; the
#         caller hands in nothing else that it may change later (Socket copies).
# Rule 4: urgent data never overtakes what waits: a kernel may not be given it before the rest that
#         is kept for it here (ruling B4). An eager transport has all of it, in order.
#
# Sources: send page; WSAAsyncSelect page on FD_WRITE; KB on send buffering.
"""The send side of a stream endpoint."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Final

from .. import errors
from ..constants import FD_WRITE
from ..tdi import NOSIGNAL
from .receive import ReceivingEndpoint
from .states import CONNECTED, NOT_CONNECTED, RESET, SHUT_SEND

if TYPE_CHECKING:
    from ..tdi import BytesLike

__all__ = ["SendingEndpoint"]

# As a plain int: each operation on the enum's members costs half a microsecond.
_MSG_OOB: Final = int(std.MSG_OOB)


class SendingEndpoint(ReceivingEndpoint):
    """A stream endpoint as far as sending goes."""

    __slots__ = ()

    def send(self, data: BytesLike, flags: int = 0) -> int:
        """Give all of ``data`` to the transport, or none of it.

        Returns:
          ``len(data)``; what the transport has not passed on yet counts in ``unsent``.

        Raises:
          WSAEWOULDBLOCK: earlier bytes still wait, or there is no room; FD_WRITE will tell.
          WSAEINVAL: an unknown flag.
          WSAENOTCONN, WSAESHUTDOWN, WSAECONNRESET, WSAECONNABORTED, WSAENOTSOCK.
        """
        if flags or self.attention or self.unsent:
            self._check_send(flags, len(data))
            flags |= NOSIGNAL
        else:
            flags = NOSIGNAL
        try:
            done: int = self.transport.send(data, flags)
        except OSError as error:
            raise self._send_failed(error) from None
        if done == len(data):
            return done
        self.file.keep(data, done)
        self.unsent += len(data) - done
        return len(data)

    def send_more(self, data: BytesLike, max_unsent: int) -> int:
        """Give all of ``data``, behind what waits (send_all_nowait; ruling B4).

        With nothing unsent any length is taken; with a rest only up to ``max_unsent`` in all.

        Raises:
          WSAENOBUFS: nothing was taken; FD_WRITE will tell when there is room.
        """
        if not self.unsent:
            armed, record = self.armed, self.record
            try:
                return self.send(data)
            except errors.WSAEWOULDBLOCK:
                # The system has no room at all: the transport is to keep every byte. Nothing was
                # refused to the caller, so no FD_WRITE is owed.
                self.armed, self.record = armed, record
                return self._queue(data)
        self.check_sendable()
        if self.unsent + len(data) > max_unsent:
            self.owe_room()
            raise errors.WSAENOBUFS(
                "send_all_nowait", self.state, f"{self.unsent} bytes unsent, {len(data)} more"
            )
        return self._queue(data)

    def _queue(self, data: BytesLike) -> int:
        try:
            done = self.connection.queue_send(data)
        except OSError as error:
            raise self._send_failed(error) from None
        self.unsent += len(data) - done
        return len(data)

    def check_connected(self, call: str) -> None:
        """Raise WSAENOTSOCK or WSAENOTCONN unless the socket is connected (or was)."""
        self.check_open(call)
        if self.attention & NOT_CONNECTED:
            raise errors.WSAENOTCONN(call, self.state)

    def check_sendable(self) -> None:
        """Raise what stands against sending now, want of room left aside."""
        self.check_open("send")
        if self.attention & NOT_CONNECTED:
            raise errors.WSAENOTCONN("send", self.state)
        if self.attention & SHUT_SEND:
            raise errors.WSAESHUTDOWN("send", self.state)
        if self.attention & RESET:
            raise errors.error_class(self.reset_code)("send", self.state)

    def _check_send(self, flags: int, length: int) -> None:
        """Raise what stands against sending now; return if nothing does."""
        if flags:
            self.check_open("send")
            self.check_send_flags("send", flags)
        self.check_sendable()
        if not length:  # nothing needs no room
            return
        overtakes = flags & _MSG_OOB and self.unsent and not self.host.device.provider.eager
        if self.unsent > self.send_limit or overtakes:
            self.owe_room()
            self.asked_in_vain()
            raise errors.WSAEWOULDBLOCK("send", self.state)

    def _send_failed(self, error: OSError) -> errors.WSAError:
        if isinstance(error, BlockingIOError):
            self.file.refused()
            self.owe_room()
            return errors.WSAEWOULDBLOCK("send", self.state)
        return self.broken("send", error)

    # What conditions ask

    def has_room(self) -> bool:
        """Whether a send would be taken now."""
        return self.unsent <= self.send_limit and bool(self.file.has_room())

    def can_send(self) -> bool:
        """FD_WRITE at a selection: connected, own sending not shut down, and room."""
        return (
            self.state == CONNECTED and not self.attention & (SHUT_SEND | RESET) and self.has_room()
        )

    # What happens below

    def on_sent(self, count: int) -> None:
        """``count`` bytes are done with below."""
        self.unsent -= count
        if self.unsent <= self.send_limit:
            self.on_send_possible()

    def on_send_possible(self) -> None:
        """There is room again: serve a waiting task first, else report FD_WRITE if it is owed."""
        if self.send_waiters is not None:
            self.wake_sender()
        if self.has_room() and not self.attention & SHUT_SEND:
            self.arrive(FD_WRITE)

    def send_buffer(self) -> int:
        """SO_SNDBUF as set, or the stack's default."""
        value = self.options.get((std.SOL_SOCKET, std.SO_SNDBUF)) if self.options else None
        return self.host.default_send_buffer if value is None else int(value)
