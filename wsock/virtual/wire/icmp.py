# ICMP messages (RFC 792): echo, and the errors that quote the packet they are about.
#
# Sources: RFC 792; RFC 1191 section 4 (next-hop MTU in 3/4); RFC 1122 section 3.2.2 (what an error
# quotes); RFC 1812 section 4.3.2.3 (as much of it as keeps the message within 576 bytes).

"""ICMP messages."""

from __future__ import annotations

from typing import Final, NamedTuple

from wsock.virtual.checksum import checksum, verifies
from wsock.virtual.wire.malformed import Malformed

ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

NETWORK_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4

TTL_EXCEEDED: Final = 0
REASSEMBLY_TIME_EXCEEDED: Final = 1

#: The types that report a failure; an error is never sent about one of these.
ERRORS: Final = frozenset({UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})

HEADER_LENGTH: Final = 8
#: How much of a packet an error quotes: an error is at most 576 bytes with its IP header.
MAX_QUOTE: Final = 576 - 20 - HEADER_LENGTH


class IcmpMessage(NamedTuple):
    """An ICMP message: the first four bytes, the next four as one number, and the rest."""

    type: int
    code: int
    rest: int
    body: memoryview

    @property
    def identifier(self) -> int:
        """Of an echo: whose it is."""
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        """Of an echo: which one."""
        return self.rest & 0xFFFF

    @property
    def next_hop_mtu(self) -> int:
        """Of a 3/4: what the next link carries; 0 from routers older than RFC 1191."""
        return self.rest & 0xFFFF

    @property
    def pointer(self) -> int:
        """Of a parameter problem: the offset of the byte that is wrong."""
        return self.rest >> 24


def build(type_: int, code: int, rest: int, body: bytes | memoryview) -> bytes:
    """Return a message with its checksum."""
    message = bytearray((type_, code, 0, 0))
    message += rest.to_bytes(4, "big")
    message += body
    message[2:4] = checksum(message).to_bytes(2, "big")
    return bytes(message)


def build_echo(type_: int, identifier: int, sequence: int, data: bytes | memoryview) -> bytes:
    """Return an echo request or reply."""
    return build(type_, 0, identifier << 16 | sequence, data)


def parse(data: bytes | memoryview) -> IcmpMessage | Malformed:
    """Read a message."""
    if len(data) < HEADER_LENGTH:
        return Malformed("icmp too short")
    if not verifies(data):
        return Malformed("icmp bad checksum")
    view = memoryview(data)
    return IcmpMessage(view[0], view[1], int.from_bytes(view[4:8], "big"), view[8:])
