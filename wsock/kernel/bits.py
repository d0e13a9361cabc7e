# Readiness bits, with the values of epoll's header.
#
# Spelled out, not taken from ``select``: a system without epoll has no such names, and there the
# fallback speaks of readiness in the same words.
"""EPOLL bits."""

from __future__ import annotations

from typing import Final

__all__ = ["ERR", "ET", "HUP", "IN", "OUT", "PRI", "RDHUP"]

IN: Final = 0x001
PRI: Final = 0x002
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
RDHUP: Final = 0x2000
ET: Final = 1 << 31
