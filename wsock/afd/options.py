# Socket options as Winsock means them, by the standard library's numbers (ruling B1).
#
# Rule 1: what the program sets is remembered and reported as it was set, also where the system
#         would report something else (SO_RCVBUF doubled) or has no such option
#         (SO_EXCLUSIVEADDRUSE); a descriptor that must be made anew gets all of it again (B14).
# Rule 2: an option that is not in the table goes to the transport as it is; what that does not
#         know is WSAENOPROTOOPT.
#
# Sources: getsockopt and setsockopt pages; winsock 10 and 11; rulings A10, B1, B17, B22.
"""Getting, setting and inheriting socket options."""

from __future__ import annotations

import socket as std
import struct
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..constants import SO_DONTLINGER, SO_EXCLUSIVEADDRUSE
from ..tdi import Status, StatusError
from .receive import ReceivingEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from .endpoint import Endpoint

__all__ = ["get_option", "inherit", "set_option"]

LINGER: Final = struct.Struct("ii")

#: Below this a buffer size is not handed to a kernel: setting any ends its autotuning (B22).
SMALLEST_KERNEL_BUFFER: Final = 65536
_LARGEST_INT: Final = 0x7FFFFFFF
_SMALLEST_INT: Final = -0x80000000
_LARGEST_DWORD: Final = 0xFFFFFFFF

_SOCKET: Final = std.SOL_SOCKET
_UNKNOWN: Final = frozenset({Status.INVALID_DEVICE_REQUEST, Status.NOT_SUPPORTED})
_READ_ONLY: Final = frozenset({std.SO_ERROR, std.SO_TYPE, std.SO_ACCEPTCONN})
_TIMEOUTS: Final = frozenset({std.SO_RCVTIMEO, std.SO_SNDTIMEO})
_BUFFERS: Final = frozenset({std.SO_RCVBUF, std.SO_SNDBUF})
_BOOLEANS: Final = frozenset(
    {
        (_SOCKET, std.SO_KEEPALIVE),
        (_SOCKET, std.SO_OOBINLINE),
        (_SOCKET, std.SO_BROADCAST),
        (std.IPPROTO_TCP, std.TCP_NODELAY),
    }
)
#: What an accepted socket takes over from its listener (winsock 6).
_INHERITED: Final = frozenset(
    {
        (_SOCKET, std.SO_REUSEADDR),
        (_SOCKET, std.SO_LINGER),
        (_SOCKET, std.SO_KEEPALIVE),
        (_SOCKET, std.SO_OOBINLINE),
        (_SOCKET, std.SO_SNDBUF),
        (_SOCKET, std.SO_RCVBUF),
        (_SOCKET, std.SO_SNDTIMEO),
        (_SOCKET, std.SO_RCVTIMEO),
        (std.IPPROTO_TCP, std.TCP_NODELAY),
    }
)


def inherit(accepted: Endpoint, listener: Endpoint) -> None:
    """Give an accepted endpoint its listener's options; the transport copied its own part."""
    assert listener.options is not None
    taken = {key: value for key, value in listener.options.items() if key in _INHERITED}
    accepted.options = taken or None
    accepted.timed = listener.timed


def _remember(endpoint: Endpoint, level: int, option: int, value: Any) -> None:  # noqa: ANN401
    if endpoint.options is None:
        endpoint.options = {}
    endpoint.options[level, option] = value
    if level == _SOCKET and option in _TIMEOUTS:
        endpoint.timed = True


def _number(endpoint: Endpoint, value: Any) -> int:  # noqa: ANN401
    if isinstance(value, bytes | bytearray | memoryview):
        if len(value) < 4:
            raise errors.WSAEFAULT("setsockopt", endpoint.state, "an int of 4 bytes is expected")
        return int(struct.unpack_from("i", value)[0])
    if not isinstance(value, int) or not _SMALLEST_INT <= value <= _LARGEST_DWORD:
        raise errors.WSAEFAULT("setsockopt", endpoint.state, f"{value!r} is not an int of 4 bytes")
    return int(value)


