# Socket options of a virtual host, in the standard library's numbers.
#
# Rule 1: an option outside this table raises ENOPROTOOPT, as a kernel does; nothing is accepted and
#         then ignored.

"""Options of virtual sockets."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.tcp.settings import TcpSettings
    from wsock.virtual.udp_endpoint import UdpEndpoint

_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000

# Numbers that the standard library names on some systems alone.
_KEEPIDLE: Final = int(getattr(std, "TCP_KEEPIDLE", 4))
_KEEPINTVL: Final = int(getattr(std, "TCP_KEEPINTVL", 5))
_KEEPCNT: Final = int(getattr(std, "TCP_KEEPCNT", 6))
_USER_TIMEOUT: Final = int(getattr(std, "TCP_USER_TIMEOUT", 18))
_NOTSENT_LOWAT: Final = int(getattr(std, "TCP_NOTSENT_LOWAT", 25))


def _no_delay(settings: TcpSettings, value: int) -> None:
    settings.no_delay = bool(value)


def _keep_alive(settings: TcpSettings, value: int) -> None:
    settings.keep_alive = bool(value)


def _inline(settings: TcpSettings, value: int) -> None:
    settings.oob_inline = bool(value)


def _idle(settings: TcpSettings, value: int) -> None:
    settings.keep_alive_idle_ns = value * _SECOND


def _interval(settings: TcpSettings, value: int) -> None:
    settings.keep_alive_interval_ns = value * _SECOND


def _probes(settings: TcpSettings, value: int) -> None:
    settings.keep_alive_probes = value


def _user_timeout(settings: TcpSettings, value: int) -> None:
    settings.user_timeout_ns = value * _MILLISECOND if value else None


def _low_water(settings: TcpSettings, value: int) -> None:
    settings.not_sent_low_water = value or None


def _ttl(settings: TcpSettings, value: int) -> None:
    settings.ttl = value if value > 0 else None


def _tos(settings: TcpSettings, value: int) -> None:
    settings.dscp = value >> 2


def _remembered_above(settings: TcpSettings, value: int) -> None:
    """SO_RCVBUF, SO_SNDBUF: AFD buffers by them; TCP's own window is the profile's.

    SO_BROADCAST: every stack lets it be set, and it means nothing to a stream.
    """


_SETTERS: Final[dict[tuple[int, int], Callable[[TcpSettings, int], None]]] = {
    (std.IPPROTO_TCP, std.TCP_NODELAY): _no_delay,
    (std.SOL_SOCKET, std.SO_KEEPALIVE): _keep_alive,
    (std.SOL_SOCKET, std.SO_OOBINLINE): _inline,
    (std.SOL_SOCKET, std.SO_BROADCAST): _remembered_above,
    (std.SOL_SOCKET, std.SO_RCVBUF): _remembered_above,
    (std.SOL_SOCKET, std.SO_SNDBUF): _remembered_above,
    (std.IPPROTO_TCP, _KEEPIDLE): _idle,
    (std.IPPROTO_TCP, _KEEPINTVL): _interval,
    (std.IPPROTO_TCP, _KEEPCNT): _probes,
    (std.IPPROTO_TCP, _USER_TIMEOUT): _user_timeout,
    (std.IPPROTO_TCP, _NOTSENT_LOWAT): _low_water,
    (std.IPPROTO_IP, std.IP_TTL): _ttl,
    (std.IPPROTO_IP, std.IP_TOS): _tos,
}

_GETTERS: Final[dict[tuple[int, int], Callable[[TcpSettings, TcpProfile], int]]] = {
    (std.IPPROTO_TCP, std.TCP_NODELAY): lambda s, _: int(s.no_delay),
    (std.SOL_SOCKET, std.SO_KEEPALIVE): lambda s, _: int(s.keep_alive),
    (std.SOL_SOCKET, std.SO_OOBINLINE): lambda s, _: int(s.oob_inline),
    (std.SOL_SOCKET, std.SO_BROADCAST): lambda _, __: 0,
    (std.SOL_SOCKET, std.SO_RCVBUF): lambda s, _: s.receive_buffer,
    (std.SOL_SOCKET, std.SO_SNDBUF): lambda s, _: s.send_buffer or s.receive_buffer,
    (std.IPPROTO_TCP, _KEEPIDLE): lambda s, _: s.keep_alive_idle_ns // _SECOND,
    (std.IPPROTO_TCP, _KEEPINTVL): lambda s, _: s.keep_alive_interval_ns // _SECOND,
    (std.IPPROTO_TCP, _KEEPCNT): lambda s, _: s.keep_alive_probes,
    (std.IPPROTO_TCP, _USER_TIMEOUT): lambda s, _: (s.user_timeout_ns or 0) // _MILLISECOND,
    (std.IPPROTO_TCP, _NOTSENT_LOWAT): lambda s, _: s.not_sent_low_water or 0,
    (std.IPPROTO_IP, std.IP_TTL): lambda s, p: p.time_to_live if s.ttl is None else s.ttl,
    (std.IPPROTO_IP, std.IP_TOS): lambda s, _: s.dscp << 2,
}


def _unknown(level: int, option: int) -> OSError:
    return OSError(errno.ENOPROTOOPT, f"virtual socket: option {option} of level {level}")


def number(value: int | bytes) -> int:
    """Return an option's value as an int."""
    return value if isinstance(value, int) else int.from_bytes(value[:4], "little", signed=True)


