# The receive side's two stores: bytes that came too early, and bytes nobody has taken yet.
#
#   connection        hands in-order bytes to the client
# > receive_buffer    THIS FILE: Reassembly (out of order), ReceiveQueue (in order, refused)
#   arrival           trims segments to the window first
#
# Rule 1: positions are offsets in the stream, plain integers that never wrap.
# Rule 2: when segments overlap, the bytes that came first stay. The stores never hold a byte twice.
# Rule 3: in-order bytes pass through neither store while the client takes them: only what must wait
#         is copied out of its packet.
# Rule 4: a segment stays a piece of its own, with its PUSH, so that what was refused is offered
#         again just as it came.

"""Out-of-order and refused bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

#: How many recent arrivals are remembered for the order of SACK blocks (at most 4 are sent).
_RECENT = 4


class Reassembly:
    """Bytes right of RCV.NXT (RFC 9293 SHLD-31), and the ranges they form."""

    __slots__ = ("_pieces", "_ranges", "_recent", "_starts", "bytes")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: list[tuple[bytes, bool]] = []
        self._ranges: list[list[int]] = []  # [start, end), ascending, never touching
        self._recent: list[int] = []  # a byte of each recent arrival, newest first
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._starts)

    def insert(self, start: int, data: bytes | memoryview, push: bool) -> None:
        """Keep what is new of ``data``, which begins at ``start``."""
        end = start + len(data)
        self._recent = [start, *(seen for seen in self._recent if seen != start)][:_RECENT]
        position = start
        index = bisect_right(self._starts, start) - 1
        if index >= 0:
            position = max(position, self._starts[index] + len(self._pieces[index][0]))
        index += 1
        while position < end:
            gap_end = min(end, self._starts[index] if index < len(self._starts) else end)
            if position < gap_end:
                piece = bytes(data[position - start : gap_end - start])
                self._starts.insert(index, position)
                self._pieces.insert(index, (piece, push and gap_end == end))
                self.bytes += len(piece)
                index += 1
            if index == len(self._starts):
                break
            position = max(position, self._starts[index] + len(self._pieces[index][0]))
            index += 1
        self._join_range(start, end)

    def _join_range(self, start: int, end: int) -> None:
        """Add [start, end) to the ranges, swallowing those it touches."""
        ranges = self._ranges
        first = bisect_left(ranges, start, key=lambda span: span[1])
        last = first
        while last < len(ranges) and ranges[last][0] <= end:
            start = min(start, ranges[last][0])
            end = max(end, ranges[last][1])
            last += 1
        ranges[first:last] = [[start, end]]

    def take(self, position: int) -> tuple[bytes, bool] | None:
        """Remove and return the piece that continues the stream at ``position``, with its PUSH.

        What lies left of ``position`` has come by another way meanwhile and is dropped.
        """
        while self._starts and self._starts[0] <= position:
            start = self._starts.pop(0)
            piece, push = self._pieces.pop(0)
            self.bytes -= len(piece)
            self._forget(start + len(piece))
            if start + len(piece) > position:
                return piece[position - start :], push
        return None

    def _forget(self, position: int) -> None:
        """Cut the ranges off before ``position``."""
        ranges = self._ranges
        while ranges and ranges[0][1] <= position:
            del ranges[0]
        if ranges and ranges[0][0] < position:
            ranges[0][0] = position

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """Return up to ``limit`` ranges, that of the newest arrival first (RFC 2018 section 4)."""
        ranges = self._ranges
        chosen: list[tuple[int, int]] = []
        for position in self._recent:
            index = bisect_right(ranges, position, key=lambda span: span[0]) - 1
            if index >= 0 and position < ranges[index][1]:
                block = (ranges[index][0], ranges[index][1])
                if block not in chosen:
                    chosen.append(block)
        for start, end in ranges:
            if len(chosen) >= limit:
                break
            if (start, end) not in chosen:
                chosen.append((start, end))
        return chosen[:limit]

    def clear(self) -> None:
        """Drop everything."""
        self._starts.clear()
        self._pieces.clear()
        self._ranges.clear()
        self._recent.clear()
        self.bytes = 0


class ReceiveQueue:
    """In-order bytes that the client has not taken, in the pieces in which they came."""

    __slots__ = ("_pieces", "bytes")

    def __init__(self) -> None:
        self._pieces: deque[tuple[memoryview, bool]] = deque()
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def append(self, data: bytes | memoryview, push: bool) -> None:
        """Keep a copy of ``data``."""
        self._pieces.append((memoryview(bytes(data)), push))
        self.bytes += len(data)

    def first(self) -> tuple[memoryview, bool]:
        """Return the oldest piece and its PUSH; it stays until ``consume``."""
        return self._pieces[0]

    def consume(self, count: int) -> None:
        """Remove ``count`` bytes of the oldest piece."""
        piece, push = self._pieces[0]
        self.bytes -= count
        if count == len(piece):
            self._pieces.popleft()
        else:
            self._pieces[0] = (piece[count:], push)

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self.bytes = 0
