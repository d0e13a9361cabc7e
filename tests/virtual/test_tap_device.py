"""What a tap does with its descriptor; a pipe stands for the device, so no rights are needed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from wsock.virtual.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsock.virtual.tap import Tap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a tap is Linux' own")

OURS, LINUX = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def world() -> Iterator[tuple[Network, Tap, int]]:
    """A network with a tap on the reading end of a pipe, and the writing end."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    net = Network()
    tap = net.tap(net.host("ours"), reading, (OURS, LINUX))
    yield net, tap, writing
    os.close(writing)
    tap.close()


def test_what_is_no_ipv4_is_left_out(world: tuple[Network, Tap, int]) -> None:
    """Linux announces itself by IPv6 as soon as a device is up; no host here speaks that."""
    net, tap, writing = world
    capture = net.capture(net.hosts["ours"])
    os.write(writing, b"\x60" + bytes(47))
    assert tap.read() == 1
    net.run_for(1)
    assert len(capture) == 0
    assert not net.log
    os.write(writing, b"\x45" + bytes(19))
    assert tap.read() == 1
    net.run_for(1)
    assert len(capture) == 1


def test_a_packet_that_the_device_refuses_is_dropped(world: tuple[Network, Tap, int]) -> None:
    """Noted with the system's reason; the network goes on."""
    net, _, _ = world
    net.hosts["ours"].start_ping(LINUX, count=2, interval=0.1)
    net.run_for(1)
    drops = [entry.text for entry in net.log if "tap cannot write" in entry.text]
    assert len(drops) == 2
