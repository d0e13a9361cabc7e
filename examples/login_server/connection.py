# One client's socket: what the window tells about it, and what follows.
#
#   server        window, listeners           accepts, hands out, counts, stops
# > connection    an AsyncSocket per client   THIS FILE: sends, reads, waits for nothing
#   session       order, limits of one client
#
# Rule 1: a reply that cannot go out stays in ``_unsent`` until FD_WRITE, and until then nothing
#         more is read: a client that does not read its replies gets no further.
# Rule 2: while a command is executed its FD_READ is left alone. Winsock does not report it again
#         before the next recv, and TCP's window tells the client to wait: back-pressure for free.
# Rule 3: one recv for each FD_READ. A second one would mostly be told WSAEWOULDBLOCK.
# Rule 4: over TLS nothing is said before the handshake is complete, which has its own time-out.
#         An end without close_notify is an error: nobody may cut a client's commands off unseen.
# Rule 5: the last reply is followed by shutdown(SD_SEND), and what still arrives is thrown away for
#         a while. A plain close with unread input would reset, and take the reply with it.
"""One connection of the login server."""

from __future__ import annotations

import socket as stdlib
import struct
from typing import TYPE_CHECKING, Final

import trio

import wsock
from wsock.constants import FD_CLOSE, FD_READ, FD_WRITE, SD_SEND

from .limits import peer_key
from .protocol import Reply
from .session import Session

if TYPE_CHECKING:
    import ssl

    from .server import LoginServer
    from .service import Answer

RECEIVE_BYTES: Final = 4096
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close() resets


class Connection(wsock.AsyncSocket):
    """One client."""

    def __init__(
        self,
        server: LoginServer,
        sock: wsock.Socket,
        peer: tuple[str, int],
        number: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(server.window)
        self._server = server
        self._unsent = b""
        self._unread = False  # FD_READ came and recv was not called yet
        self._input_ended = False
        self._drain_until: float | None = None  # set once the last reply is on its way
        self.number = number
        self.peer = peer
        self.peer_key = peer_key(peer[0])
        self.opened_at = server.clock()
        self.session = Session(server.limits, self.opened_at)
        self.scope = trio.CancelScope()  # of the command that is being executed
        self.finished = False
        self.attach(sock, FD_READ | FD_WRITE | FD_CLOSE)
        if context is not None:
            self.start_tls(context, server_side=True)

    @property
    def tls_version(self) -> str | None:
        """ "TLSv1.3", for the log; None in plain text, and while there was no handshake."""
        return self.tls.ssl_object.version() if self.tls is not None else None

    @property
    def _shaking(self) -> bool:
        """Whether the TLS handshake is under way: nothing can be said yet."""
        return self.tls is not None and not self.tls.handshake_done

    # What the window tells

    def on_receive(self, error: int) -> None:
        """Something has arrived."""
        self._unread = True
        self.advance()

    def on_send(self, error: int) -> None:
        """There is room again (and once at the beginning)."""
        self.advance()

    def on_close(self, error: int) -> None:
        """The client has closed its side, or (with an error) the connection is gone."""
        if error:
            self._lost()
        elif self._drain_until is not None:
            self.finish()
        else:
            self._input_ended = True
            self.session.end()
            self.advance()

    def on_error(self, error: Exception) -> None:
        """A method above raised."""
        self._server.fail(self, error)

    def answered(self, outcome: Answer | Exception) -> None:
        """The command has been executed, or raised."""
        if isinstance(outcome, Exception):
            raise outcome
        if self.finished:
            return
        self.scope = trio.CancelScope()
        self._unsent = self.session.answer(outcome, self._server.clock()).encode()
        self.advance()

    # What follows from it

    def advance(self) -> None:
        """Send, read and hand on, as far as it goes without waiting."""
        try:
            while not self.finished and self._flush() and self._step():
                pass
        except wsock.WSAError:
            self._lost()

    def check_time(self, now: float) -> None:
        """End the connection if its time is over."""
        if self._drain_until is not None:
            if now >= self._drain_until:
                self.reset()
        elif self._shaking:
            if now >= self.opened_at + self._server.limits.handshake_seconds:
                self.reset("handshake")
        elif now >= self.session.deadline():
            reply = self.session.time_out()
            if self._unsent:  # it does not read either: nothing more can be said
                self.reset()
            else:
                self._unsent = reply.encode()
                self.advance()

    def stop(self) -> None:
        """The server stops: finish what is under way and close."""
        self.session.stop()
        if self._shaking:
            self.finish("stop")
        else:
            self.advance()

    def reset(self, reason: str = "") -> None:
        """End the connection at once."""
        if not self.finished:
            self.socket.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER, RESET)
            self.finish(reason)

    def finish(self, reason: str = "") -> None:
        """Close and be forgotten. What was sent still goes out."""
        if self.finished:
            return
        self.finished = True
        self.scope.cancel()
        self.close()
        self._server.left(self, reason or self.session.reason)

    def _lost(self) -> None:
        """The connection is gone; if that was to come, the reason for it stands."""
        error = None if self.tls is None else self.tls.error
        self.finish(self.session.reason or ("reset" if error is None else f"tls {error.reason}"))

    def _flush(self) -> bool:
        """Send what waits. False: it has to wait on, FD_WRITE will come."""
        if self._unsent:
            try:
                self.send(self._unsent)
            except wsock.WSAEWOULDBLOCK:
                return False
            self.session.counts.bytes_out += len(self._unsent)
            self._unsent = b""
        return True

    def _step(self) -> bool:
        """Do one thing. False: nothing more can be done now."""
        step = self.session.next(self._server.clock())
        if isinstance(step, Reply):
            self._unsent = step.encode()
            return True
        if step is not None:
            self._server.execute(self, step)
            return False
        if self.session.closing:
            return self._say_goodbye()
        return self.session.wants_data and self._receive()

    def _receive(self) -> bool:
        """Read once, if there is something: more would be reported again."""
        data = self._take()
        if data is None:
            return False
        self.session.feed(data)
        return True

    def _take(self) -> bytes | None:
        if not self._unread:
            return None
        self._unread = False
        try:
            return self.receive(RECEIVE_BYTES)
        except wsock.WSAEWOULDBLOCK:
            return None

    def _say_goodbye(self) -> bool:
        """The last reply is sent: end our side, wait for the client's end, at most a while."""
        if self._input_ended:
            self.finish()
            return False
        if self._drain_until is None:
            self._drain_until = self._server.clock() + self._server.limits.drain_seconds
            self.shutdown(SD_SEND)
        self._take()
        return False
