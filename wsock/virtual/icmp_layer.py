# ICMP of one host: answers echoes, sends errors, and carries received errors to whom they concern.
#
# Rule 1: never an error about an ICMP error, a fragment that is not the first, a packet to a
#         broadcast or group, or one whose source is not a single host (RFC 1122 section 3.2.2).
# Rule 2: an error quotes the IP header and as much of the packet as fits into 576 bytes.
# Rule 3: errors to one host are limited to ``icmp_errors_per_second`` (None: no limit), so that a
#         flood of bad packets does not make a flood of errors.
# Rule 4: a received error is believed only if it quotes a packet that this host could have sent.
#         What it quotes is handed on; the transports judge the rest.
#
# Sources: RFC 792; RFC 1122 section 3.2.2; RFC 1812 sections 4.3, 5.3.1.

"""The ICMP layer of a virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsock.virtual.layers import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP
from wsock.virtual.profile import SECOND
from wsock.virtual.wire import icmp, ipv4
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from wsock.virtual.interfaces import Interface
    from wsock.virtual.layers import Packet
    from wsock.virtual.node import HostCore
    from wsock.virtual.wire.ipv4 import Ipv4Packet

DEFAULT_ERRORS_PER_SECOND: Final = 100


class IcmpLayer:
    """ICMP of one host."""

    __slots__ = ("_node", "_sent", "icmp_errors_per_second")

    def __init__(self, node: HostCore) -> None:
        self._node = node
        #: the most errors sent to one host in one second; None switches the limit off.
        self.icmp_errors_per_second: int | None = DEFAULT_ERRORS_PER_SECOND
        self._sent: dict[bytes, tuple[int, int]] = {}  # to whom: (second, count)

    # In.

    def receive(self, packet: Ipv4Packet, interface: Interface) -> None:
        """Handle an ICMP packet to this host."""
        message = icmp.parse(packet.payload)
        if isinstance(message, Malformed):
            self._node.drop(interface, packet.data, message)
        elif message.type == icmp.ECHO_REQUEST:
            self._echo(packet, message)
        elif message.type in icmp.ERRORS:
            self._receive_error(packet, message, interface)
        elif message.type != icmp.ECHO_REPLY:  # replies concern raw sockets alone
            self._node.counters.count("icmp type unknown")

    def _echo(self, packet: Ipv4Packet, message: icmp.IcmpMessage) -> None:
        if not self._node.ipv4.is_local(packet.destination):
            # RFC 1122 section 3.2.2.6 lets a host keep quiet: one packet must not wake a crowd.
            self._node.counters.count("icmp echo to broadcast or group")
            return
        reply = icmp.build(icmp.ECHO_REPLY, 0, message.rest, message.body)
        self._node.counters.count("icmp echo answered")
        self._node.ipv4.send(
            PROTOCOL_ICMP, packet.destination, packet.source, reply, dscp=packet.dscp
        )

    def _receive_error(
        self, packet: Ipv4Packet, message: icmp.IcmpMessage, interface: Interface
    ) -> None:
        quote = message.body
        header_length = (quote[0] & 15) << 2 if quote else 0
        if header_length < ipv4.HEADER_LENGTH or len(quote) < header_length + _least_quoted(quote):
            self._node.drop(interface, packet.data, "icmp quote too short")
            return
        header = quote[:header_length]
        if quote[0] >> 4 != 4 or not self._node.ipv4.is_local(bytes(header[12:16])):
            self._node.drop(interface, packet.data, "icmp error about nothing we sent")
            return
        if (header[6] << 8 | header[7]) & ipv4.OFFSET_MASK:
            # What is quoted then are no ports, whatever they look like.
            self._node.drop(interface, packet.data, "icmp error about a later fragment")
            return
        if message.type == icmp.REDIRECT:
            self._node.counters.count("icmp redirect ignored")
            return
        extra = 0
        if message.type == icmp.PARAMETER_PROBLEM:
            extra = message.pointer
        elif (message.type, message.code) == (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED):
            extra = message.next_hop_mtu
        self._node.ipv4.icmp_error_for(
            header[9], message.type, message.code, header, quote[header_length:], extra
        )

    # Out.

    def send_error(self, type_: int, code: int, packet: Packet, *, rest: int = 0) -> None:
        """Send an error about a packet to its source, if the rules allow one.

        Args:
          type_: an error type.
          code: its code.
          packet: what could not be delivered or forwarded.
          rest: the second word of the message (next-hop MTU).
        """
        if not self._may_complain(packet):
            return
        if not self._within_limit(packet.source):
            self._node.counters.count("icmp error over the limit")
            return
        quote = bytes(packet.header) + bytes(packet.payload)
        room = icmp.MAX_QUOTE
        message = icmp.build(type_, code, rest, quote[:room])
        source = packet.destination if self._node.ipv4.is_local(packet.destination) else None
        self._node.counters.count("icmp error sent")
        self._node.ipv4.send(PROTOCOL_ICMP, source, packet.source, message)

    def _may_complain(self, packet: Packet) -> bool:
        ip = self._node.ipv4
        header = packet.header
        if (header[6] << 8 | header[7]) & ipv4.OFFSET_MASK:
            return False
        if not ip.is_unicast(packet.destination) or not ip.is_unicast(packet.source):
            return False
        payload = packet.payload
        return not (packet.protocol == PROTOCOL_ICMP and (
            len(payload) == 0 or payload[0] in icmp.ERRORS
        ))  # fmt: skip

    def _within_limit(self, destination: bytes) -> bool:
        if self.icmp_errors_per_second is None:
            return True
        second = self._node.scheduler.now // SECOND
        last, count = self._sent.get(destination, (second, 0))
        count = count + 1 if last == second else 1
        self._sent[destination] = (second, count)
        return count <= self.icmp_errors_per_second

    def host_unreachable(self, data: bytes, interface: Interface) -> None:
        """ARP has given up: tell whoever sent this packet, here or elsewhere (ICMP 3/1)."""
        packet = ipv4.parse(data)
        if isinstance(packet, Malformed):
            return
        node = self._node
        node.drop(interface, data, "arp no answer: packet thrown away")
        if packet.source in node.own_addresses:
            if not packet.offset:
                node.ipv4.icmp_error_for(
                    packet.protocol, icmp.UNREACHABLE, icmp.HOST_UNREACHABLE,
                    packet.header, packet.payload, 0,
                )  # fmt: skip
        else:
            self.send_error(icmp.UNREACHABLE, icmp.HOST_UNREACHABLE, packet)

    def reassembly_timed_out(self, first: Ipv4Packet, interface: Interface) -> None:
        """Tell the sender that the rest of a packet did not come (ICMP 11/1)."""
        self._node.drop(interface, first.data, "ip reassembly timed out: first fragment")
        self.send_error(icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED, first)


def _least_quoted(quote: memoryview) -> int:
    """Return how many bytes after the header must be quoted: the ports, where there are any."""
    return 8 if len(quote) > 9 and quote[9] in (PROTOCOL_TCP, PROTOCOL_UDP) else 0