# SO_REUSEADDR, SO_EXCLUSIVEADDRUSE


def _set_reuse(endpoint: Endpoint, value: Any) -> None:  # noqa: ANN401
    on = bool(_number(endpoint, value))
    if on and endpoint.exclusive:
        raise errors.WSAEINVAL("setsockopt", endpoint.state, "SO_EXCLUSIVEADDRUSE is set")
    _remember(endpoint, _SOCKET, std.SO_REUSEADDR, on)
    if endpoint.type != std.SOCK_STREAM:  # for TCP the transport decides at bind (ruling A10)
        _pass_down(endpoint, _SOCKET, std.SO_REUSEADDR, int(on))


def _set_exclusive(endpoint: Endpoint, value: Any) -> None:  # noqa: ANN401
    on = bool(_number(endpoint, value))
    if on and endpoint.reuse:
        raise errors.WSAEINVAL("setsockopt", endpoint.state, "SO_REUSEADDR is set")
    _remember(endpoint, _SOCKET, SO_EXCLUSIVEADDRUSE, on)


def _set_inline(endpoint: Endpoint, value: Any) -> None:  # noqa: ANN401
    on = int(bool(_number(endpoint, value)))
    stream = endpoint if isinstance(endpoint, ReceivingEndpoint) else None
    received = on and stream is not None and stream.before_inline()
    _pass_down(endpoint, _SOCKET, std.SO_OOBINLINE, on)
    _remember(endpoint, _SOCKET, std.SO_OOBINLINE, on)
    if on:
        endpoint.urgent = b""  # taken for MSG_OOB: the transport gives it once more, in the stream
    if received and stream is not None:
        stream.made_inline()  # but this one the program has


# SO_LINGER, SO_DONTLINGER: streams only


def _check_stream(endpoint: Endpoint, call: str) -> None:
    if endpoint.type != std.SOCK_STREAM:
        raise errors.WSAENOPROTOOPT(call, endpoint.state, "a datagram socket does not linger")


def _set_linger(endpoint: Endpoint, value: Any) -> None:  # noqa: ANN401
    _check_stream(endpoint, "setsockopt")
    try:
        packed = LINGER.pack(*value) if isinstance(value, tuple) else memoryview(value)
        on, seconds = LINGER.unpack(packed)
    except (TypeError, struct.error):
        raise errors.WSAEFAULT(
            "setsockopt", endpoint.state, f"{value!r}: SO_LINGER takes struct.pack('ii', on, s)"
        ) from None
    if seconds < 0:
        raise errors.WSAEINVAL("setsockopt", endpoint.state, f"{seconds} seconds of lingering")
    _remember(endpoint, _SOCKET, std.SO_LINGER, seconds if on else None)


def _get_linger(endpoint: Endpoint) -> bytes:
    _check_stream(endpoint, "getsockopt")
    return LINGER.pack(endpoint.linger is not None, endpoint.linger or 0)


def _set_dont_linger(endpoint: Endpoint, value: Any) -> None:  # noqa: ANN401
    _check_stream(endpoint, "setsockopt")
    seconds = None if _number(endpoint, value) else endpoint.linger or 0
    _remember(endpoint, _SOCKET, std.SO_LINGER, seconds)


def _get_dont_linger(endpoint: Endpoint) -> int:
    _check_stream(endpoint, "getsockopt")
    return int(endpoint.linger is None)


