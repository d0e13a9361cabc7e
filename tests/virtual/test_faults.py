"""Faults: every verb, as ``with`` blocks and as timed script entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock._filters import FilterSyntaxError
from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.wire import icmp, ipv4, udp

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore
    from wsock.virtual.udp_endpoint import UdpEndpoint


def lan(names: str = "abc", **conditions: float) -> tuple[Network, list[HostCore]]:
    """Hosts 192.0.2.1, .2, ... on one segment whose ARP caches are filled."""
    net = Network(11)
    segment = net.segment("lan", "192.0.2.0/24", **conditions)
    hosts = [net.host(name, segment) for name in names]
    for host in hosts:
        for other in hosts:
            if other is not host:
                bound(host).send(b"", packed(str(other.address)), 1)
    net.run_until_quiet()
    return net, hosts


def bound(host: HostCore, port: int = 0) -> UdpEndpoint:
    """A bound endpoint with a long queue."""
    endpoint = host.udp.open()
    assert endpoint.bind(port=port) is None
    endpoint.receive_limit = 10_000_000
    return endpoint


class Stream:
    """Sends numbered datagrams from one host to another and tells which arrive."""

    def __init__(self, net: Network, source: HostCore, destination: HostCore) -> None:
        self.net = net
        self.sender, self.receiver = bound(source), bound(destination)
        self.to = packed(str(destination.address))
        self.sent = 0

    def send(self, count: int = 1) -> None:
        """Send so many at this instant."""
        for _ in range(count):
            self.sender.send(self.sent.to_bytes(2, "big"), self.to, self.receiver.local_port)
            self.sent += 1
        while self.net.flush():
            pass

    def arrived(self) -> list[int]:
        """Run until nothing moves; return the numbers that arrived."""
        self.net.run_until_quiet(0.0)
        numbers = []
        while (datagram := self.receiver.receive()) is not None:
            numbers.append(int.from_bytes(datagram.data, "big"))
        return numbers


def test_partition_drops_silently_between_two_hosts_and_heals_with_the_block() -> None:
    """Both directions, only these two, only inside the block; each drop has its reason."""
    net, (a, b, c) = lan()
    ab, ba, ac = Stream(net, a, b), Stream(net, b, a), Stream(net, a, c)
    cap = net.capture(a)
    with net.partition(a, b):
        for stream in (ab, ba, ac):
            stream.send()
        assert (ab.arrived(), ba.arrived(), ac.arrived()) == ([], [], [0])
    ab.send()
    assert ab.arrived() == [1]
    dropped = [packet for packet in cap.packets if packet.comments]
    assert [packet.comments for packet in dropped] == [["dropped by partition a b"]]
    texts = [entry.text for entry in net.log]
    assert "begin: partition a b" in texts
    assert "end: partition a b" in texts
    assert texts.count("dropped by partition a b") == 2


def test_partition_in_one_direction() -> None:
    """``both=False``: from a to b only."""
    net, (a, b, _) = lan()
    ab, ba = Stream(net, a, b), Stream(net, b, a)
    with net.partition("a", "b", both=False):
        ab.send()
        ba.send()
        assert (ab.arrived(), ba.arrived()) == ([], [0])


def test_partition_of_sets_and_heal_by_name() -> None:
    """Groups of hosts; ``heal`` ends what was begun with the same names, in either order."""
    net, (a, b, c) = lan()
    streams = [Stream(net, a, c), Stream(net, b, c), Stream(net, a, b)]
    net.partition({a, b}, c)
    for stream in streams:
        stream.send()
    assert [stream.arrived() for stream in streams] == [[], [], [0]]
    net.heal(c, {b, a})
    streams[0].send()
    assert streams[0].arrived() == [1]
    assert net.faults == []


def test_partition_between_hosts_that_a_router_joins() -> None:
    """Packets addressed from the one to the other are dropped, those to others pass the router."""
    net = Network()
    a, r, b = net.chain("a", "r", "b")
    c = net.host("c")
    net.link(c, r)
    net.fill_routes()
    ab, ac = Stream(net, a, b), Stream(net, a, c)
    with net.partition(a, b):
        ab.send()
        ac.send()
        assert (ab.arrived(), ac.arrived()) == ([], [0])


def test_partition_of_a_link_cuts_the_link() -> None:
    """A link or segment instead of hosts: everything on it."""
    net = Network()
    a, b = net.host("a"), net.host("b")
    link = net.link(a, b)
    stream = Stream(net, a, b)
    with net.partition(link):
        stream.send()
        assert stream.arrived() == []


def test_what_is_on_the_wire_when_a_partition_begins_arrives() -> None:
    """Faults look at what enters a wire."""
    net, (a, b, _) = lan(latency=0.1)
    stream = Stream(net, a, b)
    stream.send()
    net.partition(a, b)
    assert stream.arrived() == [0]


def test_isolate_cuts_a_host_off_from_all() -> None:
    """No packet in, none out; the others go on."""
    net, (a, b, c) = lan()
    streams = [Stream(net, a, b), Stream(net, b, a), Stream(net, b, c)]
    with net.isolate(a):
        for stream in streams:
            stream.send()
        assert [stream.arrived() for stream in streams] == [[], [], [0]]


def test_isolate_with_reject_answers_host_unreachable() -> None:
    """``reject=True``: ICMP 3/1 instead of silence, so a connected socket learns at once."""
    net, (a, b, _) = lan()
    endpoint = bound(b)
    endpoint.connect(packed(str(a.address)), 9)
    with net.isolate(a, reject=True):
        endpoint.send(b"x")
        net.run_until_quiet()
        assert endpoint.take_error() is LocalError.EHOSTUNREACH


def test_hold_keeps_packets_in_order_and_release_lets_them_go() -> None:
    """``net.held`` shows them; ``release`` may drop some; the order is kept."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    net.hold(a, b)
    stream.send(5)
    assert stream.arrived() == []
    assert [kept.packet.name for kept in net.held] == ["UDP"] * 5
    assert net.is_quiet(0)
    net.release(a, b, drop="data.data == 00:02")
    assert net.held == []
    assert stream.arrived() == [0, 1, 3, 4]


