# Stream files: connections of the machine's TCP (or AF_UNIX).
#
#   tdi              connection objects             carry requests down and events up
# > kernel           the machine's sockets          THIS FILE: connect, transmit, ends and resets
#
# Rule 1: IN alone means data, so the common edge costs no system call. Only together with
#         RDHUP, HUP or ERR must one look whether data, an end or a reset is there.
# Rule 2: what the system does not take of a send is kept here, as a transport keeps a TDI_SEND that
#         is pending, and goes out on the next OUT; ``bytes`` by reference, all else copied.
# Rule 3: closing with a rest: send it, throw away what arrives meanwhile, shut down, close. Without
#         progress for ``flush_timeout`` seconds it is aborted, and counted (ruling A1).
# Rule 4: a reset is asked of the kernel once (SO_ERROR clears it) and remembered above.
#
# Sources: epoll(7), tcp(7), connect(2); rulings A1, A2, B8, B14.
"""Stream files of the kernel provider."""

from __future__ import annotations

import errno
import select
import socket as std
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from .. import _timers
from ..tdi import NOSIGNAL, SUCCESS, DisconnectFlags, Status, status_from_errno
from .bits import ERR, HUP, IN, OUT, PRI, RDHUP
from .connecting import CONNECTING, MOVING, ConnectingFile
from .files import FIRST, ROOM, KernelFile, ioctl, system_errors

if TYPE_CHECKING:
    from ..tdi import BytesLike
    from .provider import KernelProvider

__all__ = ["KernelStream"]

# What is known of the peer's FIN (``release_seen``; 0: nothing).
SEEN: Final = 1
DRAINED: Final = 2  # and everything before it has been read

_DATA: Final = IN | OUT
_UNUSUAL: Final = ~_DATA
_CONNECT_ENDED: Final = OUT | ERR | HUP
_ENDS: Final = RDHUP | HUP

# Where the file is in its life, beyond what connecting knows.
ENDING: Final = 2  # closed above, the rest goes out
DEAF: Final = 3  # receiving is shut down: what still comes resets the connection

#: The system's own, also where a subclass has one.
_recv: Final = std.SocketType.recv
_PEEK: Final = int(std.MSG_PEEK)

_SIOCATMARK: Final = 0x8905  # of Linux; the standard library has no name for it
_DISCARD_BYTES: Final = 262144
_NO_TIMERS: Final = (None, None)
_GATHER: Final = 64  # pieces in one system call
_VECTORED: Final = hasattr(std.SocketType, "sendmsg")  # not on Windows


class _Rest(deque[tuple[memoryview, int]]):
    """What the system did not take: pieces, each with the length of the send that it is of."""

    __slots__ = ("queued", "shut_pending")

    def __init__(self) -> None:
        #: Something was queued, also behind a send that a task waits for.
        self.queued = False
        #: Sending ends behind it.
        self.shut_pending = False


