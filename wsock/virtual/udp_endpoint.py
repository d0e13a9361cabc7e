# UDP endpoints: what one UDP socket of a host is to its stack.
#
#   tdi, sockets          bind, connect, send, receive; on_readable, on_error
# > udp endpoint          THIS FILE: outbox, receive queue, options, groups
#   udp layer             ports, and who receives what
#
# Rule 1: ``send`` never emits. It checks everything that can be checked, puts the datagram into the
#         endpoint's outbox and marks the endpoint dirty; ``flush`` emits.
# Rule 2: an error that came by ICMP is told at once by ``on_error``, and kept for ``take_error`` if
#         the endpoint is connected (RFC 1122 section 4.1.3.3).
# Rule 3: a full receive queue drops the newest datagram, and counts.
#
# Sources: RFC 768; RFC 1112; the socket interface's SO_ and IP_ options.

"""UDP endpoints of a virtual host."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from wsock.virtual import addresses
from wsock.virtual.layers import ANY_ADDRESS, PROTOCOL_UDP, LocalError
from wsock.virtual.wire import ipv4, udp

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.layers import FlushKey
    from wsock.virtual.udp_layer import UdpLayer

#: What a queued datagram costs beside its data, so that empty ones fill a queue as well.
OVERHEAD: Final = 64


class Received(NamedTuple):
    """A datagram that was received."""

    data: bytes
    source: bytes
    source_port: int
    destination: bytes
    ttl: int


class _Outgoing(NamedTuple):
    data: bytes
    source: bytes
    destination: bytes
    port: int
    # The options as they were when it was sent:
    ttl: int | None
    dscp: int
    dont_fragment: bool
    multicast_loop: bool


class UdpEndpoint:
    """One UDP socket of a host.

    Attributes:
      local, local_port: what it is bound to; 0.0.0.0 for all addresses, port 0 while unbound.
      remote, remote_port: the peer it is connected to, else 0.0.0.0 and 0.
      broadcast: whether it may send to broadcast addresses (SO_BROADCAST).
      reuse, exclusive: SO_REUSEADDR, SO_EXCLUSIVEADDRUSE; they count when it is bound.
      receive_limit: bytes that its queue holds (SO_RCVBUF).
      ttl, dscp, dont_fragment: of what it sends; ``ttl`` None for the profile's.
      multicast_ttl, multicast_loop, multicast_interface: the IP_MULTICAST_ options; the interface
        is named by its address.
      on_readable, on_error: called when something changed. They must return at once.
    """

    def __init__(self, layer: UdpLayer, number: int) -> None:
        self._layer = layer
        self._number = number
        self.local = self.remote = ANY_ADDRESS
        self.local_port = self.remote_port = 0
        self.reuse = self.exclusive = self.broadcast = False
        self.receive_limit = layer.ip.profile.receive_buffer
        self.ttl: int | None = None
        self.dscp = 0
        self.dont_fragment = False
        self.multicast_ttl = 1
        self.multicast_loop = True
        self.multicast_interface: bytes | None = None
        self.closed = False
        self.groups: set[tuple[str, bytes]] = set()
        self.on_readable: Callable[[], object] | None = None
        self.on_error: Callable[[LocalError, bytes, int], object] | None = None
        self._queue: deque[Received] = deque()
        self._queued_bytes = 0
        self._outbox: deque[_Outgoing] = deque()
        self._error: LocalError | None = None

    @property
    def flush_key(self) -> FlushKey:
        """Its place in the order of flushing; endpoints that share a port go by age."""
        return (
            self._layer.ip.name, PROTOCOL_UDP, self.local, self.local_port,
            self.remote, self.remote_port << 32 | self._number,
        )  # fmt: skip

    # Addresses.

    def bind(self, local: bytes = ANY_ADDRESS, port: int = 0) -> LocalError | None:
        """Take a local address; port 0 asks for an ephemeral one.

        Returns EINVAL if it is bound already, EADDRNOTAVAIL, EADDRINUSE, or None.
        """
        return self._layer.bind(self, local, port)

    def connect(self, remote: bytes, port: int) -> LocalError | None:
        """Fix the peer: others' datagrams are no longer received, ICMP errors are reported.

        Returns ENETUNREACH, EACCES for a broadcast address without ``broadcast``, or None.
        """
        route = self._layer.ip.find_route(remote, self.multicast_interface)
        if route is None:
            return LocalError.ENETUNREACH
        if self._layer.ip.is_broadcast(remote) and not self.broadcast:
            return LocalError.EACCES
        if not self.local_port:
            error = self.bind()
            if error is not None:
                return error
        if self.local == ANY_ADDRESS:
            self.local = route.source
        self.remote, self.remote_port = remote, port
        return None

    def disconnect(self) -> None:
        """Take the peer away again."""
        self.remote, self.remote_port = ANY_ADDRESS, 0

    # Sending.

    def send(self, data: bytes, remote: bytes | None = None, port: int = 0) -> LocalError | None:
        """Accept a datagram for sending; to the connected peer if ``remote`` is None.

        Returns an error that waited (once), EDESTADDRREQ, EMSGSIZE, EACCES, ENETUNREACH, EINVAL,
        EADDRINUSE (no ephemeral port is left), or None when the datagram was taken.
        """
        if remote is None:
            if not self.remote_port:
                return LocalError.EDESTADDRREQ
            remote, port = self.remote, self.remote_port
        if len(data) > udp.MAX_DATA:
            return LocalError.EMSGSIZE
        if not port:
            return LocalError.EINVAL
        if not self.local_port:
            error = self.bind()
            if error is not None:
                return error
        return self.take_error() or self._accept(data, remote, port)

    def _accept(self, data: bytes, remote: bytes, port: int) -> LocalError | None:
        ip = self._layer.ip
        group = addresses.is_multicast(remote)
        if ip.is_broadcast(remote) and not self.broadcast:
            return LocalError.EACCES
        wanted = self.multicast_interface if group else None
        if wanted is None and self.local != ANY_ADDRESS:
            wanted = self.local
        route = ip.find_route(remote, wanted)
        if route is None:
            return LocalError.ENETUNREACH
        source = route.source if self.local == ANY_ADDRESS else self.local
        length = ipv4.HEADER_LENGTH + udp.HEADER_LENGTH + len(data)
        if self.dont_fragment and length > route.mtu:
            return LocalError.EMSGSIZE
        ttl = self.multicast_ttl if group else self.ttl
        self._outbox.append(
            _Outgoing(
                data, source, remote, port, ttl, self.dscp, self.dont_fragment, self.multicast_loop
            )
        )
        ip.mark_dirty(self)
        return None

    @property
    def unsent(self) -> int:
        """Datagrams accepted and not yet emitted."""
        return len(self._outbox)

    def flush(self) -> None:
        """Emit what was accepted."""
        ip = self._layer.ip
        while self._outbox:
            out = self._outbox.popleft()
            datagram = udp.build(out.source, self.local_port, out.destination, out.port, out.data)
            error = ip.send(
                PROTOCOL_UDP,
                out.source,
                out.destination,
                datagram,
                ttl=out.ttl,
                dscp=out.dscp,
                dont_fragment=out.dont_fragment,
                multicast_loop=out.multicast_loop,
            )
            ip.counters.count("udp sent" if error is None else f"udp not sent: {error.name}")
            if error is not None:
                self.fail(error, out.destination, out.port)

    # Receiving.

    def arrive(self, datagram: Received) -> None:
        """Queue a datagram, or drop it if the queue is full."""
        size = len(datagram.data) + OVERHEAD
        if self._queue and self._queued_bytes + size > self.receive_limit:
            self._layer.ip.counters.count("udp receive queue full")
            return
        self._queue.append(datagram)
        self._queued_bytes += size
        if self.on_readable is not None:
            self.on_readable()

    def receive(self, *, peek: bool = False) -> Received | None:
        """Take the oldest datagram, whole, or only look at it; None if there is none.

        The caller cuts it to the size of its buffer and so knows whether it was cut (MSG_TRUNC).
        """
        if not self._queue:
            return None
        if peek:
            return self._queue[0]
        datagram = self._queue.popleft()
        self._queued_bytes -= len(datagram.data) + OVERHEAD
        return datagram

    @property
    def waiting(self) -> int:
        """Datagrams that wait to be received; an empty one counts."""
        return len(self._queue)

    @property
    def available(self) -> int:
        """The length of the oldest datagram, 0 if there is none (FIONREAD)."""
        return len(self._queue[0].data) if self._queue else 0

    def fail(self, error: LocalError, remote: bytes, port: int) -> None:
        """Note an error about a datagram that was sent to ``remote``."""
        if self.remote_port:
            self._error = error
        if self.on_error is not None:
            self.on_error(error, remote, port)

    def take_error(self) -> LocalError | None:
        """Return the error that waits, and forget it (SO_ERROR)."""
        error, self._error = self._error, None
        return error

    # Groups.

    def join(self, group: bytes, interface_address: bytes = ANY_ADDRESS) -> LocalError | None:
        """Receive what is sent to a group (IP_ADD_MEMBERSHIP).

        Returns EINVAL if it is no group, EADDRINUSE if it has joined already, ENETUNREACH or
        EADDRNOTAVAIL if there is no such interface.
        """
        key = self._layer.group_key(group, interface_address)
        if isinstance(key, LocalError):
            return key
        if key in self.groups:
            return LocalError.EADDRINUSE
        self.groups.add(key)
        members = self._layer.ip.groups
        members[key] = members.get(key, 0) + 1
        return None

    def leave(self, group: bytes, interface_address: bytes = ANY_ADDRESS) -> LocalError | None:
        """Leave a group (IP_DROP_MEMBERSHIP). EADDRNOTAVAIL if it has not joined."""
        key = self._layer.group_key(group, interface_address)
        if isinstance(key, LocalError):
            return key
        if key not in self.groups:
            return LocalError.EADDRNOTAVAIL
        self._leave(key)
        return None

    def _leave(self, key: tuple[str, bytes]) -> None:
        self.groups.remove(key)
        members = self._layer.ip.groups
        members[key] -= 1
        if not members[key]:
            del members[key]

    def close(self) -> None:
        """Give the port back and leave every group. What was accepted is still sent."""
        if self.closed:
            return
        self.closed = True
        for key in sorted(self.groups):
            self._leave(key)
        self._queue.clear()
        self._queued_bytes = 0
        self._layer.release(self)

    def __repr__(self) -> str:
        local, remote = addresses.text(self.local), addresses.text(self.remote)
        return (
            f"<UdpEndpoint {self._layer.ip.name} {local}:{self.local_port} > "
            f"{remote}:{self.remote_port}, {len(self._queue)} waiting>"
        )
