# TLS between an AsyncSocket and its socket.
#
#   async_socket     on_receive ...               is told by this of plaintext, as before of bytes
# > async_tls        TLSChannel, TLSSocket        THIS FILE: the calls and notifications, encrypted
#   tls              TLSFilter                    records, handshake, the end
#   socket           the nowait calls             moves the ciphertext
#
# The calls: the Socket itself becomes a TLSSocket (its class is changed), whose nowait calls are
# about plaintext. So who holds the Socket, and not the AsyncSocket, cannot send a password past the
# encryption, or take a record out of its middle.
#
# The notifications: the socket goes on reporting to the window, and its messages (WM_SOCKET_NOTIFY)
# end here: they say when ciphertext can be moved. What the program is told comes from a record of
# our own, an afd.Notifier like the one that every endpoint is, under a number of its own
# (WM_TLS_NOTIFY). So the rules of FD_READ, FD_WRITE and FD_CLOSE are the same code, asked about
# plaintext; and a message that was queued before start_tls cannot be taken for one of them.
#
# Rule 1: ciphertext is received only while the program has nothing unread: at most one receive's
#         worth of plaintext is held, whatever the peer sends.
# Rule 2: plaintext is encrypted only while the socket has room for it, so ``unsent`` and
#         ``max_unsent`` of the socket mean what they meant. What TLS itself has to say (handshake,
#         key updates, alerts) always goes out; of a peer that makes us say much and reads nothing,
#         nothing more is received (CHATTER_BYTES).
# Rule 3: FD_WRITE tells that the handshake is complete, and comes before any FD_READ. FD_CLOSE
#         comes once, when the last plaintext was read (a reset: at once): with 0 after
#         close_notify, else with why.
"""The calls of an AsyncSocket that speaks TLS."""

from __future__ import annotations

import logging
import socket as std
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from . import errors
from ._socket import Socket
from ._socket_control import check_selection
from ._socket_waiting import flat, writable
from .afd import Notifier
from .constants import FD_CLOSE, FD_READ, FD_WRITE, FIONREAD, SD_BOTH, SD_RECEIVE, SD_SEND
from .tls import RECORD_BYTES, TLSError

if TYPE_CHECKING:
    from ._event import Event
    from ._message import Message
    from ._window import Window
    from .tls import TLSFilter

__all__ = ["WM_SOCKET_NOTIFY", "WM_TLS_NOTIFY", "TLSChannel", "TLSSocket", "begin_tls"]

WM_SOCKET_NOTIFY: Final = 0x0373
"""The number of an AsyncSocket's messages (MFC's), below WM_USER: it meets none of a program."""

WM_TLS_NOTIFY: Final = 0x037F
"""Their number once the socket speaks TLS: then those above are about ciphertext."""

RECEIVE_BYTES: Final = 65536
CHATTER_BYTES: Final = 65536
"""What TLS may have to say by itself while nothing goes out: more than any handshake."""

RECORD_OVERHEAD: Final = 128
"""More than a record is longer than its plaintext, with any cipher of TLS 1.2 or 1.3."""

_logger: Final = logging.getLogger("wsock")


