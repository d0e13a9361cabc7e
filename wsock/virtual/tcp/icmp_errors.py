# ICMP errors about segments this host sent.
#
# Rule 1: an error counts only if it quotes a sequence number that is in flight (RFC 5927): anybody
#         can send ICMP, few know that.
# Rule 2: after the handshake no error ends a connection; it is remembered, and told if the
#         connection is given up for its own reasons (soft, RFC 9293 MUST-56). While connecting,
#         protocol and port unreachable are believed (RFC 5461).
# Rule 3: "fragmentation needed" makes segments smaller, never larger, and never below what every
#         network carries.
#
# Sources: RFC 9293 section 3.9.2.2; RFC 5461; RFC 5927; RFC 1191 sections 3, 5, 7.1.

"""What ICMP tells TCP."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual.tcp import ending
from wsock.virtual.tcp.tcb import FIXED_HEADERS, MINIMUM_MTU, OPENING
from wsock.virtual.wire.icmp import PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE

if TYPE_CHECKING:
    from wsock.virtual.tcp.connection import Connection

_FRAGMENTATION_NEEDED: Final = 4

#: errno by (type, code) for soft errors; a code that is not here counts as host unreachable.
_SOFT: Final = {
    (UNREACHABLE, 0): errno.ENETUNREACH,
    (UNREACHABLE, 1): errno.EHOSTUNREACH,
    (UNREACHABLE, 5): errno.EOPNOTSUPP,
    (TIME_EXCEEDED, 0): errno.EHOSTUNREACH,
    (TIME_EXCEEDED, 1): errno.EHOSTUNREACH,
    (PARAMETER_PROBLEM, 0): errno.EPROTO,
}

#: Believed while connecting: protocol unreachable, port unreachable, DF set where it may not be.
_HARD: Final = {
    2: errno.ENOPROTOOPT,
    3: errno.ECONNREFUSED,
    _FRAGMENTATION_NEEDED: errno.EMSGSIZE,
}

#: Common MTUs (RFC 1191 table 7-1), for routers that do not say theirs.
_PLATEAUS: Final = (65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68)

#: The types that say something about a path. Source quench does not (MUST-55).
HEEDED: Final = frozenset({UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM})


class Quote(NamedTuple):
    """What an ICMP error says which segment it is about."""

    #: local address and port, remote address and port.
    pair: tuple[bytes, int, bytes, int]
    seq: int


def read_quote(header: memoryview, quoted: memoryview) -> Quote | None:
    """Read the quoted IP header and the first 8 bytes of TCP's; None if they are not all there."""
    if len(header) < 20 or len(quoted) < 8:
        return None
    local_port, remote_port = quoted[0] << 8 | quoted[1], quoted[2] << 8 | quoted[3]
    pair = (bytes(header[12:16]), local_port, bytes(header[16:20]), remote_port)
    return Quote(pair, int.from_bytes(quoted[4:8], "big"))


def process(connection: Connection, icmp_type: int, code: int, quoted_mtu: int) -> None:
    """Take an error that quotes a segment of ``connection`` in flight."""
    unreachable = icmp_type == UNREACHABLE
    if unreachable and code == _FRAGMENTATION_NEEDED and connection.settings.path_mtu_discovery:
        shrink(connection, quoted_mtu)
        return
    if unreachable and code in _HARD and connection.state in OPENING:
        ending.fail(connection, _HARD[code], f"icmp unreachable, code {code}")
        return
    connection.soft_error = _SOFT.get((icmp_type, code), errno.EHOSTUNREACH)
    connection.remark(f"icmp type {icmp_type} code {code} (soft)")


def shrink(connection: Connection, next_hop_mtu: int) -> None:
    """Go on with smaller segments, beginning with the one that did not get through."""
    mtu = next_hop_mtu
    if not 0 < mtu < connection.path_mtu:
        # An old router says 0; the next plateau below what was tried (RFC 1191 section 7.1).
        tried = min(connection.path_mtu, connection.effective_mss + FIXED_HEADERS)
        if next_hop_mtu >= connection.path_mtu:
            return
        mtu = next((plateau for plateau in _PLATEAUS if plateau < tried), MINIMUM_MTU)
    connection.path_mtu = max(mtu, MINIMUM_MTU)
    connection.congestion.resize(connection.effective_mss)
    connection.remark(f"path MTU {connection.path_mtu}")
    if connection.state not in OPENING and connection.flight:
        connection.timed_end = None
        connection.next_to_send = connection.snd_una
        connection.force = True
    connection.layer.mark_dirty(connection)