class KernelStream(ConnectingFile):
    """One TCP socket of the machine."""

    __slots__ = (
        "_patience",
        "_rest",
        "owed",
        "release_seen",
        "urgent",
    )

    def __init__(
        self,
        provider: KernelProvider,
        family: int,
        type: int,  # noqa: A002
        proto: int,
        fileno: int | None = None,
    ) -> None:
        KernelFile.__init__(self, provider, family, type, proto, fileno)
        self.phase = MOVING
        self.connect_failed = False
        self.failed_with = 0
        self.bound = None
        self.owed = 0
        self._rest: _Rest | None = None
        #: While it ends: the timer of no progress, and that of SO_LINGER.
        self._patience: tuple[_timers.Timer | None, _timers.Timer | None] = _NO_TIMERS
        self.release_seen = 0
        self.urgent = False

    # Listen

    def start_listen(self, backlog: int) -> KernelFile:
        """Listen; the descriptor goes on in a listening file."""
        with system_errors():
            self.listen(backlog)
        return self.as_listener()

    def as_listener(self) -> KernelFile:
        """Return the listening file that takes over this descriptor."""
        self.unregister()
        return self.provider.listener(self)

    # Readiness

    def begin(self) -> None:
        """Report from now on, as the listener does that offered this connection."""
        reactor = self.connection.address.file.reactor
        if reactor is not None and self.reactor is None:
            # ``register``, without a look whose run this is.
            if self.fileno() >= 0:
                reactor.add(self)
                self.reactor = reactor
                self.thread = reactor.thread
        else:
            self.register()

    def begin_telling(self, *, room: bool) -> bool:
        """The same; what holds is told at the first edge, which comes in the next turn."""
        reactor = self.connection.address.file.reactor
        if reactor is None or self.reactor is not None or self.fileno() < 0:
            return False
        if room:
            self.owed = FIRST
        reactor.add(self)
        self.reactor = reactor
        self.thread = reactor.thread
        return True

    def look(self) -> int:
        """A readable stream has data, an end or an error; a peek tells which."""
        if self.phase == CONNECTING:
            return OUT
        try:
            data = std.SocketType.recv(self, 1, std.MSG_PEEK)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.failed_with = error.errno or 0
            return IN | ERR | HUP
        return IN if data else IN | RDHUP

    def ready(self, events: int) -> None:
        """Data, room, an urgent byte, an end or an error."""
        phase = self.phase
        if phase == CONNECTING:
            if events & _CONNECT_ENDED:
                self._connect_ended(events)
        elif phase == ENDING:
            self._ready_at_the_end(events)
        elif phase or events & _UNUSUAL:
            self._ready_unusual(events)
        else:
            if events & IN:
                self.reader.on_readable()
            if self.owed and events & OUT:
                self._room()

    def _ready_unusual(self, events: int) -> None:
        """Something is there beside data and room: urgent data, an end, an error."""
        released = events & _ENDS and not self.release_seen
        if released:
            self.release_seen = SEEN
        if events & ERR and not self.failed_with:
            # First of all: any receive below would take it away.
            self.failed_with = self.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
        if self.phase == DEAF and self._hears(events, released):
            self._refuse_data()
            return
        if events & PRI and self.connection is not None:
            self.urgent = True
            self.connection.indicate_expedited()
        if events & IN and self.connection is not None and self._data_waits(released):
            self.reader.on_readable()
        if self.owed == FIRST:
            self._begun()  # before what ends the connection
        if self.failed_with:
            number, self.failed_with = self.failed_with, 0  # told once
            self._aborted(status_from_errno(number))
            return
        if released and self.connection is not None:
            self.connection.event_disconnect(DisconnectFlags.RELEASE)
        if self.owed and events & OUT and self.connection is not None:
            self._room()

    def _hears(self, events: int, released: object) -> bool:
        """Whether data has come to a file that is DEAF; what is found instead is noted."""
        if self.connection is None:
            return False
        return bool(events & PRI or (events & IN and self._data_waits(released)))

    def _data_waits(self, released: object) -> bool:
        """Whether IN stands for data; where the peer has just released it may be its FIN alone.

        Then a peek says what FIONREAD would, at half the price: every connection comes here once.
        """
        if not released or self.release_seen == DRAINED:
            return bool(self.available())
        try:
            if _recv(self, 1, _PEEK):
                return True
        except BlockingIOError:
            return False
        except OSError as error:  # reset in this moment: said once, and cleared by that
            self.failed_with = error.errno or 0
        self.release_seen = DRAINED
        return False

    def _aborted(self, reason: Status) -> None:
        self._rest, self.owed = None, 0
        if self.connection is not None:
            self.connection.event_disconnect(DisconnectFlags.ABORT, reason)

    def fail(self) -> None:
        """Serving this file raised: reset the connection and tell the client."""
        connection = self.connection
        self.reset()
        self._rest = None
        if connection is not None and connection.client is not None:
            connection.event_disconnect(DisconnectFlags.ABORT, Status.CONNECTION_ABORTED)

    # Receiving: recv and recv_into are the system's own

    def available(self) -> int:
        """Return how many bytes wait; with an urgent mark ahead FIONREAD counts only up to it."""
        if self.release_seen == DRAINED:
            return 0
        count = KernelFile.available(self)
        if not count:
            if self.urgent:
                return self._peeked()
            if self.release_seen:
                self.release_seen = DRAINED  # nothing comes behind a FIN: never ask again
        return count

    def at_mark(self) -> bool:
        """Whether the next byte is the one behind the urgent mark."""
        return ioctl is not None and any(ioctl(self, _SIOCATMARK, bytes(4)))

    def urgent_received(self) -> None:
        """There is a mark, at which FIONREAD says 0 whatever is behind it."""
        self.urgent = True

    def skip_mark(self) -> None:
        """Throw away the urgent byte that is next, if it was received apart: it is inline now.

        The system keeps it at the mark, and gives it once more. One that is new (POLLPRI) stays.
        """
        if self.at_mark():
            poll = select.poll()
            poll.register(self.fileno(), select.POLLPRI)
            if not poll.poll(0):
                with suppress(OSError):
                    self.recv(1)

    def stop_receive(self) -> None:
        """Receive no more: data that waits, or still comes, resets the connection.

        That is Winsock's rule. The kernel's own SHUT_RD keeps accepting data that nobody will read,
        and looks like the peer's release to epoll: so it is not asked.
        """
        if self.phase == MOVING:
            self.phase = DEAF
            if self.available():
                self._refuse_data()
            elif self.reactor is not None:
                self.reactor.want_read(self)

    def _refuse_data(self) -> None:
        if self.owed == FIRST:
            self._begun()
        self.reset()
        self._aborted(Status.CONNECTION_ABORTED)

    # Sending

    def queue(self, data: BytesLike) -> int:
        """Keep all of ``data`` behind what is kept already."""
        self.keep(data, 0)
        self._rest.queued = True  # type: ignore[union-attr]  # there is one now
        return 0

    def has_room(self) -> bool:
        """No write was refused since the last edge."""
        return self.owed != ROOM

    def rest_length(self) -> int:
        """Bytes taken and not yet with the system."""
        rest = self._rest
        return sum(len(view) for view, _ in rest) if rest else 0

    def refused(self) -> None:
        """The system had no room: an edge will tell when there is some."""
        self.owed = ROOM
        self.register()  # adopted before the run, say: somebody has to hear when there is room
        if self.reactor is not None:
            self.reactor.want_write(self)

    def keep(self, data: BytesLike, done: int) -> None:
        """Hold what the system did not take, by reference if it is ``bytes``, else a copy."""
        if isinstance(data, bytes):
            view = memoryview(data)[done:]
        else:
            view = memoryview(bytes(memoryview(data)[done:]))
        if self._rest is None:
            self._rest = _Rest()
        self._rest.append((view, len(data)))
        self.refused()

    def _room(self) -> None:
        """The edge that was owed has come, and says that there is room."""
        if self.owed == FIRST:
            self._begun()
        else:
            self._flush()

    def _begun(self) -> None:
        """The first edge has come; no send was refused before: there is room, whatever it says."""
        self.owed = 0
        if self.connection is not None:
            self.connection.client.on_begun()

    def _flush(self) -> None:
        """There is room: send what is kept, then say what is done."""
        self.owed = 0
        rest = self._rest
        if rest is None:
            self.connection.send_possible()
            return
        moved = 0
        ended: list[int] = []
        while rest and not self.owed:
            try:
                count = self._send_pieces(rest)
            except BlockingIOError:
                self.refused()
                break
            except OSError as error:
                self._flush_failed(error)
                return
            moved += count
            self._consume(rest, count, ended)
        if not rest:
            self._rest = None
        self._tell_progress(moved, ended, shut=rest.shut_pending)

    def _send_pieces(self, rest: deque[tuple[memoryview, int]]) -> int:
        if len(rest) == 1 or not _VECTORED:
            return self.send(rest[0][0], NOSIGNAL)
        pieces = [rest[index][0] for index in range(min(len(rest), _GATHER))]
        return self.sendmsg(pieces, (), NOSIGNAL)

    def _consume(self, rest: deque[tuple[memoryview, int]], count: int, ended: list[int]) -> None:
        """Take ``count`` sent bytes off ``rest``; a piece cut short means that the room is gone."""
        while count:
            view, total = rest[0]
            if count < len(view):
                rest[0] = (view[count:], total)
                self.refused()
                return
            count -= len(view)
            rest.popleft()
            ended.append(total)

    def _tell_progress(self, moved: int, ended: list[int], *, shut: bool) -> None:
        connection = self.connection
        if connection is None:
            return
        for total in ended:
            connection.complete_send(total, SUCCESS)
        finished = self._rest is None
        if self.phase == ENDING:
            if moved and connection.client is not None:
                connection.sent(moved)
            if moved:
                self._start_patience()
            if finished:
                self._end_now()
            return
        if finished and shut:
            self._shutdown_sending()
        if moved and connection.client is not None:
            connection.sent(moved)

    def _flush_failed(self, error: OSError) -> None:
        status = status_from_errno(error.errno or 0)
        if self.phase == ENDING:
            self._give_up(status)
        else:
            self._aborted(status)

    # Ending

    def start_disconnect(self, flags: int, *, final: bool, timeout: float | None) -> None:
        """Release (after what is kept), or reset."""
        connection = self.connection
        if flags & DisconnectFlags.ABORT:
            self._rest = None
            self.reset()
            connection.complete_disconnect(SUCCESS, flags)
        elif self._rest is not None:
            if final:
                self._end_later(timeout)
            else:
                self._rest.shut_pending = True
        elif final:
            self.abandon()
            connection.complete_disconnect(SUCCESS, flags)
        else:
            self._shutdown_sending()

    def _shutdown_sending(self) -> None:
        status = SUCCESS
        try:
            self.shutdown(std.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # reset meanwhile: there is nothing to release
                status = status_from_errno(error.errno or 0)
        self.connection.complete_disconnect(status, DisconnectFlags.RELEASE)

    def finish_release(self, timeout: float | None) -> None:
        """Closed above after a release: close, or once the rest is out."""
        if self._rest is None:
            self.abandon()
        else:
            self._end_later(timeout)

    def drop_rest(self) -> int:
        """Forget what is kept: the send that it belongs to was interrupted; how much it was.

        Where another send was queued behind it, all goes out: that one was accepted, and a stream
        with a hole would be worse than a send that was told WSAEINTR and arrives.
        """
        if self._rest is None or self._rest.queued:
            return 0
        dropped = self.rest_length()
        for _, total in self._rest:
            self.connection.complete_send(total, Status.CANCELLED)
        self._rest = None
        return dropped

    def _end_later(self, timeout: float | None) -> None:
        self.phase = ENDING
        self.register()
        if self.reactor is None:  # outside a run: what goes out at once, and no more
            self._flush()
            self._out_of_patience()
            return
        if timeout is not None and self.reactor is not None:
            self._patience = None, _timers.call_later(timeout, self._out_of_patience)
        self._start_patience()
        self._discard()

    def _start_patience(self) -> None:
        waiting, limit = self._patience
        if waiting is not None:
            waiting.cancel()
        if self.reactor is None:
            return
        waiting = _timers.call_later(self.provider.flush_timeout, self._out_of_patience)
        self._patience = waiting, limit

    def _out_of_patience(self) -> None:
        if self.phase == ENDING and self._rest is not None:
            self.provider.flushes_given_up += 1
            self._give_up(Status.IO_TIMEOUT)

    def _ready_at_the_end(self, events: int) -> None:
        if events & ERR and self.getsockopt(std.SOL_SOCKET, std.SO_ERROR):
            self._give_up(Status.CONNECTION_RESET)
            return
        if events & IN:
            self._discard()
        if self.phase == ENDING and self.owed and events & OUT:
            self._flush()

    def _discard(self) -> None:
        """Throw away what arrives while the rest goes out; unread it would end in a reset."""
        try:
            while self.recv(_DISCARD_BYTES):
                pass
        except BlockingIOError:
            return
        except OSError as error:
            self._give_up(status_from_errno(error.errno or 0))

    def _end_now(self) -> None:
        self._discard()
        if self.phase != ENDING:
            return
        self._last_words()
        with suppress(OSError):  # reset in this moment
            self.shutdown(std.SHUT_WR)
        self.abandon()
        self._complete_release(SUCCESS)

    def _give_up(self, status: Status) -> None:
        self._last_words()
        self._rest = None
        self.reset()
        self._complete_release(status)

    def _last_words(self) -> None:
        self.phase = MOVING
        for timer in self._patience:
            if timer is not None:
                timer.cancel()
        self._patience = _NO_TIMERS

    def _complete_release(self, status: Status) -> None:
        connection: Any = self.connection
        if connection is not None:
            connection.complete_disconnect(status, DisconnectFlags.RELEASE)

    def run_over(self) -> None:
        """The run has ended: a closed file that could not send its rest is reset here."""
        if self.phase == ENDING:
            self._out_of_patience()
        else:
            super().run_over()
