# TCP options: the bytes between the header's twentieth and its data.
#
# Rule 1: any bytes may arrive. What is understood is kept, unknown options are stepped over by
#         their length, and at the first impossible length the rest is left unread (RFC 9293 MUST-7)
#         and ``damaged`` says so.
# Rule 2: options may start at any byte (MUST-64) and may come on any segment (MUST-5). That MSS,
#         window scale and SACK-permitted mean something only on a SYN is decided by who reads them.
# Rule 3: what is sent is laid out as most stacks do it, filled with NOPs so that 32-bit values are
#         aligned, and padded with zeros to a whole word (MUST-69).
#
# Sources: RFC 9293 section 3.2, RFC 7323 (kinds 3 and 8), RFC 2018 (kinds 4 and 5).

"""TCP options: parsed and built."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

END_OF_LIST: Final = 0
NO_OPERATION: Final = 1
MAXIMUM_SEGMENT_SIZE: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8

#: A shift count above this is used as this (RFC 7323 section 2.3).
MAX_WINDOW_SHIFT: Final = 14
#: The room that the data offset's four bits leave for options.
MAX_OPTIONS_LENGTH: Final = 40
#: What timestamps cost each segment: two NOPs and the option's ten bytes.
TIMESTAMPS_LENGTH: Final = 12

_ALIGNED_TIMESTAMPS: Final = struct.Struct("!III")
_ALIGNED_TIMESTAMPS_START: Final = 0x0101_080A
_PAIR: Final = struct.Struct("!II")


class Options:
    """The options of one segment; None or empty where one was absent."""

    __slots__ = ("damaged", "mss", "sack", "sack_permitted", "timestamp", "window_shift")

    def __init__(
        self,
        *,
        mss: int | None = None,
        window_shift: int | None = None,
        sack_permitted: bool = False,
        sack: Sequence[tuple[int, int]] = (),
        timestamp: tuple[int, int] | None = None,
    ) -> None:
        self.mss = mss
        self.window_shift = window_shift
        self.sack_permitted = sack_permitted
        #: (left edge, right edge) of each block, in the order of the option.
        self.sack: Sequence[tuple[int, int]] = sack
        #: TSval, TSecr.
        self.timestamp = timestamp
        #: whether an impossible length ended the reading.
        self.damaged = False

    def encode(self) -> bytes:
        """Return the options as bytes, a multiple of four, at most 40."""
        out = bytearray()
        if self.mss is not None:
            out += struct.pack("!BBH", MAXIMUM_SEGMENT_SIZE, 4, self.mss)
        if self.sack_permitted:
            # Before the timestamp's ten bytes the pair takes the place of two NOPs.
            out += bytes((SACK_PERMITTED, 2))
            if self.timestamp is None:
                out += bytes((NO_OPERATION, NO_OPERATION))
        elif self.timestamp is not None:
            out += bytes((NO_OPERATION, NO_OPERATION))
        if self.timestamp is not None:
            out += struct.pack("!BBII", TIMESTAMPS, 10, *self.timestamp)
        if self.window_shift is not None:
            out += bytes((NO_OPERATION, WINDOW_SCALE, 3, self.window_shift))
        if self.sack:
            out += encode_sack(self.sack)
        return bytes(out)

    def __repr__(self) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in self.__slots__
                 if getattr(self, name) not in (None, False, ())]  # fmt: skip
        return f"<Options {' '.join(parts) or 'none'}>"


NO_OPTIONS: Final = Options()


def encode_timestamps(value: int, echo: int) -> bytes:
    """Return the twelve bytes that carry timestamps on every segment."""
    return _ALIGNED_TIMESTAMPS.pack(_ALIGNED_TIMESTAMPS_START, value, echo)


def encode_sack(blocks: Iterable[tuple[int, int]]) -> bytes:
    """Return an aligned SACK option; the caller sees to it that the blocks fit."""
    body = b"".join(_PAIR.pack(left, right) for left, right in blocks)
    return bytes((NO_OPERATION, NO_OPERATION, SACK, 2 + len(body))) + body


def parse_options(data: memoryview) -> Options:
    """Read options; never raises."""
    length = len(data)
    if length == 0:
        return NO_OPTIONS
    if length == TIMESTAMPS_LENGTH:  # what nearly every segment of a modern stack carries
        start, value, echo = _ALIGNED_TIMESTAMPS.unpack_from(data)
        if start == _ALIGNED_TIMESTAMPS_START:
            return Options(timestamp=(value, echo))
    options = Options()
    position = 0
    while position < length:
        kind = data[position]
        if kind == END_OF_LIST:
            break
        if kind == NO_OPERATION:
            position += 1
            continue
        size = data[position + 1] if position + 1 < length else 0
        if size < 2 or position + size > length:
            options.damaged = True
            break
        _read_option(options, kind, data[position + 2 : position + size])
        position += size
    return options


def _read_option(options: Options, kind: int, body: memoryview) -> None:
    """Keep one option if its kind is known and its length is that of the kind."""
    size = len(body)
    if kind == MAXIMUM_SEGMENT_SIZE and size == 2:
        options.mss = body[0] << 8 | body[1]
    elif kind == WINDOW_SCALE and size == 1:
        options.window_shift = min(body[0], MAX_WINDOW_SHIFT)
    elif kind == SACK_PERMITTED and size == 0:
        options.sack_permitted = True
    elif kind == TIMESTAMPS and size == 8:
        options.timestamp = _PAIR.unpack(body)
    elif kind == SACK and size and size % 8 == 0:
        options.sack = tuple(_PAIR.iter_unpack(body))
    elif kind in (MAXIMUM_SEGMENT_SIZE, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS, SACK):
        options.damaged = True