def test_hold_as_a_block_lets_go_at_its_end() -> None:
    """Leaving the block releases; what was sent afterwards comes afterwards."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.hold():
        stream.send(2)
    stream.send()
    assert stream.arrived() == [0, 1, 2]


def test_drop_by_filter_exactly_the_second() -> None:
    """``nth`` and ``count``: the second match and no other."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.drop("udp && ip.src == 192.0.2.1", a, b, nth=2, count=1):
        stream.send(4)
        assert stream.arrived() == [0, 2, 3]


def test_drop_by_function_and_count() -> None:
    """A predicate of the packet; ``count`` drops so many and then no more."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    with net.drop(lambda packet: packet.udp is not None, a, b, count=2):
        stream.send(4)
        assert stream.arrived() == [2, 3]


def test_drop_counts_both_directions_together() -> None:
    """One fault, one count, whichever way the packets go."""
    net, (a, b, _) = lan()
    ab, ba = Stream(net, a, b), Stream(net, b, a)
    with net.drop("udp", a, b, count=1):
        ab.send()
        ba.send()
        assert sorted([ab.arrived(), ba.arrived()]) == [[], [0]]


def test_a_bad_filter_points_at_the_column() -> None:
    """The error comes from the verb, before anything is dropped."""
    net, _ = lan()
    with pytest.raises(FilterSyntaxError) as caught:
        net.drop("tcp.flags.syn == 1 && ip.sorce == 10.0.0.1")
    assert caught.value.column == 23
    assert net.faults == []


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


def test_inject_puts_any_bytes_on_a_wire() -> None:
    """A forged datagram arrives as if its source had sent it; rubbish is a counter."""
    net, (_, b, _) = lan()
    receiver = bound(b, 53)
    forged = packed("198.51.100.66")
    mine = packed(str(b.address))
    net.inject(ipv4.build(forged, mine, 17, udp.build(forged, 1, mine, 53, b"hi")), b)
    net.inject(b"rubbish", "b")
    net.run_until_quiet()
    datagram = receiver.receive()
    assert datagram is not None
    assert datagram.source == forged
    assert b.counters["ip too short"] == 1


def test_timed_script_entries() -> None:
    """``net.at``: a fault begins at its virtual second and ends after ``lasting``."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    net.at(5.0, net.partition, a, b, lasting=2.0)
    for _ in range(9):
        stream.send()
        net.run_for(1.0)
    assert set(range(9)) - set(stream.arrived()) == {5, 6}
    began = [e.time_ns for e in net.log if e.text.startswith(("begin", "end"))]
    assert began == [5_000_000_000, 7_000_000_000]


def test_a_paused_host_queues_packets_and_goes_on() -> None:
    """Pause: nothing is handled, nothing sent, no timer runs; resume makes up for it."""
    net, (a, b, _) = lan()
    to_b, from_b = Stream(net, a, b), Stream(net, b, a)
    b.pause()
    to_b.send(3)
    from_b.send(2)
    assert to_b.arrived() == from_b.arrived() == []
    b.resume()
    assert from_b.arrived() == [0, 1]
    assert to_b.arrived() == [0, 1, 2]


