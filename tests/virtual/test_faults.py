"""Faults: partitions, holds, drops, forgeries, scripts; as ``with`` blocks and timed entries."""

from __future__ import annotations

import pytest
from datagram_stream import Stream, bound, lan

from wsock._filters import FilterSyntaxError
from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.wire import icmp, ipv4, udp


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


def test_swizzle_isolates_one_by_one_and_heals_in_another_order() -> None:
    """Each host is cut off once and healed once; the seed decides both orders."""
    net, hosts = lan("abcdef")
    net.swizzle(hosts, interval=1.0)
    net.run_for(20)
    begun = [e.text.split()[-1] for e in net.log if e.text.startswith("begin: isolate")]
    ended = [e.text.split()[-1] for e in net.log if e.text.startswith("end: isolate")]
    assert sorted(begun) == sorted(ended) == list("abcdef")
    assert begun != ended
    assert net.faults == []


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


def test_ended_faults_are_forgotten() -> None:
    """A thousand short partitions leave nothing behind."""
    net, (a, b, _) = lan()
    for _ in range(1000):
        with net.partition(a, b), net.hold(a, b):
            pass
    assert len(net._partitions) == len(net._holds) == 1
    assert a.wires[0].gates == []
