# The TDI provider of one virtual host.
#
#   _stack                the host's Winsock                is handed this provider
# > tdi provider          THIS FILE: makes files
#   tcp, udp              the host's transports
#
# Rule 1: it knows tdi and the host's layers, and nothing above. Nothing here waits.
# Rule 2: a host that crashed gets new layers; the files of its earlier life are dark with it.

"""A virtual host as a transport provider."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING, ClassVar, Final

from wsock.tdi import Status, StatusError
from wsock.virtual.scheduler import RANK_TIMER, Owner
from wsock.virtual.tdi_datagram import VirtualDatagram
from wsock.virtual.tdi_raw import VirtualRaw
from wsock.virtual.tdi_stream import VirtualStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.node import HostCore
    from wsock.virtual.scheduler import Timer

VirtualFile = VirtualStream | VirtualDatagram | VirtualRaw

#: Numbers that stand for descriptors: far from any that a program of this machine has.
FIRST_DESCRIPTOR: Final = 1 << 30


class VirtualProvider:
    """Makes files on the TCP/IP of one virtual host.

    Attributes:
      flush_timeout: seconds that a closed socket's rest may make no progress before it is aborted.
      flushes_given_up: closed sockets whose rest was given up, by that or by SO_LINGER's seconds.
        (There is no exit_flush_timeout: the network's run ends for both sides at once.)
    """

    families: ClassVar[frozenset[int]] = frozenset({int(std.AF_INET)})
    eager: ClassVar[bool] = True
    waits_for_release: ClassVar[bool] = True

    def __init__(self, host: HostCore) -> None:
        self.host = host
        self.flush_timeout = 60.0
        self.flushes_given_up = 0
        self._next_descriptor = FIRST_DESCRIPTOR
        self._owner = Owner(f"{host.name} afd")

    @property
    def lookahead(self) -> int:
        """One full segment of the host's first link (NOTES R5: 1,452 bytes at MTU 1492)."""
        wires = self.host.wires
        return wires[0].mtu - 40 if wires else 1460

    def next_descriptor(self) -> int:
        """Return a number that no other socket of this host has had."""
        self._next_descriptor += 1
        return self._next_descriptor

    def open(self, family: int, type: int, proto: int) -> VirtualFile:  # noqa: A002
        """Make a file; a virtual host speaks IPv4, TCP and UDP, and raw IPv4."""
        if family != std.AF_INET:
            raise StatusError(Status.NOT_SUPPORTED)
        if type == std.SOCK_STREAM:
            return VirtualStream(self, self.next_descriptor())
        if type == std.SOCK_DGRAM:
            return VirtualDatagram(self, self.next_descriptor())
        if type == std.SOCK_RAW and 0 < proto <= 255:
            return VirtualRaw(self, self.next_descriptor(), proto)
        raise StatusError(Status.NOT_SUPPORTED)

    def adopt(self, descriptor: int, family: int, type: int, proto: int) -> VirtualStream:  # noqa: A002
        """A virtual host has no use for a descriptor of the machine."""
        raise StatusError(Status.NOT_SUPPORTED)

    def call_at(self, time_ns: int, fn: Callable[[], object]) -> Timer:
        """Have ``fn`` called at a time of the host's clock."""
        return self.host.scheduler.call_at(time_ns, RANK_TIMER, self._owner, fn)

    def turn(self) -> bool:
        """Nothing happens between instants: a call never makes the network move.

        But whoever looks is about to be told "not now", and may be a program that polls.
        """
        self.host.network.polls += 1
        return False

    def not_now(self, text: str) -> BlockingIOError:
        """Return the error that means "ask again", for a caller that may be polling."""
        self.host.network.polls += 1
        return BlockingIOError(errno.EWOULDBLOCK, text)

    def clock(self) -> int:
        """Return virtual nanoseconds."""
        return self.host.scheduler.now
