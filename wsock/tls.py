# TLS as a filter: ciphertext in, plaintext out, and the other way round.
#
#   async_socket     start_tls                     moves the bytes that this file makes and takes
# > tls              TLSFilter                     THIS FILE: records, handshake, the end; no I/O
#   errors           what a failed call raises
#
# Rule 1: no socket, no clock, no loop. Time-outs, back-pressure and sending belong to the caller:
#         after every call here it takes what ``outgoing`` has and sends it.
# Rule 2: what was fed is decrypted at once, all of it. So the memory used is what the caller feeds
#         before it reads, plus one record; and ``unread`` says whether there is anything to report
#         (a session ticket or a key update is not).
# Rule 3: a peer that ends without close_notify may have been cut off by somebody on the way. That
#         is an error, after everything that came before it was read (RFC 8446 6.1).
# Rule 4: an error is final and is told again by every later call. The alert that tells the peer
#         lies in ``outgoing``.
# Rule 5: close_notify ends one direction (RFC 8446 6.1): who sent it may go on reading.
#
# Sources: RFC 8446, RFC 5246; Python's ssl on MemoryBIO and SSLObject; OpenSSL, SSL_shutdown(3).
"""TLS without I/O, over ``ssl.MemoryBIO``."""

from __future__ import annotations

import ssl
from collections import deque
from contextlib import suppress
from typing import Final

from . import errors

__all__ = ["TLSError", "TLSFilter"]

RECORD_BYTES: Final = 16384
"""The most plaintext that one record carries (RFC 8446 5.1): what one read can bring."""

UNEXPECTED_EOF: Final = "UNEXPECTED_EOF_WHILE_READING"

_EXPLAINED: Final = {
    "WRONG_VERSION_NUMBER": "what came is not TLS",
    "HTTP_REQUEST": "what came is a plain HTTP request, not TLS",
    "NO_SHARED_CIPHER": "the two sides have no cipher in common",
    "UNSUPPORTED_PROTOCOL": "the peer offers only versions of TLS that are not allowed here",
}


class TLSError(errors.WSAECONNABORTED):
    """TLS has failed; the connection is of no use any more.

    A WSAECONNABORTED, and so a ConnectionAbortedError and a trio.BrokenResourceError.

    Attributes:
      reason: OpenSSL's word for it, as ``"CERTIFICATE_VERIFY_FAILED"``; for an end without
        close_notify ``"UNEXPECTED_EOF_WHILE_READING"``.
    """

    text = "TLS has failed, or was cut off; the connection is of no use any more."
    reason: str = ""


