# ws2_32: socket options and ioctl commands.
#
# Rule 1: values are C-shaped: ctypes integers, a linger, bytes of a structure; numbers are
#         Windows'. _border.py has the table.
#
# Sources: learn.microsoft.com, getsockopt, setsockopt, ioctlsocket, SIO_KEEPALIVE_VALS.

from __future__ import annotations

import struct
from typing import Any, Final

from wsock import errors
from wsock.win32 import _reactor, _threads
from wsock.win32._border import (
    KEEP_ALIVE,
    KEEP_ALIVE_IDLE,
    KEEP_ALIVE_INTERVAL,
    OPTIONS,
    STREAM,
    WINDOWS_TYPES,
    Kind,
    Option,
)
from wsock.win32._buffers import number, store, target, view
from wsock.win32._calls import keeping_last_error, socket_of, winsock_call
from wsock.win32._threads import current
from wsock.win32.constants import (
    FIONBIO,
    FIONREAD,
    SIO_KEEPALIVE_VALS,
    SIOCATMARK,
    SO_DONTLINGER,
    SO_LINGER,
    SO_RCVBUF,
    SO_RCVTIMEO,
    SO_SNDBUF,
    SO_SNDTIMEO,
    SOL_SOCKET,
)
from wsock.win32.types import linger, tcp_keepalive

_SIZE_OF_INT: Final = 4
_LINGER: Final = struct.Struct("ii")  # as the Python face packs it
_LINGERS: Final = (SO_LINGER, SO_DONTLINGER)
_UNSIGNED: Final = (SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVBUF, SO_SNDBUF)


def _option(level: int, optname: int) -> Option:
    found = OPTIONS.get((level, optname))
    if found is None:
        raise errors.WSAENOPROTOOPT("sockopt", "", f"level {level:#x}, option {optname:#x}")
    return found


def _plain(optval: Any, length: int) -> int:
    """The integer in an argument: a ctypes integer, an int, or the first bytes of a buffer."""
    value = target(optval)
    if isinstance(value, int):
        return value
    if hasattr(value, "value") and not isinstance(value.value, bytes):
        return int(value.value)
    return int.from_bytes(view(value)[:length], "little", signed=True)


@winsock_call
def setsockopt(s: int, level: int, optname: int, optval: Any, optlen: int = 4) -> int:
    """int setsockopt(SOCKET s, int level, int optname, const char *optval, int optlen).

    optval is a c_int (or an int), a linger, or for structures anything with bytes. Buffer sizes
    below 64 KiB are remembered and reported, and left to the system. As recorded on Winsock,
    SO_ERROR is taken and ignored, and so is SO_LINGER on a datagram socket, which reading refuses.
    """
    sock = socket_of(s)
    option = _option(level, optname)
    if option.kind is Kind.ERROR or (optname in _LINGERS and sock.type != STREAM):
        return 0
    raw = target(optval)
    if raw is None or (option.kind is Kind.NUMBER and number(optlen) < _SIZE_OF_INT):
        raise errors.WSAEFAULT("setsockopt", sock.state, "no value, or one too short")
    if option.kind is Kind.LINGER:
        value: Any = _linger(raw)
    elif option.kind is Kind.BYTES:
        value = bytes(view(raw)[: number(optlen)])
    else:
        value = _plain(raw, number(optlen))
        if level == SOL_SOCKET and optname in _UNSIGNED:
            value &= 0xFFFFFFFF  # a DWORD, of which a program may see only the sign
    sock.setsockopt(option.level, option.number, value)
    return 0


def _linger(raw: Any) -> tuple[int, int]:
    found = raw if hasattr(raw, "l_onoff") else linger.from_buffer_copy(view(raw))
    return int(found.l_onoff), int(found.l_linger)


@keeping_last_error
def getsockopt(s: int, level: int, optname: int, optval: Any, optlen: Any = None) -> int:
    """int getsockopt(SOCKET s, int level, int optname, char *optval, int *optlen).

    Values come back as they were set. SO_ERROR is a Winsock code, SO_TYPE Windows' number.
    """
    sock = socket_of(s)
    option = _option(level, optname)
    if option.kind is Kind.ERROR:
        _reactor.turn()
    size = _SIZE_OF_INT if optlen is None else number(optlen)
    if target(optval) is None or size < (1 if option.kind is Kind.FLAG else _SIZE_OF_INT):
        raise errors.WSAEFAULT("getsockopt", sock.state, "no room for the value")
    value = sock.getsockopt(option.level, option.number)
    if option.kind is not Kind.TYPE:  # that one is known without asking the provider
        current().last_error = 0
    if isinstance(value, bytes):
        _write_bytes(target(optval), option, value)
    elif option.kind is Kind.TYPE:
        _write(target(optval), WINDOWS_TYPES[int(value)], size)
    else:
        _write(target(optval), value, size)
    return 0


