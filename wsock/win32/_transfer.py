# ws2_32: send and recv in all their forms.
#
# Rule 1: these are the hot path of the face: a handle looked up, one call down, no decorator, no
#         object made but what the endpoint makes.
# Rule 2: received bytes go into the program's buffer; what a call does not fill stays as it was.
# Rule 3: overlapped I/O is not there: lpOverlapped must be None, else WSAEOPNOTSUPP.
#
# Sources: learn.microsoft.com on each function.

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio

from wsock import errors
from wsock._socket_waiting import sent
from wsock.afd.states import PEER_RELEASED
from wsock.tdi import addresses
from wsock.win32 import _reactor, _threads
from wsock.win32._addresses import address_of, fill, room_for
from wsock.win32._border import (
    SEND_TIMEOUT,
    SOL_SOCKET,
    STREAM,
    URGENT,
    WAIT_ALL,
    WINDOWS_FAMILIES,
    message_flags,
    send_flags,
)
from wsock.win32._buffers import number, store, target, view
from wsock.win32._calls import attempt, attempt_again, failed, look_first, socket_of
from wsock.win32._threads import current, get_thread
from wsock.win32.constants import FD_OOB, FD_READ, FD_WRITE, MSG_OOB, SOCKET_ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock._socket import Socket
    from wsock.win32._threads import Thread
    from wsock.win32.types import WSABUF


# ------------------------------------------------------------------------------------- receiving


def recv(s: int, buf: Any, len: int, flags: int) -> int:  # noqa: A002
    """int recv(SOCKET s, char *buf, int len, int flags): MSG_PEEK, MSG_OOB, MSG_WAITALL.

    Waits for something if the socket is blocking. The buffer is a bytearray, a writable
    memoryview or a ctypes array.

    Returns:
      how many bytes; 0 when the peer has ended and everything is read; SOCKET_ERROR with
      WSAEWOULDBLOCK, WSAECONNRESET, WSAENOTCONN, WSAESHUTDOWN, WSAEMSGSIZE (a datagram was longer
      than the buffer, which is full), WSAEINVAL (negative length) ...
    """
    try:
        thread = get_thread()
        sock = thread.process.sockets.get(s) or socket_of(s)
        endpoint = sock._endpoint
        if flags or len <= 0 or endpoint.type != STREAM:
            count: int = _receive(sock, buf, len, flags, None)
            thread.last_error = 0
            return count
        if endpoint.mask & endpoint.armed & FD_READ:
            _reactor.turn()
        # A bytearray of just this length (compared by its own method, C's ``len`` hides Python's)
        # needs no view.
        room = buf if buf.__class__ is bytearray and buf.__len__() == len else view(buf)[:len]
        try:
            count = endpoint.recv_into(room)
        except errors.WSAEWOULDBLOCK:
            count = attempt_again(sock, "recv", FD_READ, endpoint.recv_into, room)
    except errors.WSAError as error:
        return failed(error)
    thread.last_error = 0
    thread.calls_left -= 1
    if not thread.calls_left:
        _threads.pass_scheduler()
    return count


def recvfrom(
    s: int,
    buf: Any,
    len: int,  # noqa: A002
    flags: int,
    from_: Any = None,
    fromlen: Any = None,
) -> int:
    """int recvfrom(SOCKET s, char *buf, int len, int flags, sockaddr *from, int *fromlen).

    As recv; the sender's address comes back in ``from``, for a datagram. Of a connected stream
    nothing is written there.
    """
    try:
        count = _receive(socket_of(s), buf, len, flags, (from_, fromlen))
    except errors.WSAError as error:
        return failed(error)
    thread = current()
    thread.last_error = 0
    _threads.succeeded(thread)
    return count


def _receive(
    sock: Socket, buf: Any, length: int, flags: int, sender: tuple[Any, Any] | None
) -> int:
    """Any receiving call; ``sender``: where the sender's address goes, and its length."""
    here = message_flags(flags)
    endpoint = sock._endpoint
    look_first(sock, FD_READ | FD_OOB)
    if endpoint.type == STREAM:
        data = _receive_stream(sock, length, here)
        if data:
            view(target(buf))[: len(data)] = data
        return len(data)
    name, namelen = sender or (None, None)
    room_for(name, namelen, WINDOWS_FAMILIES[endpoint.family])
    data, cut, remote = attempt(sock, "recvfrom", FD_READ, endpoint.recvfrom, length, here)
    if data:
        view(target(buf))[: len(data)] = data
    if remote:
        fill(name, namelen, addresses.unpack(endpoint.family, remote))
    if cut:
        raise errors.WSAEMSGSIZE("recvfrom", endpoint.state, f"longer than {length} bytes")
    return len(data)


