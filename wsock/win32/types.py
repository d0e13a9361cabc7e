# win32 types: the structures of the headers.
#
# Structures whose bytes matter are ctypes structures with Windows' layout (a sockaddr_in is 16
# bytes, its port and address stand in network order in memory), so memoryview, sizeof and
# from_buffer work on them. Structures that hold Python objects (a window procedure, a buffer, a
# list of addresses) are plain classes with C's field names.
#
# Rule 1: no calls that touch a socket, a queue or the scheduler. Data only.
#
# Sources: winsock2.h, ws2def.h, ws2ipdef.h, mstcpip.h, winuser.h, minwindef.h.

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, MutableSet
from typing import TYPE_CHECKING, Any, ClassVar, Final

from wsock.win32.constants import (
    FD_MAX_EVENTS,
    FD_SETSIZE,
    WSADESCRIPTION_LEN,
    WSASYS_STATUS_LEN,
)

# Scalar types, for what C passes by pointer: n = DWORD(), then n.value. A long has 32 bits.
BYTE: Final = ctypes.c_uint8
WORD: Final = ctypes.c_uint16
DWORD: Final = ctypes.c_uint32
BOOL: Final = ctypes.c_int
INT: Final = ctypes.c_int
UINT: Final = ctypes.c_uint
LONG: Final = ctypes.c_int32
ULONG: Final = ctypes.c_uint32
LPSTR: Final = ctypes.c_char_p
HANDLE: Final = ctypes.c_size_t
SOCKET: Final = ctypes.c_size_t
HWND = WSAEVENT = WPARAM = HANDLE
LPARAM = LRESULT = ctypes.c_ssize_t


class _Named(ctypes.Structure):
    """A structure that shows its fields."""

    def __repr__(self) -> str:
        fields = ", ".join(f"{field[0]}={getattr(self, field[0])!r}" for field in self._fields_)
        return f"{type(self).__name__}({fields})"


# ------------------------------------------------------------------------------------ addresses


class _S_un_b(_Named):
    _fields_ = [(name, ctypes.c_uint8) for name in ("s_b1", "s_b2", "s_b3", "s_b4")]


class _S_un(ctypes.Union):
    _fields_ = [
        ("S_un_b", _S_un_b),
        ("S_addr", ctypes.c_uint32),
        ("s_addr", ctypes.c_uint32),
    ]


class in_addr(ctypes.Structure):
    """An IPv4 address; ``s_addr`` is in network order, as htonl and inet_addr give it."""

    if TYPE_CHECKING:
        s_addr: int
        S_addr: int
    _anonymous_ = ("S_un",)
    _fields_ = [("S_un", _S_un)]

    def __repr__(self) -> str:
        return f"in_addr({'.'.join(str(octet) for octet in bytes(self))})"


class in6_addr(ctypes.Structure):
    """An IPv6 address: 16 bytes in network order."""

    if TYPE_CHECKING:
        s6_addr: ctypes.Array[ctypes.c_uint8]
    _fields_ = [("s6_addr", ctypes.c_uint8 * 16)]


class sockaddr(_Named):
    """Any address, by its first 16 bytes."""

    if TYPE_CHECKING:
        sa_family: int
    _fields_ = [("sa_family", ctypes.c_uint16), ("sa_data", ctypes.c_char * 14)]


class sockaddr_in(_Named):
    """An IPv4 address with its port, 16 bytes; both stand in network order."""

    if TYPE_CHECKING:
        sin_family: int
        sin_port: int
        sin_addr: in_addr
    _fields_ = [
        ("sin_family", ctypes.c_uint16),
        ("sin_port", ctypes.c_uint16),
        ("sin_addr", in_addr),
        ("sin_zero", ctypes.c_char * 8),
    ]


class sockaddr_in6(_Named):
    """An IPv6 address with its port, 28 bytes."""

    if TYPE_CHECKING:
        sin6_family: int
        sin6_port: int
        sin6_flowinfo: int
        sin6_addr: in6_addr
        sin6_scope_id: int
    _fields_ = [
        ("sin6_family", ctypes.c_uint16),
        ("sin6_port", ctypes.c_uint16),
        ("sin6_flowinfo", ctypes.c_uint32),
        ("sin6_addr", in6_addr),
        ("sin6_scope_id", ctypes.c_uint32),
    ]


class sockaddr_storage(_Named):
    """Room for an address of any family: 128 bytes."""

    if TYPE_CHECKING:
        ss_family: int
    _fields_ = [
        ("ss_family", ctypes.c_uint16),
        ("__ss_pad1", ctypes.c_char * 6),
        ("__ss_align", ctypes.c_int64),
        ("__ss_pad2", ctypes.c_char * 112),
    ]


