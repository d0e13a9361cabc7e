# Streams: sockets behind Trio's interfaces, for programs that know Trio and not Winsock.
#
# > streams          trio.abc                     THIS FILE: SocketStream, SocketListener, openers
#   socket           the waiting calls            does the work
#
# Rule 1: Trio's contracts hold to the letter (trio.testing.check_half_closeable_stream), and its
#         exceptions too: ClosedResourceError, BrokenResourceError, BusyResourceError, with the
#         WSAError as cause. The openers and accept raise WSAError, which is an OSError.
# Rule 2: nothing is buffered here. What send_all accepted lies in the endpoint.
#
# Sources: Trio's reference on streams; RFC 8305 (Happy Eyeballs).
"""Sockets as Trio streams."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any, Final

import trio

from . import _socket_making, _socket_waiting, errors
from .constants import SD_SEND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._socket import Socket
    from ._stack import Stack


__all__ = [
    "SocketListener",
    "SocketStream",
    "open_tcp_listeners",
    "open_tcp_stream",
    "serve_tcp",
]

RECEIVE_BYTES: Final = 65536
"""What receive_some takes at most if it is not told: as Trio."""

BACKLOG: Final = 0xFFFF
"""As long as it can be on every system; the kernel cuts it to its own limit."""

HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds that an attempt is given before the next address is tried, too (RFC 8305)."""


def _in_trio_s_words(error: errors.WSAError) -> Exception:
    """The exception that Trio's contracts ask for."""
    if isinstance(error, errors.WSAEINTR | errors.WSAENOTSOCK):
        return trio.ClosedResourceError("this stream was closed")
    if isinstance(error, errors.WSAESHUTDOWN):
        return trio.ClosedResourceError("the end was sent: nothing can follow it")
    return trio.BrokenResourceError(str(error))


