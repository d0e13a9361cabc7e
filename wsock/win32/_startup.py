# ws2_32: WSAStartup, WSACleanup, WSAGetLastError.
#
# Rule 1: counted per Trio run. The last WSACleanup closes every socket that the C face made.
#
# Sources: learn.microsoft.com, WSAStartup, WSACleanup.

from __future__ import annotations

from typing import Any, Final

from wsock.win32._buffers import target
from wsock.win32._calls import check_started, keeping_last_error
from wsock.win32._threads import current
from wsock.win32.constants import WSAEFAULT, WSAVERNOTSUPPORTED
from wsock.win32.macros import HIBYTE, LOBYTE, MAKEWORD

_HIGHEST: Final = (2, 2)
_LAST_OF_MAJOR: Final = {1: 1, 2: 2}


def _negotiated(major: int, minor: int) -> tuple[int, int]:
    """The version that the program gets: what it asked for, if that exists."""
    last = _LAST_OF_MAJOR.get(major)
    return _HIGHEST if last is None else (major, min(minor, last))


def WSAStartup(wVersionRequested: int, lpWSAData: Any) -> int:
    """int WSAStartup(WORD version, LPWSADATA): announces use; as many WSACleanup calls end it.

    Returns:
      0; WSAVERNOTSUPPORTED below version 1.0, WSAEFAULT without data. The code comes back, not
      through WSAGetLastError.
    """
    data = target(lpWSAData)
    major, minor = LOBYTE(wVersionRequested), HIBYTE(wVersionRequested)
    if not major:
        return WSAVERNOTSUPPORTED
    if data is None:
        return WSAEFAULT
    data.wVersion = MAKEWORD(*_negotiated(major, minor))
    data.wHighVersion = MAKEWORD(*_HIGHEST)
    data.szDescription = b"WinSock 2.0"
    data.szSystemStatus = b"Running"
    data.iMaxSockets = data.iMaxUdpDg = 0
    current().process.startups += 1
    return 0


@keeping_last_error
def WSACleanup() -> int:
    """int WSACleanup(void): the last one closes all sockets; WSANOTINITIALISED if there is none."""
    check_started()
    process = current().process
    process.startups -= 1
    if not process.startups:
        process.close_sockets()
    return 0


def WSAGetLastError() -> int:
    """int WSAGetLastError(void): the code of this thread's last call that failed."""
    return current().last_error


def WSASetLastError(iError: int) -> None:
    """void WSASetLastError(int)."""
    current().last_error = iError




__all__ = ["WSACleanup", "WSAGetLastError", "WSASetLastError", "WSAStartup"]