SOCKADDR, SOCKADDR_STORAGE = sockaddr, sockaddr_storage
SOCKADDR_IN, SOCKADDR_IN6 = sockaddr_in, sockaddr_in6
IN_ADDR, IN6_ADDR = in_addr, in6_addr


class hostent:
    """What gethostbyname answers: addresses as packed bytes in ``h_addr_list``."""

    __slots__ = ("h_addr_list", "h_addrtype", "h_aliases", "h_length", "h_name")

    def __init__(self) -> None:
        self.h_name = ""
        self.h_aliases: list[str] = []
        self.h_addrtype = 0
        self.h_length = 0
        self.h_addr_list: list[bytes] = []

    @property
    def h_addr(self) -> bytes:
        """The first address, as the old macro has it."""
        return self.h_addr_list[0]


class servent:
    """What getservbyname answers; s_port is in network order."""

    __slots__ = ("s_aliases", "s_name", "s_port", "s_proto")

    def __init__(self, name: str, port: int, proto: str) -> None:
        self.s_name = name
        self.s_aliases: list[str] = []
        self.s_port = port
        self.s_proto = proto


class addrinfo:
    """A link of getaddrinfo's chain, and its hints; ``ai_addr`` is a sockaddr_in or _in6."""

    __slots__ = (
        "ai_addr", "ai_addrlen", "ai_canonname", "ai_family", "ai_flags", "ai_next", "ai_protocol",
        "ai_socktype",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ai_flags = 0
        self.ai_family = 0
        self.ai_socktype = 0
        self.ai_protocol = 0
        self.ai_addrlen = 0
        self.ai_canonname: str | None = None
        self.ai_addr: sockaddr_in | sockaddr_in6 | None = None
        self.ai_next: addrinfo | None = None

    def __iter__(self) -> Iterator[addrinfo]:
        """Each link of the chain, for the ``for (p = result; p; p = p->ai_next)`` of C."""
        link: addrinfo | None = self
        while link is not None:
            yield link
            link = link.ai_next


ADDRINFO, HOSTENT, SERVENT = addrinfo, hostent, servent


# -------------------------------------------------------------------------------------- sockets


class WSADATA(_Named):
    """What WSAStartup fills in."""

    if TYPE_CHECKING:
        wVersion: int
        wHighVersion: int
        szDescription: bytes
        szSystemStatus: bytes
    _fields_ = [
        ("wVersion", ctypes.c_uint16),
        ("wHighVersion", ctypes.c_uint16),
        ("iMaxSockets", ctypes.c_uint16),
        ("iMaxUdpDg", ctypes.c_uint16),
        ("lpVendorInfo", ctypes.c_char_p),
        ("szDescription", ctypes.c_char * (WSADESCRIPTION_LEN + 1)),
        ("szSystemStatus", ctypes.c_char * (WSASYS_STATUS_LEN + 1)),
    ]


class linger(_Named):
    """SO_LINGER's value: on or off, and seconds."""

    if TYPE_CHECKING:
        l_onoff: int
        l_linger: int
    _fields_ = [("l_onoff", ctypes.c_uint16), ("l_linger", ctypes.c_uint16)]


class timeval(_Named):
    """How long select may wait: seconds and microseconds."""

    if TYPE_CHECKING:
        tv_sec: int
        tv_usec: int
    _fields_ = [("tv_sec", ctypes.c_int32), ("tv_usec", ctypes.c_int32)]


class tcp_keepalive(_Named):
    """SIO_KEEPALIVE_VALS' argument; times in milliseconds."""

    if TYPE_CHECKING:
        onoff: int
        keepalivetime: int
        keepaliveinterval: int
    _fields_ = [(name, ctypes.c_uint32) for name in ("onoff", "keepalivetime", "keepaliveinterval")]


class WSAPOLLFD(_Named):
    """One socket of WSAPoll: what is asked, and what was found."""

    if TYPE_CHECKING:
        fd: int
        events: int
        revents: int
    _fields_ = [("fd", ctypes.c_size_t), ("events", ctypes.c_int16), ("revents", ctypes.c_int16)]


class WSANETWORKEVENTS(ctypes.Structure):
    """What WSAEnumNetworkEvents found: a mask, and a code for each bit that is set in it."""

    if TYPE_CHECKING:
        lNetworkEvents: int
        iErrorCode: ctypes.Array[ctypes.c_int]
    _fields_ = [("lNetworkEvents", ctypes.c_int32), ("iErrorCode", ctypes.c_int * FD_MAX_EVENTS)]


class WSABUF:
    """A buffer of WSASend and WSARecv: its length and the object that holds the bytes."""

    __slots__ = ("buf", "len")

    def __init__(self, len: int = 0, buf: bytes | bytearray | memoryview = b"") -> None:  # noqa: A002
        self.len = len
        self.buf = buf


class fd_set(MutableSet[int]):
    """A set of sockets in the order they were put in.

    As in C one set holds ``fd_set.FD_SETSIZE`` sockets, 64 at first, and FD_SET drops what exceeds
    that. Where a C program has ``#define FD_SETSIZE n`` before the header, set the attribute.
    """

    __slots__ = ("_sockets",)
    FD_SETSIZE: ClassVar[int] = FD_SETSIZE

    def __init__(self, sockets: Iterable[int] = ()) -> None:
        self._sockets: dict[int, None] = dict.fromkeys(sockets)

    def __contains__(self, s: object) -> bool:
        return s in self._sockets

    def __iter__(self) -> Iterator[int]:
        return iter(self._sockets)

    def __len__(self) -> int:
        return len(self._sockets)

    def __repr__(self) -> str:
        return f"fd_set({list(self._sockets)})"

    def add(self, s: int) -> None:
        """FD_SET's work: put one socket in, if there is room."""
        if len(self._sockets) < self.FD_SETSIZE:
            self._sockets[s] = None

    def discard(self, s: int) -> None:
        """FD_CLR's work: take one socket out, if it is there."""
        self._sockets.pop(s, None)

    @property
    def fd_count(self) -> int:
        """How many sockets are in the set."""
        return len(self._sockets)

    @property
    def fd_array(self) -> list[int]:
        """The sockets, in order; a copy."""
        return list(self._sockets)


# ----------------------------------------------------------------------------- windows, threads


class POINT(_Named):
    """A place on the screen; there is none, so 0, 0."""

    _fields_ = [("x", ctypes.c_int32), ("y", ctypes.c_int32)]


class MSG(_Named):
    """A message of a queue; ``time`` in milliseconds, as GetTickCount counts."""

    if TYPE_CHECKING:
        hwnd: int
        message: int
        wParam: int
        lParam: int
        time: int
        pt: POINT
    _fields_ = [
        ("hwnd", ctypes.c_size_t),
        ("message", ctypes.c_uint),
        ("wParam", ctypes.c_size_t),
        ("lParam", ctypes.c_ssize_t),
        ("time", ctypes.c_uint32),
        ("pt", POINT),
    ]


class WNDCLASS:
    """A window class: its name and its procedure count, the rest is kept for the program."""

    def __init__(self) -> None:
        self.style = 0
        self.lpfnWndProc: Callable[[int, int, int, int], int] | None = None
        self.cbClsExtra = 0
        self.cbWndExtra = 0
        self.hInstance: Any = None
        self.hIcon: Any = None
        self.hCursor: Any = None
        self.hbrBackground: Any = None
        self.lpszMenuName: str | None = None
        self.lpszClassName: str | None = None


class WNDCLASSEX(WNDCLASS):
    """A window class with its size and a small icon."""

    def __init__(self) -> None:
        super().__init__()
        self.cbSize = 80
        self.hIconSm: Any = None


class CRITICAL_SECTION:
    """A lock of threads; InitializeCriticalSection makes it ready."""

    __slots__ = ("depth", "lot", "owner")

    def __init__(self) -> None:
        self.owner: object | None = None
        self.depth = 0
        self.lot: Any = None


LINGER = linger
TIMEVAL = timeval

__all__ = [
    "ADDRINFO", "BOOL", "BYTE", "CRITICAL_SECTION", "DWORD", "HANDLE", "HOSTENT", "HWND",
    "IN6_ADDR", "INT", "IN_ADDR", "LINGER", "LONG", "LPARAM", "LPSTR", "LRESULT", "MSG", "POINT",
    "SERVENT", "SOCKADDR", "SOCKADDR_IN", "SOCKADDR_IN6", "SOCKADDR_STORAGE", "SOCKET", "TIMEVAL",
    "UINT", "ULONG", "WNDCLASS", "WNDCLASSEX", "WORD", "WPARAM", "WSABUF", "WSADATA", "WSAEVENT",
    "WSANETWORKEVENTS", "WSAPOLLFD", "addrinfo", "fd_set", "hostent", "in6_addr", "in_addr",
    "linger", "servent", "sockaddr", "sockaddr_in", "sockaddr_in6", "sockaddr_storage",
    "tcp_keepalive", "timeval",
]  # fmt: skip
