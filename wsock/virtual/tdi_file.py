# What the files of a virtual host share, whatever their type.
#
#   tdi stream, tdi datagram, tdi raw    have this as their base
# > tdi file                             THIS FILE
"""The base of a virtual host's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsock.tdi import UnsupportedRequests

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore


class FileOfHost(UnsupportedRequests):
    """A socket of a virtual host, as TDI sees it."""

    __slots__ = ()

    host: HostCore

    @property
    def thread(self) -> int:
        """The thread that moves the network; 0 while none does."""
        return self.host.network.thread
