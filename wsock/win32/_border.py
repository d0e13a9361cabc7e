# The border: Windows' numbers on the one side, the standard library's on the other.
#
#   ws2_32           Windows' values, as a C program has them
# > border           THIS FILE: the one table where the two meet (everything else is equal)
#   _socket, afd     the standard library's values
#
# Rule 1: no other module of win32 names a constant of the standard library's socket module.
# Rule 2: how an option's value looks (an int, a flag, milliseconds, a struct linger) is part of the
#         table; an option that is not in it does not exist (WSAENOPROTOOPT).
#
# Sources: winsock2.h; socket(7), ip(7).

from __future__ import annotations

import socket as std
from enum import Enum
from typing import Final, NamedTuple

from wsock import errors
from wsock.win32 import constants as c

FAMILIES: Final[dict[int, int]] = {c.AF_INET: std.AF_INET, c.AF_INET6: std.AF_INET6}
WINDOWS_FAMILIES: Final[dict[int, int]] = {theirs: ours for ours, theirs in FAMILIES.items()}

TYPES: Final[dict[int, int]] = {
    c.SOCK_STREAM: std.SOCK_STREAM,
    c.SOCK_DGRAM: std.SOCK_DGRAM,
    c.SOCK_RAW: std.SOCK_RAW,
}
WINDOWS_TYPES: Final[dict[int, int]] = {int(theirs): ours for ours, theirs in TYPES.items()}

# Named outside the table: the options that bound waiting calls, and where options live.
SOL_SOCKET: Final = std.SOL_SOCKET
RECEIVE_TIMEOUT: Final = std.SO_RCVTIMEO
SEND_TIMEOUT: Final = std.SO_SNDTIMEO
KEEP_ALIVE: Final = (std.SOL_SOCKET, std.SO_KEEPALIVE)
KEEP_ALIVE_IDLE: Final = (std.IPPROTO_TCP, std.TCP_KEEPIDLE)
KEEP_ALIVE_INTERVAL: Final = (std.IPPROTO_TCP, std.TCP_KEEPINTVL)
STREAM: Final = int(std.SOCK_STREAM)
URGENT: Final = int(std.MSG_OOB)
WAIT_ALL: Final = int(std.MSG_WAITALL)

_MESSAGE_FLAGS: Final = {
    c.MSG_OOB: std.MSG_OOB,
    c.MSG_PEEK: std.MSG_PEEK,
    c.MSG_DONTROUTE: std.MSG_DONTROUTE,
    c.MSG_WAITALL: std.MSG_WAITALL,
}
_KNOWN_FLAGS: Final = sum(_MESSAGE_FLAGS)
_SENDABLE: Final = c.MSG_OOB | c.MSG_DONTROUTE


def message_flags(flags: int) -> int:
    """The flags of send or recv in this system's numbers.

    Raises:
      WSAEOPNOTSUPP: a flag that does not exist.
    """
    if flags & ~_KNOWN_FLAGS:
        raise errors.WSAEOPNOTSUPP("flags", "", f"{flags:#x}")
    found = 0
    for ours, theirs in _MESSAGE_FLAGS.items():
        if flags & ours:
            found |= theirs
    return found


def send_flags(flags: int) -> int:
    """The flags of send in this system's numbers.

    Raises:
      WSAEOPNOTSUPP: a flag that does not exist, or that only a receive knows.
    """
    if flags & ~_SENDABLE:
        raise errors.WSAEOPNOTSUPP("flags", "", f"{flags:#x}")
    return message_flags(flags)


class Kind(Enum):
    """How the value of an option looks."""

    NUMBER = "an int"
    FLAG = "a BOOL"
    LINGER = "a struct linger"
    ERROR = "an error code"
    TYPE = "a socket type"
    BYTES = "a structure, passed on as it is"


class Option(NamedTuple):
    """An option on the other side of the border."""

    level: int
    number: int
    kind: Kind


_NUMBER, _FLAG = Kind.NUMBER, Kind.FLAG

