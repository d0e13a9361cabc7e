# The scoreboard: what the peer says it holds beyond the acknowledgement (SACK).
#
# Rule 1: positions are offsets in the send stream, plain integers that never wrap.
# Rule 2: a SACK is advice. Bytes leave the send buffer by the cumulative acknowledgement alone, and
#         a retransmission timeout forgets the whole board (RFC 2018 section 8: the peer may have
#         thrown away what it reported).
#
# A hole is lost when enough was received above it: threshold separate ranges, or more than
# (threshold - 1) segments' bytes. Whatever lies left of a lost hole is lost too, so one position,
# ``lost_before``, says it for all (IsLost of RFC 6675).
#
# Sources: RFC 2018 sections 5, 8; RFC 6675 sections 3, 4.

"""Selective acknowledgements as the sender keeps them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Scoreboard:
    """Ranges of sent bytes that the peer holds out of order."""

    __slots__ = ("_ranges", "resent")

    def __init__(self) -> None:
        self._ranges: list[list[int]] = []  # [start, end), ascending, never touching
        #: HighRxt: everything lost before this position has been sent again in this recovery.
        self.resent = 0

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def add(self, start: int, end: int) -> bool:
        """Note [start, end) as received; whether any of it was news."""
        ranges = self._ranges
        first = bisect_left(ranges, start, key=lambda span: span[1])
        last = first
        if first < len(ranges) and ranges[first][0] <= start and end <= ranges[first][1]:
            return False
        while last < len(ranges) and ranges[last][0] <= end:
            start = min(start, ranges[last][0])
            end = max(end, ranges[last][1])
            last += 1
        ranges[first:last] = [[start, end]]
        return True

    def acknowledge(self, position: int) -> None:
        """Forget what lies before ``position``: it is acknowledged for good."""
        ranges = self._ranges
        while ranges and ranges[0][1] <= position:
            del ranges[0]
        if ranges and ranges[0][0] < position:
            ranges[0][0] = position
        self.resent = max(self.resent, position)

    def clear(self) -> None:
        """Forget everything."""
        self._ranges.clear()
        self.resent = 0

    def received(self, start: int, end: int) -> int:
        """Return how many bytes of [start, end) the peer holds."""
        return sum(
            min(end, right) - max(start, left)
            for left, right in self._ranges
            if left < end and right > start
        )

    def lost_before(self, threshold: int, smss: int) -> int:
        """Return the position before which every hole is lost; 0 if none is."""
        above = 0
        for count, (start, end) in enumerate(reversed(self._ranges), 1):
            above += end - start
            if count >= threshold or above > (threshold - 1) * smss:
                return start
        return 0

    def pipe(self, una: int, sent: int, lost_before: int) -> int:
        """Estimate the bytes in the network (SetPipe): not lost, plus sent again."""
        start = max(una, lost_before)
        there = max(sent - start, 0) - self.received(start, sent)
        again = max(self.resent - una, 0) - self.received(una, self.resent)
        return there + again

    def hole_from(self, position: int) -> tuple[int, int] | None:
        """Return the first hole at or right of ``position`` and left of some range."""
        for start, end in self._ranges:
            if position < start:
                return position, start
            position = max(position, end)
        return None

    def skip(self, position: int) -> tuple[int, int | None]:
        """Step over what the peer holds: the next position to send, and where its hole ends."""
        ranges = self._ranges
        index = bisect_right(ranges, position, key=lambda span: span[0])
        if index and ranges[index - 1][1] > position:
            position = ranges[index - 1][1]
        return position, ranges[index][0] if index < len(ranges) else None