def _receive_stream(sock: Socket, length: int, flags: int) -> bytes:
    endpoint = sock._endpoint
    if flags & WAIT_ALL and not endpoint.nonblocking and length > 0 and flags == WAIT_ALL:
        gathered: bytes = _threads.wait(_gather, sock, length)
        return gathered
    if length == 0 and not flags:
        return attempt(sock, "recv", FD_READ, _receive_nothing, endpoint)
    if flags & URGENT:
        return attempt(sock, "recv", FD_OOB, _receive_urgent, endpoint, length, flags)
    data: bytes = attempt(sock, "recv", FD_READ, endpoint.recv, length, flags)
    return data


def _receive_urgent(endpoint: Any, length: int, flags: int) -> bytes:
    """A receive with MSG_OOB; one that would wait for a peer that has ended gives 0."""
    try:
        data: bytes = endpoint.recv(length, flags)
    except errors.WSAEWOULDBLOCK:
        if endpoint.nonblocking or not endpoint.attention & PEER_RELEASED:
            raise
        return b""
    return data


def _receive_nothing(endpoint: Any) -> bytes:
    """A receive of length 0: succeeds when one of length 1 would, and takes nothing."""
    data: bytes = endpoint.recv(0)
    if not any(endpoint.select_state()[:1]):
        raise errors.WSAEWOULDBLOCK("recv", endpoint.state)
    return data


async def _gather(sock: Socket, length: int) -> bytes:
    """A blocking recv with MSG_WAITALL: the whole length, or what comes before the end."""
    return await sock.recv(length, WAIT_ALL)


def WSARecv(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Any,
    lpFlags: Any,
    lpOverlapped: None = None,
    lpCompletionRoutine: None = None,
) -> int:
    """int WSARecv(s, buffers, count, LPDWORD received, LPDWORD flags, NULL, NULL).

    One receive, spread over the buffers in order. The flags go in and come out.
    """
    return _scatter(s, lpBuffers, dwBufferCount, lpNumberOfBytesRecvd, lpFlags, None, lpOverlapped)


def WSARecvFrom(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Any,
    lpFlags: Any,
    lpFrom: Any,
    lpFromlen: Any,
    lpOverlapped: None = None,
    lpCompletionRoutine: None = None,
) -> int:
    """int WSARecvFrom(s, buffers, count, LPDWORD received, LPDWORD flags, from, fromlen, ...)."""
    sender = (lpFrom, lpFromlen)
    return _scatter(
        s, lpBuffers, dwBufferCount, lpNumberOfBytesRecvd, lpFlags, sender, lpOverlapped
    )


def _scatter(
    s: int,
    buffers: Sequence[WSABUF],
    count: int,
    received: Any,
    flags: Any,
    sender: tuple[Any, Any] | None,
    overlapped: object,
) -> int:
    rooms = [view(target(buffer.buf))[: buffer.len] for buffer in list(buffers)[:count]]
    whole = bytearray(sum(map(len, rooms)))
    try:
        sock = socket_of(s)
        _refuse_overlapped(overlapped)
        got = _receive(sock, whole, len(whole), number(flags), sender)
    except errors.WSAEMSGSIZE as error:
        _spread(whole, rooms)
        return failed(error)
    except errors.WSAError as error:
        return failed(error)
    _spread(whole[:got], rooms)
    store(received, got)
    store(flags, 0)
    _threads.succeeded(current())
    return 0


def _spread(data: bytearray, rooms: list[memoryview]) -> None:
    start = 0
    for room in rooms:
        part = data[start : start + len(room)]
        room[: len(part)] = part
        start += len(part)


def _refuse_overlapped(overlapped: object) -> None:
    if overlapped is not None:
        raise errors.WSAEOPNOTSUPP("overlapped", "", "lpOverlapped must be NULL")


# --------------------------------------------------------------------------------------- sending


def send(s: int, buf: Any, len: int, flags: int) -> int:  # noqa: A002
    """int send(SOCKET s, const char *buf, int len, int flags): MSG_OOB, MSG_DONTROUTE.

    A blocking socket waits until all of it is with the system. A nonblocking one takes all of it
    or fails with WSAEWOULDBLOCK; FD_WRITE tells when there is room. A str is sent as UTF-8.

    Returns:
      ``len``; SOCKET_ERROR with WSAEWOULDBLOCK, WSAENOTCONN, WSAESHUTDOWN, WSAECONNRESET,
      WSAEMSGSIZE (a datagram over 65,507 bytes) ...
    """
    try:
        thread = get_thread()
        sock = thread.process.sockets.get(s) or socket_of(s)
        endpoint = sock._endpoint
        data = buf if buf.__class__ is bytes and buf.__len__() == len else _bytes(buf, len)
        if flags or endpoint.type != STREAM or not endpoint.nonblocking:
            return _send(thread, sock, data, flags, b"")
        try:
            endpoint.send(data)
        except errors.WSAEWOULDBLOCK:
            attempt_again(sock, "send", FD_WRITE, endpoint.send, data)
    except errors.WSAError as error:
        return failed(error)
    thread.last_error = 0
    thread.calls_left -= 1
    if not thread.calls_left:
        _threads.pass_scheduler()
    return len


