"""A test as a ported program: its body is a plain function under win32.run."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import greenback
import trio

from wsock import win32 as w

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")


def program(test: Callable[_P, None]) -> Callable[_P, None]:
    """Run the test as the main of a program."""

    @wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        w.run(lambda: test(*args, **kwargs))

    return run


def winsock_program(test: Callable[_P, None]) -> Callable[_P, None]:
    """The same, after WSAStartup."""

    @wraps(test)
    def with_winsock(*args: _P.args, **kwargs: _P.kwargs) -> None:
        assert w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA()) == 0
        test(*args, **kwargs)

    return program(with_winsock)


def until_others_wait() -> None:
    """Let every other thread run until it waits for something."""
    greenback.await_(trio.testing.wait_all_tasks_blocked())


def loopback(port: int = 0) -> w.sockaddr_in:
    """127.0.0.1, and a port in host order."""
    address = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(port))
    address.sin_addr.s_addr = w.htonl(w.INADDR_LOOPBACK)
    return address


def listener(backlog: int = 5) -> tuple[int, w.sockaddr_in]:
    """A listening socket, and its address."""
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    address = loopback()
    assert w.bind(s, address, w.sizeof(address)) == 0
    assert w.listen(s, backlog) == 0
    assert w.getsockname(s, address, w.INT(16)) == 0
    return s, address


def pair() -> tuple[int, int]:
    """Two connected stream sockets: the client's end and the server's."""
    listening, address = listener()
    client = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    assert w.connect(client, address, 16) == 0
    server = w.accept(listening, None, None)
    assert server != w.INVALID_SOCKET
    assert w.closesocket(listening) == 0
    return client, server


def nonblocking(s: int) -> None:
    """FIONBIO 1."""
    assert w.ioctlsocket(s, w.FIONBIO, w.ULONG(1)) == 0
