# The seams of the stack: what a layer may ask of the one below and must offer to it.
#
#   socket layers         datagrams, connections
#   tcp, udp, raw         Transport: receive(packet), icmp_error(...)
# > layers                THIS FILE: the two interfaces between them, and the records that cross
#   ipv4, icmp            NetworkLayer: send(...), route(...)
#   interfaces            links and segments
#
# Rule 1: addresses are 4 raw bytes here; ``ipaddress`` objects exist at the edges only.
# Rule 2: nothing raises for what came from the wire. A packet that cannot be used adds one to a
#         counter with a name, and that is all.
# Rule 3: what the application asked for and cannot have is a ``LocalError``, returned, not raised:
#         only the layer that knows the call can make a good exception of it.
# Rule 4: a call of the application never emits. It marks its endpoint dirty (``mark_dirty``); when
#         everything is quiet, dirty endpoints flush in the order of ``flush_key``. Then the random
#         order in which tasks run inside one instant cannot reach the wire. Answers that a packet
#         demands at once (RST, ICMP, ARP) are sent while that packet is handled.

"""Interfaces between IPv4 and the transports, and the records that cross them."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from wsock.virtual.profile import TcpProfile
    from wsock.virtual.random_streams import RandomStream
    from wsock.virtual.scheduler import Scheduler

PROTOCOL_ICMP: Final = 1
PROTOCOL_IGMP: Final = 2
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17

ANY_ADDRESS: Final = b"\0\0\0\0"
LIMITED_BROADCAST: Final = b"\xff\xff\xff\xff"

#: host name, protocol number, local and remote address and port: the order of flushing.
FlushKey = tuple[str, int, bytes, int, bytes, int]


class LocalError(IntEnum):
    """Why a packet could not leave this host: the errno a kernel gives."""

    EACCES = errno.EACCES
    EINVAL = errno.EINVAL
    EMSGSIZE = errno.EMSGSIZE
    EADDRINUSE = errno.EADDRINUSE
    EADDRNOTAVAIL = errno.EADDRNOTAVAIL
    ECONNREFUSED = errno.ECONNREFUSED
    EDESTADDRREQ = errno.EDESTADDRREQ
    EHOSTUNREACH = errno.EHOSTUNREACH
    EISCONN = errno.EISCONN
    ENETDOWN = errno.ENETDOWN
    ENETUNREACH = errno.ENETUNREACH
    ENOBUFS = errno.ENOBUFS
    ENOPROTOOPT = errno.ENOPROTOOPT
    ENOTCONN = errno.ENOTCONN
    EPROTO = errno.EPROTO
    EWOULDBLOCK = errno.EWOULDBLOCK


class Counters(dict[str, int]):
    """Counts by name, in order of first use; a name never counted reads as 0."""

    __slots__ = ()

    def __missing__(self, name: str) -> int:
        return 0

    def count(self, name: str, amount: int = 1) -> None:
        """Add ``amount`` to the count called ``name``."""
        self[name] = self[name] + amount


class InterfaceLike(Protocol):
    """What a transport may know of an interface."""

    @property
    def name(self) -> str:
        """The name on its host: ``lo``, ``eth0``."""

    @property
    def mtu(self) -> int:
        """The longest IP packet that goes out here, in bytes."""


class Route(NamedTuple):
    """Where packets to some destination go."""

    interface: InterfaceLike
    #: the neighbour to hand the packet to; the destination itself when it is on the link.
    next_hop: bytes
    #: the longest packet on the first link, or less once path MTU discovery has learned.
    mtu: int
    #: the address that packets get when the sender has not chosen one.
    source: bytes


class Packet(Protocol):
    """A received IPv4 packet, whole (reassembled), checked, and meant for this host."""

    @property
    def source(self) -> bytes:
        """Where it came from."""

    @property
    def destination(self) -> bytes:
        """Where it was sent: an address of this host, a broadcast or a group."""

    @property
    def protocol(self) -> int:
        """The transport's number."""

    @property
    def ttl(self) -> int:
        """Time to live on arrival."""

    @property
    def dscp(self) -> int:
        """The codepoint (upper six bits of the former ToS)."""

    @property
    def header(self) -> memoryview:
        """The IP header with its options, for quoting."""

    @property
    def payload(self) -> memoryview:
        """Everything after the header. A view: copy what has to stay."""


class Transport(Protocol):
    """What IPv4 asks of TCP, UDP and the raw sockets."""

    def receive(self, packet: Packet) -> None:
        """Take a packet of this protocol. Never raises for what the packet contains."""

    def icmp_error(
        self, icmp_type: int, code: int, quoted_header: memoryview, quoted: memoryview, extra: int
    ) -> None:
        """Take an ICMP error about a packet this host sent.

        Args:
          icmp_type: 3 unreachable, 4 source quench, 11 time exceeded, 12 parameter problem.
          code: the ICMP code.
          quoted_header: IP header of the packet that failed, as the ICMP message quotes it. Its
            source address is one of this host.
          quoted: what came after that header; for TCP and UDP 8 bytes or more.
          extra: 3/4: next-hop MTU (0 if the router did not say); 12: the pointer; else 0.
        """


class Flushable(Protocol):
    """An endpoint that may have something to send once everything is quiet."""

    @property
    def flush_key(self) -> FlushKey:
        """Its place in the order of flushing. Unique, and the same in every run."""

    def flush(self) -> None:
        """Send what is to be sent. May mark itself dirty again only for a later instant."""


class NetworkLayer(Protocol):
    """What a transport may ask of the host it runs on. (``ip`` in the transports.)"""

    @property
    def name(self) -> str:
        """The host's name: unique in the network, part of every owner's name."""

    @property
    def scheduler(self) -> Scheduler:
        """Virtual time."""

    @property
    def profile(self) -> TcpProfile:
        """The choices of this host's stack."""

    @property
    def counters(self) -> Counters:
        """The host's counters; a transport's names begin with its own: ``tcp bad checksum``."""

    def random(self, purpose: str) -> RandomStream:
        """Return this host's random stream for one purpose, new at its first value."""

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
        """Build one packet and send it now, in fragments if it must be.

        Args:
          protocol: the transport's number.
          source: the source address, or None for that of the route.
          destination: unicast, broadcast or group address.
          payload: the transport's header and data, checksum included.
          ttl: None for the profile's (1 for a group).
          dscp: 0 to 63.
          dont_fragment: set DF; a packet over the MTU is then EMSGSIZE.
          options: IP options, a multiple of four bytes, at most 40.

        Returns:
          None when it is on its way, else why not: ENETUNREACH (no route), EMSGSIZE, ENETDOWN,
          EADDRNOTAVAIL (``source`` is no address of this host), EINVAL.
        """

    def route(self, destination: bytes) -> Route | None:
        """Return the way to ``destination``, or None if there is none."""

    def is_local(self, address: bytes) -> bool:
        """Whether a packet to ``address`` stays in this host: its own addresses, and 127/8."""

    def is_unicast(self, address: bytes) -> bool:
        """Whether one host has this address: no group, broadcast, 0.0.0.0 or reserved one."""

    def report_unreachable(self, packet: Packet, code: int) -> None:
        """Answer ``packet`` with ICMP 3/``code``, if the rules allow one (3 for a closed port)."""

    def learn_path_mtu(self, destination: bytes, mtu: int) -> None:
        """Believe a router that the path carries no more than ``mtu`` bytes (checked by caller)."""

    def mark_dirty(self, endpoint: Flushable) -> None:
        """Have ``endpoint.flush()`` called once, when this instant's events are over."""
