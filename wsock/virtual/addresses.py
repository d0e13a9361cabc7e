# IPv4 addresses: 4 bytes inside, text and ``ipaddress`` objects at the edge. One packet must never
# cost an ``ipaddress`` object; these functions are where the two worlds meet.

"""IPv4 addresses as 4 bytes."""

from __future__ import annotations

import ipaddress
from typing import Final

Address = str | bytes | ipaddress.IPv4Address

LOOPBACK: Final = b"\x7f\x00\x00\x01"


def packed(address: Address) -> bytes:
    """Return an address as 4 bytes.

    Raises:
      ValueError: it is no IPv4 address; each of its four parts must be a number up to 255.
    """
    if isinstance(address, bytes):
        if len(address) != 4:
            raise ValueError(f"an IPv4 address has 4 bytes, not {len(address)}")
        return address
    return ipaddress.IPv4Address(address).packed


def text(address: bytes) -> str:
    """Return 4 bytes as people write them."""
    return f"{address[0]}.{address[1]}.{address[2]}.{address[3]}"


def is_loopback(address: bytes) -> bool:
    """Whether it is in 127/8, which never leaves a host."""
    return address[0] == 127


def is_multicast(address: bytes) -> bool:
    """Whether it names a group (224/4)."""
    return 224 <= address[0] <= 239


def is_limited_broadcast(address: bytes) -> bool:
    """Whether it is 255.255.255.255."""
    return address == b"\xff\xff\xff\xff"


def is_valid_source(address: bytes) -> bool:
    """Whether a packet from another host may carry it as source (RFC 1122 section 3.2.1.3)."""
    return 0 < address[0] < 224 and address[0] != 127


def mask(prefix_length: int) -> int:
    """Return the netmask of a prefix as a number."""
    return 0xFFFFFFFF << (32 - prefix_length) & 0xFFFFFFFF
