# Receiving on a stream: straight from the transport, or out of the endpoint's buffer.
#
#   socket           recv, recv_into                waits where this says WSAEWOULDBLOCK
# > afd              receive side of an endpoint    THIS FILE: buffer, urgent byte, end, reset
#   tdi              connection objects             hold what was not taken
#
# Two kinds of provider, one behaviour. A kernel keeps the bytes itself: nothing is read ahead
# (twice the cost at 16 KiB, measured), recv reads straight from it, and ``rx`` stays empty but for
# MSG_WAITALL. An eager provider pushes bytes at every indication: they go into ``rx`` up to
# SO_RCVBUF, and the transport is refused beyond that (its window closes).
#
# Rule 1: ``readable`` is cleared by a real short read or a would-block and by nothing else; an
#         edge would be lost. While an urgent byte is about, a short read may have stopped at the
#         mark, so then it clears nothing (ruling B8).
# Rule 2: every receiving call re-enables FD_READ and FD_OOB, also one that fails; a call with
#         MSG_OOB, which takes nothing of the stream, re-enables FD_OOB alone (recorded on Winsock).
# Rule 3: no call here writes a trace row but the TDI_RECEIVE after a refusal (tdi-afd 6).
#
# Sources: recv page; AFD receive windows (tdi-afd 6); Linux tcp(7).
"""The receive side of a stream endpoint."""

from __future__ import annotations

import errno
import socket as std
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..constants import FD_CLOSE, FD_OOB, FD_READ
from ..tdi import (
    MORE_PROCESSING_REQUIRED,
    STATUS_TO_WSA,
    SUCCESS,
    ReceiveFlags,
    Status,
    status_from_errno,
)
from .endpoint import RECEIVABLE, Endpoint
from .notify import ALL_EVENTS
from .states import (
    BUFFERED,
    CONNECTED,
    NOT_CONNECTED,
    PEER_RELEASED,
    REFUSED,
    RELEASED,
    RESET,
    SHUT_RECEIVE,
    URGENT,
)

if TYPE_CHECKING:
    from ..tdi import BytesLike
    from .notify import Target

__all__ = ["ReceivingEndpoint"]

# As plain ints: each operation on the enum's members costs half a microsecond.
_MSG_OOB: Final = int(std.MSG_OOB)
_MSG_PEEK: Final = int(std.MSG_PEEK)
_MSG_WAITALL: Final = int(std.MSG_WAITALL)
_ENTIRE_MESSAGE: Final = int(ReceiveFlags.ENTIRE_MESSAGE)

_DEAF: Final = NOT_CONNECTED | SHUT_RECEIVE
_ENDED: Final = PEER_RELEASED | RESET

READ_AND_OOB: Final = FD_READ | FD_OOB
KEEP: Final = ~READ_AND_OOB

# What becomes of ``armed``, looked up: an & or | of ints is a call of the interpreter's, an index
# is none (4 % of the instructions of an echoed message, counted).
#: FD_READ is reported; None where it is not armed.
READ_REPORTED: Final = tuple(
    armed ^ FD_READ if armed & FD_READ else None for armed in range(ALL_EVENTS + 1)
)
#: A receiving call has armed FD_READ and FD_OOB again.
READ_ENABLED: Final = tuple(armed | READ_AND_OOB for armed in range(ALL_EVENTS + 1))

#: Errors that end a connection; others (no memory, say) leave it as it is.
_FATAL: Final = frozenset(
    number
    for number in (
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        getattr(errno, "ENETRESET", None),
    )
    if number is not None
)


