"""A host that has nothing but its loopback has that for a wire: faults act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock.virtual.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsock.virtual.faults import Fault
    from wsock.virtual.node import HostCore


def alone() -> tuple[Network, HostCore]:
    net = Network(seed=5)
    return net, net.host("localhost")


def echoes(net: Network, host: HostCore) -> list[float | None]:
    """The round trips of four pings to oneself."""
    ping = host.start_ping("127.0.0.1", count=4, interval=0.1, timeout=0.5)
    net.run_until(lambda: ping.done)
    return [reply.rtt for reply in ping.replies]


WHERE: dict[str, Callable[[HostCore], tuple[HostCore, ...]]] = {
    "everywhere": lambda host: (),
    "at the host": lambda host: (host,),
    "from it to itself": lambda host: (host, host),
}


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
def test_latency(where: Callable[[HostCore], tuple[HostCore, ...]]) -> None:
    """Each way takes it once, and the end of the fault takes it back."""
    net, host = alone()
    with net.latency(0.05, *where(host)):
        assert echoes(net, host) == [pytest.approx(0.1)] * 4
    assert echoes(net, host) == [0.0] * 4


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
def test_drop_counts_each_packet_once(where: Callable[[HostCore], tuple[HostCore, ...]]) -> None:
    """Exactly the second request is lost, and the capture says so."""
    net, host = alone()
    capture = net.capture(host)
    with net.drop("icmp.type == 8", *where(host), nth=2, count=1):
        assert [rtt is None for rtt in echoes(net, host)] == [False, True, False, False]
    lost = [packet for packet in capture.packets if packet.comments]
    assert [packet.number for packet in lost] == [3]
    assert lost[0].comments[0].startswith("dropped by drop icmp.type == 8")


VERBS: dict[str, Callable[[Network, HostCore], Fault]] = {
    "partition": lambda net, host: net.partition(host),
    "partition with itself": lambda net, host: net.partition(host, host),
    "isolate": lambda net, host: net.isolate(host),
    "loss": lambda net, host: net.loss(1.0),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_silence(verb: Callable[[Network, HostCore], Fault]) -> None:
    """Nothing comes round while it lasts."""
    net, host = alone()
    with verb(net, host):
        assert echoes(net, host) == [None] * 4
    assert echoes(net, host) == [0.0] * 4


def test_hold_and_release() -> None:
    """Packets wait in ``net.held``, and go round when they are let go."""
    net, host = alone()
    ping = host.start_ping("127.0.0.1", count=1, timeout=60.0)
    with net.hold(host):
        net.run_for(5.0)
        assert len(net.held) == 1
    net.run_until(lambda: ping.done)
    assert ping.replies[0].rtt == pytest.approx(5.0)


def test_the_loss_of_a_wire_is_not_the_loopbacks() -> None:
    """A host with a link has that for ``everywhere`` and for its name; itself is its loopback."""
    net = Network(seed=5)
    near, far = net.host("near"), net.host("far")
    net.link(near, far)
    for fault in (net.loss(1.0), net.partition(near)):
        with fault:
            assert echoes(net, near) == [0.0] * 4
    with net.loss(1.0, near, near):
        assert echoes(net, near) == [None] * 4
        ping = near.start_ping(far.address, count=1)
        net.run_until(lambda: ping.done)
        assert ping.replies[0].rtt is not None


def test_a_smaller_mtu_makes_fragments() -> None:
    """Also of what went by a route that was known before."""
    net, host = alone()
    echoes(net, host)
    capture = net.capture(host)
    with net.mtu(576):
        ping = host.start_ping("127.0.0.1", count=1, size=1000)
        net.run_until(lambda: ping.done)
    assert [len(packet.data) for packet in capture.packets] == [572, 476] * 2