class SocketStream(trio.abc.HalfCloseableStream):
    """A connected stream socket as a :class:`trio.abc.HalfCloseableStream`.

    Turns Nagle's algorithm off, as Trio does.

    Args:
      socket: connected; it belongs to the stream from now on.

    Attributes:
      socket: the same.

    Raises:
      TypeError: no stream socket.
    """

    __slots__ = ("socket",)

    def __init__(self, socket: Socket) -> None:
        if socket.type != std.SOCK_STREAM:
            raise TypeError("SocketStream needs a stream socket")
        self.socket = socket
        try:
            self.setsockopt(std.IPPROTO_TCP, std.TCP_NODELAY, 1)
        except errors.WSAError:
            return  # a socket of another family, or one that has ended: its calls will say so

    def __repr__(self) -> str:
        return f"<SocketStream {self.socket!r}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``; return when it is with the system.

        Always a checkpoint. Cancelled before the first byte it has done nothing; later all of
        ``data`` counts as accepted and goes on in the background.

        Raises:
          trio.ClosedResourceError: the stream was closed here, or its end was sent.
          trio.BrokenResourceError: the connection is gone.
          trio.BusyResourceError: another task sends.
        """
        try:
            await self.socket.send(data)
        except errors.WSAError as error:
            await trio.lowlevel.checkpoint()
            raise _in_trio_s_words(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until nothing is unsent. Always a checkpoint; raises as ``send_all``."""
        try:
            await self.socket.wait_send_room()
        except errors.WSAError as error:
            await trio.lowlevel.checkpoint()
            raise _in_trio_s_words(error) from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes and take up to ``max_bytes``; ``b""`` once the peer has ended.

        Always a checkpoint. Cancelled, it has taken nothing.

        Raises:
          trio.ClosedResourceError, trio.BrokenResourceError, trio.BusyResourceError: as
            ``send_all``. ValueError, TypeError: ``max_bytes`` below 1, or no int.
        """
        if max_bytes is None:
            max_bytes = RECEIVE_BYTES
        elif not isinstance(max_bytes, int) or max_bytes < 1:
            await trio.lowlevel.checkpoint()
            refusal = ValueError if isinstance(max_bytes, int) else TypeError
            raise refusal(f"max_bytes must be a whole number above 0, not {max_bytes!r}")
        try:
            return await self.socket.recv(max_bytes)
        except errors.WSAError as error:
            await trio.lowlevel.checkpoint()
            raise _in_trio_s_words(error) from error

    async def send_eof(self) -> None:
        """Tell the peer that nothing more comes; what it sends can still be received.

        The end follows what was accepted. A second call does nothing. Always a checkpoint; raises
        as ``send_all``.
        """
        self.socket._refuse_second_sender("send_eof")
        await trio.lowlevel.checkpoint()
        try:
            self.socket.shutdown(SD_SEND)
        except errors.WSAError as error:
            raise _in_trio_s_words(error) from error

    async def aclose(self) -> None:
        """Close; what was accepted still goes out. A checkpoint; closes also when cancelled."""
        self.socket.close()
        await trio.lowlevel.checkpoint()

    def setsockopt(self, level: int, option: int, value: int | bytes | tuple[int, int]) -> None:
        """As ``Socket.setsockopt``."""
        self.socket.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        """As ``Socket.getsockopt``."""
        return self.socket.getsockopt(level, option, size)


class SocketListener(trio.abc.Listener[SocketStream]):
    """A listening socket as a :class:`trio.abc.Listener`; :func:`trio.serve_listeners` takes it.

    Args:
      socket: listening; it belongs to the listener from now on.

    Attributes:
      socket: the same.

    Raises:
      TypeError: no stream socket. ValueError: it does not listen.
    """

    __slots__ = ("socket",)

    def __init__(self, socket: Socket) -> None:
        if socket.type != std.SOCK_STREAM:
            raise TypeError("SocketListener needs a stream socket")
        if socket.state != "LISTENING":
            raise ValueError(f"SocketListener needs a listening socket, not {socket!r}")
        self.socket = socket

    def __repr__(self) -> str:
        return f"<SocketListener {self.socket!r}>"

    async def accept(self) -> SocketStream:
        """Wait for a client. Always a checkpoint; cancelled, it has taken nobody.

        Connections that broke before they were taken are passed over.

        Raises:
          trio.ClosedResourceError: the listener was closed here.
          trio.BusyResourceError: another task waits.
          WSAEMFILE, WSAENOBUFS: out of descriptors or memory; trio.serve_listeners logs it, waits
            and tries again.
        """
        try:
            sock, _ = await self.socket.accept()
        except (errors.WSAEINTR, errors.WSAENOTSOCK) as error:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError("this listener was closed") from error
        return SocketStream(sock)

    async def aclose(self) -> None:
        """Close. A checkpoint; closes also when cancelled."""
        self.socket.close()
        await trio.lowlevel.checkpoint()


# ------------------------------------------------------------------------------------- connecting


async def open_tcp_stream(
    host: str,
    port: int,
    *,
    happy_eyeballs_delay: float = HAPPY_EYEBALLS_DELAY,
    local_address: str | None = None,
    stack: Stack | None = None,
) -> SocketStream:
    """Connect to the first address of ``host`` that answers.

    Addresses are tried in the resolver's order, families in turn; one that has not answered after
    ``happy_eyeballs_delay`` seconds goes on while the next one is tried. Always a checkpoint;
    cancelled, every attempt ends.

    Args:
      host: a name or a numeric address.
      port: 1 to 65535.
      happy_eyeballs_delay: seconds.
      local_address: connect from this numeric address; peers of the other family are left out.
      stack: the host to live on, as for ``wsock.socket``.

    Returns:
      a connected stream.

    Raises:
      WSAError: the class of the last failure, such as WSAECONNREFUSED; its cause is an
        ExceptionGroup with one failure per address. WSAHOST_NOT_FOUND and the like: no address.
    """
    addresses = _families_in_turn(await _socket_waiting.resolve(host, port))
    if local_address is not None:
        family = _family_of((local_address, 0))
        addresses = [address for address in addresses if _family_of(address) == family]
        if not addresses:
            detail = f"no address of {host} fits {local_address}"
            raise errors.WSAEADDRNOTAVAIL("open_tcp_stream", "", detail)
    attempts = _Attempts(addresses, happy_eyeballs_delay, local_address, stack)
    winner = await attempts.run()
    if winner is not None:
        return SocketStream(winner)
    group = ExceptionGroup(f"no address of {host} port {port} answers", attempts.failures)
    last = attempts.failures[-1]
    raise type(last)("open_tcp_stream", "", f"{host} port {port}: {last.detail}") from group


def _family_of(address: Any) -> int:  # noqa: ANN401
    return std.AF_INET6 if ":" in address[0] else std.AF_INET


def _families_in_turn(addresses: list[Any]) -> list[Any]:
    """Put the first address of another family second: if one family is broken, little is lost."""
    first = _family_of(addresses[0])
    for position, address in enumerate(addresses):
        if _family_of(address) != first:
            return [addresses[0], address, *addresses[1:position], *addresses[position + 1 :]]
    return addresses


class _Attempts:
    """Connects to several addresses, each a little later; the first connection wins."""

    __slots__ = ("addresses", "delay", "failures", "local_address", "scope", "stack", "winner")

    def __init__(
        self, addresses: list[Any], delay: float, local_address: str | None, stack: Stack | None
    ) -> None:
        self.addresses = addresses
        self.delay = delay
        self.local_address = local_address
        self.stack = stack
        self.failures: list[errors.WSAError] = []
        self.winner: Socket | None = None

    async def run(self) -> Socket | None:
        try:
            async with trio.open_nursery() as nursery:
                self.scope = nursery.cancel_scope
                for address in self.addresses:
                    failed = trio.Event()
                    nursery.start_soon(self._try, address, failed)
                    with trio.move_on_after(self.delay):
                        await failed.wait()
        except BaseException:
            if self.winner is not None:  # it connected just as the caller was cancelled
                self.winner.close()
            raise
        return self.winner

    async def _try(self, address: Any, failed: trio.Event) -> None:  # noqa: ANN401
        try:
            sock = _socket_making.socket(_family_of(address), std.SOCK_STREAM, stack=self.stack)
        except errors.WSAError as error:
            self.failures.append(error)
            failed.set()
            return
        try:
            if self.local_address is not None:
                sock.bind((self.local_address, 0))
            await sock.connect(address)
            if self.winner is None:
                self.winner = sock
                self.scope.cancel()
        except errors.WSAError as error:
            self.failures.append(error)
            failed.set()
        finally:
            if self.winner is not sock:
                sock.close()


# -------------------------------------------------------------------------------------- listening


async def open_tcp_listeners(
    port: int, *, host: str | None = None, backlog: int | None = None, stack: Stack | None = None
) -> list[SocketListener]:
    """Listen on ``port`` at every address of ``host``. Always a checkpoint.

    Args:
      port: 0 lets the system choose, for each address another one.
      host: a name or a numeric address; None: all of this host's, IPv4 and IPv6.
      backlog: how many connections may wait; None: as many as the system allows.
      stack: the host to live on, as for ``wsock.socket``.

    Returns:
      one listener per address.

    Raises:
      WSAEADDRINUSE, WSAEACCES, WSAEADDRNOTAVAIL, ...: then none is left open.
      WSAEAFNOSUPPORT: this system has none of the families (one alone is passed over).
    """
    addresses = await _socket_waiting.resolve(host, port, flags=std.AI_PASSIVE)
    length = BACKLOG if backlog is None else min(backlog, BACKLOG)
    listeners: list[SocketListener] = []
    unsupported: list[errors.WSAError] = []
    try:
        for address in addresses:
            try:
                sock = _socket_making.socket(_family_of(address), std.SOCK_STREAM, stack=stack)
            except errors.WSAEAFNOSUPPORT as error:
                unsupported.append(error)
                continue
            try:
                sock.bind(address)
                sock.listen(length)
                listeners.append(SocketListener(sock))
            except BaseException:
                sock.close()
                raise
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    if not listeners:
        raise unsupported[-1]
    return listeners


async def serve_tcp(
    handler: Callable[[SocketStream], Awaitable[object]],
    port: int,
    *,
    host: str | None = None,
    backlog: int | None = None,
    handler_nursery: trio.Nursery | None = None,
    stack: Stack | None = None,
    task_status: trio.TaskStatus[list[SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on ``port`` and run ``handler(stream)`` in a task for each client, for ever.

    :func:`open_tcp_listeners` followed by :func:`trio.serve_listeners`: see both. The handler
    closes the stream, or leaves that to this function; what it raises ends the server. With
    ``nursery.start`` you get the listeners.
    """
    listeners = await open_tcp_listeners(port, host=host, backlog=backlog, stack=stack)
    await trio.serve_listeners(
        handler, listeners, handler_nursery=handler_nursery, task_status=task_status
    )
