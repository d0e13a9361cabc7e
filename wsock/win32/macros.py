# win32 macros: what the headers #define with parameters.
#
# Rule 1: pure functions of their arguments.
#
# Sources: minwindef.h, winsock2.h, winnt.h.

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from wsock.win32.types import fd_set

_T = TypeVar("_T")


def MAKEWORD(low: int, high: int) -> int:
    """WORD MAKEWORD(BYTE low, BYTE high)."""
    return low & 0xFF | (high & 0xFF) << 8


def MAKELONG(low: int, high: int) -> int:
    """LONG MAKELONG(WORD low, WORD high); never negative, unlike C's LONG."""
    return low & 0xFFFF | (high & 0xFFFF) << 16


def LOBYTE(word: int) -> int:
    """BYTE LOBYTE(WORD word)."""
    return word & 0xFF


def HIBYTE(word: int) -> int:
    """BYTE HIBYTE(WORD word)."""
    return word >> 8 & 0xFF


def LOWORD(value: int) -> int:
    """WORD LOWORD(DWORD value)."""
    return value & 0xFFFF


def HIWORD(value: int) -> int:
    """WORD HIWORD(DWORD value)."""
    return value >> 16 & 0xFFFF


def WSAGETSELECTEVENT(lParam: int) -> int:
    """WORD WSAGETSELECTEVENT(LPARAM lParam): which FD_ event a socket message tells of."""
    return lParam & 0xFFFF


def WSAGETSELECTERROR(lParam: int) -> int:
    """WORD WSAGETSELECTERROR(LPARAM lParam): the error code of a socket message, 0 for none."""
    return lParam >> 16 & 0xFFFF


def WSAMAKESELECTREPLY(event: int, error: int) -> int:
    """LPARAM WSAMAKESELECTREPLY(WORD event, WORD error): what a socket message carries."""
    return event & 0xFFFF | (error & 0xFFFF) << 16


WSAGETASYNCERROR = WSAGETSELECTERROR
WSAGETASYNCBUFLEN = WSAGETSELECTEVENT


def MAKELANGID(primary: int, sub: int) -> int:
    """WORD MAKELANGID(WORD primary, WORD sub)."""
    return sub << 10 | primary


def FD_ZERO(set: fd_set) -> None:  # noqa: A002
    """FD_ZERO(fd_set *set): empties the set."""
    set.clear()


def FD_SET(s: int, set: fd_set) -> None:  # noqa: A002
    """FD_SET(SOCKET s, fd_set *set): puts s in, once, if the set is not full."""
    set.add(s)


def FD_CLR(s: int, set: fd_set) -> None:  # noqa: A002
    """FD_CLR(SOCKET s, fd_set *set): takes s out."""
    set.discard(s)


def FD_ISSET(s: int, set: fd_set) -> bool:  # noqa: A002
    """int FD_ISSET(SOCKET s, fd_set *set): whether s is in the set."""
    return s in set


def byref(variable: _T) -> _T:
    """The ``&`` of C. Objects go by reference anyway, so this gives back its argument."""
    return variable


def sizeof(thing: object) -> int:
    """size_t sizeof(thing): bytes of a structure, its type, or a buffer such as a bytearray."""
    if isinstance(thing, (bytes, bytearray)):
        return len(thing)
    if isinstance(thing, memoryview):
        return thing.nbytes
    size = getattr(thing, "cbSize", None)
    if size is not None:
        return int(size)
    return ctypes.sizeof(thing)  # type: ignore[arg-type]  # raises TypeError for all else


__all__ = [
    "FD_CLR", "FD_ISSET", "FD_SET", "FD_ZERO", "HIBYTE", "HIWORD", "LOBYTE", "LOWORD", "MAKELANGID",
    "MAKELONG", "MAKEWORD", "WSAGETASYNCBUFLEN", "WSAGETASYNCERROR", "WSAGETSELECTERROR",
    "WSAGETSELECTEVENT", "WSAMAKESELECTREPLY", "byref", "sizeof",
]  # fmt: skip