_SETTERS: Final[dict[tuple[int, int], Callable[[Endpoint, Any], None]]] = {
    (_SOCKET, std.SO_REUSEADDR): _set_reuse,
    (_SOCKET, SO_EXCLUSIVEADDRUSE): _set_exclusive,
    (_SOCKET, std.SO_LINGER): _set_linger,
    (_SOCKET, SO_DONTLINGER): _set_dont_linger,
    (_SOCKET, std.SO_OOBINLINE): _set_inline,
}
_GETTERS: Final[dict[tuple[int, int], Callable[[Endpoint], int | bytes]]] = {
    (_SOCKET, std.SO_REUSEADDR): lambda endpoint: int(endpoint.reuse),
    (_SOCKET, SO_EXCLUSIVEADDRUSE): lambda endpoint: int(endpoint.exclusive),
    (_SOCKET, std.SO_LINGER): _get_linger,
    (_SOCKET, SO_DONTLINGER): _get_dont_linger,
    (_SOCKET, std.SO_ERROR): lambda endpoint: endpoint.socket_error,
    (_SOCKET, std.SO_TYPE): lambda endpoint: endpoint.type,
    (_SOCKET, std.SO_ACCEPTCONN): lambda endpoint: int(endpoint.pool is not None),
}


def _pass_down(endpoint: Endpoint, level: int, option: int, value: int | bytes) -> None:
    try:
        endpoint.file.set_option(level, option, value)
    except (OSError, StatusError) as error:
        raise _failure(endpoint, "setsockopt", error) from None


def _failure(endpoint: Endpoint, call: str, error: OSError | StatusError) -> errors.WSAError:
    """Return the WSAError; an option that the transport does not know is WSAENOPROTOOPT."""
    if isinstance(error, StatusError) and error.status in _UNKNOWN:
        return errors.WSAENOPROTOOPT(call, endpoint.state)
    return endpoint.failure(call, error)


def set_option(endpoint: Endpoint, level: int, option: int, value: Any) -> None:  # noqa: ANN401
    """Set an option; what each takes is in ``Socket.setsockopt``.

    Raises:
      WSAENOPROTOOPT: unknown, or read only. WSAEINVAL, WSAEFAULT: the value does not fit.
    """
    endpoint.check_open("setsockopt")
    setter = _SETTERS.get((level, option))
    if setter is not None:
        setter(endpoint, value)
        return
    if level == _SOCKET and option in _READ_ONLY:
        raise errors.WSAENOPROTOOPT("setsockopt", endpoint.state, "the option can only be read")
    if (level, option) in _BOOLEANS:
        value = int(bool(_number(endpoint, value)))
    elif level == _SOCKET and option in _TIMEOUTS | _BUFFERS:
        value = _number(endpoint, value)
        if value < 0:
            raise errors.WSAEINVAL("setsockopt", endpoint.state, f"{value} is negative")
    elif not isinstance(value, bytes):
        value = _number(endpoint, value)
        if value > _LARGEST_INT:  # a DWORD: the same bits as an int, which is what a system takes
            value -= 1 << 32
    keep = level == _SOCKET and (
        option in _TIMEOUTS or (option in _BUFFERS and value < SMALLEST_KERNEL_BUFFER)
    )
    if not keep or (option in _BUFFERS and endpoint.host.device.provider.eager):
        # A buffer size is a DWORD for Winsock, an int for a system.
        most = _LARGEST_INT if level == _SOCKET and option in _BUFFERS else None
        _pass_down(endpoint, level, option, value if most is None else min(value, most))
    _remember(endpoint, level, option, value)
    if level == _SOCKET and option == std.SO_SNDBUF:
        endpoint.send_buffer_changed()


def get_option(endpoint: Endpoint, level: int, option: int, size: int = 0) -> int | bytes:
    """Return an option: as it was set, as Winsock defines it, or as the transport has it.

    Raises:
      WSAENOPROTOOPT: unknown, or not for this type of socket.
    """
    endpoint.check_open("getsockopt")
    getter = _GETTERS.get((level, option))
    if getter is not None:
        return getter(endpoint)
    if endpoint.options is not None and (level, option) in endpoint.options:
        value: int | bytes = endpoint.options[level, option]
        return value
    if level == _SOCKET and option in _TIMEOUTS:
        return 0
    try:
        answer: int | bytes = endpoint.file.get_option(level, option, size)
    except (OSError, StatusError) as error:
        raise _failure(endpoint, "getsockopt", error) from None
    if (level, option) in _BOOLEANS:
        return int(bool(answer))
    return answer