def _bytes(buf: Any, length: int) -> bytes:
    if isinstance(buf, str):
        buf = buf.encode()
    if length < 0:
        raise errors.WSAEFAULT("send", "", f"length {length} is negative")
    return bytes(view(target(buf))[:length])


def sendto(
    s: int,
    buf: Any,
    len: int,  # noqa: A002
    flags: int,
    to: Any = None,
    tolen: Any = None,
) -> int:
    """int sendto(SOCKET s, const char *buf, int len, int flags, const sockaddr *to, int tolen).

    An unbound datagram socket is bound first. On a connected stream the address is ignored.
    """
    try:
        thread, sock = current(), socket_of(s)
        data = _bytes(buf, len)
        remote = b""
        if sock.type != STREAM and target(to) is not None:
            family, address = address_of(to, tolen)
            if family != WINDOWS_FAMILIES[sock.family]:
                raise errors.WSAEAFNOSUPPORT("sendto", sock.state, f"address family {family}")
            remote = sock._endpoint.packed("sendto", address)
        return _send(thread, sock, data, flags, remote)
    except errors.WSAError as error:
        return failed(error)


def _send(thread: Thread, sock: Socket, data: bytes, flags: int, remote: bytes) -> int:
    """Any sending call, by the socket's mode."""
    here = send_flags(flags)
    endpoint = sock._endpoint
    if flags & MSG_OOB:
        _reactor.turn()  # what was sent before is reported before
    if endpoint.type != STREAM:
        args: tuple[Any, ...] = (endpoint.sendto, data, remote, here)
    else:
        args = (endpoint.send, data, here)
    count: int = attempt(sock, "send", FD_WRITE, *args)
    if not endpoint.nonblocking and endpoint.unsent > endpoint.send_limit:
        _threads.wait(_delivered, sock)
    thread.last_error = 0
    _threads.succeeded(thread)
    return count


async def _delivered(sock: Socket) -> None:
    """The second half of a blocking send: until all of it is with the system.

    When SO_SNDTIMEO is over the rest still goes out; how much did, the program cannot know.
    """
    endpoint = sock._endpoint
    limit = endpoint.option(SOL_SOCKET, SEND_TIMEOUT) / 1000
    with trio.move_on_after(limit or math.inf) as scope:
        await sent(endpoint, "send")
    if scope.cancelled_caught:
        raise errors.WSAETIMEDOUT("send", endpoint.state)


def WSASend(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Any,
    dwFlags: int,
    lpOverlapped: None = None,
    lpCompletionRoutine: None = None,
) -> int:
    """int WSASend(s, buffers, count, LPDWORD sent, flags, NULL, NULL): all buffers, one send."""
    return _gathered(s, lpBuffers, dwBufferCount, lpNumberOfBytesSent, dwFlags, None, lpOverlapped)


def WSASendTo(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Any,
    dwFlags: int,
    lpTo: Any,
    iTolen: int,
    lpOverlapped: None = None,
    lpCompletionRoutine: None = None,
) -> int:
    """int WSASendTo(s, buffers, count, LPDWORD sent, flags, to, tolen, NULL, NULL)."""
    to = (lpTo, iTolen)
    return _gathered(s, lpBuffers, dwBufferCount, lpNumberOfBytesSent, dwFlags, to, lpOverlapped)


def _gathered(
    s: int,
    buffers: Sequence[WSABUF],
    count: int,
    sent: Any,
    flags: int,
    to: tuple[Any, Any] | None,
    overlapped: object,
) -> int:
    data = b"".join(_bytes(buffer.buf, buffer.len) for buffer in list(buffers)[:count])
    try:
        socket_of(s)
        _refuse_overlapped(overlapped)
    except errors.WSAError as error:
        return failed(error)
    done = send(s, data, len(data), flags) if to is None else sendto(s, data, len(data), flags, *to)
    if done == SOCKET_ERROR:
        return SOCKET_ERROR
    store(sent, done)
    return 0


__all__ = [
    "WSARecv", "WSARecvFrom", "WSASend", "WSASendTo", "recv", "recvfrom", "send", "sendto",
]  # fmt: skip
