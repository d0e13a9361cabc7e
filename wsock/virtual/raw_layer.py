# Raw sockets of one host: programs that speak a protocol of their own, or ICMP, over IPv4.
#
#   sockets               SOCK_RAW: ping, tracert
# > raw                   THIS FILE
#   ipv4                  send(packet)                  a copy of every packet of the protocol
#
# Rule 1: a raw endpoint gets a copy; the stack handles the packet all the same. So a ping program
#         sees the echo replies, and the host goes on answering echo requests itself.
# Rule 2: what is received is the whole packet with its IP header, as SOCK_RAW of IPv4 gives it.
#
# Sources: raw(7), ip(7); RFC 1122 section 3.4.

"""Raw IPv4 sockets of a virtual host."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.layers import ANY_ADDRESS, LocalError
from wsock.virtual.udp_layer import error_of
from wsock.virtual.wire import ipv4

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.ipv4_layer import Ipv4Layer
    from wsock.virtual.layers import FlushKey
    from wsock.virtual.wire.ipv4 import Ipv4Packet

_RAW_KEY = 255  # the protocol number that stands for raw endpoints in the order of flushing


class RawReceived(NamedTuple):
    """A packet that a raw endpoint received, with its IP header."""

    data: bytes
    source: bytes
    ttl: int
    time_ns: int


class IcmpError(NamedTuple):
    """An ICMP error about a packet that this host sent with the endpoint's protocol."""

    type: int
    code: int
    quoted_header: bytes
    quoted: bytes
    extra: int


class _Outgoing(NamedTuple):
    data: bytes
    destination: bytes
    ttl: int | None


class RawEndpoint:
    """One raw socket.

    Attributes:
      protocol: which packets it gets; 255 (IPPROTO_RAW) gets none and sends with its own header.
      local, remote: filters; 0.0.0.0 for any.
      ttl, dscp, dont_fragment: of what it sends; ``ttl`` None for the profile's.
      header_included: whether what is sent begins with an IP header (IP_HDRINCL).
      receive_limit: bytes its queue holds.
      on_readable: called when a packet was queued.
      on_icmp_error: called with each ICMP error about what this protocol sent.
    """

    def __init__(self, layer: RawLayer, protocol: int, number: int) -> None:
        self._layer = layer
        self._number = number
        self.protocol = protocol
        self.local = self.remote = ANY_ADDRESS
        self.ttl: int | None = None
        self.dscp = 0
        self.dont_fragment = False
        self.broadcast = False
        self.header_included = protocol == 255
        self.receive_limit = layer.ip.profile.receive_buffer
        self.closed = False
        self.on_readable: Callable[[], object] | None = None
        self.on_icmp_error: Callable[[IcmpError], object] | None = None
        self._queue: deque[RawReceived] = deque()
        self._queued_bytes = 0
        self._outbox: deque[_Outgoing] = deque()
        self._error: LocalError | None = None

    @property
    def flush_key(self) -> FlushKey:
        """Its place in the order of flushing."""
        name = self._layer.ip.name
        return (name, _RAW_KEY, self.local, self.protocol, self.remote, self._number)

    def bind(self, local: bytes) -> LocalError | None:
        """Receive only what was sent to ``local``, and send from it."""
        if local != ANY_ADDRESS and not self._layer.ip.is_local(local):
            return LocalError.EADDRNOTAVAIL
        self.local = local
        return None

    def connect(self, remote: bytes) -> LocalError | None:
        """Receive only what ``remote`` sends, and send to it."""
        if self._layer.ip.route(remote) is None:
            return LocalError.ENETUNREACH
        self.remote = remote
        return None

    def send(self, data: bytes, remote: bytes | None = None) -> LocalError | None:
        """Accept a packet's payload (or the whole packet, with ``header_included``) for sending.

        Returns EDESTADDRREQ, ENETUNREACH, EACCES (broadcast not allowed), EMSGSIZE, EINVAL (the
        header included is none), or None.
        """
        ip = self._layer.ip
        remote = remote or self.remote
        if remote == ANY_ADDRESS:
            return LocalError.EDESTADDRREQ
        if self.header_included and len(data) < ipv4.HEADER_LENGTH:
            return LocalError.EINVAL
        if ip.is_broadcast(remote) and not self.broadcast:
            return LocalError.EACCES
        route = ip.route(remote)
        if route is None:
            return LocalError.ENETUNREACH
        length = len(data) + (0 if self.header_included else ipv4.HEADER_LENGTH)
        limit = route.mtu if self.dont_fragment or self.header_included else ipv4.MAX_LENGTH
        if length > limit:
            return LocalError.EMSGSIZE
        self._outbox.append(_Outgoing(data, remote, self.ttl))
        ip.mark_dirty(self)
        return None

    def flush(self) -> None:
        """Emit what was accepted."""
        while self._outbox:
            data, destination, ttl = self._outbox.popleft()
            source = None if self.local == ANY_ADDRESS else self.local
            if self.header_included:
                error = self._layer.send_whole(data, destination)
            else:
                error = self._layer.ip.send(
                    self.protocol, source, destination, data,
                    ttl=ttl, dscp=self.dscp, dont_fragment=self.dont_fragment,
                )  # fmt: skip
            if error is not None:
                self._error = error

    def arrive(self, packet: Ipv4Packet) -> None:
        """Queue a copy of a packet, or drop it if the queue is full."""
        ip = self._layer.ip
        if self._queue and self._queued_bytes + len(packet.data) > self.receive_limit:
            ip.counters.count("raw receive queue full")
            return
        data = bytes(packet.header) + bytes(packet.payload)
        self._queue.append(RawReceived(data, packet.source, packet.ttl, ip.scheduler.now))
        self._queued_bytes += len(data)
        if self.on_readable is not None:
            self.on_readable()

    def receive(self, *, peek: bool = False) -> RawReceived | None:
        """Take the oldest packet, or only look at it; None if there is none."""
        if not self._queue:
            return None
        if peek:
            return self._queue[0]
        packet = self._queue.popleft()
        self._queued_bytes -= len(packet.data)
        return packet

    @property
    def waiting(self) -> int:
        """Packets that wait to be received."""
        return len(self._queue)

    def wants(self, packet: Ipv4Packet) -> bool:
        """Whether a received packet is for this endpoint."""
        return (
            self.protocol == packet.protocol
            and self.local in (ANY_ADDRESS, packet.destination)
            and self.remote in (ANY_ADDRESS, packet.source)
        )

    def fail(self, error: IcmpError) -> None:
        """Note an ICMP error about something this protocol sent from here."""
        if self.remote != ANY_ADDRESS and self.remote == error.quoted_header[16:20]:
            self._error = error_of(error.type, error.code)
        if self.on_icmp_error is not None:
            self.on_icmp_error(error)

    def take_error(self) -> LocalError | None:
        """Return the error that waits, and forget it (SO_ERROR)."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Receive no more. What was accepted is still sent."""
        self.closed = True
        self._queue.clear()
        self._layer.release(self)

    def __repr__(self) -> str:
        name = self._layer.ip.name
        return f"<RawEndpoint {name} protocol {self.protocol} {addresses.text(self.local)}>"


