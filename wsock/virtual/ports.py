# Ephemeral ports: which local port a socket gets that did not ask for one.
#
# Rule 1: the choice is a keyed hash of where it goes, plus a counter for that destination
#         (RFC 6056, algorithm 4 with a counter per destination): hard to guess from outside, the
#         same in every run of a seed, and in no way changed by what other sockets do.
# Rule 2: this file does not know who holds which port. The caller says which ones are taken.

"""The choice of ephemeral ports (RFC 6056)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.random_streams import RandomStream


class EphemeralPorts:
    """Chooses ports for one transport of one host."""

    __slots__ = ("_counters", "_first", "_secret", "_size")

    def __init__(self, ports: tuple[int, int], stream: RandomStream) -> None:
        first, last = ports
        self._first = first
        self._size = last - first + 1
        self._secret = stream.getrandbits(128).to_bytes(16, "big")
        self._counters: dict[bytes, int] = {}

    def choose(self, where: bytes, is_free: Callable[[int], bool]) -> int | None:
        """Return a free port, or None when all are taken.

        Args:
          where: local address, remote address and remote port as far as they are known, as bytes;
            the same for calls that should get ports one after the other.
          is_free: whether a port may be had.
        """
        digest = hashlib.blake2b(where, digest_size=4, key=self._secret).digest()
        offset = int.from_bytes(digest, "big")
        counter = self._counters.get(where, 0)
        for attempt in range(self._size):
            port = self._first + (offset + counter + attempt) % self._size
            if is_free(port):
                self._counters[where] = counter + attempt + 1
                return port
        return None
