# Random streams: all chance in a network, cut into streams that cannot disturb each other.
#
# Rule 1: one stream per purpose and owner ("loss of the link a-b from a", "ISS secret of host a"),
#         seeded by a text. What one owner draws never shifts what another one gets.
# Rule 2: only ``random()`` and ``getrandbits()`` are drawn: those two are stable over versions of
#         Python, the others (``randrange``, ``shuffle``, ``gauss``) are not promised to be.
# Rule 3: who draws for each packet draws the same number of values whether or not a fault is on, so
#         that switching one fault on does not move another (see conditions.py).

"""Seeded random streams, one per purpose and owner."""

from __future__ import annotations

import random
from typing import Protocol, TypeVar

T = TypeVar("T")


class RandomStream(Protocol):
    """The two draws that mean the same on every version of Python."""

    def random(self) -> float:
        """Return a number from 0.0 up to, not including, 1.0."""

    def getrandbits(self, k: int, /) -> int:
        """Return ``k`` random bits."""


class RandomStreams:
    """Makes the streams of one network from its seed."""

    __slots__ = ("seed",)

    def __init__(self, seed: int | str = 0) -> None:
        self.seed = seed

    def stream(self, purpose: str, owner: str) -> RandomStream:
        """Return a new stream; the same purpose and owner give the same values again.

        A text seeds through SHA-512, so PYTHONHASHSEED has no part in it.
        """
        return random.Random(f"{self.seed}/{purpose}/{owner}")

    def __repr__(self) -> str:
        return f"<RandomStreams seed={self.seed!r}>"


def shuffled(items: list[T], stream: RandomStream) -> list[T]:
    """Return the items in a random order (Fisher and Yates), drawing by ``random()`` alone."""
    result = list(items)
    for last in range(len(result) - 1, 0, -1):
        chosen = int(stream.random() * (last + 1))
        result[last], result[chosen] = result[chosen], result[last]
    return result