class ReceivingEndpoint(Endpoint):
    """A stream endpoint as far as receiving goes."""

    __slots__ = ("transport",)

    #: Where data goes and comes from once connected: the file, or the connection object if somebody
    #: watches it (``ConnectionObject.open_way``).
    transport: Any

    type = int(std.SOCK_STREAM)

    # The calls

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Take up to ``max_bytes`` bytes; ``b""`` at the end of the stream.

        Raises:
          WSAEWOULDBLOCK: nothing is there.
          WSAENOTCONN, WSAESHUTDOWN, WSAECONNRESET, WSAECONNABORTED, WSAENOTSOCK, WSAEINVAL.
        """
        if flags or self.attention or max_bytes <= 0:
            return self._receive_carefully(max_bytes, flags)
        try:
            data: bytes = self.transport.recv(max_bytes)
        except OSError as error:
            raise self._read_failed(error) from None
        if len(data) == max_bytes:
            self._more_may_wait()
        else:
            self.readable = False
            self.armed = READ_ENABLED[self.armed]
            if self.record:
                self.record &= KEEP
        return data

    def recv_into(self, buffer: memoryview, flags: int = 0) -> int:
        """Take bytes into ``buffer`` (a flat view of bytes), as ``recv``; return how many."""
        max_bytes = len(buffer)
        if flags or self.attention or max_bytes <= 0:
            data = self._receive_carefully(max_bytes, flags)
            buffer[: len(data)] = data
            return len(data)
        try:
            count: int = self.transport.recv_into(buffer, max_bytes)
        except OSError as error:
            raise self._read_failed(error) from None
        if count == max_bytes:
            self._more_may_wait()
        else:
            self.readable = False
            self.armed = READ_ENABLED[self.armed]
            if self.record:
                self.record &= KEEP
        return count

    def _more_may_wait(self) -> None:
        """A read filled the caller's buffer: serve the next waiter, or look what is owed."""
        if self.waiters is not None:
            self.wake_receiver()
        self.re_enable(READ_AND_OOB)

    def _read_failed(self, error: OSError) -> errors.WSAError:
        if isinstance(error, BlockingIOError):
            self.readable = False
            self.armed = READ_ENABLED[self.armed]
            if self.record:
                self.record &= KEEP
            return errors.WSAEWOULDBLOCK("recv", self.state)
        failure = self.broken("recv", error)
        self.re_enable(READ_AND_OOB)
        return failure

    def _receive_carefully(self, max_bytes: int, flags: int) -> bytes:
        """Serve ``recv`` where anything is out of the ordinary."""
        self.check_open("recv")
        try:
            if max_bytes < 0:
                raise self._negative_length(max_bytes)
            self.check_receive_flags("recv", flags)
            if self.attention & NOT_CONNECTED:
                raise errors.WSAENOTCONN("recv", self.state)
            if flags & _MSG_WAITALL:
                raise errors.WSAEOPNOTSUPP("recv", self.state, "MSG_WAITALL must wait: await recv")
            if flags & _MSG_OOB:
                return self._receive_urgent(max_bytes, flags)
            if self.attention & SHUT_RECEIVE:
                raise errors.WSAESHUTDOWN("recv", self.state)
            return self._receive_normal(max_bytes, flags & _MSG_PEEK)
        finally:
            if self.waiters is not None and self.rx:
                self.wake_receiver()
            refused = max_bytes < 0 or flags & ~RECEIVABLE
            if not (refused and self.windows_rules and self._in_event_mode()):
                self.re_enable(FD_OOB if flags & _MSG_OOB else READ_AND_OOB)
                if self.attention & PEER_RELEASED:
                    self.evaluate(FD_CLOSE)

    def _in_event_mode(self) -> bool:
        return self.target is not None and self.target.kind == "event"

    def _negative_length(self, max_bytes: int) -> errors.WSAError:
        # Windows takes the length for a huge buffer that it cannot write to; its page says EINVAL.
        cls = errors.WSAEFAULT if self.windows_rules else errors.WSAEINVAL
        return cls("recv", self.state, f"length {max_bytes} is negative")

    def _receive_normal(self, max_bytes: int, peek: int) -> bytes:
        if max_bytes == 0:
            return b""
        if not self.rx and self.host.device.provider.eager:
            if self.attention & REFUSED:
                self._fetch(max_bytes)
            else:
                self.file.flush_receive()
        if self.rx:
            return self._from_buffer(max_bytes, peek)
        if not self.attention & RESET:
            return self._from_transport(max_bytes, peek)
        # Bytes before the reset stay readable (ruling B7): the transport still has them, or not.
        try:
            data: bytes = self.transport.recv(max_bytes, peek)
        except OSError:
            data = b""
        if data:
            return data
        raise errors.error_class(self.reset_code)("recv", self.state)

    def _from_transport(self, max_bytes: int, peek: int) -> bytes:
        try:
            data: bytes = self.transport.recv(max_bytes, peek)
        except BlockingIOError:
            self.readable = False
            if not self.urgent and not self.host.device.provider.eager:
                self.attention &= ~URGENT  # all is read, the mark too
            if self.attention & PEER_RELEASED and self.host.device.provider.eager:
                return b""
            raise errors.WSAEWOULDBLOCK("recv", self.state) from None
        except OSError as error:
            raise self.broken("recv", error) from None
        if not peek and 0 < len(data) < max_bytes and not self.attention & (URGENT | PEER_RELEASED):
            self.readable = False
        return data

    def _fetch(self, max_bytes: int) -> None:
        """TDI_RECEIVE for data that was refused: more than SO_RCVBUF, but somebody wants it now.

        It goes through ``rx``; that is no arrival, and the call that asks re-enables FD_READ.
        """
        self.attention &= ~REFUSED
        self.armed &= ~FD_READ
        self.connection.receive(max_bytes)

    def _from_buffer(self, max_bytes: int, peek: int) -> bytes:
        """Take (or copy) from ``rx``: at most ``max_bytes``, from as many pieces as it needs.

        It stops at an urgent mark (an empty piece, never the first one), as a kernel does.
        """
        queue = self.rx
        assert queue
        pieces: list[bytes] = []
        wanted = max_bytes
        for piece in list(queue):
            part = piece if len(piece) <= wanted else piece[:wanted]
            pieces.append(bytes(part))
            wanted -= len(part)
            if not peek:
                queue.popleft()
                if len(part) < len(piece):
                    queue.appendleft(memoryview(piece)[len(part) :])
            if not (wanted and piece):
                break
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not peek:
            if queue and not queue[0]:
                queue.popleft()
            self.rx_count -= len(data)
            self._room_made()
        return data

    def _room_made(self) -> None:
        if not self.rx:
            self.rx = None
            if not self.host.device.provider.eager:
                self.attention &= ~BUFFERED
        if self.attention & REFUSED:
            free = self.receive_buffer() - self.rx_count
            if free > 0:
                self.attention &= ~REFUSED
                self.connection.receive(free)

    def _receive_urgent(self, max_bytes: int, flags: int) -> bytes:
        """recv with MSG_OOB: the urgent byte, apart from the stream (fact S2-12)."""
        if self.option(std.SOL_SOCKET, std.SO_OOBINLINE):
            raise errors.WSAEINVAL("recv", self.state, "urgent data is inline (SO_OOBINLINE)")
        if self.attention & SHUT_RECEIVE:
            raise errors.WSAESHUTDOWN("recv", self.state)
        if self.urgent:
            return self._held_urgent(max_bytes, peek=bool(flags & _MSG_PEEK))
        return self._urgent_from_transport(max_bytes, flags)

    def _held_urgent(self, max_bytes: int, *, peek: bool) -> bytes:
        held = self.urgent[:max_bytes]
        if not peek:
            self.urgent = self.urgent[max_bytes:]
        return held

    def _urgent_from_transport(self, max_bytes: int, flags: int) -> bytes:
        try:
            data: bytes = self.transport.recv(max_bytes, flags & (_MSG_OOB | _MSG_PEEK))
        except OSError as error:
            # Linux says EINVAL where no urgent byte is; for Winsock that is "not now".
            if error.errno in (errno.EINVAL, errno.EAGAIN):
                if self.attention & RESET:
                    raise errors.error_class(self.reset_code)("recv", self.state) from None
                self._urgent_is_wanted()
                raise errors.WSAEWOULDBLOCK("recv", self.state, "nothing urgent") from None
            raise self.broken("recv", error) from None
        if not self.host.device.provider.eager:
            self.attention |= URGENT  # the mark stays in the stream: a read stops there
            self.file.urgent_received()
        elif self.file.at_mark():
            self.attention &= ~URGENT
        return data

    def before_inline(self) -> bool:
        """SO_OOBINLINE is about to be set: whether the last urgent byte was received apart already.

        A system that keeps the bytes would give it once more, in the stream: its ``skip_mark`` must
        follow. What lies before the mark waits in ``rx`` then.
        """
        out_of_reach = NOT_CONNECTED | SHUT_RECEIVE | RESET | RELEASED
        if self.host.device.provider.eager or self.option(std.SOL_SOCKET, std.SO_OOBINLINE):
            return False
        if self.urgent or not self.attention & URGENT or self.attention & out_of_reach:
            return False
        count = self.file.available()
        if count:
            try:
                self._buffer(self.transport.recv(count))
            except OSError as error:
                self.broken("setsockopt", error)
                return False
        return True

    def made_inline(self) -> None:
        """SO_OOBINLINE is set, and ``before_inline`` was true."""
        self.file.skip_mark()
        if self.waiters is not None and self.rx:
            self.wake_receiver()
        self.evaluate(FD_READ)

    def _urgent_is_wanted(self) -> None:
        """Have urgent data looked for where nothing tells of it (ruling B13), until it is there.

        Whoever waits for it is woken by normal data too, and takes none: that is told here.
        """
        self.file.register()
        self.file.watch_urgent(on=True)
        self.evaluate(FD_READ)

    def gather(self, want: int) -> bool:
        """Move what is there into ``rx`` (MSG_WAITALL). Return whether waiting is over.

        It is when ``want`` bytes are gathered or nothing more will come; a wait that is cancelled
        leaves them for the next recv (ruling B6).
        """
        if self.rx and not all(self.rx):
            self.rx = deque(piece for piece in self.rx if piece)  # the whole length, past any mark
        while self.rx_count < want and not self.attention & (SHUT_RECEIVE | RESET | RELEASED):
            if self.attention & REFUSED:
                self._fetch(want - self.rx_count)
                continue
            try:
                data = self._from_transport(want - self.rx_count, 0)
            except errors.WSAEWOULDBLOCK:
                return bool(self.attention & PEER_RELEASED) and self.unread() <= self.rx_count
            if not data:
                return True
            self._buffer(data)
        return True

    # What conditions ask

    def unread(self) -> int:
        """Return how many bytes could be received now (FIONREAD)."""
        if self.attention & (SHUT_RECEIVE | RELEASED | NOT_CONNECTED):
            return 0
        return self.rx_count + int(self.file.available())

    def can_receive(self) -> bool:
        """FD_READ: bytes are there (urgent ones too if they are inline)."""
        if self.attention & _DEAF:
            return False
        return bool(self.rx or self.file.available())

    def is_news(self, bit: int) -> bool:
        """FD_READ: more is unread than when it was recorded; an end behind it is no arrival."""
        return self.unread() > self.told_unread if bit == FD_READ else super().is_news(bit)

    def _enter(self, target: Target, bit: int, code: int) -> None:
        if bit == FD_READ and self.windows_rules:
            self.told_unread = self.unread()
        super()._enter(target, bit, code)

    def has_urgent(self) -> bool:
        """FD_OOB: an urgent byte is unread and does not come in the stream."""
        if not self.host.device.provider.eager:
            return bool(self.urgent)
        if not self.attention & URGENT:
            return False
        return not self.option(std.SOL_SOCKET, std.SO_OOBINLINE)

    def is_closed_by_peer(self) -> bool:
        """FD_CLOSE: reset, or released; by the pages only after the last byte was read."""
        if self.attention & RESET:
            return True
        if not self.attention & PEER_RELEASED:
            return False
        if self.attention & SHUT_RECEIVE or self.host.windows_rules:
            return True
        return not self.can_receive()

    def at_mark(self) -> bool:
        """SIOCATMARK as Winsock has it: true unless urgent data is unread ahead."""
        self.look_for_urgent()
        return not self.has_urgent()

    def look_for_urgent(self) -> None:
        """Hear of urgent data that waits now, where the transport does not tell by itself."""
        if not self.host.device.provider.eager:
            self.file.look_for_urgent()

    # What happens below: providers that keep the bytes

    def on_readable(self) -> None:
        """Bytes wait in the transport: serve a waiting task first, else report FD_READ."""
        self.readable = True
        armed = READ_REPORTED[self.armed]
        if armed is None or self.waiters is not None or self.attention:
            self.on_readable_carefully()
            return
        # ``arrive`` in place: the way of every echoed message.
        notice = self.notice
        if notice is not None:
            self.armed = armed
            target: Any = self.target
            put = target.queue.put  # (not called as a method: it is a slot, and none of a class)
            put(notice)
        elif self.posts or not self.mask & FD_READ or self.codes or self.windows_rules:
            self.on_readable_carefully()
        else:  # the same for an event object
            self.armed = armed
            self.record |= FD_READ
            self.target.report(self, FD_READ, 0)  # type: ignore[union-attr]  # mask: there is one

    def on_readable_carefully(self) -> None:
        """The same in every case: somebody may wait, in event mode it may be recorded."""
        if self.waiters is not None and self.wake_receiver():
            return
        if self.mask and not self.attention & SHUT_RECEIVE:
            self.arrive(FD_READ)

    def on_urgent(self) -> None:
        """An urgent byte waits in the transport.

        A kernel loses it to a normal read that passes the mark, and to the next urgent byte: it is
        taken at once, and the mark remembered, where a read stops short (ruling B8).
        """
        if self.attention & SHUT_RECEIVE:
            return  # nobody will read it; the transport resets, as for any data
        self.readable = True
        self.attention |= URGENT
        if self.option(std.SOL_SOCKET, std.SO_OOBINLINE):
            self.on_readable()
            return
        if not self.host.device.provider.eager:
            try:
                self.urgent += self.transport.recv(1, _MSG_OOB)
            except OSError:  # taken already: this is the same mark
                return
            self.file.watch_urgent(on=bool(self.mask & FD_OOB))
        self.wake_receiver()
        self.arrive(FD_OOB)

    # What happens below: eager providers

    def receive_buffer(self) -> int:
        """SO_RCVBUF as set, or the stack's default."""
        value = self.options.get((std.SOL_SOCKET, std.SO_RCVBUF)) if self.options else None
        return self.host.default_receive_buffer if value is None else int(value)

    def on_receive(
        self, flags: int, indicated: int, available: int, data: BytesLike
    ) -> tuple[Status, int, int]:
        """TDI_EVENT_RECEIVE: take all that is indicated while the buffer has any room."""
        if self.attention & (RELEASED | SHUT_RECEIVE | RESET):
            return self.on_unwanted_data()
        capacity = self.receive_buffer()
        if self.rx_count >= capacity and not (self.waiters and not self.rx):
            self.attention |= REFUSED
            if self.waiters or not self.rx:  # somebody gathers more than fits, or nothing fits
                self.on_readable()
            return Status.DATA_NOT_ACCEPTED, 0, 0
        self._buffer(bytes(data[:indicated]))
        rest = capacity - self.rx_count
        if flags & _ENTIRE_MESSAGE or rest <= 0:
            answer = SUCCESS, indicated, 0
        else:
            answer = MORE_PROCESSING_REQUIRED, indicated, rest
        self.on_readable()
        return answer

    def on_received(self, data: BytesLike) -> None:
        """The outstanding TDI_RECEIVE brought ``data``."""
        if data and not self.attention & (RELEASED | SHUT_RECEIVE):
            self._buffer(bytes(data))
            self.on_readable()

    def on_expedited(self, flags: int, data: BytesLike) -> Status:
        """TDI_EVENT_RECEIVE_EXPEDITED: the transport keeps the byte for a recv with MSG_OOB."""
        del flags, data
        if self.rx and self.rx[-1]:
            self.rx.append(b"")  # the mark
        self.on_urgent()
        return SUCCESS

    def on_unwanted_data(self) -> tuple[Status, int, int]:
        """Data for a side that will not read it any more: the transport resets."""
        return Status.DATA_NOT_ACCEPTED, 0, 0

    def _buffer(self, data: bytes) -> None:
        if self.rx is None:
            self.rx = deque()
        self.rx.append(data)
        self.rx_count += len(data)
        self.attention |= BUFFERED

    # The end

    def broken(self, call: str, error: OSError) -> errors.WSAError:
        """A data call failed below: remember it if it ends the connection; return the WSAError."""
        if error.errno in _FATAL:
            self.on_aborted(status_from_errno(error.errno or 0))
        if self.attention & RESET:
            return errors.error_class(self.reset_code)(call, self.state)
        return self.failure(call, error)

    def on_released(self) -> None:
        """The peer will send no more (FIN): tell waiters, and FD_CLOSE once all is read."""
        if self.attention & _ENDED:
            return
        self.attention |= PEER_RELEASED
        self.readable = True
        while self.waiters is not None and self.wake_receiver():
            pass
        # ``is_closed_by_peer`` in place: nearly every connection ends here.
        if self.target is not None and (self.host.windows_rules or not self.can_receive()):
            self.arrive(FD_CLOSE)

    def on_aborted(self, status: Status) -> None:
        """The connection is reset; remembered, so that every later call says so (winsock 9)."""
        if self.attention & RESET or self.state != CONNECTED:
            return
        code = STATUS_TO_WSA.get(status, errors.WSAECONNRESET.winerror)
        if code == errors.WSAECONNRESET.winerror and self.attention & PEER_RELEASED:
            code = errors.WSAECONNABORTED.winerror  # our own send provoked it
        self.reset_code = code
        self.attention |= RESET
        self.readable = True
        self.unsent = 0
        self.wake_all()
        self.evaluate(FD_CLOSE)
