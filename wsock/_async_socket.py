# AsyncSocket: a class per connection, a method per event; after MFC's CAsyncSocket.
#
# > async_socket     on_receive ...               THIS FILE: from a message to a method
#   window           run()                        takes the messages, calls dispatch
#   async_tls        the same calls, encrypted    between the two after start_tls
#   socket           the nowait calls             does the work
#
# An AsyncSocket *has* a Socket; it is none. The window keeps the socket, and so this object, from
# create, attach or accept until close, detach, or the window's end.
#
# Rule 1: nothing here waits. An on_... method is a plain function, called in the task that runs the
#         window; what it raises goes to on_error of the same object, and no further unless that
#         raises, too.
# Rule 2: a notification may come late: the program has read everything meanwhile, or the client
#         waiting in accept has gone. A call that would wait, in a method that was told otherwise,
#         is no error; the notification is armed again and will come.
#
# Source: learn.microsoft.com, CAsyncSocket Class.

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING, Any, Final, cast

from . import _socket_making, errors
from ._async_tls import WM_SOCKET_NOTIFY, WM_TLS_NOTIFY, begin_tls
from ._socket import Socket
from .constants import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    SD_SEND,
)
from .tls import TLSFilter

if TYPE_CHECKING:
    import ssl

    from ._async_tls import TLSChannel
    from ._message import Message
    from ._stack import Stack
    from ._window import Window

__all__ = ["WM_SOCKET_NOTIFY", "WM_TLS_NOTIFY", "AsyncSocket"]

ALL_EVENTS: Final = FD_READ | FD_WRITE | FD_OOB | FD_ACCEPT | FD_CONNECT | FD_CLOSE

_METHODS: Final = {
    FD_READ: "on_receive",
    FD_WRITE: "on_send",
    FD_OOB: "on_out_of_band",
    FD_ACCEPT: "on_accept",
    FD_CONNECT: "on_connect",
    FD_CLOSE: "on_close",
}

# What a late notification leads to; the notification comes again (for lack of descriptors after
# 100 ms, and the provider logs it).
_COMES_AGAIN: Final = {
    "recv": (errors.WSAEWOULDBLOCK,),
    "recvfrom": (errors.WSAEWOULDBLOCK,),
    "accept": (errors.WSAEWOULDBLOCK, errors.WSAEMFILE, errors.WSAENOBUFS),
}


_FIRST: Final = "create, attach or accept comes first"


