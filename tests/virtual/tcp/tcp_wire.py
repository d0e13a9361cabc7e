# A wire for TCP tests: hosts whose network layer is this file, virtual time, and every packet kept.
#
# Segments cross it as bytes with real checksums. A ``filter`` sees each one before it is delivered
# and may drop, delay or repeat it. ``Script`` stands in for a peer: the test writes its segments.

"""Two TCP layers and a wire between them, or one layer and a scripted peer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wsock.virtual.layers import PROTOCOL_TCP, Counters, Flushable, LocalError, Route
from wsock.virtual.profile import profile_named
from wsock.virtual.random_streams import RandomStream, RandomStreams
from wsock.virtual.scheduler import RANK_DELIVERY, Owner, Scheduler
from wsock.virtual.tcp import Connection, Listener, TcpLayer, TcpSettings
from wsock.virtual.tcp.options import Options
from wsock.virtual.tcp.segment import ACK, FIN, SYN, Segment, build, flags_text, parse
from wsock.virtual.tcp.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.tcp.listener import ConnectHandler

MS = 1_000_000
SECOND = 1_000_000_000

A = bytes((192, 0, 2, 1))
B = bytes((192, 0, 2, 2))
NOBODY = bytes((192, 0, 2, 9))
MULTICAST = bytes((224, 0, 0, 1))
BROADCAST = bytes((255, 255, 255, 255))


@dataclass
class Packet:
    source: bytes
    destination: bytes
    payload: memoryview
    protocol: int = PROTOCOL_TCP
    ttl: int = 64
    dscp: int = 0
    header: memoryview = field(default_factory=lambda: memoryview(bytes(20)))


@dataclass
class Interface:
    name: str = "eth0"
    mtu: int = 1500


@dataclass
class Sent:
    """One packet as the wire saw it."""

    time: int
    segment: Segment
    raw: bytes
    ttl: int | None
    dscp: int
    dont_fragment: bool

    def __str__(self) -> str:
        s = self.segment
        return (f"{self.time / 1e9:.6f} {s.source[-1]}>{s.destination[-1]} {flags_text(s.flags)}"
                f" seq={s.seq} ack={s.ack} win={s.window} len={len(s.data)}")  # fmt: skip


class Host:
    """The network layer of one host, as TCP sees it."""

    def __init__(
        self, wire: Wire, name: str, address: bytes, profile: str | TcpProfile = "rfc"
    ) -> None:
        self.wire = wire
        self.name = name
        self.address = address
        self.profile = profile_named(profile)
        self.counters = Counters()
        self.interface = Interface()
        self.scheduler = wire.scheduler
        self.tcp = TcpLayer(self)
        wire.hosts[address] = self

    def random(self, purpose: str) -> RandomStream:
        return self.wire.streams.stream(purpose, self.name)

    def route(self, destination: bytes) -> Route | None:
        if destination == NOBODY:
            return None
        return Route(self.interface, destination, self.interface.mtu, self.address)

    def is_local(self, address: bytes) -> bool:
        return address == self.address

    def is_unicast(self, address: bytes) -> bool:
        return address not in (MULTICAST, BROADCAST, bytes(4))

    def report_unreachable(self, packet: object, code: int) -> None:
        raise AssertionError("TCP answers by RST")

    def mark_dirty(self, endpoint: Flushable) -> None:
        self.wire.dirty[endpoint] = None

    def send(
        self,
        protocol: int,
        source: bytes | None,
        destination: bytes,
        payload: bytes | bytearray | memoryview,
        *,
        ttl: int | None = None,
        dscp: int = 0,
        dont_fragment: bool = False,
        options: bytes = b"",
    ) -> LocalError | None:
        if len(payload) + 20 > self.interface.mtu and dont_fragment:
            return LocalError.EMSGSIZE
        raw = bytes(payload)
        segment = parse(source or self.address, destination, memoryview(raw))
        assert isinstance(segment, Segment), segment  # what is sent must be well formed
        sent = Sent(self.scheduler.now, segment, raw, ttl, dscp, dont_fragment)
        self.wire.log.append(sent)
        self.wire.carry(sent)
        return None


class Wire:
    """Virtual time, hosts by address, and everything that was sent."""

    def __init__(self, *, latency: int = 10 * MS, seed: int = 1) -> None:
        self.scheduler = Scheduler()
        self.streams = RandomStreams(seed)
        self.latency = latency
        self.hosts: dict[bytes, Host] = {}
        self.dirty: dict[Flushable, None] = {}
        self.log: list[Sent] = []
        self.owner = Owner("wire")
        #: returns the delays after which copies of a packet arrive: [] drops it.
        self.filter: Callable[[Sent], list[int]] = lambda sent: [self.latency]

    def carry(self, sent: Sent) -> None:
        for delay in self.filter(sent):
            self.scheduler.post(
                self.scheduler.now + delay, RANK_DELIVERY, self.owner, self.arrive, sent
            )

    def arrive(self, sent: Sent) -> None:
        host = self.hosts.get(sent.segment.destination)
        if host is not None:
            segment = sent.segment
            packet = Packet(segment.source, segment.destination, memoryview(sent.raw))
            host.tcp.receive(packet)

    def flush(self) -> None:
        while self.dirty:
            endpoints, self.dirty = sorted(self.dirty, key=lambda e: e.flush_key), {}
            for endpoint in endpoints:
                endpoint.flush()

    def run(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        self.run_until(self.scheduler.now + round(seconds * SECOND))

    def run_until(self, end: int) -> None:
        self.flush()
        scheduler = self.scheduler
        while (time := scheduler.next_time()) is not None and time <= end:
            scheduler.run_due(time)
            self.flush()
        scheduler.run_due(end)

    def settle(self) -> None:
        """Flush, and let what is on the way arrive; no timer longer than a round trip."""
        self.run((2.5 * self.latency + 1) / SECOND)

    @property
    def now(self) -> float:
        return self.scheduler.now / SECOND

    def sent_by(self, address: bytes) -> list[Segment]:
        return [sent.segment for sent in self.log if sent.segment.source == address]

    def clear(self) -> None:
        self.log.clear()


@dataclass
class Client:
    """Takes everything, and notes what it was told."""

    events: list[object] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    pushes: list[tuple[int, bool]] = field(default_factory=list)
    out_of_band: bytearray = field(default_factory=bytearray)
    room: int | None = None  # bytes it still takes; None: all
    acknowledged: int = 0
    connection: Connection | None = None

    def connected(self, connection: Connection) -> None:
        self.events.append("connected")

    def accepted(self, connection: Connection) -> None:
        self.connection = connection
        self.events.append("accepted")

    def failed(self, connection: Connection, error: int) -> None:
        self.events.append(("failed", error))

    def deliver(self, connection: Connection, data: memoryview, push: bool) -> int:
        taken = len(data) if self.room is None else min(len(data), self.room)
        if self.room is not None:
            self.room -= taken
        self.data += data[:taken]
        if taken:
            self.pushes.append((taken, push and taken == len(data)))
        return taken

    def urgent(self, connection: Connection, distance: int) -> None:
        self.events.append(("urgent", distance))

    def deliver_urgent(self, connection: Connection, data: bytes) -> None:
        self.out_of_band += data

    def sent(self, connection: Connection, count: int) -> None:
        self.acknowledged += count

    def send_possible(self, connection: Connection) -> None:
        self.events.append("send_possible")

    def peer_closed(self, connection: Connection) -> None:
        self.events.append("peer_closed")

    def reset(self, connection: Connection, error: int) -> None:
        self.events.append(("reset", error))

    def closed(self, connection: Connection) -> None:
        self.events.append("closed")


class Pair:
    """A connection from A, port 1000 or so, to B, port 80; B accepts with its own client."""

    def __init__(
        self,
        *,
        latency: int = 10 * MS,
        profile: str | TcpProfile = "rfc",
        server_profile: str | TcpProfile | None = None,
        settings: Callable[[TcpSettings], None] | None = None,
        establish: bool = True,
        **changes: object,
    ) -> None:
        self.wire = Wire(latency=latency)
        mine = replace(profile_named(profile), **changes)
        theirs = profile_named(server_profile) if server_profile else mine
        self.a = Host(self.wire, "a", A, mine)
        self.b = Host(self.wire, "b", B, theirs)
        self.client, self.server = Client(), Client()
        self.client_settings = TcpSettings(mine)
        self.server_settings = TcpSettings(theirs)
        if settings is not None:
            settings(self.client_settings)
            settings(self.server_settings)
        self.listener = listen(self.b, 80, lambda _: self.server, self.server_settings)
        if establish:
            self.connect()
            self.wire.run(3.2 * latency / SECOND)
            assert self.client.events == ["connected"]
            assert self.server.events == ["accepted"]
            self.wire.clear()
            self.client.events.clear()
            self.server.events.clear()

    def connect(self) -> None:
        made = self.a.tcp.connect(self.client, B, 80, settings=self.client_settings)
        assert isinstance(made, Connection)
        self.near = made

    @property
    def far(self) -> Connection:
        assert self.server.connection is not None
        return self.server.connection

    def states(self) -> tuple[str, str]:
        return str(self.near.state), str(self.far.state)


def listen(
    host: Host, port: int, on_connect: ConnectHandler | None = None,
    settings: TcpSettings | None = None, backlog: int = 5, address: bytes = bytes(4),
    **more: object,
) -> Listener:  # fmt: skip
    binding = host.tcp.bind(address, port)
    assert not isinstance(binding, LocalError), binding
    listener = host.tcp.listen(binding, backlog, on_connect=on_connect, settings=settings, **more)
    assert isinstance(listener, Listener)
    return listener


class Script:
    """One host under test (B, port 80 or a connection to A) and a peer at A that the test plays."""

    ISS = 1000  # the peer's
    PORT = 5555

    def __init__(self, profile: str | TcpProfile = "rfc", **changes: object) -> None:
        self.wire = Wire(latency=0)
        self.profile = replace(profile_named(profile), **changes)
        self.host = Host(self.wire, "b", B, self.profile)
        self.client = Client()
        self.settings = TcpSettings(self.profile)
        self.settings.iss = 7000
        self.connection: Connection | None = None
        self.peer_port = self.PORT
        self.local_port = 80

    def inject(
        self, flags: int, seq: int, ack: int = 0, data: bytes = b"", *, window: int = 65535,
        options: Options | bytes = b"", urgent: int = 0, flush: bool = True,
    ) -> list[Segment]:  # fmt: skip
        """Deliver one segment of the peer's; return what the host sends in that instant."""
        self.wire.clear()
        encoded = options if isinstance(options, bytes) else options.encode()
        raw = build(A, B, self.peer_port, self.local_port, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                    flags, window, urgent, encoded, data)  # fmt: skip
        self.host.tcp.receive(Packet(A, B, memoryview(bytes(raw))))
        if flush:
            self.wire.flush()
        return self.wire.sent_by(B)

    def outputs(self) -> list[Segment]:
        """Flush; return what is sent now."""
        self.wire.clear()
        self.wire.flush()
        return self.wire.sent_by(B)

    def wait(self, seconds: float) -> list[Segment]:
        """Let time pass; return what is sent meanwhile."""
        self.wire.clear()
        self.wire.run(seconds)
        return self.wire.sent_by(B)

    def listen(self, **more: object) -> Listener:
        def take(connection: Connection) -> Client:
            self.connection = connection
            return self.client

        return listen(self.host, 80, take, self.settings, **more)

    def open(self, *, window: int = 65535, options: Options | bytes = b"") -> Connection:
        """Passive open, three-way handshake by the peer. rcv_nxt is 1001, snd_nxt 7001."""
        self.listen()
        self.inject(SYN, self.ISS, options=options, window=window)
        self.inject(ACK, self.ISS + 1, 7001, window=window, options=self.stamp(options))
        assert self.connection is not None
        assert str(self.connection.state) == "ESTABLISHED"
        self.client.events.clear()
        self.wire.clear()
        return self.connection

    @staticmethod
    def stamp(options: Options | bytes) -> Options | bytes:
        if isinstance(options, Options) and options.timestamp is not None:
            return Options(timestamp=options.timestamp)
        return b""

    def connect(self) -> Connection:
        """Active open to the peer; the SYN has been sent."""
        made = self.host.tcp.connect(self.client, A, self.peer_port, settings=self.settings)
        assert isinstance(made, Connection)
        self.connection = made
        self.local_port = made.local_port
        return made


def brief(segment: Segment) -> tuple[str, int, int, int]:
    """Flags, seq, ack and length of a segment."""
    return flags_text(segment.flags), segment.seq, segment.ack, len(segment.data)


def data(count: int, start: int = 0) -> bytes:
    """Bytes of which no two neighbouring segments are alike."""
    return bytes((start + n) % 251 for n in range(count))


def reach(script: Script, state: State) -> Connection:
    """Bring a passive connection into ``state``; rcv_nxt is 1001, or 1002 after the peer's FIN."""
    connection = script.open(options=Options(mss=1000))
    if state in (State.CLOSE_WAIT, State.LAST_ACK):
        script.inject(ACK | FIN, 1001, 7001)
    if state not in (State.ESTABLISHED, State.CLOSE_WAIT):
        connection.close()
        script.outputs()
    if state in (State.FIN_WAIT_2, State.TIME_WAIT):
        script.inject(ACK, 1001, 7002)
    if state in (State.CLOSING, State.TIME_WAIT):
        script.inject(ACK | FIN, 1001, 7001 if state is State.CLOSING else 7002)
    assert connection.state is state
    script.client.events.clear()
    return connection