def set_stream_option(settings: TcpSettings, level: int, option: int, value: int | bytes) -> None:
    """Set an option of a TCP socket; OSError(ENOPROTOOPT) for one that does not exist here."""
    setter = _SETTERS.get((level, option))
    if setter is None:
        raise _unknown(level, option)
    setter(settings, number(value))


def get_stream_option(settings: TcpSettings, profile: TcpProfile, level: int, option: int) -> int:
    """Return an option of a TCP socket; OSError(ENOPROTOOPT) for one that does not exist here."""
    getter = _GETTERS.get((level, option))
    if getter is None:
        raise _unknown(level, option)
    return getter(settings, profile)


def set_datagram_option(endpoint: UdpEndpoint, level: int, option: int, value: int | bytes) -> None:
    """Set an option of a UDP socket, groups among them."""
    if (level, option) == (std.SOL_SOCKET, std.SO_REUSEADDR):
        endpoint.reuse = bool(number(value))
    elif (level, option) == (std.SOL_SOCKET, std.SO_BROADCAST):
        endpoint.broadcast = bool(number(value))
    elif (level, option) == (std.SOL_SOCKET, std.SO_RCVBUF):
        endpoint.receive_limit = number(value)
    elif (level, option) == (std.SOL_SOCKET, std.SO_SNDBUF):
        return
    elif level == std.IPPROTO_IP:
        _set_ip_option(endpoint, option, value)
    else:
        raise _unknown(level, option)


def _set_ip_option(endpoint: UdpEndpoint, option: int, value: int | bytes) -> None:
    if option == std.IP_TTL:
        endpoint.ttl = number(value)
    elif option == std.IP_TOS:
        endpoint.dscp = number(value) >> 2
    elif option == std.IP_MULTICAST_TTL:
        endpoint.multicast_ttl = number(value)
    elif option == std.IP_MULTICAST_LOOP:
        endpoint.multicast_loop = bool(number(value))
    elif option == std.IP_MULTICAST_IF and isinstance(value, bytes):
        endpoint.multicast_interface = value[:4]
    elif option in (std.IP_ADD_MEMBERSHIP, std.IP_DROP_MEMBERSHIP) and isinstance(value, bytes):
        change = endpoint.join if option == std.IP_ADD_MEMBERSHIP else endpoint.leave
        error = change(value[:4], value[4:8])
        if error is not None:
            raise OSError(error, "group membership")
    else:
        raise _unknown(std.IPPROTO_IP, option)


def get_datagram_option(endpoint: UdpEndpoint, default_ttl: int, level: int, option: int) -> int:
    """Return an option of a UDP socket."""
    known = {
        (std.SOL_SOCKET, std.SO_REUSEADDR): int(endpoint.reuse),
        (std.SOL_SOCKET, std.SO_BROADCAST): int(endpoint.broadcast),
        (std.SOL_SOCKET, std.SO_RCVBUF): endpoint.receive_limit,
        (std.SOL_SOCKET, std.SO_SNDBUF): endpoint.receive_limit,
        (std.SOL_SOCKET, std.SO_KEEPALIVE): 0,
        (std.SOL_SOCKET, std.SO_OOBINLINE): 0,
        (std.IPPROTO_IP, std.IP_TTL): default_ttl if endpoint.ttl is None else endpoint.ttl,
        (std.IPPROTO_IP, std.IP_TOS): endpoint.dscp << 2,
        (std.IPPROTO_IP, std.IP_MULTICAST_TTL): endpoint.multicast_ttl,
        (std.IPPROTO_IP, std.IP_MULTICAST_LOOP): int(endpoint.multicast_loop),
    }
    if (level, option) not in known:
        raise _unknown(level, option)
    return known[level, option]
