# ws2_32: sockets from their making to their closing.
#
# Rule 1: accepted sockets get a handle at once, also those that a condition function refuses have
#         none.
# Rule 2: blocking connect, accept and closesocket suspend only the calling thread.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsock import _socket_making, errors
from wsock.tdi import addresses
from wsock.win32 import _reactor, _threads
from wsock.win32._addresses import address_of, family_of, fill, packed, room_for
from wsock.win32._border import STREAM, WINDOWS_FAMILIES, kind_of_socket
from wsock.win32._buffers import target
from wsock.win32._calls import (
    attempt,
    check_started,
    failed,
    keeping_last_error,
    look_first,
    socket_of,
    winsock_call,
)
from wsock.win32._threads import current
from wsock.win32.constants import (
    AF_INET,
    AF_UNSPEC,
    CF_ACCEPT,
    CF_DEFER,
    FD_ACCEPT,
    INVALID_SOCKET,
)
from wsock.win32.types import WSABUF

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock._socket import Socket


# --------------------------------------------------------------------------------- make and bind


def socket(af: int, type: int, protocol: int) -> int:  # noqa: A002
    """SOCKET socket(int af, int type, int protocol).

    Type 0 takes the protocol's, protocol 0 the type's. On Linux SOCK_RAW needs a privilege.

    Returns:
      the socket, blocking; INVALID_SOCKET with WSAEAFNOSUPPORT, WSAESOCKTNOSUPPORT,
      WSAEPROTONOSUPPORT, WSANOTINITIALISED, WSAEMFILE ...
    """
    try:
        check_started()
        made = _socket_making.socket(*kind_of_socket(af, type, protocol))
    except errors.WSAError as error:
        failed(error)
        return INVALID_SOCKET
    current().last_error = 0
    return _with_handle(made)


def _with_handle(sock: Socket) -> int:
    handle = sock.handle
    process = current().process
    process.sockets[handle] = sock
    process.handles[sock] = handle
    return handle


def WSASocket(
    af: int,
    type: int,  # noqa: A002
    protocol: int,
    lpProtocolInfo: None = None,
    g: int = 0,
    dwFlags: int = 0,
) -> int:
    """SOCKET WSASocket(af, type, protocol, info, group, flags): socket() with three more arguments.

    WSA_FLAG_OVERLAPPED changes nothing; a WSAPROTOCOL_INFO is WSAEOPNOTSUPP.
    """
    if lpProtocolInfo is not None:
        failed(errors.WSAEOPNOTSUPP("WSASocket", "", "sockets of other processes"))
        return INVALID_SOCKET
    return socket(af, type, protocol)


@winsock_call
def bind(s: int, name: Any, namelen: Any = None) -> int:
    """int bind(SOCKET s, const sockaddr *name, int namelen): gives a socket its local address."""
    sock = socket_of(s)
    family, address = address_of(name, namelen)
    _check_family(sock, family)
    sock.bind(address)
    return 0


def _check_family(sock: Socket, family: int) -> None:
    if family != WINDOWS_FAMILIES.get(sock.family):
        raise errors.WSAEAFNOSUPPORT("sockaddr", sock.state, f"address family {family}")


@winsock_call
def listen(s: int, backlog: int) -> int:
    """int listen(SOCKET s, int backlog): begins to take connections.

    The backlog is this system's: beyond it a client's connect waits, where Windows refuses it.
    """
    socket_of(s).listen(backlog)
    return 0


# --------------------------------------------------------------------------------------- accept


def accept(s: int, addr: Any = None, addrlen: Any = None) -> int:
    """SOCKET accept(SOCKET s, sockaddr *addr, int *addrlen): the next client.

    Waits for one if the socket is blocking, whatever SO_RCVTIMEO says. The new socket has the
    listener's mode, selection and options.

    Returns:
      the new socket; INVALID_SOCKET with WSAEWOULDBLOCK, WSAEINVAL (not listening), WSAEFAULT
      (addrlen too small; the client stays in the queue), WSAEINTR (closed meanwhile) ...
    """
    try:
        sock = socket_of(s)
        if sock.type == STREAM:
            room_for(addr, addrlen, WINDOWS_FAMILIES[sock.family])
        look_first(sock, FD_ACCEPT)
        accepted, peer = attempt(sock, "accept", FD_ACCEPT, sock.accept_nowait)
        if target(addr) is not None:
            fill(addr, addrlen, peer)
            current().last_error = 0  # without an address accept keeps it
    except errors.WSAError as error:
        failed(error)
        return INVALID_SOCKET
    _threads.succeeded(current())
    return _with_handle(accepted)


def WSAAccept(
    s: int,
    addr: Any = None,
    addrlen: Any = None,
    lpfnCondition: Callable[..., int] | None = None,
    dwCallbackData: object = 0,
) -> int:
    """SOCKET WSAAccept(SOCKET s, addr, addrlen, LPCONDITIONPROC condition, callback_data).

    The condition is called as condition(caller_id, caller_data, sqos, gqos, callee_id,
    callee_data, g, callback_data); the ids are WSABUF objects with a sockaddr in ``buf``. On
    CF_ACCEPT the client is accepted; on CF_REJECT it is reset and the call fails with
    WSAECONNREFUSED; on CF_DEFER it stays in the queue, WSATRY_AGAIN. (The kernel has completed the
    handshake before: a rejected client sees a connection that is reset at once.)
    """
    if lpfnCondition is None:
        return accept(s, addr, addrlen)
    try:
        sock = socket_of(s)
        endpoint: Any = sock._endpoint
        if sock.type != STREAM:
            raise errors.WSAEOPNOTSUPP("WSAAccept", sock.state, "a datagram socket")
        room_for(addr, addrlen, WINDOWS_FAMILIES[sock.family])
        attempt(sock, "WSAAccept", FD_ACCEPT, _hold, sock)
        caller, callee = _caller(sock), _identity(sock.getsockname())
        answer = lpfnCondition(caller, None, None, None, callee, None, 0, dwCallbackData)
        if answer == CF_DEFER:
            raise errors.WSATRY_AGAIN("WSAAccept", sock.state, "deferred by the condition")
        if answer != CF_ACCEPT:
            endpoint.refuse_held()
            raise errors.WSAECONNREFUSED("WSAAccept", sock.state, "rejected by the condition")
    except errors.WSAError as error:
        failed(error)
        return INVALID_SOCKET
    return accept(s, addr, addrlen)