def test_a_paused_hosts_queue_is_limited() -> None:
    """Packets beyond the limit are dropped, and it is recorded."""
    net, (a, b, _) = lan()
    stream = Stream(net, a, b)
    b.pause()
    stream.send(1100)
    net.run_until_quiet()
    b.resume()
    assert stream.arrived() == list(range(1000))
    assert b.counters["host is paused and its queue is full"] == 100


def test_a_crash_takes_everything_and_sends_nothing() -> None:
    """Power cut: what was accepted does not leave; after restart ports and ARP are empty."""
    net, (a, b, _) = lan()
    old_udp = b.udp
    sender = bound(b, 53)
    cap = net.capture(b)
    sender.send(b"never", packed(str(a.address)), 9)
    b.crash()
    net.run_until_quiet()
    assert cap.packets == []
    Stream(net, a, b).send()
    net.run_until_quiet()
    assert b.counters["host is switched off"] == 1
    b.restart()
    assert b.udp is not old_udp
    assert b.interfaces["eth0"].arp_cache == {}  # type: ignore[attr-defined]
    stream = Stream(net, a, b)
    bound(b, 53)
    stream.send()
    assert stream.arrived() == [0]


def test_a_restarted_host_draws_new_secrets() -> None:
    """New ISS, new ports: the streams of a second life are others, and repeat with the seed."""
    lives = []
    for _ in range(2):
        _, (a, _, _) = lan()
        first = a.random("iss").getrandbits(64)
        a.crash()
        a.restart()
        lives.append((first, a.random("iss").getrandbits(64)))
    assert lives[0] == lives[1]
    assert lives[0][0] != lives[0][1]


def test_only_a_host_that_is_off_restarts() -> None:
    """A mistake in a script is an error."""
    _, (a, _, _) = lan()
    with pytest.raises(RuntimeError, match="not switched off"):
        a.restart()


def test_swizzle_isolates_one_by_one_and_heals_in_another_order() -> None:
    """Each host is cut off once and healed once; the seed decides both orders."""
    net, hosts = lan("abcdef")
    net.swizzle(hosts, interval=1.0)
    net.run_for(20)
    begun = [e.text.split()[-1] for e in net.log if e.text.startswith("begin")]
    ended = [e.text.split()[-1] for e in net.log if e.text.startswith("end")]
    assert sorted(begun) == sorted(ended) == list("abcdef")
    assert begun != ended
    assert net.faults == []


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


def test_partition_between_a_host_and_a_segment_is_its_port() -> None:
    """A host and a medium: the host's own port there, its other links go on."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, b, c = net.host("a", lan), net.host("b", lan), net.host("c")
    net.link(a, c)
    on_lan, on_link = Stream(net, a, b), Stream(net, a, c)
    back = Stream(net, b, a)
    with net.partition(a, lan):
        for stream in (on_lan, on_link, back):
            stream.send()
        assert [stream.arrived() for stream in (on_lan, on_link, back)] == [[], [0], []]


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


def test_holds_end_one_by_one() -> None:
    """What another hold keeps stays."""
    net, (a, b, c) = lan()
    ab, ac = Stream(net, a, b), Stream(net, a, c)
    net.hold(a, b)
    net.hold(a, c)
    ab.send()
    ac.send()
    net.release(a, b)
    assert (ab.arrived(), ac.arrived()) == ([0], [])
    assert len(net.held) == 1
    net.release()
    assert ac.arrived() == [0]


def test_a_rejected_icmp_error_is_not_answered_by_another() -> None:
    """RFC 1122 section 3.2.2 holds for the fault's own answers too."""
    net, (a, b, _) = lan()
    capture = net.capture(b)
    with net.isolate(a, reject=True):
        quoted = ipv4.build(packed("192.0.2.1"), packed("192.0.2.2"), 17, bytes(8))
        error = icmp.build(icmp.UNREACHABLE, 1, 0, quoted)
        b.ipv4.send(1, None, packed("192.0.2.1"), error)
        net.run_until_quiet()
    assert [packet.outgoing for packet in capture.packets] == [True]


def test_faults_say_what_they_are() -> None:
    """The text of a fault names the verb and the places."""
    net, (a, b, _) = lan()
    with net.loss(0.5, [a, b], "c") as fault:
        assert repr(fault) == "<Fault loss 0.5 {a, b} c>"
    assert repr(fault) == "<Fault loss 0.5 {a, b} c, ended>"
    fault.end()
