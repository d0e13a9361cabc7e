# Datagram files of a virtual host: UDP endpoints as TDI sees them.
#
#   afd, tdi              endpoints, address objects        TDI_SEND_DATAGRAM down, datagrams up
# > tdi datagram          THIS FILE: one UDP socket of a host
#   udp                   UdpLayer, UdpEndpoint
#
# Rule 1: datagrams are pushed: each is told by TDI_EVENT_RECEIVE_DATAGRAM with its bytes, and one
#         that AFD has no room for is dropped, as UDP may.
# Rule 2: an ICMP error is told by TDI_EVENT_ERROR, at once.

"""UDP of a virtual host as TDI files."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING, Any

from wsock.tdi import Status, StatusError, status_from_errno
from wsock.virtual.tdi_file import FileOfHost
from wsock.virtual.tdi_options import get_datagram_option, set_datagram_option
from wsock.virtual.tdi_stream import packed, unpacked

if TYPE_CHECKING:
    from wsock.tdi import AddressObject, BytesLike, ConnectionObject
    from wsock.virtual.layers import LocalError
    from wsock.virtual.tdi_provider import VirtualProvider


class VirtualDatagram(FileOfHost):
    """One UDP socket of a virtual host."""

    __slots__ = ("address", "connection", "descriptor", "endpoint", "host", "provider", "type")

    def __init__(self, provider: VirtualProvider, descriptor: int) -> None:
        self.provider = provider
        self.host = provider.host
        self.descriptor = descriptor
        self.type = std.SOCK_DGRAM
        self.address: AddressObject | None = None
        self.connection: ConnectionObject | None = None
        self.endpoint = self.host.udp.open()
        self.endpoint.on_readable = self._readable
        self.endpoint.on_error = self._error

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Take a local address and port."""
        del implicit
        self.endpoint.reuse = reuse
        self.endpoint.exclusive = exclusive
        _check(self.endpoint.bind(*unpacked(local)))
        return self.local_address()

    def local_address(self) -> bytes:
        """Return what it is bound to."""
        return packed(self.endpoint.local, self.endpoint.local_port)

    def remote_address(self) -> bytes:
        """Return the fixed peer, ``b""`` for none."""
        if not self.endpoint.remote_port:
            return b""
        return packed(self.endpoint.remote, self.endpoint.remote_port)

    def set_peer(self, remote: bytes) -> None:
        """Fix the peer, or take it away."""
        if remote:
            _check(self.endpoint.connect(*unpacked(remote)))
        else:
            self.endpoint.disconnect()

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        """Accept one datagram for sending when the instant is over."""
        del flags
        where = unpacked(remote) if remote else (None, 0)
        _check(self.endpoint.send(bytes(data), *where))
        return len(data)

    def _readable(self) -> None:
        while (datagram := self.endpoint.receive()) is not None:
            if self.address is not None:
                source = packed(datagram.source, datagram.source_port)
                self.address.event_receive_datagram(source, len(datagram.data), datagram.data)

    def _error(self, error: LocalError, remote: bytes, port: int) -> None:
        del remote, port
        self.endpoint.take_error()  # it is told here, and not once more by the next send
        if self.address is not None:
            refused = error == errno.ECONNREFUSED
            self.address.event_error(
                Status.PORT_UNREACHABLE if refused else status_from_errno(error)
            )

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """Nothing waits here: datagrams are pushed."""
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
        return bool(self.endpoint.remote_port)

    def is_bound(self) -> bool:
        """Whether it has a local address."""
        return bool(self.endpoint.local_port)

    def set_option(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option, groups among them."""
        set_datagram_option(self.endpoint, level, option, value)

    def get_option(self, level: int, option: int, size: int = 0) -> int | bytes:
        """Return an option."""
        value = get_datagram_option(self.endpoint, self.host.profile.time_to_live, level, option)
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


def _check(error: Any) -> None:  # noqa: ANN401
    if error is not None:
        raise StatusError(status_from_errno(error))