def _write(out: Any, value: int, size: int) -> None:
    if hasattr(out, "value") and not isinstance(out.value, bytes):
        out.value = value
    else:
        room = view(out)[: min(size, _SIZE_OF_INT)]
        room[:] = (value & 0xFFFFFFFF).to_bytes(_SIZE_OF_INT, "little")[: len(room)]


def _write_bytes(out: Any, option: Option, value: bytes) -> None:
    if option.kind is not Kind.LINGER:
        view(out)[: len(value)] = value
        return
    on, seconds = _LINGER.unpack(value)
    if hasattr(out, "l_onoff"):
        out.l_onoff, out.l_linger = on, seconds
    else:
        view(out)[:4] = bytes(linger(on, seconds))


# ---------------------------------------------------------------------------------------- ioctls


@winsock_call
def ioctlsocket(s: int, cmd: int, argp: Any) -> int:
    """int ioctlsocket(SOCKET s, long cmd, u_long *argp): FIONBIO, FIONREAD, SIOCATMARK.

    argp is a c_ulong. FIONREAD on a datagram socket gives the length of the first datagram, as
    this system does (Windows counts all that wait).
    """
    sock = socket_of(s)
    cmd &= 0xFFFFFFFF
    if cmd == FIONBIO:
        sock.ioctl(FIONBIO, number(argp))
        return 0
    if cmd not in (FIONREAD, SIOCATMARK):
        raise errors.WSAEOPNOTSUPP("ioctlsocket", sock.state, f"command {cmd:#x}")
    if cmd == SIOCATMARK:
        _reactor.turn()
    value = sock.ioctl(cmd)
    if cmd == FIONREAD and not value:
        _reactor.turn()
        value = sock.ioctl(cmd)
        if not value:
            _threads.pass_scheduler()
    store(argp, value)
    return 0


@winsock_call
def WSAIoctl(
    s: int,
    dwIoControlCode: int,
    lpvInBuffer: Any,
    cbInBuffer: int,
    lpvOutBuffer: Any,
    cbOutBuffer: int,
    lpcbBytesReturned: Any,
    lpOverlapped: None = None,
    lpCompletionRoutine: None = None,
) -> int:
    """int WSAIoctl(s, code, in, in_size, out, out_size, LPDWORD returned, NULL, NULL).

    FIONBIO, FIONREAD, SIOCATMARK, and SIO_KEEPALIVE_VALS with a tcp_keepalive.
    """
    sock = socket_of(s)
    if lpOverlapped is not None:
        raise errors.WSAEOPNOTSUPP("WSAIoctl", sock.state, "lpOverlapped must be NULL")
    code = dwIoControlCode & 0xFFFFFFFF
    if code == SIO_KEEPALIVE_VALS:
        _keep_alive(sock, lpvInBuffer, cbInBuffer)
        store(lpcbBytesReturned, 0)
        return 0
    if code == FIONBIO:
        sock.ioctl(FIONBIO, number(lpvInBuffer))
        store(lpcbBytesReturned, 0)
        return 0
    if code not in (FIONREAD, SIOCATMARK):
        raise errors.WSAEOPNOTSUPP("WSAIoctl", sock.state, f"code {code:#x}")
    if target(lpvOutBuffer) is None or cbOutBuffer < _SIZE_OF_INT:
        raise errors.WSAEFAULT("WSAIoctl", sock.state, "no room for the answer")
    _write(target(lpvOutBuffer), sock.ioctl(code), _SIZE_OF_INT)
    store(lpcbBytesReturned, _SIZE_OF_INT)
    return 0


def _keep_alive(sock: Any, values: Any, size: int) -> None:
    raw = target(values)
    if raw is None or size < 12:
        raise errors.WSAEFAULT("WSAIoctl", sock.state, "a tcp_keepalive is needed")
    wanted = raw if isinstance(raw, tcp_keepalive) else tcp_keepalive.from_buffer_copy(view(raw))
    sock.setsockopt(*KEEP_ALIVE, int(bool(wanted.onoff)))
    if wanted.onoff:
        # This system counts in seconds; less than one is one.
        idle = max(1, wanted.keepalivetime // 1000)
        interval = max(1, wanted.keepaliveinterval // 1000)
        sock.setsockopt(*KEEP_ALIVE_IDLE, idle)
        sock.setsockopt(*KEEP_ALIVE_INTERVAL, interval)


__all__ = ["WSAIoctl", "getsockopt", "ioctlsocket", "setsockopt"]
