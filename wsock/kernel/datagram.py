# Datagram files: the machine's UDP (and raw) sockets.
#
#   tdi              address objects                TDI_SEND_DATAGRAM down, datagrams up
# > kernel           the machine's sockets          THIS FILE: truncation, errors that come back
#
# Rule 1: a datagram socket is empty only after EWOULDBLOCK; a peek tells, FIONREAD cannot see an
#         empty datagram.
# Rule 2: a port unreachable that came back must not make the next sendto, to somebody else, fail:
#         the error queue is emptied, the datagram sent again, the error kept for the next receive
#         (ruling B19). EPOLLERR stays until the queue is read.
#
# Sources: ip(7) and ipv6(7) on IP_RECVERR; recvmsg(2).
"""Datagram files of the kernel provider."""

from __future__ import annotations

import socket as std
import struct
import sys
from typing import TYPE_CHECKING, Final

from ..tdi import NOSIGNAL, StatusError, addresses, status_from_errno
from .bits import ERR, IN, OUT
from .files import ROOM, KernelFile, system_errors

if TYPE_CHECKING:
    from ..tdi import BytesLike
    from .provider import KernelProvider

__all__ = ["KernelDatagram"]

# Linux' numbers; the standard library names neither the options nor the flag.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_MSG_ERRQUEUE: Final = 0x2000
_HAS_ERROR_QUEUE: Final = sys.platform == "linux"

#: struct sock_extended_err: errno, origin, type, code, pad, info, data.
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_ORIGIN_LOCAL: Final = 1

_VECTORED: Final = hasattr(std.SocketType, "recvmsg")  # not on Windows
_LARGEST: Final = 65536

_MSG_TRUNC: Final = std.MSG_TRUNC if hasattr(std, "MSG_TRUNC") else 0


class KernelDatagram(KernelFile):
    """One UDP or raw socket of the machine."""

    __slots__ = ("owed",)

    def __init__(
        self,
        provider: KernelProvider,
        family: int,
        type: int,  # noqa: A002
        proto: int,
        fileno: int | None = None,
    ) -> None:
        super().__init__(provider, family, type, proto, fileno)
        self.owed = 0
        if _HAS_ERROR_QUEUE and type == std.SOCK_DGRAM:
            if family == std.AF_INET:
                self.setsockopt(std.IPPROTO_IP, _IP_RECVERR, 1)
            elif family == std.AF_INET6:
                self.setsockopt(std.IPPROTO_IPV6, _IPV6_RECVERR, 1)

    def open_address(self, local: bytes, *, reuse: bool, exclusive: bool, implicit: bool) -> bytes:
        """Bind. Only the options that the user set are set: sharing a port is never silent."""
        del reuse, exclusive, implicit
        with system_errors():
            self.bind(addresses.unpack(self.family, local))
            return self.local_address()

    def set_peer(self, remote: bytes) -> None:
        """Connect, or with ``b""`` take the peer away."""
        with system_errors():
            if remote:
                self.connect(addresses.unpack(self.family, remote))
            elif self.remote_address():
                _dissolve(self)
                self._bind_again()

    def _bind_again(self) -> None:
        """Taking the peer away gives back a port that bind(0) chose; Winsock keeps it."""
        address = self.address
        if address is not None and not addresses.port_of(self.family, self.local_address()):
            self.bind(addresses.unpack(self.family, address.local))

    # Readiness

    def ready(self, events: int) -> None:
        """A datagram, an error that came back, or room."""
        address = self.address
        if address is None:
            return
        if events & ERR:
            self._collect_errors()
        if events & IN and self.has_datagram():
            address.event_receive_datagram(b"", -1, None)
        if self.owed and events & OUT:
            self.owed = 0
            address.event_send_possible()

    def has_datagram(self) -> bool:
        """Whether a datagram waits; an empty one counts."""
        if self.fileno() < 0:
            return False
        try:
            self.recv(1, std.MSG_PEEK)
        except BlockingIOError:
            if self.reactor is not None:
                self.reactor.want_read(self)
            return False
        except OSError:
            return bool(self._collect_errors()) and self.has_datagram()
        return True

    def _collect_errors(self) -> int:
        """Read the error queue empty and report what came back; how much did."""
        address = self.address
        found = 0
        pending = self.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
        for number in self._queued_errors():
            found += 1
            if address is not None:
                address.event_error(status_from_errno(number))
        if pending and not found:
            found = 1
            if address is not None:
                address.event_error(status_from_errno(pending))
        return found

    def _queued_errors(self) -> list[int]:
        if not _HAS_ERROR_QUEUE:
            return []
        numbers: list[int] = []
        while True:
            try:
                _, ancillary, _, _ = self.recvmsg(0, 512, _MSG_ERRQUEUE)
            except OSError:
                return numbers
            for _, _, data in ancillary:
                if len(data) >= _EXTENDED_ERROR.size:
                    number, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
                    if origin != _ORIGIN_LOCAL:
                        numbers.append(number)

    # Data

    def send_datagram(self, data: BytesLike, remote: bytes, flags: int) -> int:
        """Send one datagram; an error of an earlier one is kept for the next receive."""
        self.register()
        for attempt in range(3):
            try:
                if not remote:
                    return self.send(data, flags | NOSIGNAL)
                return self.sendto(data, flags | NOSIGNAL, addresses.unpack(self.family, remote))
            except BlockingIOError:
                self.owed = ROOM
                if self.reactor is not None:
                    self.reactor.want_write(self)
                raise
            except OSError as error:
                if attempt == 2 or not self._is_of_an_earlier_one(error):
                    raise StatusError(status_from_errno(error.errno or 0)) from None
        return 0

    def _is_of_an_earlier_one(self, error: OSError) -> bool:
        found = 0
        for number in self._queued_errors():
            found += 1
            if self.address is not None:
                self.address.event_error(status_from_errno(number))
        if isinstance(error, ConnectionRefusedError) and not found:
            found = 1  # no error queue on this system: refused can only be an earlier one
            if self.address is not None:
                self.address.event_error(status_from_errno(error.errno or 0))
        return found > 0

    def receive_datagram(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """Take one datagram: the bytes that fit, whether it was cut, and its sender."""
        self.register()
        try:
            if not _VECTORED:
                return self._receive_whole(max_bytes, flags)
            data, _, seen, peer = self.recvmsg(max_bytes, 0, flags)
        except BlockingIOError:
            if self.reactor is not None:
                self.reactor.want_read(self)
            raise
        except OSError as error:
            if not self._is_of_an_earlier_one(error):
                raise
            raise BlockingIOError from None
        return data, bool(seen & _MSG_TRUNC), addresses.pack(self.family, peer) if peer else b""

    def _receive_whole(self, max_bytes: int, flags: int) -> tuple[bytes, bool, bytes]:
        """The same where no call tells that a datagram was cut: take all of it and cut here."""
        data, peer = self.recvfrom(_LARGEST, flags)
        sender = addresses.pack(self.family, peer) if peer else b""
        return data[:max_bytes], len(data) > max_bytes, sender


def _dissolve(file: KernelDatagram) -> None:
    """Connect to AF_UNSPEC, which the standard library cannot say."""
    import ctypes

    library = ctypes.CDLL("ws2_32" if sys.platform == "win32" else None, use_errno=True)
    unspecified = ctypes.create_string_buffer(16)
    if library.connect(file.fileno(), unspecified, 16):
        raise OSError(ctypes.get_errno(), "connect to AF_UNSPEC")
