# The TCP layer of one host: OPEN, demultiplexing, and what all connections share.
#
#   tdi face, tests   connect, listen, and the calls of Connection
# > layer             THIS FILE: tables of connections and listeners; CLOSED
#   passive           LISTEN;  arrival, output: the connections themselves
#   layers            NetworkLayer: packets down; ``receive`` and ``icmp_error`` come up
#
# Rule 1: one TCB for each pair of addresses and ports, in one dict; a packet costs one look-up.
# Rule 2: whatever arrives: a counter, an answer, never an exception.
# Rule 3: a RST is never answered by a RST, and nothing is answered that was not sent by one host to
#         one host (RFC 9293 MUST-57, 63).
#
# Sources: RFC 9293 sections 3.5.2 (resets), 3.9.1 (OPEN), 3.10.7.1 (CLOSED); RFC 5961 section 7
# (throttling).

"""TcpLayer: the TCP of one host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from wsock.virtual.layers import ANY_ADDRESS, PROTOCOL_TCP, LocalError
from wsock.virtual.scheduler import Owner
from wsock.virtual.tcp import arrival, icmp_errors, passive
from wsock.virtual.tcp.connection import Connection
from wsock.virtual.tcp.initial_sequence import InitialSequence
from wsock.virtual.tcp.listener import Listener
from wsock.virtual.tcp.output import send_ack
from wsock.virtual.tcp.port_table import Binding, PortTable
from wsock.virtual.tcp.segment import ACK, RST, Segment, build, parse
from wsock.virtual.tcp.seq import MASK, in_window
from wsock.virtual.tcp.settings import TcpSettings
from wsock.virtual.tcp.states import Event, State
from wsock.virtual.tcp.tcb import FIXED_HEADERS
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.layers import Flushable, NetworkLayer, Packet
    from wsock.virtual.tcp.client import TcpClient
    from wsock.virtual.tcp.listener import ConnectHandler
    from wsock.virtual.tcp.tcb import Tcb

_SECOND_NS: Final = 1_000_000_000


class TcpLayer:
    """The TCP of one host. A Transport, as IPv4 sees it."""

    __slots__ = (
        "_at_port", "_challenge_second", "_challenges", "_connections", "_ip", "_listeners",
        "_sequences", "counters", "mark_dirty", "name", "owner", "ports", "profile", "scheduler",
    )  # fmt: skip

    def __init__(self, ip: NetworkLayer) -> None:
        self._ip = ip
        self.name = ip.name
        self.profile = ip.profile
        self.scheduler = ip.scheduler
        self.counters = ip.counters
        self.mark_dirty: Callable[[Flushable], None] = ip.mark_dirty
        # One owner for all connections of a host: their timers are set while they flush, and they
        # flush in a fixed order, so its sequence numbers are the same in every run.
        self.owner = Owner(f"{ip.name} tcp")
        self._connections: dict[tuple[bytes, int, bytes, int], Connection] = {}
        self._at_port: dict[int, int] = {}  # how many connections have this local port
        self._listeners: dict[tuple[bytes, int], list[Listener]] = {}
        self._sequences = InitialSequence(ip.random("tcp iss"))
        self.ports = PortTable(
            self.profile.ephemeral_ports,
            ip.random("tcp ports"),
            self._any_connection_at,
            lambda address, port: (address, port) in self._listeners,
        )
        self._challenge_second = -1
        self._challenges = 0

    # OPEN

    def bind(
        self,
        address: bytes,
        port: int,
        *,
        reuse: bool = False,
        exclusive: bool = False,
        past_connections: bool = False,
        posix: bool = False,
    ) -> Binding | LocalError:
        """Take a local address (ANY_ADDRESS: all) and port (0: one is chosen).

        Args are those of ``PortTable.bind``.

        Returns:
          the binding, to be given to ``connect`` or ``listen`` and at the end to
          ``ports.release``; or EADDRNOTAVAIL, EADDRINUSE, EACCES, ENOBUFS.
        """
        if address != ANY_ADDRESS and not (
            self._ip.is_local(address) and self._ip.is_unicast(address)
        ):
            return LocalError.EADDRNOTAVAIL
        return self.ports.bind(
            address,
            port,
            reuse=reuse,
            exclusive=exclusive,
            past_connections=past_connections,
            posix=posix,
        )

    def connect(
        self,
        client: TcpClient,
        remote: bytes,
        remote_port: int,
        *,
        binding: Binding | None = None,
        settings: TcpSettings | None = None,
    ) -> Connection | LocalError:
        """Active OPEN. The SYN leaves when the instant is over.

        Args:
          client: gets ``connected`` or ``failed``.
          remote: the peer's address; one host's.
          remote_port: 1 to 65535.
          binding: where from; None: the route's address and an ephemeral port.
          settings: the connection's from now on; None: the profile's values.

        Returns:
          the connection in SYN-SENT, or ENETUNREACH (no route, or not one host's address),
          EADDRINUSE (this pair exists, perhaps in TIME-WAIT), ENOBUFS (no port is free).
        """
        route = self._ip.route(remote)
        if route is None or not self._ip.is_unicast(remote):
            return LocalError.ENETUNREACH
        address = route.source
        if binding is not None and binding.address != ANY_ADDRESS:
            address = binding.address
        if binding is not None:
            port: int | None = binding.port
        else:
            where = address + remote + remote_port.to_bytes(2, "big")
            port = self.ports.choose_for(
                where, lambda port: (address, port, remote, remote_port) not in self._connections
            )
        if port is None:
            return LocalError.ENOBUFS
        if (address, port, remote, remote_port) in self._connections:
            return LocalError.EADDRINUSE
        settings = settings or TcpSettings(self.profile)
        connection = self.make(client, settings, (address, port), (remote, remote_port))
        connection.active = True
        if self.profile.window_scaling != "offer":
            connection.receive_shift = -1
        connection.timestamps_wanted = self.profile.timestamps == "offer"
        connection.change(Event.ACTIVE_OPEN)
        self.start(connection)
        return connection

    def listen(
        self,
        binding: Binding,
        backlog: int,
        *,
        on_connect: ConnectHandler | None = None,
        on_ready: Callable[[], object] | None = None,
        settings: TcpSettings | None = None,
    ) -> Listener | LocalError:
        """Passive OPEN.

        Args:
          binding: where.
          backlog: handshakes and untaken connections at one time, at least 1; not used with
            ``on_connect``.
          on_connect: decides about each SYN; None: connections wait for ``Listener.accept``.
          on_ready: called when ``accept`` has something new.
          settings: what accepted connections start with.

        Returns:
          the listener, or EADDRINUSE when there is one, unless both bindings are shared
          (SO_REUSEADDR): then each client is for one of them. By a kernel's rules there may be
          none, nor one at an address that overlaps.
        """
        where = (binding.address, binding.port)
        sharers = self._listeners.get(where, [])
        if sharers and not binding.reuse:
            return LocalError.EADDRINUSE
        if binding.posix and any(
            port == binding.port and binding.overlaps(address) for address, port in self._listeners
        ):
            return LocalError.EADDRINUSE
        settings = settings or TcpSettings(self.profile)
        listener = Listener(self, *where, settings, backlog, on_connect, on_ready)
        self._listeners[where] = [*sharers, listener]
        return listener

    def stop_listening(self, listener: Listener) -> None:
        """Forget a listener. ``Listener.close`` is the call for users."""
        where = (listener.address, listener.port)
        others = [other for other in self._listeners.pop(where, ()) if other is not listener]
        if others:
            self._listeners[where] = others

    def make(
        self,
        client: TcpClient,
        settings: TcpSettings,
        local: tuple[bytes, int],
        remote: tuple[bytes, int],
    ) -> Connection:
        """Make a connection that is in no table yet."""
        connection = Connection(self, client, settings, local, remote)
        route = self._ip.route(remote[0])
        if route is not None:
            connection.path_mtu = route.mtu
            connection.rcv_mss = route.mtu - FIXED_HEADERS
        excess = settings.receive_buffer >> 16
        connection.receive_shift = min(excess.bit_length(), 14)
        connection.ts_offset = self._sequences.timestamp_offset(connection.key)
        iss = settings.iss
        if iss is None:
            iss = self._sequences.iss(connection.key, self.scheduler.now)
        connection.iss = iss
        return connection

    def start(self, connection: Connection) -> None:
        """Put a connection into the table, its SYN owed."""
        connection.snd_una = connection.snd_nxt = connection.next_to_send = connection.iss
        connection.syn_owed = True
        self._connections[connection.key] = connection
        port = connection.local_port
        self._at_port[port] = self._at_port.get(port, 0) + 1
        self.mark_dirty(connection)

    # What connections report

    def completed(self, connection: Connection) -> None:
        """The handshake is done: tell the listener and the client."""
        if connection.listener is not None:
            connection.listener.completed(connection)
        if connection.active:
            connection.client.connected(connection)
        else:
            connection.client.accepted(connection)
        if connection.fin_wanted and connection.state is State.ESTABLISHED:
            connection.change(Event.CLOSE, "CLOSE, asked for in SYN-RECEIVED")

    def remove(self, connection: Connection) -> None:
        """Take a connection out of the tables."""
        if self._connections.get(connection.key) is not connection:
            return
        del self._connections[connection.key]
        port = connection.local_port
        self._at_port[port] -= 1
        if not self._at_port[port]:
            del self._at_port[port]
        if connection.listener is not None:
            connection.listener.ended(connection)

    def connections(self) -> list[Connection]:
        """Return every connection, in the order of flushing."""
        return sorted(self._connections.values(), key=lambda connection: connection.flush_key)

    def listeners(self) -> list[Listener]:
        """Return every listener, by address and port."""
        return [each for where in sorted(self._listeners) for each in self._listeners[where]]

    def _any_connection_at(self, address: bytes, port: int, unshared: bool) -> bool:
        """Whether a connection has this local address (or any) and port.

        ``unshared``: those with SO_REUSEADDR do not count.
        """
        if port not in self._at_port:
            return False
        return any(
            connection.local_port == port
            and address in (ANY_ADDRESS, connection.local)
            and not (unshared and connection.settings.reuse_address)
            for connection in self._connections.values()
        )

    # From IP

    def receive(self, packet: Packet) -> None:
        """Take one packet."""
        segment = parse(packet.source, packet.destination, packet.payload)
        if isinstance(segment, Malformed):
            self.counters.count(segment)
            return
        key = (
            segment.destination, segment.destination_port, segment.source, segment.source_port
        )  # fmt: skip
        connection = self._connections.get(key)
        if connection is not None and not (
            connection.state is State.TIME_WAIT and passive.reopens(self, connection, segment)
        ):
            arrival.segment_arrives(connection, segment)
            return
        if not (self._ip.is_unicast(segment.destination) and self._ip.is_unicast(segment.source)):
            self.counters.count("tcp not unicast")
            return
        listener = self.listener_for(segment)
        if listener is None:
            self.counters.count("tcp no connection")
            self.reset_for(segment)
            return
        passive.segment_in_listen(self, listener, segment, connection)

    def listener_for(self, segment: Segment) -> Listener | None:
        """Return who listens where a segment goes: the exact address first (MUST-42).

        Among listeners that share a place the client's address and port decide, as Linux does it:
        what a client sends again goes to the same one.
        """
        port = segment.destination_port
        found = self._listeners.get((segment.destination, port))
        found = found or self._listeners.get((ANY_ADDRESS, port))
        if not found:
            return None
        if len(found) == 1:
            return found[0]
        return found[crc32(segment.source + segment.source_port.to_bytes(2, "big")) % len(found)]

    def icmp_error(
        self, icmp_type: int, code: int, quoted_header: memoryview, quoted: memoryview, extra: int
    ) -> None:
        """Take an ICMP error; it counts only if it quotes something in flight."""
        if icmp_type not in icmp_errors.HEEDED:
            self.counters.count("tcp icmp ignored")  # source quench above all (MUST-55)
            return
        quote = icmp_errors.read_quote(quoted_header, quoted)
        if quote is None:
            self.counters.count("tcp icmp too short")
            return
        connection = self._connections.get(quote.pair)
        if connection is None or not in_window(quote.seq, connection.snd_una, connection.flight):
            self.counters.count("tcp icmp not in flight")
            return
        self.counters.count("tcp icmp")
        icmp_errors.process(connection, icmp_type, code, extra)

    # To IP

    def transmit(
        self,
        tcb: Tcb,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        urgent: int = 0,
        options: bytes = b"",
        data: bytes | memoryview = b"",
    ) -> None:
        """Send one segment of a connection."""
        settings = tcb.settings
        raw = build(
            tcb.local, tcb.remote, tcb.local_port, tcb.remote_port, seq, ack, flags, window,
            urgent, options, data,
        )  # fmt: skip
        error = self._ip.send(
            PROTOCOL_TCP, tcb.local, tcb.remote, raw, ttl=settings.ttl, dscp=settings.dscp,
            dont_fragment=settings.path_mtu_discovery,
        )  # fmt: skip
        if error is not None:
            self._could_not_send(tcb, error)

    def _could_not_send(self, tcb: Tcb, error: LocalError) -> None:
        """Note that a segment did not leave this host: it is lost, like any other."""
        self.counters.count("tcp could not send")
        route = self._ip.route(tcb.remote)
        if error is LocalError.EMSGSIZE and route is not None and route.mtu < tcb.path_mtu:
            tcb.path_mtu = route.mtu  # the retransmission timeout will send it in smaller pieces
            tcb.congestion.resize(tcb.effective_mss)
        else:
            tcb.soft_error = error

    def reset_for(self, segment: Segment) -> None:
        """Answer a segment that belongs to no connection by a RST (section 3.5.2)."""
        if segment.flags & RST:
            return
        if segment.flags & ACK:
            seq, ack, flags = segment.ack, 0, RST
        else:
            seq, ack, flags = 0, (segment.seq + segment.length) & MASK, RST | ACK
        self.counters.count("tcp resets sent")
        raw = build(
            segment.destination, segment.source, segment.destination_port, segment.source_port,
            seq, ack, flags, 0,
        )  # fmt: skip
        self._ip.send(PROTOCOL_TCP, segment.destination, segment.source, raw)

    def challenge(self, tcb: Tcb, reason: str) -> None:
        """Send a challenge ACK, unless this second has had its share (RFC 5961 section 7)."""
        self.counters.count(reason)
        second = self.scheduler.now // _SECOND_NS
        if second != self._challenge_second:
            self._challenge_second = second
            self._challenges = 0
        if self._challenges >= self.profile.challenge_acks_per_second:
            self.counters.count("tcp challenge withheld")
            return
        self._challenges += 1
        send_ack(tcb)
