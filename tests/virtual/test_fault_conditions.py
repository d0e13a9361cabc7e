"""Faults that change conditions: latency, bandwidth, loss, MTU and the like."""

from __future__ import annotations

import pytest
from datagram_stream import Stream, bound, lan

from wsock.virtual.addresses import packed
from wsock.virtual.network import Network


def test_latency_between_two_hosts_leaves_the_third_alone() -> None:
    """On a segment a pair gets conditions of its own."""
    net, (a, b, c) = lan()
    ab, ac = Stream(net, a, b), Stream(net, a, c)
    start = net.time
    with net.latency(0.5, a, b):
        ab.send()
        ac.send()
        net.run_until(lambda: ac.receiver.waiting > 0)
        assert net.time == start
        net.run_until(lambda: ab.receiver.waiting > 0)
        assert net.time == pytest.approx(start + 0.5)


def test_conditions_of_a_pair_follow_those_of_the_segment() -> None:
    """A fault of the whole segment reaches pairs too, and leaves them when it ends."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.latency(0.1, a, b):
        with net.loss(1.0, net.media["lan"]):
            stream.send()
            assert stream.arrived() == []
        stream.send()
        assert stream.arrived() == [1]


def test_loss_is_for_the_block_and_repeats_with_the_seed() -> None:
    """About the chance, the same ones each time, none afterwards."""
    results = []
    for _ in range(2):
        net, (a, b, _) = lan()
        stream = Stream(net, a, b)
        with net.loss(0.5, a, b):
            stream.send(200)
            results.append(stream.arrived())
        stream.send(10)
        assert len(stream.arrived()) == 10
    assert 60 < len(results[0]) < 140
    assert results[0] == results[1]


def test_bandwidth_and_queue() -> None:
    """A slow wire with a short queue drops the tail and says so."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.bandwidth(8000, a, b), net.queue(150, a, b):
        stream.send(10)
        arrived = stream.arrived()
    assert arrived == [0, 1, 2]
    assert "dropped by lan: queue full" in {entry.text for entry in net.log}


def test_mtu_makes_fragments() -> None:
    """A smaller MTU for a while."""
    net, (a, b, _) = lan()
    cap = net.capture(b)
    with net.mtu(576, net.media["lan"]):
        bound(a).send(bytes(1400), packed(str(b.address)), 9)
        net.run_until_quiet()
    assert len(cap.filter("ip.flags.mf == 1 || ip.frag_offset > 0")) == 3


def test_duplicate_and_reorder() -> None:
    """Every packet twice; some later than those behind them."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.duplicate(1.0, a, b):
        stream.send(3)
        assert stream.arrived() == [0, 0, 1, 1, 2, 2]
    with net.reorder(0.5, a, b, by=0.001):
        stream.send(20)
        arrived = stream.arrived()
    assert sorted(arrived) == list(range(3, 23)) != arrived


def test_corruption_is_found_by_checksums() -> None:
    """Bits flipped after the checksum was made: nothing wrong is ever delivered."""
    net = Network(1)
    a, b = net.host("a"), net.host("b")
    link = net.link(a, b)
    stream = Stream(net, a, b)
    with net.corrupt(1.0, link, both=False):
        stream.send(50)
        assert stream.arrived() == []
    bad = {name: n for name, n in b.counters.items() if n and name.startswith(("ip ", "udp "))}
    assert bad["ip bad checksum"] > 5
    assert bad["udp bad checksum"] > 5


def test_blackhole_icmp_hides_the_mtu() -> None:
    """Without ICMP 3/4 the sender never learns why its packets vanish."""
    net = Network()
    a, r = net.host("a"), net.router("r")
    b = net.host("b")
    net.link(a, r)
    small = net.link(r, b, mtu=576)
    net.fill_routes()
    endpoint = bound(a)
    endpoint.dont_fragment = True
    address = packed(str(b.address))
    with net.blackhole_icmp():
        endpoint.send(bytes(1000), address, 9)
        net.run_until_quiet()
        assert a.ipv4.route(address).mtu == 1500  # type: ignore[union-attr]
    endpoint.send(bytes(1000), address, 9)
    net.run_until_quiet()
    assert a.ipv4.route(address).mtu == 576  # type: ignore[union-attr]
    assert small.name == "r-b"


def test_hosts_without_a_common_link_have_no_conditions_between_them() -> None:
    """Conditions belong to wires; the error says what to do."""
    net = Network()
    a, _, b = net.chain("a", "r", "b")
    with pytest.raises(ValueError, match="share no link; name the link"):
        net.loss(0.5, a, b)


def test_a_bad_condition_changes_nothing() -> None:
    """The fault does not begin."""
    net, (a, b, _) = lan()
    with pytest.raises(ValueError, match="chance from 0 to 1"):
        net.loss(2.0, a, b)
    assert net.faults == []
    stream = Stream(net, a, b)
    stream.send(3)
    assert stream.arrived() == [0, 1, 2]


def test_seconds_are_numbers() -> None:
    """The command line takes "200ms"; a call says what it takes instead."""
    net, (a, b, _) = lan()
    with pytest.raises(TypeError, match="latency is a number of seconds, not '200ms'"):
        net.latency("200ms", a, b)  # type: ignore[arg-type]


def test_conditions_of_one_host_hold_both_ways() -> None:
    """``net.loss(p, host)``: what leaves it and what comes to it, on every link of it."""
    net, (a, b, c) = lan()
    streams = [Stream(net, a, b), Stream(net, b, a), Stream(net, b, c)]
    with net.loss(1.0, a):
        for stream in streams:
            stream.send()
        assert [stream.arrived() for stream in streams] == [[], [], [0]]
    with net.loss(1.0, a, net.media["lan"], both=False):
        for stream in streams:
            stream.send()
        assert [stream.arrived() for stream in streams] == [[], [1], [1]]