class TLSFilter:
    """One side of a TLS connection, as a pipe with two ends and no I/O.

    The side of the wire: ``feed`` what the peer sent, send what ``outgoing`` returns. The side of
    the program: ``read`` and ``write``. A client has its hello ready at once::

        tls = TLSFilter(context, server_hostname="example.org")
        while not tls.handshake_done:
            sock.sendall(tls.outgoing())
            tls.feed(sock.recv(65536))

    Not for several threads at once. Nothing here waits.

    Args:
      context: the standard library's; it decides about versions, certificates and verification.
      server_side: whether this is the server.
      server_hostname: whom a client wants to reach: sent to the server (SNI), and compared with its
        certificate if ``context.check_hostname``.
      suppress_ragged_eofs: take an end without close_notify for a good one. Only for protocols that
        know by themselves when a message is complete.

    Raises:
      ValueError: the context is for the other side, or it wants a name to check and got none.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_incoming",
        "_outgoing",
        "_ragged",
        "closed",
        "handshake_done",
        "peer_closed",
        "ssl_object",
        "unread",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        suppress_ragged_eofs: bool = False,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._chunks: deque[bytes | memoryview] = deque()
        self._error: tuple[str, str] | None = None
        self._ragged = suppress_ragged_eofs
        #: Plaintext bytes that ``read`` could return now.
        self.unread = 0
        #: Whether the handshake is complete: data can be written.
        self.handshake_done = False
        #: Whether the peer has ended its side with close_notify.
        self.peer_closed = False
        #: Whether close_notify was sent: nothing more can be written.
        self.closed = False
        #: The standard library's object, for ``version()``, ``cipher()``, ``getpeercert()``,
        #: ``selected_alpn_protocol()``.
        self.ssl_object: ssl.SSLObject
        if context.check_hostname and not (server_side or server_hostname):
            # (SSLObject does not ask, unlike SSLSocket, and then any trusted certificate would do.)
            raise ValueError("TLSFilter: the context checks the name, but no server_hostname came")
        try:
            self.ssl_object = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_side,
                server_hostname=server_hostname,
            )
        except ssl.SSLError as problem:
            raise ValueError(f"TLSFilter: {problem}") from None
        self._advance()

    def __repr__(self) -> str:
        return f"<TLSFilter {self.state}, {self.unread} bytes unread>"

    @property
    def state(self) -> str:
        """HANDSHAKE, OPEN, PEER_CLOSED, CLOSED (here), ENDED (both), or FAILED."""
        if self._error is not None:
            return "FAILED"
        if not self.handshake_done:
            return "HANDSHAKE"
        if self.peer_closed:
            return "ENDED" if self.closed else "PEER_CLOSED"
        return "CLOSED" if self.closed else "OPEN"

    @property
    def error(self) -> TLSError | None:
        """Why it failed; None while it has not."""
        return None if self._error is None else self._failure("TLS")

    # The wire

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the peer sent. What follows its close_notify is dropped.

        Raises:
          TLSError: the handshake or a record is bad. Send ``outgoing``, which has the alert; what
          was decrypted before can still be read.
        """
        if self._error is not None:
            raise self._failure("feed")
        if self.peer_closed:
            return
        self._incoming.write(data)
        self._advance()
        if self._error is not None:
            raise self._failure("feed")

    def feed_eof(self) -> None:
        """Take note that nothing more will come.

        Raises:
          TLSError: the peer has not said close_notify, or the handshake was not complete.
        """
        if self._error is None and not self.peer_closed:
            if not self.handshake_done:
                self._fail(UNEXPECTED_EOF, "the peer ended in the middle of the handshake")
            elif self._ragged:
                self.peer_closed = True
            else:
                self._fail(UNEXPECTED_EOF, "the peer ended without close_notify: perhaps cut off")
        if self._error is not None:
            raise self._failure("feed_eof")

    def outgoing(self) -> bytes:
        """Take what is to be sent to the peer; ``b""`` if nothing is."""
        return self._outgoing.read()

    # The program

    def read(self, max_bytes: int, *, peek: bool = False) -> bytes:
        """Take up to ``max_bytes`` of what was decrypted; with ``peek`` leave it.

        Returns:
          1 to ``max_bytes`` bytes; ``b""`` once the peer has said close_notify and all was read,
          or if ``max_bytes`` is 0.

        Raises:
          WSAEWOULDBLOCK: nothing is there; feed more.
          TLSError: it failed, and everything before that was read.
          WSAEINVAL: ``max_bytes`` is negative.
        """
        if max_bytes < 0:
            raise errors.WSAEINVAL("recv", self.state, f"length {max_bytes} is negative")
        if not max_bytes:
            return b""
        if self.unread:
            return self._take(max_bytes, peek=peek)
        if self._error is not None:
            raise self._failure("recv")
        if self.peer_closed:
            return b""
        raise errors.WSAEWOULDBLOCK("recv", self.state)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt all of ``data`` into ``outgoing``; how much may wait there is the caller's rule.

        Returns:
          ``len(data)`` in bytes.

        Raises:
          WSAEWOULDBLOCK: the handshake is not complete; nothing was taken.
          WSAESHUTDOWN: ``close_notify`` was called. TLSError: it failed.
        """
        self.check_writable()
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            try:
                done += self.ssl_object.write(view[done : done + RECORD_BYTES])
            except ssl.SSLError as problem:
                self._fail_by(problem)
                raise self._failure("send") from None
        return len(view)

    def check_writable(self) -> None:
        """Raise what ``write`` would raise now."""
        if self._error is not None:
            raise self._failure("send")
        if self.closed:
            raise errors.WSAESHUTDOWN("send", self.state, "close_notify was sent")
        if not self.handshake_done:
            raise errors.WSAEWOULDBLOCK("send", self.state, "the handshake is under way")

    def close_notify(self) -> None:
        """End this side: the peer will know that nothing was cut off. It may go on sending.

        Before the end of the handshake, and after an error, nothing is sent: the peer is not to
        take that for a good end. Again: does nothing.
        """
        if self.closed or self._error is not None:
            return
        self.closed = True
        if self.handshake_done:
            # It also looks whether the peer's close_notify is there (nothing unread is: rule 2).
            with suppress(ssl.SSLError):
                self.ssl_object.unwrap()

    # Inside

    def _advance(self) -> None:
        """Do with what was fed whatever can be done."""
        try:
            if not self.handshake_done:
                self.ssl_object.do_handshake()
                self.handshake_done = True
            self._decrypt()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self.peer_closed = True
        except ssl.SSLError as problem:
            self._fail_by(problem)

    def _decrypt(self) -> None:
        while True:
            chunk = self.ssl_object.read(RECORD_BYTES)
            if not chunk:
                self.peer_closed = True
                return
            self._chunks.append(chunk)
            self.unread += len(chunk)

    def _take(self, max_bytes: int, *, peek: bool) -> bytes:
        chunks, left, taken = self._chunks, max_bytes, []
        for chunk in chunks:
            taken.append(chunk if len(chunk) <= left else memoryview(chunk)[:left])
            left -= len(taken[-1])
            if not left:
                break
        if not peek:
            for part in taken:
                chunk = chunks.popleft()
                if len(part) < len(chunk):
                    chunks.appendleft(memoryview(chunk)[len(part) :])
            self.unread -= max_bytes - left
        if len(taken) == 1 and isinstance(taken[0], bytes):
            return taken[0]
        return b"".join(taken)

    def _fail_by(self, problem: ssl.SSLError) -> None:
        reason = problem.reason or type(problem).__name__
        text = getattr(problem, "verify_message", "") or _EXPLAINED.get(reason, "")
        self._fail(reason, text or reason.replace("_", " ").lower())

    def _fail(self, reason: str, text: str) -> None:
        phase = "TLS" if self.handshake_done else "TLS handshake"
        self._error = reason, f"{phase}: {reason}: {text}"

    def _failure(self, call: str) -> TLSError:
        """A new exception each time: one that is raised again would collect tracebacks."""
        assert self._error is not None
        reason, text = self._error
        error = TLSError(call, "", text)
        error.reason = reason
        return error
