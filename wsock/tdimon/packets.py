# Packets and rows: on the virtual network each packet can say what it caused.
#
# > packets    a tracer that writes comments      THIS FILE: row -> comment of the arriving packet
#   attachment  attaches it                        virtual: the capture, known by what it can do
#
# Rule: a row belongs to the packet that its host is taking in at that moment. Rows that happen
# inside a call of the program belong to no packet; nor does anything where no packet has arrived.
"""Rows of a trace as comments of captured packets."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from wsock.tdimon.attachment import Attachment
from wsock.tdimon.ring import Calls
from wsock.tdimon.rows import Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock.tdi.trace import TraceRecord

__all__ = ["comment_packets"]


class _Packet(Protocol):
    comments: list[str]


class _Capture(Protocol):
    def last_arrival(self, host: str) -> _Packet | None: ...


class _Commenter:
    """A tracer that writes each row to the packet that caused it."""

    payload_bytes = 0

    def __init__(self, capture: _Capture, profile: str) -> None:
        self._capture = capture
        self._renderer = Renderer(profile)
        self._calls = Calls()

    def emit(self, record: TraceRecord) -> None:
        """Take a record; its text is made now, as the packet must have it when it is saved."""
        row = self._renderer.row(record)  # always: names of objects go by the order of all rows
        if self._calls.cause_of(record) is not None or record.kind != "tdi" or row is None:
            return
        packet = self._capture.last_arrival(record.host)
        if packet is not None:
            packet.comments.append("tdi: " + " ".join(cell for cell in row if cell))


@contextlib.contextmanager
def comment_packets(
    capture: _Capture, *targets: object, profile: str = "tdimon-2003"
) -> Iterator[None]:
    """While the block runs, give each captured packet the TDI rows that it causes as comments.

    A capture that is saved as pcapng has them for Wireshark (``frame.comment``), and its ladder
    shows them.

    Args:
      capture: of the virtual network.
      targets: the stacks, hosts or networks whose rows count; nothing named means everything.
      profile: how the rows are written.
    """
    attachment = Attachment(_Commenter(capture, profile))
    try:
        attachment.attach(*targets)
        yield
    finally:
        attachment.detach()
