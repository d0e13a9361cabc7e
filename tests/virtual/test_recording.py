"""The record of a whole network: bounded, and its digest covers what is not kept any more."""

from __future__ import annotations

from wsock.virtual.network import Network
from wsock.virtual.recording import Recording


def recorded(limit: int, payload: int = 56) -> Recording:
    """What twenty pings leave behind."""
    net = Network(seed=1)
    near, far = net.host("near"), net.host("far")
    net.link(near, far)
    recording = Recording(net, limit)
    for host in (near, far):
        recording.watch(host.outer_interfaces[0])
    net.captures.append(recording)
    ping = near.start_ping(far.address.packed, count=20, size=payload, interval=0.1)
    net.run_until(lambda: ping.done)
    return recording


def test_the_oldest_packets_go_and_are_counted() -> None:
    """No more bytes than the limit are kept; the newest are."""
    everything, bounded = recorded(1 << 20), recorded(1000)
    assert everything.forgotten == 0
    assert sum(len(packet.data) for packet in bounded.packets) <= 1000
    assert bounded.forgotten + len(bounded) == len(everything)
    assert bounded.packets[-1].data == everything.packets[-1].data


def test_the_digest_covers_what_was_forgotten() -> None:
    """Two runs that differ in packets long gone have two digests."""
    first, again = recorded(1000), recorded(1000)
    assert first._network.digest() == again._network.digest()
    net = first._network
    before = net.digest()
    first._gone_digest.update(b"another")
    assert net.digest() != before
