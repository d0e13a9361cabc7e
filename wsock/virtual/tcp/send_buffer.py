# The send buffer: what the program gave and the peer has not acknowledged.
#
#   connection        SEND: appends, with a callback for each send
# > send_buffer       THIS FILE: bytes by offset, push marks, completions
#   output            cuts segments out of it, as often as it likes
#
# Rule 1: positions are offsets in the stream, plain integers that never wrap. Only output and
#         acknowledgement turn them into sequence numbers.
# Rule 2: bytes are referenced, not copied. A segment that lies inside one send is a view of it; one
#         that spans several is joined when it is built.
# Rule 3: segments are not kept. A resend cuts anew, at the size that is right by then, so that
#         resegmenting after a smaller MSS needs no thought (RFC 9293 section 3.10.8).
#
# A send completes when its last byte is acknowledged, and not when it is buffered: only then is the
# back-pressure that a program feels that of its peer.

"""Bytes waiting for acknowledgement."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class SendBuffer:
    """Bytes from ``start`` (first unacknowledged) to ``end`` (where the next send begins)."""

    __slots__ = ("_chunks", "_completions", "_offsets", "_pushes", "end", "start")

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._chunks: list[memoryview] = []
        self._offsets: list[int] = []  # where each chunk starts, for bisection
        self._pushes: list[int] = []  # ends of the sends that were pushed, ascending
        self._completions: list[tuple[int, Callable[[], object]]] = []

    def __len__(self) -> int:
        return self.end - self.start

    def append(
        self, data: bytes | bytearray | memoryview, push: bool, on_done: Callable[[], object] | None
    ) -> None:
        """Queue one send. ``bytes`` are kept by reference, other buffers are copied."""
        if data:
            if not isinstance(data, bytes):
                data = bytes(data)
            self._chunks.append(memoryview(data))
            self._offsets.append(self.end)
            self.end += len(data)
        if push:
            self._pushes.append(self.end)
        if on_done is not None:
            self._completions.append((self.end, on_done))

    def view(self, offset: int, length: int) -> bytes | memoryview:
        """Return ``length`` bytes from ``offset``; all of them must be in the buffer."""
        index = bisect_right(self._offsets, offset) - 1
        inside = offset - self._offsets[index]
        piece = self._chunks[index][inside : inside + length]
        if len(piece) == length:
            return piece
        pieces = [piece]
        while length := length - len(piece):
            index += 1
            piece = self._chunks[index][:length]
            pieces.append(piece)
        return b"".join(pieces)

    def pushed_within(self, start: int, end: int) -> bool:
        """Whether the last byte of a pushed send lies from ``start`` up to ``end``."""
        pushes = self._pushes
        index = bisect_right(pushes, start)
        return index < len(pushes) and pushes[index] <= end

    @property
    def last_push(self) -> int:
        """The end of the last pushed send that is not wholly acknowledged, else ``start``."""
        return self._pushes[-1] if self._pushes else self.start

    def push_all(self) -> None:
        """Count everything queued as pushed (the override timeout, CLOSE)."""
        if self.end > self.last_push:
            self._pushes.append(self.end)

    def acknowledge(self, offset: int) -> list[Callable[[], object]]:
        """Let go of everything before ``offset``; return what completed, oldest first.

        The caller runs the callbacks when its own state is in order.
        """
        self.start = offset
        offsets = self._offsets
        if offset >= self.end:
            self._chunks.clear()
            offsets.clear()
            self._pushes.clear()
        else:
            whole = bisect_right(offsets, offset) - 1  # chunks that ended before this one
            if whole > 0:
                del self._chunks[:whole], offsets[:whole]
            pushes = self._pushes
            if pushes and pushes[0] <= offset:
                del pushes[: bisect_right(pushes, offset)]
        if not self._completions or self._completions[0][0] > offset:
            return []
        done = bisect_left(self._completions, offset + 1, key=lambda item: item[0])
        completed = [on_done for _, on_done in self._completions[:done]]
        del self._completions[:done]
        return completed

    def cut(self, offset: int) -> int:
        """Drop what lies from ``offset`` on, with its callbacks; return how many bytes that was.

        The caller sees to it that none of them was sent.
        """
        dropped = self.end - offset
        while self._offsets and self._offsets[-1] >= offset:
            self._offsets.pop()
            self._chunks.pop()
        if self._chunks:
            self._chunks[-1] = self._chunks[-1][: offset - self._offsets[-1]]
        self._pushes = [end for end in self._pushes if end <= offset]
        self._completions = [item for item in self._completions if item[0] <= offset]
        self.end = offset
        return dropped

    def clear(self) -> None:
        """Drop everything, callbacks included: the connection is gone."""
        self._chunks.clear()
        self._offsets.clear()
        self._pushes.clear()
        self._completions.clear()
        self.start = self.end
