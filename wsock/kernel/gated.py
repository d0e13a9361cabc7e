# Files for the fallback engine: they say when they were read empty.
#
# The epoll engine needs no such word (an edge comes by itself), and its files keep the C type's own
# recv for speed. Here each read that leaves nothing opens the gate for the next wait (waits.py,
# rule 1); one that fills the caller's buffer has to look, since nobody else would.
"""Stream and datagram files whose reads arm the next wait."""

from __future__ import annotations

import os
import socket as std
from typing import Any

from .datagram import KernelDatagram
from .stream import KernelStream

__all__ = ["GatedDatagram", "GatedStream"]


class GatedStream(KernelStream):
    """A stream file of the fallback engine."""

    __slots__ = ()

    def begin_telling(self, *, room: bool) -> bool:
        """Not here: what is ready already gives no report of its own."""
        return False

    def recv(self, max_bytes: int, flags: int = 0, /) -> bytes:
        """Receive; one that leaves nothing arms the next wait."""
        try:
            data = super().recv(max_bytes, flags)
        except BlockingIOError:
            self._emptied(flags)
            raise
        if not data and max_bytes > 0:
            self._check_end()
        elif not flags and (len(data) < max_bytes or not self.available()):
            self._emptied(flags)
        return data

    def recv_into(self, buffer: Any, max_bytes: int = 0, flags: int = 0, /) -> int:  # noqa: ANN401
        """Receive into a buffer; one that leaves nothing arms the next wait."""
        try:
            count = super().recv_into(buffer, max_bytes, flags)
        except BlockingIOError:
            self._emptied(flags)
            raise
        room = max_bytes or len(buffer)
        if not count and room:
            self._check_end()
        elif not flags and (count < room or not self.available()):
            self._emptied(flags)
        return count

    def _check_end(self) -> None:
        """Raise the reset behind a release: recv itself goes on saying 0, and no wait is armed."""
        number = self.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def _emptied(self, flags: int) -> None:
        if self.reactor is not None and not flags & (std.MSG_OOB | std.MSG_PEEK):
            self.reactor.want_read(self)


class GatedDatagram(KernelDatagram):
    """A datagram file of the fallback engine: a receive that found nothing arms the next wait."""

    __slots__ = ()
