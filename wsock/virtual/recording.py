# Recording: everything that any host of a network sends or receives, within bounds.
#
#   testing               shows the end of it when a test fails
# > recording             THIS FILE: one capture over all interfaces
#   capture               packets, ladders, files
#
# Rule 1: it watches interfaces as they are made, so that nothing is missed.
# Rule 2: a test may send gigabytes: beyond a bound the oldest packets go. The digest still covers
#         them, since they are hashed as they go.

"""A record of a whole network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from wsock.virtual.capture import Capture, files
from wsock.virtual.capture.ladder import Ladder

if TYPE_CHECKING:
    from pathlib import Path

    from wsock.virtual.interfaces import Interface
    from wsock.virtual.network import Network

#: Bytes of packets that are kept.
LIMIT: Final = 64 << 20


class Recording(Capture):
    """All packets of all interfaces, the newest of them if there are too many."""

    def __init__(self, network: Network, limit: int = LIMIT) -> None:
        super().__init__(network, [])
        self._limit = limit
        self._bytes = 0
        self._gone = 0
        self._gone_digest = hashlib.sha256()

    def watch(self, interface: Interface) -> None:
        """Watch one more interface from now on."""
        self._interfaces.append(interface)
        interface.taps.append(self)

    def packet(self, interface: Interface, data: bytes, *, outgoing: bool) -> None:
        """Keep a packet. Interfaces call this."""
        super().packet(interface, data, outgoing=outgoing)
        self._bytes += len(data)
        if self._bytes > self._limit:
            self._forget_half()

    def _forget_half(self) -> None:
        count = (len(self._packets) + 1) // 2
        for packet in self._packets[:count]:
            packet.feed_digest(self._gone_digest)
            self._bytes -= len(packet.data)
        del self._packets[:count]
        self._gone += count

    def feed_digest(self, digest: hashlib._Hash) -> None:
        """Add every time and byte to a digest, also of packets that are not kept any more."""
        if self._gone:
            digest.update(self._gone_digest.digest())
        super().feed_digest(digest)

    def ladder_of_sent(self, last: int) -> str:
        """Return the end of a diagram with every packet once: where it was sent."""
        sent = [packet for packet in self.packets if packet.outgoing]
        head, *lines = Ladder(sent, self._network.name_of, self._network.state_changes()).lines()
        return "\n".join([head, *lines[-last:]])

    def save_each(self, folder: Path) -> list[Path]:
        """Write one pcapng file for each interface that saw anything; return their paths.

        One file for all would show packets twice, and readers would call that retransmissions.
        """
        paths = []
        names = self._network.names.items()
        packets = self.packets
        for interface in self._interfaces:
            seen = [packet for packet in packets if packet.interface == interface.full_name]
            if seen:
                paths.append(folder / f"{interface.full_name}.pcapng")
                link = [(interface.full_name, interface.link_type)]
                paths[-1].write_bytes(files.pcapng(seen, link, names, 0))
        return paths

    @property
    def forgotten(self) -> int:
        """How many packets were seen and are not kept."""
        return self._gone
