# Remarks: what TCP noted about a connection ("RTO 2, backoff x4"), written beside the packet that
# left because of it. A connection's trace has a time, and so has the packet: they are the same,
# since what a timer or an arrival decides is sent when that instant ends.

"""Comments from the traces of connections."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsock.virtual.capture.packet import CapturedPacket
    from wsock.virtual.host_tcp import ConnectionTrace
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.tcp import StateChange


class Remarks:
    """Writes each remark once; knows how far it has read each trace."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        # The lists are kept, so that an identity here is never another list's.
        self._read: dict[int, tuple[list[StateChange], int]] = {}

    def write(self, interface: Interface, packets: Sequence[CapturedPacket]) -> None:
        """Add comments to packets that ``interface`` sent; they are in the order of time."""
        for trace in interface.node.traces:
            changes, start = self._read.get(id(trace.changes), (trace.changes, 0))
            self._read[id(changes)] = (changes, len(changes))
            for change in changes[start:]:
                if change.old is change.new:
                    self._write_one(interface, packets, trace, change)

    def _write_one(
        self,
        interface: Interface,
        packets: Sequence[CapturedPacket],
        trace: ConnectionTrace,
        change: StateChange,
    ) -> None:
        place = bisect_left(packets, change.time_ns, key=lambda packet: packet.time_ns)
        while place < len(packets) and packets[place].time_ns == change.time_ns:
            packet = packets[place]
            if packet.outgoing and packet.interface == interface.full_name and (
                _belongs(packet, trace)
            ):  # fmt: skip
                packet.comments.append(change.cause)
                return
            place += 1


def _belongs(packet: CapturedPacket, trace: ConnectionTrace) -> bool:
    ip, tcp = packet.ip, packet.tcp
    return (
        ip is not None
        and tcp is not None
        and (ip.source, tcp.source_port) == trace.local
        and (ip.destination, tcp.destination_port) == trace.remote
    )