class RawLayer:
    """The raw endpoints of one host."""

    __slots__ = ("_endpoints", "_made", "ip")

    def __init__(self, ip: Ipv4Layer) -> None:
        self.ip = ip
        self._endpoints: list[RawEndpoint] = []
        self._made = 0

    @property
    def is_used(self) -> bool:
        """Whether there is any endpoint: the hot path asks this first."""
        return bool(self._endpoints)

    @property
    def endpoints(self) -> list[RawEndpoint]:
        """All endpoints, by age."""
        return list(self._endpoints)

    def open(self, protocol: int) -> RawEndpoint:
        """Make an endpoint for one protocol number; it receives at once."""
        self._made += 1
        endpoint = RawEndpoint(self, protocol, self._made)
        self._endpoints.append(endpoint)
        return endpoint

    def release(self, endpoint: RawEndpoint) -> None:
        """Forget an endpoint."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)

    def receive(self, packet: Ipv4Packet) -> bool:
        """Give a copy to every endpoint that wants it; say whether one did."""
        wanted = [endpoint for endpoint in self._endpoints if endpoint.wants(packet)]
        for endpoint in wanted:
            endpoint.arrive(packet)
        return bool(wanted)

    def icmp_error(
        self, icmp_type: int, code: int, quoted_header: memoryview, quoted: memoryview, extra: int
    ) -> None:
        """Tell the endpoints of the quoted packet's protocol."""
        if not self._endpoints:
            return
        error = IcmpError(icmp_type, code, bytes(quoted_header), bytes(quoted), extra)
        for endpoint in list(self._endpoints):
            if endpoint.protocol == quoted_header[9]:
                endpoint.fail(error)

    def send_whole(self, data: bytes, destination: bytes) -> LocalError | None:
        """Send a packet whose header a program wrote (IP_HDRINCL).

        As raw(7) says, the total length and the checksum are always filled in, the source address
        and the identification when they are zero.
        """
        route = self.ip.find_route(destination, None)
        if route is None:
            return LocalError.ENETUNREACH
        header_length = (data[0] & 15) << 2
        if not ipv4.HEADER_LENGTH <= header_length <= len(data):
            return LocalError.EINVAL
        source = data[12:16] if any(data[12:16]) else route.source
        identification = int.from_bytes(data[4:6], "big")
        packet = ipv4.build(
            source, data[16:20], data[9], data[header_length:],
            ttl=data[8], tos=data[1],
            identification=identification or self.ip.identify(source, data[16:20], data[9]),
            flags_offset=int.from_bytes(data[6:8], "big"),
            options=data[ipv4.HEADER_LENGTH : header_length],
        )  # fmt: skip
        self.ip.transmit(packet, route)
        return None