def _hold(sock: Socket) -> None:
    if sock._endpoint.held_connection() is None:
        raise errors.WSAEWOULDBLOCK("WSAAccept", sock.state)


def _caller(sock: Socket) -> WSABUF:
    """Who the next accept would hand over, as a condition function sees it."""
    held = sock._endpoint.held_connection()
    return _identity(addresses.unpack(sock.family, held.remote))


def _identity(address: Any) -> WSABUF:
    data = bytes(packed(address))
    return WSABUF(len(data), data)


# -------------------------------------------------------------------------------------- connect


@keeping_last_error
def connect(s: int, name: Any, namelen: Any = None) -> int:
    """int connect(SOCKET s, const sockaddr *name, int namelen).

    Waits for the connection if the socket is blocking; otherwise it begins, and WSAEWOULDBLOCK
    says so. A datagram socket gets its peer; port 0, or AF_UNSPEC, takes it away.
    """
    sock = socket_of(s)
    endpoint = sock._endpoint
    _reactor.turn()  # an earlier attempt may have ended
    if endpoint.type == STREAM:
        endpoint.check_connectable()
    address = _address_to_connect(sock, name, namelen)
    endpoint.connect(endpoint.packed("connect", address))
    if endpoint.type != STREAM or endpoint.state == "CONNECTED":
        _threads.succeeded(current())
        return 0
    if endpoint.nonblocking:
        raise errors.WSAEWOULDBLOCK("connect", endpoint.state)
    _reactor.turn()  # to this machine the handshake is over by now
    if endpoint.state == "CONNECTING":
        _threads.wait(_connected, sock)
    else:
        _threads.succeeded(current())
    if endpoint.connect_code:
        code, endpoint.socket_error = endpoint.connect_code, 0
        raise errors.error_class(code)("connect", endpoint.state)
    return 0


def _address_to_connect(sock: Socket, name: Any, namelen: Any) -> Any:
    if sock.type != STREAM and family_of(name, namelen) == AF_UNSPEC:
        return ("0.0.0.0", 0) if WINDOWS_FAMILIES[sock.family] == AF_INET else ("::", 0)
    family, address = address_of(name, namelen)
    _check_family(sock, family)
    return address


async def _connected(sock: Socket) -> None:
    endpoint = sock._endpoint
    while endpoint.state == "CONNECTING":
        await sock.wait_turn("connect", send=True)


def WSAConnect(
    s: int,
    name: Any,
    namelen: Any = None,
    lpCallerData: None = None,
    lpCalleeData: None = None,
    lpSQOS: None = None,
    lpGQOS: None = None,
) -> int:
    """int WSAConnect(s, name, namelen, ...): connect(); TCP has no data or QOS to pass on."""
    return connect(s, name, namelen)


# ---------------------------------------------------------------------------------------- names


@winsock_call
def getsockname(s: int, name: Any, namelen: Any = None) -> int:
    """int getsockname(SOCKET s, sockaddr *name, int *namelen); WSAEINVAL while not bound."""
    sock = socket_of(s)
    address = sock.getsockname()
    room_for(name, namelen, WINDOWS_FAMILIES[sock.family])
    fill(name, namelen, address)
    return 0


@winsock_call
def getpeername(s: int, name: Any, namelen: Any = None) -> int:
    """int getpeername(SOCKET s, sockaddr *name, int *namelen); WSAENOTCONN without a peer."""
    sock = socket_of(s)
    address = sock.getpeername()
    room_for(name, namelen, WINDOWS_FAMILIES[sock.family])
    fill(name, namelen, address)
    return 0


# -------------------------------------------------------------------------------------- the end


@winsock_call
def shutdown(s: int, how: int) -> int:
    """int shutdown(SOCKET s, int how): SD_RECEIVE, SD_SEND or SD_BOTH."""
    socket_of(s).shutdown(how)
    return 0


@keeping_last_error
def closesocket(s: int) -> int:
    """int closesocket(SOCKET s).

    What was sent is still delivered. With SO_LINGER and seconds a blocking socket waits for that;
    a nonblocking one with bytes unsent answers WSAEWOULDBLOCK and stays open. With 0 seconds the
    connection is reset.
    """
    sock = socket_of(s)
    endpoint: Any = sock._endpoint
    lingers = bool(endpoint.linger) and endpoint.unsent > 0
    if lingers and endpoint.nonblocking:
        _reactor.turn()
        if endpoint.unsent > 0:
            _threads.pass_scheduler()
            raise errors.WSAEWOULDBLOCK("closesocket", sock.state, "SO_LINGER, and bytes unsent")
    process = current().process
    process.sockets.pop(s, None)
    process.handles.pop(sock, None)
    if lingers:
        _threads.wait(sock.aclose)
    else:
        sock.close()
    return 0


__all__ = [
    "WSAAccept", "WSAConnect", "WSASocket", "accept", "bind", "closesocket", "connect",
    "getpeername", "getsockname", "listen", "shutdown", "socket",
]  # fmt: skip
