"""What docs/windows-differences.md says, and that its rows name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import trio
from ported import (
    listener,
    loopback,
    nonblocking,
    pair,
    program,
    until_others_wait,
    winsock_program,
)

from wsock import Stack, _stack
from wsock import win32 as w

DOCS = Path(__file__).parents[2] / "docs"


def test_every_row_names_a_test_that_exists() -> None:
    """In this folder."""
    page = (DOCS / "windows-differences.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    here = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", here))
    assert len(named) > 10
    assert named <= defined, named - defined


@winsock_program
def test_closing_with_bytes_unread_resets() -> None:
    """The peer reads WSAECONNRESET."""
    near, far = pair()
    w.send(near, b"never read", 10, 0)
    w.select(0, w.fd_set([far]), None, None, None)
    assert w.closesocket(far) == 0
    assert w.recv(near, bytearray(1), 1, 0) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAECONNRESET


@winsock_program
def test_clients_beyond_the_backlog_wait() -> None:
    """With backlog 0 some of eight connects stay under way; none is refused; accept helps on."""
    listening, address = listener(0)
    clients = [w.socket(w.AF_INET, w.SOCK_STREAM, 0) for _ in range(8)]
    for s in clients:
        nonblocking(s)
        w.connect(s, address, 16)
    done, refused = w.fd_set(clients), w.fd_set(clients)
    found = w.select(0, None, done, refused, w.timeval(0, 0))
    assert 0 < found < len(clients)
    assert not refused
    assert listening


@winsock_program
def test_a_rejected_client_is_reset() -> None:
    """Its connect has succeeded."""
    listening, address = listener()
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.connect(client, address, 16) == 0
    assert w.WSAAccept(listening, None, None, lambda *_: w.CF_REJECT, 0) == w.INVALID_SOCKET
    assert w.recv(client, bytearray(1), 1, 0) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAECONNRESET


@winsock_program
def test_an_address_under_a_listening_wildcard() -> None:
    """WSAEADDRINUSE, with SO_REUSEADDR WSAEACCES; before listen it is free."""
    first, address = w.socket(w.AF_INET, w.SOCK_STREAM, 0), w.sockaddr_in(sin_family=w.AF_INET)
    assert w.bind(first, address, 16) == 0
    w.getsockname(first, address, w.INT(16))
    specific = loopback(w.ntohs(address.sin_port))
    early, late = (w.socket(w.AF_INET, w.SOCK_STREAM, 0) for _ in range(2))
    assert w.bind(early, specific, 16) == 0
    w.closesocket(early)
    assert w.listen(first, 1) == 0
    assert w.bind(late, specific, 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEADDRINUSE
    assert w.setsockopt(late, w.SOL_SOCKET, w.SO_REUSEADDR, w.INT(1), 4) == 0
    assert w.bind(late, specific, 16) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAEACCES


@winsock_program
def test_fionread_counts_the_first_datagram() -> None:
    """Of two."""
    s, address, waiting = w.socket(w.AF_INET, w.SOCK_DGRAM, 0), loopback(), w.ULONG()
    w.bind(s, address, 16)
    w.getsockname(s, address, w.INT(16))
    for data in (b"four", b"and more"):
        w.sendto(s, data, len(data), 0, address, 16)
    assert w.ioctlsocket(s, w.FIONREAD, waiting) == 0
    assert waiting.value == 4


@winsock_program
def test_keep_alive_in_whole_seconds() -> None:
    """Half a second is one."""
    near, _ = pair()
    values = w.tcp_keepalive(1, 500, 1500)
    done = w.WSAIoctl(near, w.SIO_KEEPALIVE_VALS, values, w.sizeof(values), None, 0, w.DWORD())
    assert done == 0
    from wsock.win32 import _border

    sock = w.socket_object(near)
    assert sock.getsockopt(*_border.KEEP_ALIVE_IDLE) == 1
    assert sock.getsockopt(*_border.KEEP_ALIVE_INTERVAL) == 1


@winsock_program
def test_small_buffers_are_remembered() -> None:
    """And reported; data of more than that still goes through at once."""
    near, far = pair()
    assert w.setsockopt(near, w.SOL_SOCKET, w.SO_SNDBUF, w.INT(1), 4) == 0
    size = w.INT()
    assert w.getsockopt(near, w.SOL_SOCKET, w.SO_SNDBUF, size, w.INT(4)) == 0
    assert size.value == 1
    assert w.send(near, bytes(10_000), 10_000, 0) == 10_000
    assert far


@winsock_program
def test_refused_at_once() -> None:
    """No tries, no half second."""
    unused, address = w.socket(w.AF_INET, w.SOCK_STREAM, 0), loopback()
    w.bind(unused, address, 16)
    w.getsockname(unused, address, w.INT(16))
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    nonblocking(client)
    w.connect(client, address, 16)
    failed = w.fd_set([client])
    assert w.select(0, None, None, failed, w.timeval(0, 0)) == 1


def reset_by_peer(before: bytes, *, release: bool) -> tuple[int, int]:
    """A socket on the engine ``waits`` whose peer sent, perhaps released, and reset; its event."""
    _stack.current.set(Stack(engine="waits"))
    near, far = pair()
    noticed = w.WSACreateEvent()
    assert w.WSAEventSelect(near, noticed, w.FD_CLOSE) == 0
    w.send(far, before, len(before), 0)
    if release:
        w.shutdown(far, w.SD_SEND)
        assert w.WSAWaitForMultipleEvents(1, [noticed], False, 5000, False) == w.WSA_WAIT_EVENT_0
        w.WSAResetEvent(noticed)
    assert w.setsockopt(far, w.SOL_SOCKET, w.SO_LINGER, w.linger(1, 0), 4) == 0
    assert w.closesocket(far) == 0
    return near, noticed


@winsock_program
def test_a_reset_behind_unread_data_on_the_waits_engine() -> None:
    """FD_CLOSE comes when the data has been read, and then at once."""
    near, noticed = reset_by_peer(b"unread", release=False)
    assert w.WSAWaitForMultipleEvents(1, [noticed], False, 50, False) == w.WSA_WAIT_TIMEOUT
    assert w.recv(near, bytearray(10), 10, 0) == 6
    assert w.WSAWaitForMultipleEvents(1, [noticed], False, 5000, False) == w.WSA_WAIT_EVENT_0
    events = w.WSANETWORKEVENTS()
    assert w.WSAEnumNetworkEvents(near, noticed, events) == 0
    assert events.iErrorCode[w.FD_CLOSE_BIT] == w.WSAECONNRESET


@winsock_program
def test_a_reset_behind_a_release_on_the_waits_engine() -> None:
    """A later selection still tells of a graceful end; the next recv finds the reset."""
    near, _ = reset_by_peer(b"", release=True)
    until_others_wait()
    assert code_of_close(near) == 0
    assert w.recv(near, bytearray(10), 10, 0) == w.SOCKET_ERROR
    assert w.WSAGetLastError() == w.WSAECONNABORTED
    assert code_of_close(near) == w.WSAECONNABORTED


def code_of_close(s: int) -> int:
    """What a selection made now posts with FD_CLOSE."""
    window = w.CreateWindow("STATIC", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    assert w.WSAAsyncSelect(s, window, w.WM_USER, w.FD_CLOSE) == 0
    message = w.MSG()
    assert w.PeekMessage(message, window, w.WM_USER, w.WM_USER, w.PM_REMOVE)
    assert w.WSAGETSELECTEVENT(message.lParam) == w.FD_CLOSE
    w.DestroyWindow(window)
    return w.WSAGETSELECTERROR(message.lParam)


@program
def test_exit_thread_runs_finally() -> None:
    """It is an exception on its way."""
    steps = []

    def thread(_: object) -> None:
        try:
            w.ExitThread(1)
        finally:
            steps.append("finally")

    w.WaitForSingleObject(w.CreateThread(thread, None), w.INFINITE)
    assert steps == ["finally"]


@winsock_program
def test_handles_are_not_reused() -> None:
    """Sockets, events and threads draw from one row."""
    seen = set()
    for _ in range(20):
        s, event = w.socket(w.AF_INET, w.SOCK_STREAM, 0), w.WSACreateEvent()
        assert s % 4 == event % 4 == 0
        assert not {s, event} & seen
        seen |= {s, event}
        w.closesocket(s)
        w.WSACloseEvent(event)


@program
def test_the_time_of_a_message() -> None:
    """When the thread was last woken, in GetTickCount's milliseconds."""
    hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    before = w.GetTickCount()
    w.CreateThread(lambda _: w.PostMessage(hwnd, w.WM_USER, 0, 0), None)
    message = w.MSG()
    w.GetMessage(message, None, 0, 0)
    assert before <= message.time <= w.GetTickCount()
    assert (message.pt.x, message.pt.y) == (0, 0)


