"""Socket calls of the C face that the scenarios do not reach."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ported import (
    listener,
    loopback,
    nonblocking,
    pair,
    program,
    until_others_wait,
    winsock_program,
)

import wsock
from wsock import win32 as w


def received(s: int, n: int = 100, flags: int = 0) -> bytes | int:
    """recv; the bytes, or the error code."""
    room = bytearray(n)
    count = w.recv(s, room, n, flags)
    return w.WSAGetLastError() if count == w.SOCKET_ERROR else bytes(room[:count])


def sent(s: int, data: bytes) -> int:
    """send; the count, or SOCKET_ERROR."""
    return w.send(s, data, len(data), 0)


@winsock_program
def test_handles_cross_over_between_the_faces() -> None:
    """socket_object and Socket.handle; a socket of the Python face serves C calls."""
    near, far = pair()
    sock = w.socket_object(near)
    assert isinstance(sock, wsock.Socket)
    assert sock.handle == near
    assert near % 4 == 0
    assert sock.send_nowait(b"python") == 6
    assert received(far) == b"python"
    own = wsock.socket()
    assert w.bind(own.handle, loopback(), 16) == 0
    assert own.getsockname()[0] == "127.0.0.1"
    own.close()
    assert w.listen(own.handle, 1) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAENOTSOCK
    with pytest.raises(KeyError):
        w.socket_object(own.handle)


@winsock_program
def test_every_kind_of_buffer() -> None:
    """bytes, bytearray, str, memoryview and ctypes arrays; a part of them by the length."""
    near, far = pair()
    array = (ctypes.c_char * 3)(*b"abc")
    for data in (b"abc", bytearray(b"abcdef"), "abc", memoryview(b"abcd"), array):
        assert w.send(near, data, 3, 0) == 3
        assert received(far) == b"abc"
    rooms = [(kind * 8)() for kind in (ctypes.c_char, ctypes.c_ubyte)]
    for room in (bytearray(8), memoryview(bytearray(8)), *rooms):
        sent(near, b"12345678")
        assert w.recv(far, room, 5, 0) == 5
        assert bytes(room)[:8] == b"12345\0\0\0"
        assert received(far) == b"678"


@winsock_program
def test_scattered_and_gathered() -> None:
    """WSASend joins its buffers, WSARecv spreads over its own."""
    near, far = pair()
    count, flags = w.DWORD(), w.DWORD()
    parts = [w.WSABUF(3, b"abc"), w.WSABUF(2, b"dexx"), w.WSABUF(1, b"f")]
    assert w.WSASend(near, parts, 3, w.byref(count), 0, None, None) == 0
    assert count.value == 6
    rooms = [w.WSABUF(4, bytearray(4)), w.WSABUF(4, bytearray(4))]
    assert w.WSARecv(far, rooms, 2, w.byref(count), w.byref(flags), None, None) == 0
    assert count.value == 6
    assert [bytes(room.buf) for room in rooms] == [b"abcd", b"ef\0\0"]
    assert w.WSASend(near, parts, 1, count, 0, object(), None) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEOPNOTSUPP


@winsock_program
def test_a_send_with_a_flag_of_receives() -> None:
    """WSAEOPNOTSUPP, as for a flag that does not exist; nothing is sent."""
    near, far = pair()
    for flags in (w.MSG_PEEK, w.MSG_WAITALL, 0x4000000):
        assert w.send(near, b"x", 1, flags) == w.SOCKET_ERROR
        assert w.WSAGetLastError() == w.WSAEOPNOTSUPP
    udp = w.socket(w.AF_INET, w.SOCK_DGRAM, 0)
    assert w.sendto(udp, b"x", 1, w.MSG_PEEK, loopback(9), 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEOPNOTSUPP
    assert w.send(near, b"abc", 3, w.MSG_DONTROUTE) == 3
    assert received(far) == b"abc"


@winsock_program
def test_scattered_datagrams() -> None:
    """With addresses; a long one fills the buffers and is WSAEMSGSIZE."""
    a, b = (w.socket(w.AF_INET, w.SOCK_DGRAM, 0) for _ in range(2))
    here, sender, size = loopback(), w.sockaddr_in(), w.INT(16)
    w.bind(a, here, 16)
    w.getsockname(a, here, w.INT(16))
    count, flags = w.DWORD(), w.DWORD()
    assert w.WSASendTo(b, [w.WSABUF(6, b"abcdef")], 1, count, 0, here, 16, None, None) == 0
    rooms = [w.WSABUF(2, bytearray(2)), w.WSABUF(2, bytearray(2))]
    assert w.WSARecvFrom(a, rooms, 2, count, flags, sender, size) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEMSGSIZE
    assert [bytes(room.buf) for room in rooms] == [b"ab", b"cd"]
    assert sender.sin_family == w.AF_INET
    w.WSASendTo(b, [w.WSABUF(2, b"ok")], 1, count, 0, here, 16)
    assert w.WSARecvFrom(a, rooms, 2, count, flags, sender, size) == 0
    assert count.value == 2


@winsock_program
def test_wsa_accept_asks_its_condition() -> None:
    """Accept, reject (the client is reset) and defer (it stays in the queue)."""
    listening, address = listener()
    asked: list[tuple[int, Any]] = []
    answers = [w.CF_DEFER, w.CF_ACCEPT, w.CF_REJECT]

    def condition(caller: w.WSABUF, *rest: Any) -> int:
        who = w.sockaddr_in.from_buffer_copy(caller.buf)
        asked.append((w.ntohs(who.sin_port), rest[-1]))
        return answers.pop(0)

    def connect() -> tuple[int, int]:
        client, own = w.socket(w.AF_INET, w.SOCK_STREAM, 0), w.sockaddr_in()
        w.connect(client, address, 16)
        w.getsockname(client, own, w.INT(16))
        return client, w.ntohs(own.sin_port)

    first, port = connect()
    assert w.WSAAccept(listening, None, None, condition, "data") == w.INVALID_SOCKET
    assert w.WSAGetLastError() == w.WSATRY_AGAIN
    peer, size = w.sockaddr_in(), w.INT(16)
    accepted = w.WSAAccept(listening, peer, size, condition, "data")
    assert accepted != w.INVALID_SOCKET
    assert w.ntohs(peer.sin_port) == port
    assert asked == [(port, "data")] * 2
    sent(first, b"x")
    assert received(accepted) == b"x"
    second, _ = connect()
    assert w.WSAAccept(listening, None, None, condition, 0) == w.INVALID_SOCKET
    assert w.WSAGetLastError() == w.WSAECONNREFUSED
    assert received(second) == w.WSAECONNRESET
    third, _ = connect()
    assert w.WSAAccept(listening, None, None, None, 0) != w.INVALID_SOCKET
    assert third


@winsock_program
def test_closesocket_lingers_as_in_c() -> None:
    """Nonblocking with bytes unsent: WSAEWOULDBLOCK, still open; blocking: waits for the peer."""
    near, far = pair()
    assert w.setsockopt(near, w.SOL_SOCKET, w.SO_LINGER, w.linger(1, 30), 4) == 0
    nonblocking(near)
    block = bytes(1 << 20)
    while sent(near, block) != w.SOCKET_ERROR:
        pass
    assert w.closesocket(near) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEWOULDBLOCK
    assert w.getsockopt(near, w.SOL_SOCKET, w.SO_TYPE, w.INT(), w.INT(4)) == 0
    assert w.ioctlsocket(near, w.FIONBIO, w.ULONG(0)) == 0
    closing = w.CreateThread(lambda s: w.closesocket(s), near)
    assert w.WaitForSingleObject(closing, 20) == w.WAIT_TIMEOUT
    while received(far, 1 << 20):
        pass
    assert w.WaitForSingleObject(closing, 5000) == w.WAIT_OBJECT_0


@winsock_program
def test_closing_wakes_whoever_waits_with_wsaeintr() -> None:
    """recv, accept and a blocking send."""
    near, _ = pair()
    far, _ = pair()
    listening, _ = listener()
    codes: list[tuple[str, int]] = []

    def blocked(name: str) -> int:
        if name == "recv":
            w.recv(near, bytearray(1), 1, 0)
        elif name == "accept":
            w.accept(listening, None, None)
        else:
            sent(far, bytes(50_000_000))
        codes.append((name, w.WSAGetLastError()))
        return 0

    threads = [w.CreateThread(blocked, name) for name in ("recv", "accept", "send")]
    until_others_wait()
    for s in (near, listening, far):
        assert w.closesocket(s) == 0
    assert w.WaitForMultipleObjects(3, threads, True, 5000) == w.WAIT_OBJECT_0
    assert dict(codes) == dict.fromkeys(("recv", "accept", "send"), w.WSAEINTR)


@winsock_program
def test_wsa_poll() -> None:
    """Readable, writable, invalid, closed; INVALID_SOCKET is passed over; what cannot be asked."""
    near, far = pair()
    entries = [w.WSAPOLLFD(near, w.POLLIN | w.POLLOUT), w.WSAPOLLFD(far, w.POLLRDNORM)]
    assert w.WSAPoll(entries, 2, 0) == 1
    assert [entry.revents for entry in entries] == [w.POLLWRNORM, 0]
    waiting = w.CreateThread(lambda _: sent(near, b"x"), None)
    assert w.WSAPoll(entries[1:], 1, 2000) == 1
    assert entries[1].revents == w.POLLRDNORM
    w.WaitForSingleObject(waiting, w.INFINITE)
    received(far)
    w.closesocket(near)
    assert w.WSAPoll(entries[1:], 1, 2000) == 1  # the end has come
    assert w.WSAPoll(entries, 2, 0) == 2
    assert entries[0].revents == w.POLLNVAL
    assert entries[1].revents & w.POLLHUP
    assert w.WSAPoll([w.WSAPOLLFD(w.INVALID_SOCKET, w.POLLIN)], 1, 0) == 0
    assert w.WSAPoll([w.WSAPOLLFD(far, w.POLLPRI)], 1, 0) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEINVAL
    assert w.WSAPoll([], 0, 0) == w.SOCKET_ERROR


@winsock_program
def test_ioctls() -> None:
    """WSAIoctl does what ioctlsocket does, and keep-alive times."""
    near, far = pair()
    out, count = w.ULONG(), w.DWORD()
    sent(near, b"four")
    w.select(0, w.fd_set([far]), None, None, None)
    assert w.WSAIoctl(far, w.FIONREAD, None, 0, out, 4, count, None, None) == 0
    assert (out.value, count.value) == (4, 4)
    values = w.tcp_keepalive(1, 60_000, 1_000)
    done = w.WSAIoctl(far, w.SIO_KEEPALIVE_VALS, values, w.sizeof(values), None, 0, count)
    assert done == 0
    on = w.INT()
    assert w.getsockopt(far, w.SOL_SOCKET, w.SO_KEEPALIVE, on, w.INT(4)) == 0
    assert on.value
    assert w.WSAIoctl(far, w.FIONBIO, w.ULONG(1), 4, None, 0, count) == 0
    received(far)
    assert received(far) == w.WSAEWOULDBLOCK
    assert w.WSAIoctl(far, 0x1234, None, 0, None, 0, count) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEOPNOTSUPP
    assert w.WSAIoctl(far, w.FIONREAD, None, 0, None, 0, count) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEFAULT


@winsock_program
def test_option_values_in_plain_memory() -> None:
    """A char array as in C's cast; too little room is WSAEFAULT."""
    near, _ = pair()
    assert w.setsockopt(near, w.SOL_SOCKET, w.SO_RCVBUF, (5000).to_bytes(4, "little"), 4) == 0
    room = bytearray(4)
    assert w.getsockopt(near, w.SOL_SOCKET, w.SO_RCVBUF, room, w.INT(4)) == 0
    assert int.from_bytes(room, "little") == 5000
    assert w.getsockopt(near, w.SOL_SOCKET, w.SO_RCVBUF, room, w.INT(2)) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEFAULT
    assert w.setsockopt(near, w.SOL_SOCKET, w.SO_LINGER, bytes(w.linger(1, 9)), 4) == 0
    assert w.getsockopt(near, w.SOL_SOCKET, w.SO_LINGER, room, w.INT(4)) == 0
    assert bytes(room) == bytes(w.linger(1, 9))
    assert w.setsockopt(near, w.IPPROTO_IP, w.IP_TTL, w.INT(33), 4) == 0
    ttl = w.INT()
    assert w.getsockopt(near, w.IPPROTO_IP, w.IP_TTL, ttl, w.INT(4)) == 0
    assert ttl.value == 33


