# Captures: what tcpdump on one interface would see, kept, drawn, checked and saved.
#
# Rule 1: one capture watches one interface. Several points in one file show each packet twice, and
#         every reader then reports retransmissions that are none; who wants it says ``merged``.
# Rule 2: a packet is kept as the bytes that crossed, with the virtual time. Order is by time, then
#         interface, then sequence.

"""Captures of packets on interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsock.virtual.capture import files
from wsock.virtual.capture.explain import explain
from wsock.virtual.capture.fields import InitialNumbers, matcher
from wsock.virtual.capture.ladder import Ladder
from wsock.virtual.capture.packet import CapturedPacket
from wsock.virtual.capture.remarks import Remarks
from wsock.virtual.scheduler import nanoseconds

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from wsock.virtual.interfaces import Interface
    from wsock.virtual.network import Network


class Capture:
    """Packets seen on an interface (or, merged, on several) since it was made."""

    def __init__(self, network: Network, interfaces: Sequence[Interface]) -> None:
        self._network = network
        self._interfaces = list(interfaces)
        self._packets: list[CapturedPacket] = []
        self._seen = 0
        self._remarks = Remarks()
        for interface in self._interfaces:
            interface.taps.append(self)

    def close(self) -> None:
        """Stop watching; what was captured stays."""
        for interface in self._interfaces:
            if self in interface.taps:
                interface.taps.remove(self)

    # The tap.

    def packet(self, interface: Interface, data: bytes, *, outgoing: bool) -> None:
        """Keep a packet. Interfaces call this."""
        self._seen += 1
        self._packets.append(
            CapturedPacket(
                self._seen,
                self._network.scheduler.now,
                interface.full_name,
                interface.link_type,
                data,
                outgoing=outgoing,
            )
        )

    def note(self, interface: Interface, data: bytes, comment: str) -> None:
        """Add a comment to the latest capture of these bytes. Interfaces call this."""
        name = interface.full_name
        for packet in reversed(self._packets[-1000:]):
            if packet.interface == name and (packet.data is data or packet.data.endswith(data)):
                packet.comments.append(comment)
                return

    def last_arrival(self, host: str) -> CapturedPacket | None:
        """Return the packet that reached ``host`` at this instant, the last one of several.

        What a host does while it takes a packet in is caused by that packet.
        """
        now, prefix = self._network.scheduler.now, f"{host}."
        for packet in reversed(self._packets):
            if packet.time_ns != now:
                break
            if not packet.outgoing and packet.interface.startswith(prefix):
                return packet
        return None

    # What was seen.

    @property
    def packets(self) -> list[CapturedPacket]:
        """All packets, in order, with what their hosts' TCP has to say about them."""
        for interface in self._interfaces:
            self._remarks.write(interface, self._packets)
        if len(self._interfaces) == 1:
            return list(self._packets)
        return sorted(self._packets, key=lambda p: (p.time_ns, p.interface, p.number))

    def filter(self, match: str | Callable[[CapturedPacket], bool]) -> list[CapturedPacket]:
        """Return the packets that a Wireshark display filter, or a function, lets through."""
        numbers = InitialNumbers()
        test = matcher(match, numbers)
        result = []
        for packet in self.packets:
            numbers.see(packet)
            if test(packet):
                result.append(packet)
        return result

    def assert_sequence(
        self, *names: str, where: str | Callable[[CapturedPacket], bool] = "tcp"
    ) -> None:
        """Check that the packets were exactly these, in this order.

        Args:
          names: of packets: ``"SYN"``, ``"SYN-ACK"``, ``"PSH-ACK"``, ``"ARP request"``, ``"UDP"``.
          where: which packets count.

        Raises:
          AssertionError: they were others; its text shows the ladder.
        """
        seen = [packet.name for packet in self.filter(where)]
        if seen != list(names):
            raise AssertionError(
                f"expected {', '.join(names)}\n but saw {', '.join(seen)}\n{self.ladder()}"
            )

    def ladder(
        self,
        where: str | Callable[[CapturedPacket], bool] = "",
        *,
        relative: bool = True,
        states: bool = True,
        last: int | None = None,
    ) -> str:
        """Return a diagram: hosts as columns, packets as arrows, time running down.

        Args:
          where: which packets are drawn.
          relative: count sequence numbers from the first of each direction.
          states: show the state changes of TCP connections at their hosts' columns.
          last: draw only so many lines from the end.
        """
        changes = self._network.state_changes() if states else []
        ladder = Ladder(self.filter(where), self._network.name_of, changes, relative=relative)
        head, *lines = ladder.lines()
        return "\n".join([head, *(lines if last is None else lines[-last:])])

    def explain(self, number: int) -> str:
        """Return the headers of packet ``number`` in words, each with its OSI layer.

        Raises:
          ValueError: there is no packet of that number.
        """
        for packet in self._packets:
            if packet.number == number:
                return explain(packet)
        raise ValueError(f"there is no packet {number}; {len(self._packets)} were captured")

    # Files.

    def pcap(self, *, epoch: datetime | None = None) -> bytes:
        """Return a pcap file (nanoseconds) as bytes.

        Raises:
          ValueError: the interfaces are of different link types; pcapng can hold those.
        """
        kinds = {interface.link_type for interface in self._interfaces}
        if len(kinds) != 1:
            raise ValueError("a pcap file holds one link type only; write pcapng")
        return files.pcap(self.packets, kinds.pop(), _epoch_ns(epoch))

    def pcapng(self, *, epoch: datetime | None = None) -> bytes:
        """Return a pcapng file, with names, directions and comments, as bytes."""
        interfaces = [(i.full_name, i.link_type) for i in self._interfaces]
        names = self._network.names.items()
        return files.pcapng(self.packets, interfaces, names, _epoch_ns(epoch))

    def pieces(self, *, plain: bool = False) -> Iterator[tuple[float, bytes]]:
        """Yield such a file piece by piece, each with its time: its head at 0, then every packet.

        Args:
          plain: pcap instead of pcapng.
        """
        packets, names = self.packets, list(self._network.names.items())
        interfaces = [(i.full_name, i.link_type) for i in self._interfaces]

        def whole(some: list[CapturedPacket]) -> bytes:
            if plain:
                return files.pcap(some, self._interfaces[0].link_type)
            return files.pcapng(some, interfaces, names)

        head = whole([])
        yield 0.0, head
        for packet in packets:
            yield packet.time, whole([packet])[len(head) :]

    def save(self, path: str | Path, *, epoch: datetime | None = None) -> None:
        """Write a file for Wireshark; its ending decides: ``.pcap``, else pcapng.

        Args:
          path: where.
          epoch: what virtual time 0 is; default the beginning of 1970.
        """
        path = Path(path)
        make = self.pcap if path.suffix == ".pcap" else self.pcapng
        path.write_bytes(make(epoch=epoch))

    def feed_digest(self, digest: hashlib._Hash) -> None:
        """Add every time and byte to a digest."""
        for packet in self.packets:
            packet.feed_digest(digest)

    def __len__(self) -> int:
        return len(self._packets)

    def __repr__(self) -> str:
        names = ", ".join(interface.full_name for interface in self._interfaces)
        return f"<Capture {names}, {len(self._packets)} packets>"


def _epoch_ns(epoch: datetime | None) -> int:
    return 0 if epoch is None else nanoseconds(epoch.timestamp())
