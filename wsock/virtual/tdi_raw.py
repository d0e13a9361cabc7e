# Raw files of a virtual host: SOCK_RAW as TDI sees it, for programs such as ping and tracert.
#
#   afd, tdi              endpoints, address objects        TDI_SEND_DATAGRAM down, packets up
# > tdi raw               THIS FILE: one raw socket of a host
#   raw layer             RawLayer, RawEndpoint
#
# Rule 1: packets are pushed as datagrams are (see tdi_datagram): whole, with their IP header. The
#         port of an address means nothing here and is 0.
# Rule 2: as on Windows and Linux an ICMP error comes as the packet that it is, to sockets of
#         protocol ICMP; other protocols hear of it by TDI_EVENT_ERROR, if their peer is fixed.

"""Raw sockets of a virtual host as TDI files."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING

from wsock.tdi import Status, StatusError, status_from_errno
from wsock.virtual.layers import ANY_ADDRESS, PROTOCOL_ICMP
from wsock.virtual.tdi_file import FileOfHost
from wsock.virtual.tdi_options import number
from wsock.virtual.tdi_stream import packed, unpacked

if TYPE_CHECKING:
    from wsock.tdi import AddressObject, BytesLike, ConnectionObject
    from wsock.virtual.layers import LocalError
    from wsock.virtual.raw_layer import IcmpError
    from wsock.virtual.tdi_provider import VirtualProvider


class VirtualRaw(FileOfHost):
    """One raw socket of a virtual host."""

    __slots__ = (
        "address", "bound", "connection", "descriptor", "endpoint", "host", "provider", "type",
    )  # fmt: skip

    def __init__(self, provider: VirtualProvider, descriptor: int, protocol: int) -> None:
        self.provider = provider
        self.host = provider.host
        self.descriptor = descriptor
        self.type = std.SOCK_RAW
        self.address: AddressObject | None = None
        self.connection: ConnectionObject | None = None
        self.bound = False
        self.endpoint = self.host.raw.open(protocol)
        self.endpoint.on_readable = self._readable
        self.endpoint.on_icmp_error = self._icmp_error

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Take a local address; any number of raw sockets may have the same one."""
        del reuse, exclusive, implicit
        _check(self.endpoint.bind(unpacked(local)[0]))
        self.bound = True
        return self.local_address()

    def local_address(self) -> bytes:
        """Return what it is bound to."""
        return packed(self.endpoint.local, 0)

    def remote_address(self) -> bytes:
        """Return the fixed peer, ``b""`` for none."""
        remote = self.endpoint.remote
        return b"" if remote == ANY_ADDRESS else packed(remote, 0)

    def set_peer(self, remote: bytes) -> None:
        """Fix the peer, or take it away."""
        if remote:
            _check(self.endpoint.connect(unpacked(remote)[0]))
        else:
            self.endpoint.remote = ANY_ADDRESS

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        """Accept a payload, or with IP_HDRINCL a packet, for sending when the instant is over."""
        del flags
        _check(self.endpoint.send(bytes(data), unpacked(remote)[0] if remote else None))
        return len(data)

    def _readable(self) -> None:
        while (packet := self.endpoint.receive()) is not None:
            if self.address is not None:
                source = packed(packet.source, 0)
                self.address.event_receive_datagram(source, len(packet.data), packet.data)

    def _icmp_error(self, error: IcmpError) -> None:
        del error  # the endpoint has judged whether it concerns the fixed peer
        code = self.endpoint.take_error()
        if code is not None and self.endpoint.protocol != PROTOCOL_ICMP and self.address:
            self.address.event_error(status_from_errno(code))

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """Nothing waits here: packets are pushed."""
        raise self.provider.not_now("nothing waits in the transport")

    def recv(self, max_bytes: int, flags: int = 0, /) -> bytes:
        """Nothing waits here."""
        raise self.provider.not_now("nothing waits in the transport")

    def recv_into(self, buffer: bytearray | memoryview, max_bytes: int, flags: int = 0, /) -> int:
        """Nothing waits here."""
        raise self.provider.not_now("nothing waits in the transport")

    def available(self) -> int:
        """Nothing waits here."""
        return 0

    def has_peer(self) -> bool:
        """Whether it has a fixed peer."""
        return self.endpoint.remote != ANY_ADDRESS

    def is_bound(self) -> bool:
        """Whether it has a local address."""
        return self.bound

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option: TTL, codepoint, IP_HDRINCL, SO_BROADCAST, SO_RCVBUF."""
        endpoint, given = self.endpoint, number(value)
        if (level, option) == (std.IPPROTO_IP, std.IP_TTL):
            endpoint.ttl = given
        elif (level, option) == (std.IPPROTO_IP, std.IP_TOS):
            endpoint.dscp = given >> 2
        elif (level, option) == (std.IPPROTO_IP, std.IP_HDRINCL):
            endpoint.header_included = bool(given)
        elif (level, option) == (std.SOL_SOCKET, std.SO_BROADCAST):
            endpoint.broadcast = bool(given)
        elif (level, option) == (std.SOL_SOCKET, std.SO_RCVBUF):
            endpoint.receive_limit = given
        elif (level, option) not in _WITHOUT_EFFECT:
            raise OSError(errno.ENOPROTOOPT, f"raw socket: option {option} of level {level}")

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option."""
        endpoint = self.endpoint
        ttl = self.host.profile.time_to_live if endpoint.ttl is None else endpoint.ttl
        known = {
            (std.IPPROTO_IP, std.IP_TTL): ttl,
            (std.IPPROTO_IP, std.IP_TOS): endpoint.dscp << 2,
            (std.IPPROTO_IP, std.IP_HDRINCL): int(endpoint.header_included),
            (std.SOL_SOCKET, std.SO_BROADCAST): int(endpoint.broadcast),
            (std.SOL_SOCKET, std.SO_RCVBUF): endpoint.receive_limit,
        } | dict.fromkeys(_WITHOUT_EFFECT, 0)
        if (level, option) not in known:
            raise OSError(errno.ENOPROTOOPT, f"raw socket: option {option} of level {level}")
        value = known[level, option]
        return value.to_bytes(size, "little") if size else value

    def number(self) -> int:
        """Return the number that stands for a descriptor."""
        return self.descriptor

    def give_away(self) -> int:
        """A virtual socket has no descriptor that another program could use."""
        raise StatusError(Status.NOT_SUPPORTED)

    def abandon(self) -> None:
        """Close; what was accepted for sending is still sent."""
        self.endpoint.close()


#: Options that a raw socket has and that mean nothing to it: nobody shares or waits here.
_WITHOUT_EFFECT = frozenset(
    {(std.SOL_SOCKET, std.SO_REUSEADDR), (std.SOL_SOCKET, std.SO_SNDBUF),
     (std.SOL_SOCKET, std.SO_KEEPALIVE), (std.SOL_SOCKET, std.SO_OOBINLINE)}
)  # fmt: skip


def _check(error: LocalError | None) -> None:
    if error is not None:
        raise StatusError(status_from_errno(error))