def test_pipes_are_known_within_the_run() -> None:
    """Another run finds nothing of that name."""
    name = r"\\.\pipe\within"

    def open_it() -> int:
        w.CreateFile(name, w.GENERIC_READ, 0, None, w.OPEN_EXISTING, 0, None)
        return w.GetLastError()

    async def first() -> int:
        def serve() -> None:
            w.CreateNamedPipe(name, w.PIPE_ACCESS_DUPLEX, 0, 1, 0, 0, 0, None)
            w.Sleep(w.INFINITE)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(w.start, serve)
            await trio.testing.wait_all_tasks_blocked()
            found: int = await w.start(open_it)
            nursery.cancel_scope.cancel()
        return found

    assert trio.run(first) == 0
    assert w.run(open_it) == w.ERROR_FILE_NOT_FOUND


@program
def test_posting_to_a_thread_without_a_queue() -> None:
    """It finds the message when it asks."""
    got = []
    identifier = w.DWORD()

    def thread(_: object) -> None:
        message = w.MSG()
        w.GetMessage(message, None, 0, 0)
        got.append(message.message)

    handle = w.CreateThread(None, 0, thread, None, 0, identifier)
    until_others_wait()
    assert w.PostThreadMessage(identifier.value, w.WM_USER, 0, 0)
    w.WaitForSingleObject(handle, w.INFINITE)
    assert got == [w.WM_USER]