@winsock_program
def test_ipv6() -> None:
    """A listener and a client on ::1, with sockaddr_in6."""
    listening = w.socket(w.AF_INET6, w.SOCK_STREAM, 0)
    address, size = w.sockaddr_in6(sin6_family=w.AF_INET6), w.INT(28)
    w.inet_pton(w.AF_INET6, "::1", address.sin6_addr)
    assert w.bind(listening, address, 28) == 0
    assert w.listen(listening, 1) == 0
    assert w.getsockname(listening, address, size) == 0
    client = w.socket(w.AF_INET6, w.SOCK_STREAM, 0)
    assert w.connect(client, address, 28) == 0
    peer = w.sockaddr_storage()
    accepted = w.accept(listening, peer, w.INT(128))
    assert accepted != w.INVALID_SOCKET
    assert peer.ss_family == w.AF_INET6
    assert w.bind(w.socket(w.AF_INET6, w.SOCK_STREAM, 0), loopback(), 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEAFNOSUPPORT


@winsock_program
def test_accept_with_too_little_room_leaves_the_client() -> None:
    """WSAEFAULT; the next accept gets it."""
    listening, address = listener()
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    w.connect(client, address, 16)
    assert w.accept(listening, w.sockaddr_in(), w.INT(8)) == w.INVALID_SOCKET
    assert w.WSAGetLastError() == w.WSAEFAULT
    assert w.accept(listening, None, None) != w.INVALID_SOCKET


@winsock_program
def test_names_and_services() -> None:
    """localhost without asking the net; errors by code."""
    entry = w.gethostbyname("localhost")
    assert entry is not None
    assert (entry.h_addrtype, entry.h_length) == (w.AF_INET, 4)
    assert w.in_addr.from_buffer_copy(entry.h_addr).s_addr == w.inet_addr("127.0.0.1")
    again = w.gethostbyaddr(entry.h_addr, 4, w.AF_INET)
    assert again is not None
    assert again.h_addr == entry.h_addr
    for arguments in ((None, 4, w.AF_INET), (entry.h_addr, 3, w.AF_INET)):
        assert w.gethostbyaddr(*arguments) is None
        assert w.WSAGetLastError() == w.WSAEFAULT
    assert w.gethostbyaddr(entry.h_addr, 4, w.AF_INET6) is None
    assert w.WSAGetLastError() == w.WSAEAFNOSUPPORT
    hints, result = w.addrinfo(), []
    hints.ai_family, hints.ai_socktype = w.AF_INET, w.SOCK_STREAM
    hints.ai_flags = w.AI_NUMERICHOST | w.AI_NUMERICSERV
    assert w.getaddrinfo("127.0.0.1", "80", hints, result) == 0
    link = next(iter(result[0]))
    assert (link.ai_family, link.ai_socktype, link.ai_addrlen) == (w.AF_INET, w.SOCK_STREAM, 16)
    assert w.ntohs(link.ai_addr.sin_port) == 80
    single = w.addrinfo()
    assert w.getaddrinfo("::1", None, None, single) == 0
    assert single.ai_family == w.AF_INET6
    hints.ai_family = 77
    assert w.getaddrinfo("127.0.0.1", "80", hints, result) == w.WSAEAFNOSUPPORT
    hints.ai_family = w.AF_INET
    assert w.getaddrinfo("no name at all", "80", hints, result) == w.WSAHOST_NOT_FOUND
    assert w.gai_strerror(w.WSAHOST_NOT_FOUND)
    w.freeaddrinfo(None)
    service = w.getservbyname("http", "tcp")
    assert service is None or w.ntohs(service.s_port) == 80
    assert w.getservbyname("no such service", "tcp") is None
    assert w.WSAGetLastError() == w.WSANO_DATA
    host, port = bytearray(64), bytearray(16)
    flags = w.NI_NUMERICHOST | w.NI_NUMERICSERV
    assert w.getnameinfo(loopback(80), 16, host, 64, port, 16, flags) == 0
    assert (host[:10], port[:3]) == (b"127.0.0.1\0", b"80\0")
    assert w.getnameinfo(loopback(80), 16, host, 3, None, 0, flags) == w.WSAEFAULT
    name = bytearray(256)
    assert w.gethostname(name, 256) == 0
    assert w.strlen(name) > 0
    assert w.gethostname(name, 1) == w.SOCKET_ERROR


@winsock_program
def test_names_by_message() -> None:
    """WSAAsyncGetHostByName posts; a cancelled request does not."""
    hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    entry, message = w.hostent(), w.MSG()
    request = w.WSAAsyncGetHostByName(hwnd, w.WM_USER, "localhost", entry, 1024)
    assert w.GetMessage(message, None, 0, 0)
    assert (message.message, message.wParam) == (w.WM_USER, request)
    assert w.WSAGETASYNCERROR(message.lParam) == 0
    assert entry.h_addr == b"\x7f\0\0\1"
    request = w.WSAAsyncGetHostByName(hwnd, w.WM_USER, "localhost", entry, 1024)
    assert w.WSACancelAsyncRequest(request) == 0
    behind = w.WSAAsyncGetHostByName(hwnd, w.WM_USER, "localhost", entry, 1024)
    assert w.GetMessage(message, None, 0, 0)
    assert message.wParam == behind
    assert not w.PeekMessage(message, None, 0, 0, w.PM_REMOVE)
    assert w.WSACancelAsyncRequest(request) == w.SOCKET_ERROR
    assert w.WSAAsyncGetHostByName(12, w.WM_USER, "localhost", entry, 1024) == 0


@program
def test_without_startup() -> None:
    """WSANOTINITIALISED, whatever the handle."""
    for call in (
        lambda: w.socket(w.AF_INET, w.SOCK_STREAM, 0) == w.INVALID_SOCKET,
        lambda: w.recv(4, bytearray(1), 1, 0) == w.SOCKET_ERROR,
        lambda: w.closesocket(4) == w.SOCKET_ERROR,
        lambda: w.select(0, w.fd_set([4]), None, None, None) == w.SOCKET_ERROR,
        lambda: w.gethostbyname("localhost") is None,
        lambda: w.WSACreateEvent() is w.WSA_INVALID_EVENT,
    ):
        assert call()
        assert w.WSAGetLastError() == w.WSANOTINITIALISED
    assert w.WSAStartup(w.MAKEWORD(2, 2), None) == w.WSAEFAULT


@given(family=st.integers(-2, 40), kind=st.integers(-1, 6), protocol=st.integers(-1, 40))
def test_any_socket_arguments(family: int, kind: int, protocol: int) -> None:
    """A socket or an error code of the page; never an exception."""

    @winsock_program
    def check() -> None:
        if kind == w.SOCK_RAW:
            return  # needs a privilege
        s = w.socket(family, kind, protocol)
        if s == w.INVALID_SOCKET:
            assert w.WSAGetLastError() in {
                w.WSAEAFNOSUPPORT, w.WSAESOCKTNOSUPPORT, w.WSAEPROTONOSUPPORT, w.WSAEINVAL,
            }  # fmt: skip
        else:
            assert w.closesocket(s) == 0

    check()


@winsock_program
def test_a_receive_that_would_wait_enables_once() -> None:
    """recv enables FD_OOB again, also failing: once for each call, however often it looks."""
    near, far = pair()
    window = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    assert w.WSAAsyncSelect(far, window, w.WM_USER, w.FD_READ | w.FD_OOB) == 0
    assert w.send(near, b"!", 1, w.MSG_OOB) == 1
    message, posted = w.MSG(), 0
    for calls in (1, 2, 3):
        while w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
            assert w.WSAGETSELECTEVENT(message.lParam) == w.FD_OOB
            posted += 1
        assert posted == calls
        assert received(far) == w.WSAEWOULDBLOCK
    assert received(far, 1, w.MSG_OOB) == b"!"


@winsock_program
def test_a_bit_that_is_no_event_is_not_selected() -> None:
    """WSAAsyncSelect and WSAEventSelect: WSAEINVAL, and the mode stays; every FD_ bit is taken."""
    near, _ = pair()
    window = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    event = w.WSACreateEvent()
    for mask in (-1, w.FD_ALL_EVENTS + 1):
        assert w.WSAAsyncSelect(near, window, w.WM_USER, mask) == w.SOCKET_ERROR
        assert w.WSAGetLastError() == w.WSAEINVAL
        assert w.WSAEventSelect(near, event, mask) == w.SOCKET_ERROR
        assert w.WSAGetLastError() == w.WSAEINVAL
    assert w.ioctlsocket(near, w.FIONBIO, w.DWORD(0)) == 0
    assert w.WSAAsyncSelect(near, window, w.WM_USER, w.FD_ALL_EVENTS) == 0
    assert w.WSAEventSelect(near, event, w.FD_ALL_EVENTS) == 0
