# Sockets: Winsock's calls in three modes, and the only place where a task waits for a socket.
#
#   async_socket     on_receive ...                 has a Socket
#   streams          trio.abc                       have a Socket
# > socket           the calls                      THIS FILE: what moves data or waits
#   afd              endpoints                      asked first; says WSAEWOULDBLOCK where one waits
#
# The three modes of one socket: ``await sock.recv(n)`` suspends this task only; ``recv_nowait``
# answers at once; with ``async_select`` or ``event_select`` a message or an event object tells.
#
# Rule 1: the waiting form tries the other one first, and is always a checkpoint. A cancelled call
#         has done nothing, or says in its docstring what it did (ruling B6).
# Rule 2: one task at a time waits on each direction: trio.BusyResourceError. Closing wakes whoever
#         waits with WSAEINTR.
# Rule 3: the nowait calls are the hot path: one call down, nothing else.
#
# Sources: the pages of the calls in Microsoft's Winsock reference; Trio's conventions.
"""Socket: blocking, nonblocking, and asynchronous, on one object."""

from __future__ import annotations

import socket as std
from contextlib import suppress
from operator import index
from typing import Any, Final

import trio
from trio.lowlevel import checkpoint_if_cancelled, current_task

from . import afd, errors
from ._socket_control import (
    RECEIVING,
    SENDING,
    TIED,
    NetworkEvents,
    NotificationState,
    SocketControl,
)
from ._socket_waiting import TimeOut, Waiter, flat, let_others_run, resolve, sent, suspend, writable
from .tdi import addresses

__all__ = ["NetworkEvents", "NotificationState", "Socket"]