class _NoSocket:
    """Stands where a socket will be: every use of it says so."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        raise errors.WSAENOTSOCK(name, "", _FIRST)

    def __repr__(self) -> str:
        return "without a socket"


# (A __getattr__ on AsyncSocket itself would do, and cost 0.5 us a message.)
_NO_SOCKET: Final = cast("Socket", _NoSocket())


class AsyncSocket:
    """A socket whose events are methods to override. Serve it with ``await window.run()``.

    ::

        class Echo(wsock.AsyncSocket):
            def on_receive(self, error):
                self.send(self.receive())

        async with wsock.Window() as window:
            listener = Echo(window)
            listener.create(7)
            listener.listen()
            await window.run()

    Args:
      window: where the notifications go.

    Attributes:
      window: the same.
      socket: the Socket, once there is one; kept after ``close``.
      accepted_class: what ``accept`` makes; None: the listener's own class. It is called with the
        window.
    """

    __slots__ = ("__dict__", "__weakref__", "_tls", "socket", "window")

    accepted_class: type[AsyncSocket] | None = None

    def __init__(self, window: Window) -> None:
        self.window = window
        self.socket = _NO_SOCKET
        self._tls: TLSChannel | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.socket!r}>"

    # Getting a socket, and giving it up

    def create(
        self,
        port: int = 0,
        *,
        type: int = std.SOCK_STREAM,  # noqa: A002
        events: int = ALL_EVENTS,
        address: str = "",
        stack: Stack | None = None,
    ) -> None:
        """Make a socket, bind it and select ``events``. Never a checkpoint.

        Args:
          port: 0 lets the system choose; a stream socket without port and address is left unbound,
            to connect.
          type: SOCK_STREAM or SOCK_DGRAM.
          events: FD_ bits to be told of.
          address: a numeric address of this host (with a colon: IPv6); "" stands for all of IPv4.
          stack: the host to live on, as for ``wsock.socket``.

        Raises:
          WSAEINVAL: there is a socket already. WSAEFAULT: the port is none. Else as
          ``wsock.socket`` and ``Socket.bind``.
        """
        self._refuse_second()
        family = std.AF_INET6 if ":" in address else std.AF_INET
        sock = _socket_making.socket(family, type, stack=stack)
        try:
            if port or address or type != std.SOCK_STREAM:
                sock.bind((address, port))
            self.attach(sock, events)
        except BaseException:
            sock.close()
            raise

    def attach(self, sock: Socket, events: int = ALL_EVENTS) -> None:
        """Take over a socket, as it is, and select ``events``. Never a checkpoint.

        Raises:
          WSAEINVAL: there is a socket already.
          ValueError: another AsyncSocket has this one.
        """
        self._refuse_second()
        if sock.handler is not None:
            raise ValueError(f"{sock!r} belongs to {sock.handler!r}")
        self.socket = sock
        self._tls = None
        sock.handler = self
        try:
            sock.async_select(self.window, WM_SOCKET_NOTIFY, events)
        except BaseException:
            sock.handler = None
            self.socket = _NO_SOCKET
            raise

    def detach(self) -> Socket:
        """Give the socket up: no longer selected, otherwise as it is. Never a checkpoint.

        Raises:
          WSAENOTSOCK: there is none. WSAEINVAL: it speaks TLS, whose keys are here.
        """
        sock = self._existing("detach")
        if not sock.closed:
            if self._tls is not None:
                raise errors.WSAEINVAL("detach", sock.state, "the socket speaks TLS")
            sock.async_select(None, 0, 0)
        sock.handler = None
        self.socket = _NO_SOCKET
        return sock

    def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        suppress_ragged_eofs: bool = False,
    ) -> None:
        """Speak TLS from here on, over the connection there is. Never a checkpoint.

        A server calls it right after ``accept``, a client in ``on_connect``, a protocol with
        STARTTLS when both have agreed. All calls and methods then mean plaintext, under the same
        rules: ``on_send`` tells that the handshake is complete (until then ``send`` says
        WSAEWOULDBLOCK and ``send_all`` WSAENOBUFS), ``on_close`` comes after the last byte, with 0
        if the peer said close_notify and 10053 if TLS failed or the connection was cut off; why is
        in ``tls.error``, and logged at level INFO to the logger "wsock". ``shutdown`` and ``close``
        say close_notify. A handshake takes as long as the peer likes: a server closes it after a
        while.

        Args:
          context, server_side, server_hostname, suppress_ragged_eofs: as of :class:`TLSFilter`.

        Raises:
          ValueError: the context does not fit. WSAENOTCONN: not connected. WSAEALREADY: it speaks
          TLS already. WSAEOPNOTSUPP: a datagram socket. WSAESHUTDOWN: sending was ended.
          WSAENOTSOCK: there is none.
        """
        sock = self.socket
        self._check_connected("start_tls")
        tls = TLSFilter(
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            suppress_ragged_eofs=suppress_ragged_eofs,
        )
        self._tls = begin_tls(sock, self.window, tls)

    @property
    def tls(self) -> TLSFilter | None:
        """The TLS of this connection (version, certificates, error); None before ``start_tls``."""
        return None if self._tls is None else self._tls.filter

    def select(self, events: int) -> None:
        """Be told of these events only (CAsyncSocket::AsyncSelect); 0: of none."""
        number = WM_SOCKET_NOTIFY if self._tls is None else WM_TLS_NOTIFY
        self.socket.async_select(self.window, number, events)

    def close(self) -> None:
        """Close the socket; no method is called any more, also for what is queued.

        Bytes accepted by ``send`` still go out. Closing again, or without a socket, does nothing.
        Never a checkpoint.
        """
        sock = self.socket
        if sock is not _NO_SOCKET:
            sock.close()
            sock.handler = None

    def _check_connected(self, call: str) -> None:
        sock = self._existing(call)
        if sock.closed:
            raise errors.WSAENOTSOCK(call, sock.state, "the socket is closed")
        if sock.type != std.SOCK_STREAM:
            raise errors.WSAEOPNOTSUPP(call, sock.state, "a datagram socket")
        if sock.state != "CONNECTED":
            raise errors.WSAENOTCONN(call, sock.state)
        if self._tls is not None:
            raise errors.WSAEALREADY(call, sock.state, "the socket speaks TLS already")

    def _existing(self, call: str) -> Socket:
        """The socket; where there is none the error names ``call``, not what it looked at."""
        if self.socket is _NO_SOCKET:
            raise errors.WSAENOTSOCK(call, "", _FIRST)
        return self.socket

    def _refuse_second(self) -> None:
        sock = self.socket
        if sock is not _NO_SOCKET and not sock.closed:
            raise errors.WSAEINVAL("attach", sock.state, "this object has a socket already")

    # Calls: those of the socket that never wait

    def listen(self, backlog: int = 128) -> None:
        """Listen; ``on_accept`` tells of clients. As ``Socket.listen``."""
        self.socket.listen(backlog)

    def accept(self, connected: AsyncSocket | None = None) -> AsyncSocket:
        """Take the client that has waited longest; call it from ``on_accept``.

        Args:
          connected: gets the socket; None: a new object of ``accepted_class``.

        Returns:
          ``connected``, which inherits the listener's window and events, whatever was its own.

        Raises:
          WSAEWOULDBLOCK: nobody waits. WSAEMFILE: out of descriptors. As ``Socket.accept_nowait``.
        """
        if connected is None:
            connected = (self.accepted_class or type(self))(self.window)
        connected._refuse_second()
        sock, _ = self.socket.accept_nowait()
        connected.window = self.window
        connected.socket = sock
        connected._tls = None
        sock.handler = connected
        return connected

    def connect(self, address: Any) -> None:  # noqa: ANN401
        """Begin to connect to a numeric address; ``on_connect`` tells how it ended.

        Raises:
          WSAEALREADY, WSAEISCONN, WSAEINVAL, ...: it did not begin.
        """
        code = self.socket.connect_ex(address)
        if code not in (0, errors.WSAEWOULDBLOCK.winerror):
            raise errors.error_class(code)("connect", self.socket.state, str(address))

    def receive(self, max_bytes: int = 65536, flags: int = 0) -> bytes:
        """Take what has arrived; ``b""`` after the peer's end. As ``Socket.recv_nowait``."""
        sock = self.socket
        if sock.__class__ is Socket:  # which would only pass it on: a frame less (2 %)
            return sock._endpoint.recv(max_bytes, flags)  # type: ignore[no-any-return]
        return sock.recv_nowait(max_bytes, flags)

    def receive_from(self, max_bytes: int = 65536, flags: int = 0) -> tuple[bytes, Any]:
        """Take one datagram and its sender. As ``Socket.recvfrom_nowait``."""
        return self.socket.recvfrom_nowait(max_bytes, flags)

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send all of ``data`` or nothing; after WSAEWOULDBLOCK ``on_send`` tells of room."""
        sock = self.socket
        if sock.__class__ is Socket and data.__class__ is bytes:
            return sock._endpoint.send(data, flags)  # type: ignore[no-any-return]
        return sock.send_nowait(data, flags)

    def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send behind what still waits, up to ``socket.max_unsent``; else WSAENOBUFS."""
        self.socket.send_all_nowait(data)

    def send_to(
        self,
        data: bytes | bytearray | memoryview,
        address: Any,  # noqa: ANN401
        flags: int = 0,
    ) -> int:
        """Send one datagram to a numeric address. As ``Socket.sendto_nowait``."""
        return self.socket.sendto_nowait(data, address, flags)

    def shutdown(self, how: int = SD_SEND) -> None:
        """End sending, receiving or both. As ``Socket.shutdown``."""
        self.socket.shutdown(how)

    # What to override: each is told an error code, 0 for success

    def on_receive(self, error: int) -> None:
        """Something has arrived: call ``receive``; what is left is told of again. FD_READ."""

    def on_send(self, error: int) -> None:
        """There is room: once at the beginning, then after WSAEWOULDBLOCK. FD_WRITE."""

    def on_out_of_band(self, error: int) -> None:
        """An urgent byte has arrived: ``receive(1, MSG_OOB)``. FD_OOB."""

    def on_accept(self, error: int) -> None:
        """A client waits; this accepts it. FD_ACCEPT."""
        self.accept()

    def on_connect(self, error: int) -> None:
        """``connect`` has ended, with 0 or the reason why not. FD_CONNECT."""

    def on_close(self, error: int) -> None:
        """The peer has ended and all was read, or the connection is reset: closes. FD_CLOSE."""
        self.close()

    def on_error(self, exception: Exception) -> None:
        """An on_... method has raised; this raises again, through ``Window.run``.

        A server overrides it, logs and closes: then one client's trouble stays that client's.
        """
        raise exception

    # From the window

    def dispatch(self, message: Message) -> object:
        """Call the method of a message about this socket; ``Window.run`` does."""
        try:
            if self._tls is not None and message.message == WM_SOCKET_NOTIFY:
                self._tls.on_transport(message)
                return None
            # What a method returns goes on to the loop, which refuses an awaitable.
            if message.event == FD_READ:  # most are
                return self.on_receive(message.error)  # type: ignore[func-returns-value]
            name = _METHODS.get(message.event)
            return None if name is None else getattr(self, name)(message.error)
        except Exception as error:
            if not self._was_late(error):
                self.on_error(error)
            return None

    def _was_late(self, error: Exception) -> bool:
        if not isinstance(error, errors.WSAError):
            return False
        if isinstance(error, _COMES_AGAIN.get(error.call, ())):
            return True
        # Closed by the program behind this object's back, with messages still in the queue.
        return isinstance(error, errors.WSAENOTSOCK) and self.socket.closed