class TLSChannel(Notifier):
    """What TLS adds to a socket: the filter, and a record of what the program is owed.

    Args:
      sock: connected, and selected on ``window`` for FD_READ, FD_WRITE and FD_CLOSE.
      window: where the program is told.
      tls: fresh.
    """

    __slots__ = (
        "_chatter",
        "_close_code",
        "_drained",
        "_ready",
        "_shut_receive",
        "_told_failure",
        "filter",
        "sock",
        "window",
    )

    def __init__(self, sock: Socket, window: Window, tls: TLSFilter) -> None:
        super().__init__()
        self.sock = sock
        self.window = window
        self.filter = tls
        #: Worth a receive: the socket told so, and no receive has emptied it since.
        self._ready = False
        #: The socket has told of its end: it will not tell of what is still to be received.
        self._drained = False
        #: Why the connection beneath is gone, as a WSA code; 0 while it is not.
        self._close_code = 0
        self._shut_receive = False
        self._told_failure = False
        #: Bytes that TLS had to say by itself since there was last room.
        self._chatter = 0

    def __repr__(self) -> str:
        return f"<TLSChannel {self.filter.state} over {self.sock!r}>"

    # What the record asks

    def condition(self, bit: int) -> bool:
        """Whether ``bit`` is true of the plaintext."""
        if bit == FD_READ:
            return bool(self.filter.unread)
        if bit == FD_WRITE:
            tls = self.filter
            fit = tls.handshake_done and not tls.closed and tls.error is None
            return fit and not self._close_code and self.sock._has_send_room
        # A reset is told at once, as of any socket; what was decrypted before it can still be read.
        return bit == FD_CLOSE and bool(
            self._close_code or (self._is_over() and not self.filter.unread)
        )

    @property
    def windows_rules(self) -> bool:
        """Those of the socket's host."""
        return self.sock.stack.windows_rules

    def close_code(self) -> int:
        """The error of FD_CLOSE: 0 after close_notify."""
        if self.filter.peer_closed:
            return 0
        if self._close_code == errors.WSAECONNRESET.winerror and self.windows_rules:
            return errors.WSAECONNABORTED.winerror  # as every endpoint
        return self._close_code or TLSError.winerror

    def forget_urgent(self) -> None:
        """TLS has no urgent data, so nobody looked for any."""

    def arrive(self, bit: int, code: int = 0) -> None:
        """Report, if the window is still there."""
        if not self.window.closed:
            super().arrive(bit, code)

    def _retarget(self, target: Any) -> None:  # noqa: ANN401
        self.target = target  # the window keeps the socket, and that is enough

    def _is_over(self) -> bool:
        return bool(self.filter.peer_closed or self._close_code or self.filter.error is not None)

    def async_select(self, window: Any, message: int, events: int) -> None:  # noqa: ANN401
        """As ``Socket.async_select``: ``events`` of the plaintext."""
        self._check_open("WSAAsyncSelect")
        check_selection("WSAAsyncSelect", self.sock.state, window, message, events)
        self.select(window, message, events, self.sock if events else None)

    # Beneath: ciphertext

    def begin(self) -> None:
        """Send what the handshake begins with (a client's hello)."""
        self._flush()

    def on_transport(self, message: Message) -> None:
        """The socket has told that ciphertext can be moved, or that the connection is gone."""
        if self.sock.closed:
            return
        if message.event == FD_WRITE:
            self._pump()
            self.evaluate(FD_WRITE)
        elif message.event in (FD_READ, FD_CLOSE):
            self._ready = True
            if message.event == FD_CLOSE:
                self._drained = True
            self._pump()
            if message.error and not self._is_over():  # a reset, while something is unread
                self._close_code = message.error
                self._report()

    def _pump(self) -> None:
        """Receive and decrypt while the program has nothing to read (rule 1)."""
        while self._ready and not (self.filter.unread or self._is_over() or self._is_choked()):
            try:
                data = Socket.recv_nowait(self.sock, RECEIVE_BYTES)
            except errors.WSAEWOULDBLOCK:
                self._ready = False
                return
            except errors.WSAError as problem:
                self._close_code = problem.winerror
                self._report()
                return
            self._ready = self._drained  # else, if there is more, the socket tells
            with suppress(TLSError):  # the filter keeps it, _report tells
                if data:
                    self.filter.feed(data)
                else:
                    self.filter.feed_eof()
            self._flush()
            self._report()

    def _is_choked(self) -> bool:
        """Whether the peer makes us say much, and reads nothing of it."""
        if self._chatter <= CHATTER_BYTES or self.sock._has_send_room:
            return False
        self.sock._owe_send_room()
        return True

    def _flush(self) -> None:
        """Send what TLS has to say by itself. A connection that is gone is noticed by reading."""
        data = self.filter.outgoing()
        if data:
            self._chatter = len(data) + (0 if self.sock._has_send_room else self._chatter)
            with suppress(errors.WSAError):
                self._send(data)

    def _send(self, data: bytes) -> None:
        """Hand ciphertext to the socket, which takes all of it: half a record is no use."""
        sock = self.sock
        limit, sock.max_unsent = sock.max_unsent, sys.maxsize
        try:
            Socket.send_all_nowait(sock, data)
        finally:
            sock.max_unsent = limit

    def _report(self) -> None:
        if self._shut_receive:
            self._discard()
        if self.armed & FD_WRITE and self.filter.handshake_done:
            if self.sock._has_send_room:
                self.evaluate(FD_WRITE)
            else:
                self.sock._owe_send_room()
        if self.filter.unread:
            self.evaluate(FD_READ)
        if self._is_over():
            self._tell_failure()
            self.evaluate(FD_CLOSE)

    def _tell_failure(self) -> None:
        error = self.filter.error
        if error is not None and not self._told_failure:
            self._told_failure = True
            _logger.info("%r: %s", self.sock, error)

    # Above: the calls of a Socket, on plaintext

    def recv_nowait(self, max_bytes: int, flags: int = 0) -> bytes:
        """As ``Socket.recv_nowait``; the only flag is MSG_PEEK.

        Raises:
          TLSError: TLS has failed, or the peer ended without close_notify.
        """
        self._check_open("recv")
        if flags & ~std.MSG_PEEK:
            raise errors.WSAEOPNOTSUPP("recv", self.sock.state, f"flags {flags:#x} over TLS")
        if self._shut_receive:
            raise errors.WSAESHUTDOWN("recv", self.sock.state)
        try:
            if not self.filter.unread:
                self._pump()
            if self._close_code and not (self.filter.unread or self.filter.peer_closed):
                raise errors.error_class(self._close_code)("recv", self.sock.state)
            return self.filter.read(max_bytes, peek=bool(flags & std.MSG_PEEK))
        finally:
            self._pump()
            self.re_enable(FD_READ)
            self.evaluate(FD_CLOSE)

    def send_nowait(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """As ``Socket.send_nowait``, without flags; WSAEWOULDBLOCK also during the handshake."""
        self._check_sendable(flags)
        data = flat(data)
        if not data:
            return 0
        if not (self.filter.handshake_done and self.sock._has_send_room):
            self._owe_room()
            raise errors.WSAEWOULDBLOCK("send", self.sock.state)
        return self._encrypt(data)

    def send_all_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """As ``Socket.send_all_nowait``; WSAENOBUFS also during the handshake."""
        self._check_sendable(0)
        data = flat(data)
        length = len(data) + (len(data) // RECORD_BYTES + 1) * RECORD_OVERHEAD
        unsent = self.sock.unsent
        if not self.filter.handshake_done or (unsent and unsent + length > self.sock.max_unsent):
            self._owe_room()
            text = f"{unsent} bytes unsent, {len(data)} more, TLS {self.filter.state}"
            raise errors.WSAENOBUFS("send_all_nowait", self.sock.state, text)
        return self._encrypt(data) if data else 0

    def shutdown(self, how: int) -> None:
        """As ``Socket.shutdown``; the end of sending begins with close_notify."""
        self._check_open("shutdown")
        if how in (SD_SEND, SD_BOTH):
            self._say_end()
        Socket.shutdown(self.sock, how)
        if how in (SD_RECEIVE, SD_BOTH):
            self._shut_receive = True
            self._discard()
            self.evaluate(FD_CLOSE)

    def end(self) -> None:
        """Before ``Socket.close``: say close_notify, unless the close is to reset."""
        self.select(None, 0, 0, None)
        if not self._resets():
            self._say_end()

    def _encrypt(self, data: bytes | memoryview) -> int:
        count = self.filter.write(data)
        self._send(self.filter.outgoing())
        return count

    def _say_end(self) -> None:
        self.filter.close_notify()
        self._flush()

    def _resets(self) -> bool:
        """SO_LINGER with 0 seconds: to the peer a reset must not look like a good end."""
        value = self.sock.getsockopt(std.SOL_SOCKET, std.SO_LINGER)
        return value == struct.pack("ii", 1, 0)

    def _discard(self) -> None:
        self.filter.read(self.filter.unread)

    def _owe_room(self) -> None:
        self.armed |= FD_WRITE
        self.record &= ~FD_WRITE
        if self.filter.handshake_done:
            self.sock._owe_send_room()

    def _check_open(self, call: str) -> None:
        if self.sock.closed:
            raise errors.WSAENOTSOCK(call, self.sock.state, "the socket is closed")

    def _check_sendable(self, flags: int) -> None:
        self._check_open("send")
        if flags:
            raise errors.WSAEOPNOTSUPP("send", self.sock.state, f"flags {flags:#x} over TLS")
        if self._close_code:
            raise errors.error_class(self._close_code)("send", self.sock.state)
        with suppress(errors.WSAEWOULDBLOCK):
            self.filter.check_writable()


class TLSSocket(Socket):
    """A Socket whose AsyncSocket has started TLS: the calls that never wait, on plaintext.

    The waiting calls, event objects and ``detach`` are refused: ``trio.SSLStream`` on a
    SocketStream is TLS for tasks that wait.
    """

    __slots__ = ()

    def _channel(self, call: str) -> TLSChannel:
        channel: TLSChannel | None = getattr(self.handler, "_tls", None)
        if channel is None or self.closed:
            raise errors.WSAENOTSOCK(call, self.state, "the socket is closed")
        return channel

    def recv_nowait(self, max_bytes: int, flags: int = 0) -> bytes:
        """As ``Socket.recv_nowait``; the only flag is MSG_PEEK. TLSError: TLS has failed."""
        return self._channel("recv").recv_nowait(max_bytes, flags)

    def recv_into_nowait(
        self, buffer: bytearray | memoryview, max_bytes: int = 0, flags: int = 0
    ) -> int:
        """As ``Socket.recv_into_nowait``."""
        view = writable(buffer, max_bytes)
        data = self.recv_nowait(len(view), flags)
        view[: len(data)] = data
        return len(data)

    def recvfrom_nowait(self, max_bytes: int, flags: int = 0) -> tuple[bytes, Any]:
        """As ``recv_nowait``, and None for the sender."""
        return self.recv_nowait(max_bytes, flags), None

    def send_nowait(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """As ``Socket.send_nowait``, without flags; WSAEWOULDBLOCK also during the handshake."""
        return self._channel("send").send_nowait(data, flags)

    def send_all_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """As ``Socket.send_all_nowait``; WSAENOBUFS also during the handshake."""
        return self._channel("send").send_all_nowait(data)

    def sendto_nowait(
        self,
        data: bytes | bytearray | memoryview,
        address: Any,  # noqa: ANN401
        flags: int = 0,
    ) -> int:
        """As ``send_nowait``: a stream has one peer."""
        del address
        return self.send_nowait(data, flags)

    def shutdown(self, how: int) -> None:
        """As ``Socket.shutdown``; the end of sending begins with close_notify."""
        self._channel("shutdown").shutdown(how)

    def close(self) -> None:
        """As ``Socket.close``, after close_notify; a close that resets does not say it."""
        if not self.closed and getattr(self.handler, "_tls", None) is not None:
            self._channel("closesocket").end()
        super().close()

    def async_select(self, window: Window | None, message: int, events: int) -> None:
        """As ``Socket.async_select``; the window stays the AsyncSocket's."""
        self._channel("WSAAsyncSelect").async_select(window, message, events)

    @property
    def _record(self) -> TLSChannel:
        """What decides which notification is due, of the plaintext."""
        return self._channel("notifications")

    def ioctl(self, command: int, value: int = 0) -> int:
        """As ``Socket.ioctl``; FIONREAD counts plaintext that was decrypted."""
        if command == FIONREAD:
            return self._channel("ioctlsocket").filter.unread
        return super().ioctl(command, value)

    def event_select(self, event: Event | None, events: int) -> None:
        """Refused with WSAEOPNOTSUPP."""
        raise self._refusal("WSAEventSelect")

    def detach(self) -> int:
        """Refused with WSAEINVAL: without the keys nobody could use the descriptor."""
        raise errors.WSAEINVAL("detach", self.state, "the socket speaks TLS")

    def _refusal(self, call: str) -> errors.WSAError:
        text = "over TLS an AsyncSocket's calls never wait; trio.SSLStream has those that do"
        return errors.WSAEOPNOTSUPP(call, self.state, text)

    async def _retry(self, call: str, attempt: object, flags: int = 0, end: object = None) -> Any:  # noqa: ANN401
        await trio.lowlevel.checkpoint()
        raise self._refusal(call)

    async def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Refused with WSAEOPNOTSUPP. A checkpoint."""
        await trio.lowlevel.checkpoint()
        raise self._refusal("recv")

    async def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Refused with WSAEOPNOTSUPP. A checkpoint."""
        await trio.lowlevel.checkpoint()
        raise self._refusal("send")


def begin_tls(sock: Socket, window: Window, tls: TLSFilter) -> TLSChannel:
    """Make a connected Socket, selected on ``window``, a TLSSocket; the events stay selected.

    The caller, its handler, keeps the channel in ``_tls``.
    """
    selected = sum(row.event for row in sock.notifications() if row.selected)
    channel = TLSChannel(sock, window, tls)
    sock.async_select(window, WM_SOCKET_NOTIFY, FD_READ | FD_WRITE | FD_CLOSE)
    sock.__class__ = TLSSocket
    channel.async_select(window, WM_TLS_NOTIFY, int(selected))
    channel.begin()
    return channel
