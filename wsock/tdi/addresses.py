# Transport addresses: what tdi keeps of a socket address, and how it is shown.
#
# Rule 1: inside, an address is a packed ``bytes`` (a tuple of two costs 142 bytes, a packed one
#         40, and a server keeps one per connection). The tuple of the standard library's socket
#         module appears at the edge alone.
# Rule 2: no name is ever resolved here: text that is no address is the caller's error.
"""Packed transport addresses and their text."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from operator import index
from typing import Any, Final

__all__ = [
    "PROTOCOL_NAMES",
    "SocketAddress",
    "pack",
    "port_of",
    "show",
    "unpack",
    "why_bad",
    "wildcard",
]

#: An address in the form of the standard library: ``(host, port)``, for IPv6 with flow label and
#: scope, for AF_UNIX a path.
SocketAddress = Any

PROTOCOL_NAMES: Final[dict[int, str]] = {
    socket.SOCK_STREAM: "TCP",
    socket.SOCK_DGRAM: "UDP",
    socket.SOCK_RAW: "RAW",
}

# As plain ints: comparing with an enum's member is slow.
_AF_INET: Final = int(socket.AF_INET)
_AF_INET6: Final = int(socket.AF_INET6)
_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)

#: ``inet_ntoa``, which takes longer than all else of ``unpack``; clients come from the same hosts
#: again and again.
_dotted: Final = lru_cache(1024)(socket.inet_ntoa)


def pack(family: int, address: SocketAddress) -> bytes:
    """Return ``address`` packed: network order, port last for the internet families.

    Raises:
      OSError, ValueError, TypeError: it is no numeric address of that family.
    """
    if family == _AF_INET:
        host, port = address
        return socket.inet_aton(host) + index(port).to_bytes(2, "big")
    if family == _AF_INET6:
        host, port, *rest = address
        flow, scope = (*rest, 0, 0)[:2]
        if "%" in host:
            host, zone = host.split("%", 1)
            scope = scope or (int(zone) if zone.isdigit() else socket.if_nametoindex(zone))
        packed = socket.inet_pton(socket.AF_INET6, host) + index(port).to_bytes(2, "big")
        if flow or scope:
            packed += int(flow).to_bytes(4, "big") + int(scope).to_bytes(4, "big")
        return packed
    if family == _AF_UNIX:
        return (
            address.encode(errors="surrogateescape") if isinstance(address, str) else bytes(address)
        )
    raise ValueError(f"address family {family} is not supported")


def why_bad(address: SocketAddress, problem: Exception) -> str:
    """Say what is wrong with what ``pack`` refused with ``problem``."""
    match address:
        case (str(), int(port), *_) if 0 <= port < 1 << 16:
            return str(problem)
        case (str(), _, *_):
            return "the port is an int from 0 to 65535"
    return str(problem)


def unpack(family: int, packed: bytes) -> SocketAddress:
    """Return the standard library's form of a packed address."""
    if family == _AF_INET:
        return _dotted(packed[:4]), packed[4] << 8 | packed[5]
    if family == _AF_INET6:
        flow, scope = packed[18:22], packed[22:26]
        return (
            socket.inet_ntop(socket.AF_INET6, packed[:16]),
            int.from_bytes(packed[16:18], "big"),
            int.from_bytes(flow, "big"),
            int.from_bytes(scope, "big"),
        )
    if packed[:1] == b"\0":
        return packed
    return packed.decode(errors="surrogateescape")


def wildcard(family: int) -> bytes:
    """Return the packed address that leaves host and port to the system (IP 0, port 0)."""
    if family == _AF_INET:
        return bytes(6)
    if family == _AF_INET6:
        return bytes(18)
    return b""


def port_of(family: int, packed: bytes) -> int:
    """Return the port of a packed internet address, 0 for other families."""
    if family == _AF_INET:
        return packed[4] << 8 | packed[5]
    if family == _AF_INET6:
        return packed[16] << 8 | packed[17]
    return 0


def show(family: int, packed: bytes) -> str:
    """Return ``ip:port`` (IPv6 in brackets) as a monitor prints it, ``""`` for no address."""
    if not packed:
        return ""
    if family == _AF_INET:
        return f"{socket.inet_ntoa(packed[:4])}:{int.from_bytes(packed[4:6], 'big')}"
    if family == _AF_INET6:
        return f"[{ipaddress.IPv6Address(packed[:16])}]:{int.from_bytes(packed[16:18], 'big')}"
    return str(unpack(family, packed))
