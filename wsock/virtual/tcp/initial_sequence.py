# Initial sequence numbers: a clock, and for each pair of addresses its own offset (RFC 6528).
#
# Rule 1: ISS = M + F(addresses and ports, secret): M counts every 4 us, F is a keyed hash. So a
#         pair of addresses that is used again starts where the clock has moved on (MUST-8), and
#         knowing one connection's numbers tells nothing about another's (MUST-9).
# Rule 2: the secret comes from the host's random stream: the same seed, the same numbers.

"""Choosing initial sequence numbers and timestamp offsets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from wsock.virtual.tcp.seq import MASK

if TYPE_CHECKING:
    from wsock.virtual.random_streams import RandomStream

#: One step of the clock M, nanoseconds.
TICK_NS: Final = 4_000

#: local address and port, remote address and port.
Pair = tuple[bytes, int, bytes, int]


class InitialSequence:
    """Chooses for one host."""

    __slots__ = ("_secret",)

    def __init__(self, stream: RandomStream) -> None:
        self._secret = stream.getrandbits(128).to_bytes(16, "big")

    def iss(self, pair: Pair, now_ns: int) -> int:
        """Return the ISS of a connection between these ends that begins now."""
        return (now_ns // TICK_NS + self._offset(pair, b"iss")) & MASK

    def timestamp_offset(self, pair: Pair) -> int:
        """Return what TSval starts from, so that it does not tell how long the host is up."""
        return self._offset(pair, b"tsval")

    def _offset(self, pair: Pair, purpose: bytes) -> int:
        local, local_port, remote, remote_port = pair
        where = local + local_port.to_bytes(2, "big") + remote + remote_port.to_bytes(2, "big")
        digest = hashlib.blake2b(where, digest_size=4, key=self._secret, person=purpose).digest()
        return int.from_bytes(digest, "big")
