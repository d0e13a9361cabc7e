# Tap: a link whose far end is a Linux TUN device: Linux' own TCP/IP talks to virtual hosts.
#
#   network               a link like any other: conditions, faults, captures
# > tap                   THIS FILE: packets out to a descriptor, packets in from it; real time
#   Linux                 /dev/net/tun
#
# Rule 1: the far end is a node of the network too (it stands for the Linux machine), so that faults
#         and captures can name it. Its stack is never asked: what arrives there goes to the device.
# Rule 2: nothing here waits. Whoever drives the network in real time waits for ``fileno`` to become
#         readable and calls ``read``; ``run_in_real_time`` is such a driver, without Trio.
# Rule 3: only for network namespaces that a test or a lesson has made, never for the machine's own.
#
# Sources: Documentation/networking/tuntap.rst of Linux.

"""Links to a Linux TUN device."""

from __future__ import annotations

import os
import select
import struct
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

from wsock.virtual.interfaces import PointToPointInterface
from wsock.virtual.media import Link
from wsock.virtual.scheduler import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsock.virtual.building import Building
    from wsock.virtual.conditions import Conditions
    from wsock.virtual.node import HostCore

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
#: The longest wait of the driver when nothing is due; a bound against missed wake-ups.
_LONGEST_WAIT_S: Final = 0.1


def open_tun(name: str) -> int:
    """Open the TUN device ``name``, making it if it is not there; return its descriptor.

    The device has no packet information headers, and the descriptor does not block.

    Raises:
      OSError: there is no /dev/net/tun, or the rights are missing (CAP_NET_ADMIN).
    """
    import fcntl  # not on every system, and needed nowhere else

    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(descriptor, _TUNSETIFF, request)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class TapInterface(PointToPointInterface):
    """The end of a tap that stands for Linux."""

    __slots__ = ("descriptor",)

    descriptor: int

    def receive(self, data: bytes) -> None:
        """Give an arrived packet to Linux; one that it does not take is dropped."""
        try:
            os.write(self.descriptor, data)
        except OSError as error:
            self.node.drop(self, data, "tap cannot write", str(error))

    def read(self) -> int:
        """Send every packet that Linux has for us along the link; return how many there were."""
        count = 0
        while True:
            try:
                packet = os.read(self.descriptor, 65_536)
            except BlockingIOError:
                return count
            if packet and packet[0] >> 4 == 4:  # IPv6 is not spoken here
                self.emit(packet, self.peers)
            count += 1


class Tap(Link):
    """A link between a virtual host and Linux."""

    __slots__ = ("descriptor",)

    def __init__(
        self,
        network: Building,
        name: str,
        ends: tuple[tuple[HostCore, bytes], tuple[HostCore, bytes]],
        prefix_length: int,
        conditions: Conditions,
        descriptor: int,
    ) -> None:
        self.descriptor = descriptor
        super().__init__(network, name, ends, prefix_length, conditions)
        assert isinstance(self.outside, TapInterface)
        self.outside.descriptor = descriptor

    def _interface_class(self, place: int) -> type[PointToPointInterface]:
        return TapInterface if place else PointToPointInterface

    @property
    def outside(self) -> TapInterface:
        """The end that stands for Linux."""
        end = self.interfaces[1]
        assert isinstance(end, TapInterface)
        return end

    def fileno(self) -> int:
        """Return the device's descriptor, to be waited for until it is readable."""
        return self.descriptor

    def read(self) -> int:
        """Take what Linux has sent; to be called when the descriptor is readable."""
        return self.outside.read()

    def close(self) -> None:
        """Close the device."""
        os.close(self.descriptor)


def run_in_real_time(
    network: Building,
    taps: Sequence[Tap],
    condition: Callable[[], bool],
    *,
    limit: float = 30.0,
) -> None:
    """Drive a network by the system's clock until ``condition()`` holds.

    Virtual time goes on from where it stands, as fast as real time. Blocks the calling thread.

    Args:
      network: the network.
      taps: its taps.
      condition: asked after every round.
      limit: real seconds.

    Raises:
      TimeoutError: the condition did not hold within ``limit`` seconds.
    """
    start = monotonic_ns() - network.scheduler.now
    end = monotonic_ns() + nanoseconds(limit)
    while True:
        network.run_due(monotonic_ns() - start)
        if condition():
            return
        now = monotonic_ns()
        if now >= end:
            raise TimeoutError(f"the condition does not hold after {limit} s")
        due = network.next_time()
        wait = _LONGEST_WAIT_S if due is None else (due - (now - start)) / 1e9
        ready, _, _ = select.select(taps, [], [], min(max(wait, 0.0), _LONGEST_WAIT_S))
        if ready:
            network.run_due(monotonic_ns() - start)  # what arrives, arrives at this time
        for tap in ready:
            tap.read()