class Socket(SocketControl):
    """One socket. Made by ``wsock.socket``; see there and in the module's head for the modes.

    A socket with a selection is kept by its window or event until it is closed or the window ends;
    one without is closed when nobody refers to it, with a ResourceWarning.
    """

    __slots__ = ()

    # Waiting

    def _line_up(self, call: str) -> Any:  # noqa: ANN401
        """Enter this task as the one that waits to receive; the caller ends that."""
        endpoint = self._endpoint
        if self._busy != TIED or endpoint.attention:
            self._line_up_carefully(call)
        waiter = self._receiver
        if waiter is None:
            waiter = self._receiver = Waiter(endpoint)
            self._receive_trap = waiter.trap()
        else:
            waiter.task = current_task()
        endpoint.wait_receive(waiter)
        self._busy |= RECEIVING
        return self._receive_trap

    def _line_up_carefully(self, call: str) -> None:
        endpoint = self._endpoint
        if self._busy & RECEIVING:
            raise trio.BusyResourceError(f"{call}: another task waits to receive on {self!r}")
        endpoint.check_open(call)
        if not self._busy & TIED and endpoint.tie():
            self._busy |= TIED

    def _interrupted(self, call: str) -> errors.WSAEINTR:
        state = self._endpoint.state
        return errors.WSAEINTR(call, state, "the socket was closed meanwhile")

    async def _wait_receive(self, call: str) -> None:
        """Wait until a receive or an accept is worth another try."""
        trap = self._line_up(call)
        try:
            await suspend(trap)
        finally:
            self._busy &= ~RECEIVING
        if self._endpoint.attention & afd.RELEASED:
            raise self._interrupted(call)

    async def _wait_send(self, call: str) -> None:
        """Wait until a send is worth another try."""
        endpoint = self._endpoint
        if self._busy & SENDING:
            raise trio.BusyResourceError(f"{call}: another task waits to send on {self!r}")
        endpoint.check_open(call)
        endpoint.tie()
        waiter = Waiter(endpoint)
        endpoint.wait_send(waiter)
        self._busy |= SENDING
        try:
            await suspend(waiter.trap())
        finally:
            self._busy &= ~SENDING
        if endpoint.attention & afd.RELEASED:
            raise errors.WSAEINTR(call, endpoint.state, "the socket was closed meanwhile")

    async def wait_turn(self, call: str, *, send: bool = False) -> None:
        """Wait in line with any number of other tasks until ``call`` is worth another try.

        What the other calls of this class refuse with BusyResourceError; the C face needs it, where
        several threads in accept on one listener are usual. First come, first served. A checkpoint.

        Raises:
          WSAEINTR: the socket was closed meanwhile.
        """
        endpoint = self._endpoint
        endpoint.check_open(call)
        endpoint.tie()
        waiter = Waiter(endpoint)
        (endpoint.wait_send if send else endpoint.wait_receive)(waiter)
        await suspend(waiter.trap())
        if endpoint.attention & afd.RELEASED:
            raise errors.WSAEINTR(call, endpoint.state, "the socket was closed meanwhile")

    def _timeout(self, call: str, option: int) -> TimeOut:
        milliseconds = self._endpoint.option(std.SOL_SOCKET, option)
        return TimeOut(call, self._endpoint, milliseconds)

    # Receiving

    def recv_nowait(self, max_bytes: int, flags: int = 0) -> bytes:
        """Take what has arrived, up to ``max_bytes``, without waiting.

        The nonblocking ``recv`` of Winsock, and the call that re-enables FD_READ and FD_OOB: also
        when it raises, the next arrival is reported again; if bytes are left over, the event is
        posted before this returns. Never a checkpoint.

        Args:
          max_bytes: upper bound in bytes; 0 takes nothing and gives ``b""``.
          flags: MSG_PEEK leaves the bytes; MSG_OOB takes the urgent byte alone.

        Returns:
          1 to ``max_bytes`` bytes in the order sent, or ``b""`` once the peer has ended its side
          and everything before that has been read. A datagram socket: one datagram.

        Raises:
          WSAEWOULDBLOCK: nothing has arrived. Wait for FD_READ, or ``await recv()``.
          WSAECONNRESET, WSAECONNABORTED: the connection is reset; bytes before it come first.
          WSAENOTCONN: never connected. WSAESHUTDOWN: receiving was shut down.
          WSAEMSGSIZE: a datagram was cut; ``error.data`` holds what fitted.
          WSAENOTSOCK: you closed this socket before calling. WSAEINVAL: negative length,
          or a flag that is none of these. WSAEOPNOTSUPP: MSG_WAITALL, which ``await recv`` takes.
        """
        return self._endpoint.recv(max_bytes, flags)  # type: ignore[no-any-return]

    async def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Wait until something has arrived and take it, up to ``max_bytes``.

        As ``recv_nowait``, but waits; bounded by SO_RCVTIMEO. With MSG_WAITALL it waits for the
        whole length (or the end). Always a checkpoint; cancelled, it has taken nothing (bytes that
        MSG_WAITALL had gathered are what the next recv gets).

        Raises:
          WSAEINTR: the socket was closed meanwhile. WSAETIMEDOUT: SO_RCVTIMEO is over.
          trio.BusyResourceError: another task waits to receive.
          Else as ``recv_nowait``, without WSAEWOULDBLOCK.
        """
        endpoint = self._endpoint
        if max_bytes.__class__ is not int:
            max_bytes = index(max_bytes)  # a float would otherwise wait for data to be refused by
        if flags or endpoint.type != _STREAM or endpoint.timed:
            return await self._receive_carefully(max_bytes, flags)
        if endpoint.readable or endpoint.attention or max_bytes <= 0:
            await checkpoint_if_cancelled()
            try:
                data: bytes = endpoint.recv(max_bytes)
            except errors.WSAEWOULDBLOCK:
                pass
            else:
                await let_others_run()
                return data
        while True:
            # _wait_receive in place: a coroutine less for every message.
            trap = self._line_up("recv")
            try:
                await suspend(trap)
            finally:
                self._busy &= ~RECEIVING
            if endpoint.attention & afd.RELEASED:
                raise self._interrupted("recv")
            try:
                return endpoint.recv(max_bytes)  # type: ignore[no-any-return]
            except errors.WSAEWOULDBLOCK:
                continue

    async def _receive_carefully(self, max_bytes: int, flags: int) -> bytes:
        endpoint = self._endpoint
        if flags & std.MSG_WAITALL and endpoint.type == _STREAM and max_bytes > 0:
            flags &= ~std.MSG_WAITALL
            if not flags:
                await self._gather(max_bytes)
        data: bytes = await self._retry(
            "recv", lambda: self.recv_nowait(max_bytes, flags), flags, b""
        )
        return data

    async def _gather(self, max_bytes: int) -> None:
        endpoint = self._endpoint
        with self._timeout("recv", std.SO_RCVTIMEO):
            endpoint.check_connected("recv")
            while not endpoint.gather(max_bytes):
                await self._wait_receive("recv")

    async def _retry(self, call: str, attempt: Any, flags: int = 0, end: Any = None) -> Any:  # noqa: ANN401
        """Try, and again after each wait, as long as it says WSAEWOULDBLOCK."""
        await checkpoint_if_cancelled()
        with self._timeout(call, std.SO_RCVTIMEO):
            try:
                result = attempt()
            except errors.WSAEWOULDBLOCK:
                pass
            else:
                await let_others_run()
                return result
            while True:
                if flags & std.MSG_OOB and self._endpoint.attention & afd.PEER_RELEASED:
                    return end  # nothing urgent can come any more: no wait would end
                await self._wait_receive(call)
                try:
                    return attempt()
                except errors.WSAEWOULDBLOCK:
                    continue

    def recv_into_nowait(
        self, buffer: bytearray | memoryview, max_bytes: int = 0, flags: int = 0
    ) -> int:
        """Take what has arrived into ``buffer`` (its first ``max_bytes``, 0: all of it).

        Returns:
          How many bytes; otherwise as ``recv_nowait``.
        """
        view = writable(buffer, max_bytes)
        endpoint = self._endpoint
        if endpoint.type == _STREAM:
            return endpoint.recv_into(view, flags)  # type: ignore[no-any-return]
        try:
            data, _ = self._receive_datagram(len(view), flags)
        except errors.WSAEMSGSIZE as error:
            cut: bytes = error.data  # type: ignore[attr-defined]
            view[: len(cut)] = cut
            raise
        view[: len(data)] = data
        return len(data)

    async def recv_into(
        self, buffer: bytearray | memoryview, max_bytes: int = 0, flags: int = 0
    ) -> int:
        """Wait until something has arrived and take it into ``buffer``; as ``recv``."""
        if flags & std.MSG_WAITALL:
            view = writable(buffer, max_bytes)
            data = await self.recv(len(view), flags)
            view[: len(data)] = data
            return len(data)
        count: int = await self._retry(
            "recv", lambda: self.recv_into_nowait(buffer, max_bytes, flags), flags, 0
        )
        return count

    def _receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, Any]:
        endpoint = self._endpoint
        data, remote = endpoint.take(max_bytes, flags)
        return data, addresses.unpack(endpoint.family, remote) if remote else None

    def recvfrom_nowait(self, max_bytes: int, flags: int = 0) -> tuple[bytes, Any]:
        """Take one datagram and its sender's address; of a stream the bytes and None.

        Raises:
          WSAEMSGSIZE: it was longer; ``error.data`` and ``error.address`` hold what fitted, and
          who sent it; the rest is lost (kept with MSG_PEEK).
          WSAEINVAL: not bound. WSAECONNRESET: an earlier datagram found no port. Else as
          ``recv_nowait``.
        """
        if self._endpoint.type == _STREAM:
            return self._endpoint.recv(max_bytes, flags), None
        return self._receive_datagram(max_bytes, flags)

    async def recvfrom(self, max_bytes: int, flags: int = 0) -> tuple[bytes, Any]:
        """Wait for one datagram; as ``recvfrom_nowait``. Always a checkpoint."""
        answer: tuple[bytes, Any] = await self._retry(
            "recvfrom", lambda: self.recvfrom_nowait(max_bytes, flags), flags, (b"", None)
        )
        return answer

    # Sending

    def send_nowait(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send all of ``data`` without waiting, or nothing of it.

        While there is any room every byte is taken; what the system does not take at once waits in
        the endpoint (``unsent``), and until it is gone the next send says WSAEWOULDBLOCK. What was
        accepted is delivered, also if the socket is closed at once. (By the documentation of send
        a count below the length is possible; here it does not occur.) Never a checkpoint.

        Returns:
          ``len(data)`` in bytes.

        Raises:
          WSAEWOULDBLOCK: no room; FD_WRITE will tell when there is. WSAEINVAL: a flag other than
          MSG_OOB and MSG_DONTROUTE. WSAEOPNOTSUPP: MSG_OOB on a datagram socket.
          WSAENOTCONN, WSAESHUTDOWN, WSAECONNRESET, WSAECONNABORTED, WSAENOTSOCK.
        """
        if data.__class__ is not bytes:
            data = flat(data)
        return self._endpoint.send(data, flags)  # type: ignore[no-any-return]

    def send_all_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Take all of ``data``, also behind bytes that still wait; never a checkpoint.

        With nothing unsent it takes any length; with a rest only while ``unsent`` stays within
        ``max_unsent`` (1 MiB). A slow reader so costs at most that plus one send.

        Returns:
          ``len(data)`` in bytes.

        Raises:
          WSAENOBUFS: nothing was taken; FD_WRITE will tell when there is room. Else as
          ``send_nowait``, without WSAEWOULDBLOCK.
        """
        endpoint = self._endpoint
        if endpoint.type != _STREAM:
            return endpoint.sendto(flat(data), b"")  # type: ignore[no-any-return]
        return endpoint.send_more(flat(data), self.max_unsent)  # type: ignore[no-any-return]

    async def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send all of ``data``; return when it is with the system.

        Always a checkpoint. Cancelled before the first byte it has done nothing; later all of
        ``data`` counts as accepted and goes on in the background. Bounded by SO_SNDTIMEO.

        Returns:
          ``len(data)`` in bytes.

        Raises:
          WSAEINTR: the socket was closed meanwhile; what had not gone out is dropped, unless
          ``send_all_nowait`` had queued more behind it: then all of it still goes out.
          WSAETIMEDOUT: SO_SNDTIMEO is over. trio.BusyResourceError: another task sends.
          Else as ``send_nowait``, without WSAEWOULDBLOCK.
        """
        if data.__class__ is not bytes:
            data = flat(data)
        endpoint = self._endpoint
        if self._busy & SENDING:
            raise trio.BusyResourceError(f"send: another task sends on {self!r}")
        await checkpoint_if_cancelled()
        taken: int = -1
        try:
            taken = endpoint.send(data, flags)
        except errors.WSAEWOULDBLOCK:
            pass
        else:
            if endpoint.unsent <= endpoint.send_limit:
                await let_others_run()
                return taken
        with self._timeout("send", std.SO_SNDTIMEO):
            while taken < 0:
                await self._wait_send("send")
                with suppress(errors.WSAEWOULDBLOCK):
                    taken = endpoint.send(data, flags)
            self._busy |= SENDING
            try:
                await sent(endpoint, "send")
            finally:
                self._busy &= ~SENDING
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``; as ``send``, which here never sends less."""
        await self.send(data)

    async def wait_send_room(self) -> None:
        """Wait until a send on this stream would not have to wait. Always a checkpoint.

        Raises:
          What ``send`` would raise now, except WSAEWOULDBLOCK. WSAEINTR: closed meanwhile.
          trio.BusyResourceError: another task sends.
        """
        endpoint = self._endpoint
        self._refuse_second_sender("wait_send_room")
        await checkpoint_if_cancelled()
        endpoint.check_sendable()
        waited = False
        while endpoint.unsent > endpoint.send_limit:
            await self._wait_send("send")
            endpoint.check_sendable()
            waited = True
        if not waited:
            await let_others_run()

    def _refuse_second_sender(self, call: str) -> None:
        """Raise BusyResourceError if another task waits to send."""
        if self._busy & SENDING:
            raise trio.BusyResourceError(f"{call}: another task sends on {self!r}")

    def sendto_nowait(
        self,
        data: bytes | bytearray | memoryview,
        address: Any,  # noqa: ANN401
        flags: int = 0,
    ) -> int:
        """Send one datagram to a numeric ``address``; unbound, the socket is bound first.

        A connected stream ignores the address. Never a checkpoint.

        Raises:
          WSAEMSGSIZE: over 65,507 bytes. WSAEWOULDBLOCK: no room. WSAENOTCONN: no address and no
          fixed peer. WSAEINVAL: a name (``await sendto`` resolves), an unknown flag.
          WSAEOPNOTSUPP: MSG_OOB on a datagram socket. WSAESHUTDOWN, WSAENOTSOCK.
        """
        endpoint = self._endpoint
        if endpoint.type == _STREAM:
            return endpoint.send(flat(data), flags)  # type: ignore[no-any-return]
        remote = b"" if address is None else endpoint.packed("sendto", address)
        return endpoint.sendto(flat(data), remote, flags)  # type: ignore[no-any-return]

    async def sendto(
        self,
        data: bytes | bytearray | memoryview,
        address: Any,  # noqa: ANN401
        flags: int = 0,
    ) -> int:
        """Send one datagram, waiting for room; names are resolved. Always a checkpoint."""
        endpoint = self._endpoint
        if endpoint.type == _STREAM:
            return await self.send(data, flags)
        remote = b"" if address is None else await self._resolved("sendto", address)
        data = flat(data)
        await checkpoint_if_cancelled()
        with self._timeout("sendto", std.SO_SNDTIMEO):
            while True:
                try:
                    count: int = endpoint.sendto(data, remote, flags)
                except errors.WSAEWOULDBLOCK:
                    await self._wait_send("sendto")
                else:
                    break
        await let_others_run()
        return count

    # Connecting

    async def connect(self, address: Any) -> None:  # noqa: ANN401
        """Connect to ``address`` (names are resolved) and wait for the end of it.

        Always a checkpoint. Cancelled, the attempt ends and the socket is closed. A failed attempt
        leaves the socket open: it may be tried again. A datagram socket gets a fixed peer.

        Raises:
          WSAECONNREFUSED, WSAETIMEDOUT, WSAENETUNREACH, WSAEHOSTUNREACH, WSAEADDRNOTAVAIL,
          WSAEALREADY, WSAEISCONN, WSAEINVAL, WSAEINTR, WSAENOTSOCK.
        """
        endpoint = self._endpoint
        endpoint.check_open("connect")
        try:
            remote = await self._resolved("connect", address)
            await checkpoint_if_cancelled()
            try:
                endpoint.connect(remote)
            except errors.WSAError:
                endpoint.socket_error = 0  # the exception tells it; SO_ERROR is for connect_ex
                raise
            if endpoint.type != _STREAM or endpoint.state == "CONNECTED":
                await let_others_run()
                return
            while endpoint.state == "CONNECTING":
                await self._wait_send("connect")
        except trio.Cancelled:
            self.close()
            raise
        if endpoint.connect_code:
            code, endpoint.socket_error = endpoint.connect_code, 0
            text = addresses.show(endpoint.family, remote)
            raise errors.error_class(code)("connect", endpoint.state, text)

    def connect_ex(self, address: Any) -> int:  # noqa: ANN401
        """Begin to connect to a numeric ``address``. Never a checkpoint, never raises WSAError.

        Returns:
          WSAEWOULDBLOCK (10035) when it is under way: FD_CONNECT, or ``await wait_connected()``,
          tells the end; 0 for a datagram socket, or where it was done at once; else the error.
        """
        endpoint = self._endpoint
        try:
            endpoint.check_open("connect")
            endpoint.connect(endpoint.packed("connect", address))
        except errors.WSAError as error:
            return error.winerror
        if endpoint.type != _STREAM or endpoint.state == "CONNECTED":
            return 0
        return errors.WSAEWOULDBLOCK.winerror

    async def wait_connected(self) -> None:
        """Wait until a ``connect_ex`` that is under way has ended; raises what it failed with."""
        endpoint = self._endpoint
        endpoint.check_open("connect")
        await checkpoint_if_cancelled()
        while endpoint.state == "CONNECTING":
            await self._wait_send("connect")
        await let_others_run()
        if endpoint.connect_code > 0:
            raise errors.error_class(endpoint.connect_code)("connect", endpoint.state)

    async def _resolved(self, call: str, address: Any) -> bytes:  # noqa: ANN401
        """Return ``address`` packed, its name resolved without blocking the loop."""
        endpoint = self._endpoint
        try:
            return endpoint.packed(call, address)  # type: ignore[no-any-return]
        except errors.WSAEINVAL:
            host, port = address[:2]
        found = await resolve(host, port, family=endpoint.family, type=endpoint.type)
        return endpoint.packed(call, found[0])  # type: ignore[no-any-return]

    # Accepting

    def accept_nowait(self) -> tuple[Socket, Any]:
        """Take the connection that has waited longest, without waiting.

        The new socket inherits selection, mode and options (winsock 6). Re-enables FD_ACCEPT.
        Never a checkpoint.

        Returns:
          The new socket and the peer's address.

        Raises:
          WSAEWOULDBLOCK: nobody waits. WSAEINVAL: not listening. WSAEOPNOTSUPP: a datagram
          socket. WSAEMFILE: out of descriptors; FD_ACCEPT comes again. WSAENOTSOCK.
        """
        listener = self._endpoint
        if listener.type != _STREAM:
            listener.check_open("accept")
            raise errors.WSAEOPNOTSUPP("accept", listener.state, "a datagram socket")
        endpoint = listener.accept()
        accepted = Socket(endpoint)
        try:
            if listener.target is not None:
                endpoint.inherit(listener, accepted)
            endpoint.begin()
        except BaseException:  # a client that nobody would ever serve
            accepted.reset()
            raise
        return accepted, addresses.unpack(endpoint.family, endpoint.connection.remote)

    async def accept(self) -> tuple[Socket, Any]:
        """Wait for a client and take it; as ``accept_nowait``.

        Always a checkpoint; cancelled, it has taken nobody. Bounded by SO_RCVTIMEO.

        Raises:
          WSAEINTR: the listener was closed meanwhile. trio.BusyResourceError: another task waits.
        """
        answer: tuple[Socket, Any] = await self._retry("accept", self.accept_nowait)
        return answer

    # The end

    async def aclose(self) -> None:
        """Close; with SO_LINGER and seconds wait so long for the bytes that are unsent.

        For the peer's end it does not wait. Always closes, also when cancelled (then what is unsent
        is reset away). A checkpoint.
        """
        endpoint = self._endpoint
        seconds = endpoint.linger
        self.close()
        if seconds and endpoint.type == _STREAM and endpoint.is_flushing():
            try:
                while endpoint.is_flushing():
                    waiter = Waiter(endpoint)
                    endpoint.wait_send(waiter)
                    await suspend(waiter.trap())
            except trio.Cancelled:
                endpoint.abort_now()
                raise
        else:
            await trio.lowlevel.checkpoint()


_STREAM: Final = int(std.SOCK_STREAM)
