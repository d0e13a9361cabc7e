# Sequence numbers: 32 bits that wrap.
#
# Rule 1: a sequence number is an ``int`` from 0 to 2**32 - 1; whoever adds masks with MASK.
# Rule 2: two numbers are compared only through this file, or by the same subtraction written out
#         where a call would be felt (the arrival and output paths). Never by ``<``.
#
# Comparison is by signed distance: a is left of b when the way from a to b is shorter than half the
# circle. RFC 9293 section 3.4; windows are limited to 2**30 (RFC 7323 section 2.3) for its sake.

"""Arithmetic on TCP sequence numbers."""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000


def distance(start: int, end: int) -> int:
    """Return how far ``end`` lies after ``start``: from -2**31 to 2**31 - 1."""
    return ((end - start + HALF) & MASK) - HALF


def less(a: int, b: int) -> bool:
    """Whether ``a`` is left of ``b``."""
    return (a - b) & HALF != 0


def less_equal(a: int, b: int) -> bool:
    """Whether ``a`` is ``b``, or left of it."""
    return (b - a) & HALF == 0


def in_window(seq: int, left: int, size: int) -> bool:
    """Whether left =< seq < left + size."""
    return (seq - left) & MASK < size


def highest(a: int, b: int) -> int:
    """Return whichever of two sequence numbers is further right."""
    return b if less(a, b) else a
