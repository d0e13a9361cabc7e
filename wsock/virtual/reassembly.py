# Reassembly: fragments become packets again.
#
# Rule 1: any order, and any number of exact duplicates. A fragment that overlaps another one with
#         anything but the same range throws the whole packet away: nobody sends such by mistake.
# Rule 2: one timer for a packet, from its first fragment. When it ends, ICMP 11/1 is sent if the
#         fragment with offset 0 is there (RFC 792).
# Rule 3: memory is bounded: at most MAX_PARTIAL packets; a new one pushes out the oldest.
#
# Sources: RFC 815 (holes); RFC 1122 section 3.3.2; RFC 5722 (overlaps, by analogy).

"""Fragments of IPv4 packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual import addresses
from wsock.virtual.scheduler import Owner
from wsock.virtual.wire import ipv4

if TYPE_CHECKING:
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.node import HostCore
    from wsock.virtual.scheduler import Timer
    from wsock.virtual.wire.ipv4 import Ipv4Packet

MAX_PARTIAL: Final = 64

_Key = tuple[bytes, bytes, int, int]


class _Partial:
    """The fragments of one packet that have come."""

    __slots__ = ("first", "interface", "length", "pieces", "poisoned", "timer")

    def __init__(self, timer: Timer, interface: Interface) -> None:
        self.timer = timer
        self.interface = interface
        self.pieces: dict[int, memoryview] = {}  # offset to payload; never overlapping
        self.length: int | None = None  # of the whole payload, once the last fragment has come
        self.first: Ipv4Packet | None = None
        self.poisoned = False

    def add(self, fragment: Ipv4Packet) -> bool:
        """Take a fragment; False if it contradicts the others."""
        start, payload = fragment.offset, fragment.payload
        end = start + len(payload)
        if self.length is not None and end > self.length:
            return False
        if not fragment.more_fragments:
            if self.length not in (None, end) or any(
                offset + len(piece) > end for offset, piece in self.pieces.items()
            ):
                return False
            self.length = end
        for offset, piece in self.pieces.items():
            if start < offset + len(piece) and offset < end:
                return offset == start and piece == payload  # an exact duplicate adds nothing
        self.pieces[start] = payload
        if start == 0:
            self.first = fragment
        return True

    def whole(self) -> bytes | None:
        """Return the payload if nothing is missing."""
        if self.length is None or sum(map(len, self.pieces.values())) != self.length:
            return None
        return b"".join(self.pieces[offset] for offset in sorted(self.pieces))


class Reassembler:
    """Puts the packets of one host together."""

    __slots__ = ("_node", "_partial")

    def __init__(self, node: HostCore) -> None:
        self._node = node
        self._partial: dict[_Key, _Partial] = {}

    def add(self, fragment: Ipv4Packet, interface: Interface) -> Ipv4Packet | None:
        """Take a fragment; return the whole packet when it was the last one missing."""
        node = self._node
        end = fragment.offset + len(fragment.payload)
        if fragment.more_fragments and len(fragment.payload) & 7:
            node.drop(interface, fragment.data, "ip fragment not a multiple of 8 bytes")
            return None
        if end + ipv4.HEADER_LENGTH > ipv4.MAX_LENGTH or not fragment.payload:
            node.drop(interface, fragment.data, "ip fragment beyond 65535 bytes or empty")
            return None
        key = (
            fragment.source, fragment.destination, fragment.protocol, fragment.identification
        )  # fmt: skip
        partial = self._partial.get(key) or self._begin(key, interface)
        if partial.poisoned or not partial.add(fragment):
            # Kept until its time is over, so that the rest of its fragments cannot start it anew.
            partial.poisoned = True
            partial.pieces.clear()
            node.drop(interface, fragment.data, "ip fragments overlap")
            return None
        payload = partial.whole()
        if payload is None or partial.first is None:
            return None
        del self._partial[key]
        partial.timer.stop()
        return self._joined(partial.first, payload, interface)

    def _joined(self, first: Ipv4Packet, payload: bytes, interface: Interface) -> Ipv4Packet | None:
        options = bytes(first.options)
        if ipv4.HEADER_LENGTH + len(options) + len(payload) > ipv4.MAX_LENGTH:
            self._node.drop(interface, first.data, "ip fragment beyond 65535 bytes or empty")
            return None
        data = ipv4.build(
            first.source, first.destination, first.protocol, payload,
            ttl=first.ttl, tos=first.tos, identification=first.identification, options=options,
        )  # fmt: skip
        packet = ipv4.parse(data)
        assert isinstance(packet, ipv4.Ipv4Packet)
        return packet

    def _begin(self, key: _Key, interface: Interface) -> _Partial:
        node = self._node
        if len(self._partial) >= MAX_PARTIAL:
            oldest = next(iter(self._partial))
            self._partial.pop(oldest).timer.stop()
            node.counters.count("ip reassembly memory full")
        source, destination, protocol, identification = key
        owner = Owner(
            f"{node.name}/reassembly/{addresses.text(source)}/{addresses.text(destination)}"
            f"/{protocol}/{identification}"
        )
        timer = node.scheduler.timer(owner, lambda: self._expired(key))
        timer.set(node.scheduler.now + node.profile.reassembly_timeout_ns)
        partial = self._partial[key] = _Partial(timer, interface)
        return partial

    def _expired(self, key: _Key) -> None:
        partial = self._partial.pop(key)
        self._node.counters.count("ip reassembly timed out")
        if partial.first is not None and not partial.poisoned:
            self._node.icmp.reassembly_timed_out(partial.first, partial.interface)

    def __len__(self) -> int:
        return len(self._partial)
