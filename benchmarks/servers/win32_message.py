# mypy: disable-error-code="attr-defined, no-any-return"
# wsock.win32: the textbook's WSAAsyncSelect server, line by line, on a message loop.

from __future__ import annotations

from ctypes import c_int, c_ulong

from benchmarks.servers.common import BACKLOG, BLOCK, READ_BYTES, Work, announce, arguments
from wsock.win32 import (
    AF_INET,
    FD_ACCEPT,
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    FIONBIO,
    INADDR_LOOPBACK,
    IPPROTO_TCP,
    MAKEWORD,
    MSG,
    SOCK_STREAM,
    SOCKET_ERROR,
    TCP_NODELAY,
    WM_USER,
    WNDCLASS,
    WSADATA,
    WSAEWOULDBLOCK,
    WSAGETSELECTEVENT,
    CreateWindow,
    DefWindowProc,
    DispatchMessage,
    GetMessage,
    RegisterClass,
    WSAAsyncSelect,
    WSAGetLastError,
    WSAStartup,
    accept,
    bind,
    closesocket,
    getsockname,
    htonl,
    htons,
    ioctlsocket,
    listen,
    ntohs,
    recv,
    run,
    send,
    setsockopt,
    sockaddr_in,
    socket,
)

WM_SOCKET = WM_USER + 1
EVENTS = FD_READ | FD_WRITE | FD_CLOSE
buffer = bytearray(READ_BYTES)
waiting: dict[int, bytes] = {}  # per socket, what a send had no room for


def echo(s: int, event: int) -> None:
    """Send back what came; a block that finds no room waits, and reading with it."""
    if event == FD_WRITE:
        block = waiting.pop(s, None)
        if block is None:
            return
        send(s, block, len(block), 0)
    elif s in waiting:
        return
    count = recv(s, buffer, READ_BYTES, 0)
    if count <= 0:
        return
    data = bytes(memoryview(buffer)[:count])
    if send(s, data, count, 0) == SOCKET_ERROR and WSAGetLastError() == WSAEWOULDBLOCK:
        waiting[s] = data


def sink(s: int, event: int) -> None:
    """Throw away what came."""
    if event == FD_READ:
        recv(s, buffer, READ_BYTES, 0)


def source(s: int, _event: int) -> None:
    """Send the block until there is no room."""
    while send(s, BLOCK, len(BLOCK), 0) != SOCKET_ERROR:
        pass


def close(s: int) -> None:
    """The peer has ended and everything was read. A block that had no room goes out blocking."""
    block = waiting.pop(s, None)
    if block is not None:
        WSAAsyncSelect(s, None, 0, 0)
        ioctlsocket(s, FIONBIO, c_ulong(0))
        send(s, block, len(block), 0)
    closesocket(s)


def listen_on(port: int, window: int) -> None:
    """Bind, listen, and have the window told."""
    s = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, c_int(1))
    address = sockaddr_in()
    address.sin_family = AF_INET
    address.sin_port = htons(port)
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    if bind(s, address) == SOCKET_ERROR or listen(s, BACKLOG) == SOCKET_ERROR:
        raise OSError(WSAGetLastError(), "bind or listen")
    WSAAsyncSelect(s, window, WM_SOCKET, EVENTS | FD_ACCEPT)
    getsockname(s, address)
    announce(ntohs(address.sin_port))


def main(port: int, work: Work) -> int:
    """Make a window and run its loop."""
    handle = {"echo": echo, "sink": sink, "source": source}[work]

    def procedure(window: int, message: int, wparam: int, lparam: int) -> int:
        if message != WM_SOCKET:
            return DefWindowProc(window, message, wparam, lparam)
        event = WSAGETSELECTEVENT(lparam)
        if event == FD_ACCEPT:
            accept(wparam, None, None)
        elif event == FD_CLOSE:
            close(wparam)
        else:
            handle(wparam, event)
        return 0

    WSAStartup(MAKEWORD(2, 2), WSADATA())
    window_class = WNDCLASS()
    window_class.lpszClassName, window_class.lpfnWndProc = "benchmark", procedure
    RegisterClass(window_class)
    window = CreateWindow("benchmark", "", 0, 0, 0, 0, 0, None, None, None, None)
    listen_on(port, window)
    message = MSG()
    while GetMessage(message, None, 0, 0) > 0:
        DispatchMessage(message)
    return 0


if __name__ == "__main__":
    run(main, *arguments())