OPTIONS: Final[dict[tuple[int, int], Option]] = {
    (c.SOL_SOCKET, c.SO_ACCEPTCONN): Option(std.SOL_SOCKET, std.SO_ACCEPTCONN, _FLAG),
    (c.SOL_SOCKET, c.SO_BROADCAST): Option(std.SOL_SOCKET, std.SO_BROADCAST, _FLAG),
    (c.SOL_SOCKET, c.SO_DONTLINGER): Option(std.SOL_SOCKET, c.SO_DONTLINGER, _FLAG),
    (c.SOL_SOCKET, c.SO_DONTROUTE): Option(std.SOL_SOCKET, std.SO_DONTROUTE, _FLAG),
    (c.SOL_SOCKET, c.SO_ERROR): Option(std.SOL_SOCKET, std.SO_ERROR, Kind.ERROR),
    (c.SOL_SOCKET, c.SO_EXCLUSIVEADDRUSE): Option(std.SOL_SOCKET, c.SO_EXCLUSIVEADDRUSE, _FLAG),
    (c.SOL_SOCKET, c.SO_KEEPALIVE): Option(std.SOL_SOCKET, std.SO_KEEPALIVE, _FLAG),
    (c.SOL_SOCKET, c.SO_LINGER): Option(std.SOL_SOCKET, std.SO_LINGER, Kind.LINGER),
    (c.SOL_SOCKET, c.SO_OOBINLINE): Option(std.SOL_SOCKET, std.SO_OOBINLINE, _FLAG),
    (c.SOL_SOCKET, c.SO_RCVBUF): Option(std.SOL_SOCKET, std.SO_RCVBUF, _NUMBER),
    (c.SOL_SOCKET, c.SO_RCVTIMEO): Option(std.SOL_SOCKET, std.SO_RCVTIMEO, _NUMBER),
    (c.SOL_SOCKET, c.SO_REUSEADDR): Option(std.SOL_SOCKET, std.SO_REUSEADDR, _FLAG),
    (c.SOL_SOCKET, c.SO_SNDBUF): Option(std.SOL_SOCKET, std.SO_SNDBUF, _NUMBER),
    (c.SOL_SOCKET, c.SO_SNDTIMEO): Option(std.SOL_SOCKET, std.SO_SNDTIMEO, _NUMBER),
    (c.SOL_SOCKET, c.SO_TYPE): Option(std.SOL_SOCKET, std.SO_TYPE, Kind.TYPE),
    (c.IPPROTO_TCP, c.TCP_NODELAY): Option(std.IPPROTO_TCP, std.TCP_NODELAY, _FLAG),
    (c.IPPROTO_IP, c.IP_TTL): Option(std.IPPROTO_IP, std.IP_TTL, _NUMBER),
    (c.IPPROTO_IP, c.IP_TOS): Option(std.IPPROTO_IP, std.IP_TOS, _NUMBER),
    (c.IPPROTO_IP, c.IP_MULTICAST_TTL): Option(std.IPPROTO_IP, std.IP_MULTICAST_TTL, _NUMBER),
    (c.IPPROTO_IP, c.IP_MULTICAST_LOOP): Option(std.IPPROTO_IP, std.IP_MULTICAST_LOOP, _FLAG),
    (c.IPPROTO_IP, c.IP_MULTICAST_IF): Option(std.IPPROTO_IP, std.IP_MULTICAST_IF, Kind.BYTES),
    (c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP): Option(
        std.IPPROTO_IP, std.IP_ADD_MEMBERSHIP, Kind.BYTES
    ),
    (c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP): Option(
        std.IPPROTO_IP, std.IP_DROP_MEMBERSHIP, Kind.BYTES
    ),
    (c.IPPROTO_IPV6, c.IPV6_V6ONLY): Option(std.IPPROTO_IPV6, std.IPV6_V6ONLY, _FLAG),
    (c.IPPROTO_IPV6, c.IPV6_UNICAST_HOPS): Option(
        std.IPPROTO_IPV6, std.IPV6_UNICAST_HOPS, _NUMBER
    ),
}


def kind_of_socket(family: int, type: int, protocol: int) -> tuple[int, int, int]:  # noqa: A002
    """Family, type and protocol of a new socket on the other side, each checked as Winsock does.

    Type 0 takes the protocol's, protocol 0 the type's; both 0 is TCP.

    Raises:
      WSAEINVAL: neither family nor protocol. WSAESOCKTNOSUPPORT, WSAEAFNOSUPPORT,
      WSAEPROTONOSUPPORT: in this order, what does not exist or does not go together. With a
      family that does not exist a bad protocol or no type is told before it, as recorded.
    """
    if not family and not protocol:
        raise errors.WSAEINVAL("socket", "", "neither a family nor a protocol")
    found = FAMILIES.get(family or c.AF_INET)
    if found is None:
        raise _no_such_family(family, type, protocol)
    if not type:
        type = c.SOCK_DGRAM if protocol == c.IPPROTO_UDP else c.SOCK_STREAM  # noqa: A001
    if type not in TYPES:
        raise errors.WSAESOCKTNOSUPPORT("socket", "", f"type {type}")
    usual = {c.SOCK_STREAM: c.IPPROTO_TCP, c.SOCK_DGRAM: c.IPPROTO_UDP}.get(type)
    if usual is not None and protocol not in (0, usual):
        raise errors.WSAEPROTONOSUPPORT("socket", "", f"protocol {protocol} with type {type}")
    return found, TYPES[type], protocol


def _no_such_family(family: int, type: int, protocol: int) -> errors.WSAError:  # noqa: A002
    if type and type not in TYPES:
        return errors.WSAESOCKTNOSUPPORT("socket", "", f"type {type}")
    if protocol not in (0, c.IPPROTO_TCP, c.IPPROTO_UDP):
        return errors.WSAEPROTONOSUPPORT("socket", "", f"protocol {protocol}")
    if not type:
        return errors.WSAESOCKTNOSUPPORT("socket", "", f"no type in address family {family}")
    return errors.WSAEAFNOSUPPORT("socket", "", f"address family {family}")
