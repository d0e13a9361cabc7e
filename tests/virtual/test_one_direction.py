"""``both=False``: a fault from ``a`` to ``b`` leaves the way back as it was, whatever the verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from wsock.virtual.layers import ANY_ADDRESS
from wsock.virtual.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from wsock.virtual.node import HostCore

LENGTH = 1000
PORT = 9

VERBS: dict[str, Callable[[Network], AbstractContextManager[object]]] = {
    "partition": lambda net: net.partition("a", "b", both=False),
    "hold": lambda net: net.hold("a", "b", both=False),
    "drop": lambda net: net.drop("udp", "a", "b", both=False),
    "latency": lambda net: net.latency(0.5, "a", "b", both=False),
    "bandwidth": lambda net: net.bandwidth(1000, "a", "b", both=False),
    "queue": lambda net: net.queue(100, "a", "b", both=False),
    "mtu": lambda net: net.mtu(576, "a", "b", both=False),
    "loss": lambda net: net.loss(1.0, "a", "b", both=False),
    "duplicate": lambda net: net.duplicate(1.0, "a", "b", both=False),
    "reorder": lambda net: net.reorder(1.0, "a", "b", by=0.3, both=False),
    "corrupt": lambda net: net.corrupt(1.0, "a", "b", both=False),
}


class Seen(NamedTuple):
    """What came of one datagram: how often, after how many seconds, in how many packets."""

    count: int
    seconds: float
    packets: int


def network() -> Network:
    """Two hosts on a link whose bandwidth lets a queue form."""
    net = Network(seed=4)
    net.link(net.host("a"), net.host("b"), latency=0.01, bandwidth=1_000_000)
    return net


def observe(net: Network, sender: HostCore, receiver: HostCore) -> Seen:
    target, source = receiver.udp.open(), sender.udp.open()
    assert target.bind(ANY_ADDRESS, PORT) is None
    cap = net.capture(receiver)
    start = net.time
    arrived: list[float] = []
    target.on_readable = lambda: arrived.append(net.time - start)
    for _ in range(2):  # the second finds the first in the queue
        source.send(bytes(LENGTH), target_address(receiver), PORT)
    net.run_for(20.0)
    packets = [packet for packet in cap.packets if not packet.outgoing]
    cap.close()
    target.close()
    source.close()
    return Seen(len(arrived), max(arrived, default=0.0), len(packets))


def target_address(host: HostCore) -> bytes:
    return host.wires[0].address


@pytest.mark.parametrize("verb", VERBS)
def test_the_way_back_is_as_it_was(verb: str) -> None:
    """From a to b something is otherwise, from b to a nothing."""
    net = network()
    a, b = net.hosts["a"], net.hosts["b"]
    there, back = observe(net, a, b), observe(net, b, a)
    assert there == pytest.approx(back)
    with VERBS[verb](net):
        assert observe(net, a, b) != pytest.approx(there)
        assert observe(net, b, a) == pytest.approx(back)
    net.run_for(20.0)
    assert observe(net, a, b) == pytest.approx(there)
