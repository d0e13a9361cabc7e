"""Ping and traceroute (checklist IC5), and raw sockets as the notes use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock.virtual.addresses import packed
from wsock.virtual.layers import PROTOCOL_ICMP, LocalError
from wsock.virtual.network import Network
from wsock.virtual.probes import Ping, Traceroute
from wsock.virtual.wire import icmp, ipv4

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore


def way(**conditions: float) -> tuple[Network, list[HostCore]]:
    """A host, three routers, a host, one behind the other."""
    net = Network(2)
    return net, net.chain("a", "r1", "r2", "r3", "b", **conditions)


def test_ic5_ping_tells_the_round_trip_and_the_ttl() -> None:
    """IC5: one reply for each request, a second apart; four links of 1 ms make 8 ms."""
    net, (a, *_, b) = way(latency=0.001)
    ended: list[float] = []
    ping = Ping(a, str(b.address), count=3, on_done=lambda: ended.append(net.time))
    net.run_until(lambda: ping.done)
    assert [(r.sequence, r.source, r.ttl, r.error) for r in ping.replies] == [
        (n, str(b.address), 61, "") for n in (1, 2, 3)
    ]
    assert [r.rtt for r in ping.replies] == [pytest.approx(0.008)] * 3
    assert ended == [pytest.approx(2.008)]
    assert "3 sent, 3 answered, 0 lost" in str(ping)


def test_ic5_s1_51_ping_with_4000_bytes_is_fragmented_on_the_way() -> None:
    """IC5: ``ping -s 4000`` over MTU 1500 and, in the middle, 576."""
    net, (a, *_, b) = way()
    capture = net.capture(b)
    with net.mtu(576, net.media["r1-r2"]):
        ping = Ping(a, str(b.address), count=1, size=4000)
        net.run_until(lambda: ping.done)
    assert ping.replies[0].error == ""
    assert max(len(packet.data) for packet in capture.packets if not packet.outgoing) <= 576


def test_ic5_traceroute_names_every_router() -> None:
    """IC5, S1-59: TTL 1, 2, 3, ... finds the routers; the destination ends it."""
    net, (a, *_, b) = way(latency=0.001)
    trace = Traceroute(a, str(b.address))
    net.run_until(lambda: trace.done)
    assert trace.reached
    assert trace.path == ["10.0.0.2", "10.0.0.6", "10.0.0.10", "10.0.0.14"]
    assert [len(hop) for hop in trace.hops] == [3, 3, 3, 3]
    assert trace.hops[1][0].rtt == pytest.approx(0.004)
    assert str(trace).splitlines()[1].split()[:2] == ["1", "10.0.0.2"]


def test_ping_of_a_silent_host_times_out() -> None:
    """A request without an answer is lost, after its time-out."""
    net, (a, *_, b) = way()
    with net.partition(a, b):
        ping = Ping(a, str(b.address), count=2, timeout=0.5)
        net.run_until(lambda: ping.done)
    assert [r.error for r in ping.replies] == ["time out", "time out"]
    assert "2 lost" in str(ping)


def test_traceroute_shows_a_star_where_nobody_answers() -> None:
    """A router whose errors get lost is a star; the way goes on behind it."""
    net, (a, _, r2, _, b) = way()
    with net.drop(f"icmp.type == 11 && ip.src == {r2.wires[0].address_text}", r2):
        trace = Traceroute(a, str(b.address), probes=1)
        net.run_until(lambda: trace.done)
    assert trace.path[1] == "*"
    assert trace.reached


def test_traceroute_gives_up_after_max_hops() -> None:
    """Two routers that send a packet back and forth: TTL ends it, and so do we."""
    net = Network()
    a, r1, r2 = net.host("a"), net.router("r1"), net.router("r2")
    net.link(a, r1)
    net.link(r1, r2)
    a.add_route("0.0.0.0/0", r1)
    r1.add_route("0.0.0.0/0", r2)
    r2.add_route("0.0.0.0/0", r1)
    trace = Traceroute(a, "203.0.113.1", max_hops=6, probes=1)
    net.run_until(lambda: trace.done)
    assert not trace.reached
    assert len(trace.hops) == 6


def test_ping_reports_unreachable_networks_and_hosts() -> None:
    """ICMP errors and local ones have their names in the reply."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, r = net.host("a", lan), net.router("r", lan)
    a.add_route("0.0.0.0/0", r)
    errors = []
    for destination in ("203.0.113.1", "192.0.2.99"):
        ping = Ping(a, destination, count=1, timeout=5.0)
        net.run_until(lambda ping=ping: ping.done)  # type: ignore[misc]
        errors.append(ping.replies[0].error)
    alone = Ping(net.host("alone"), "203.0.113.1", count=1)
    errors.append(alone.replies[0].error)
    assert errors == ["network unreachable", "host unreachable", "ENETUNREACH"]


def test_ping_with_df_learns_the_mtu_of_the_path() -> None:
    """``dont_fragment``: fragmentation needed, as ``ping -M do`` shows it."""
    net, (a, *_, b) = way()
    with net.mtu(576, net.media["r2-r3"]):
        ping = Ping(a, str(b.address), count=1, size=1000, dont_fragment=True)
        net.run_until(lambda: ping.done)
    assert ping.replies[0].error == "fragmentation needed"
    assert ping.replies[0].source == "10.0.0.6"


def test_two_pings_at_once_do_not_take_each_others_replies() -> None:
    """The identifier tells them apart."""
    net, (a, *_, b) = way(latency=0.001)
    near, far = Ping(a, "10.0.0.2", count=3), Ping(a, str(b.address), count=3)
    net.run_until(lambda: near.done and far.done)
    assert {r.source for r in near.replies} == {"10.0.0.2"}
    assert {r.source for r in far.replies} == {str(b.address)}


def test_ping_of_the_host_itself() -> None:
    """127.0.0.1 and the own address answer without a wire."""
    net = Network()
    a = net.host("a")
    ping = Ping(a, "127.0.0.1", count=1)
    net.run_until(lambda: ping.done)
    assert ping.replies[0].error == ""


def test_a_stopped_probe_sends_no_more() -> None:
    """``stop`` ends it, and tells."""
    net, (a, *_, b) = way()
    ended: list[bool] = []
    ping = Ping(a, str(b.address), count=100, on_done=lambda: ended.append(True))
    net.run_for(2.5)
    ping.stop()
    capture = net.capture(a)
    net.run_for(5)
    assert ended == [True]
    assert len(capture) == 0
    assert a.raw.endpoints == []


# Raw sockets.


def pair() -> tuple[Network, HostCore, HostCore]:
    """Two hosts, 10.0.0.1 and 10.0.0.2."""
    net = Network()
    a, b = net.host("a"), net.host("b")
    net.link(a, b)
    return net, a, b


def test_a_raw_socket_gets_whole_packets_with_their_ip_header() -> None:
    """raw(7): what is read begins with the IP header."""
    net, a, _ = pair()
    raw = a.raw.open(PROTOCOL_ICMP)
    raw.send(icmp.build_echo(icmp.ECHO_REQUEST, 1, 1, b"abc"), packed("10.0.0.2"))
    net.run_until_quiet()
    packet = raw.receive(peek=True)
    assert packet is not None
    assert packet == raw.receive()
    parsed = ipv4.parse(packet.data)
    assert isinstance(parsed, ipv4.Ipv4Packet)
    assert parsed.source == packed("10.0.0.2")


def test_raw_sockets_filter_by_protocol_and_addresses() -> None:
    """Bound and connected ones hear only what is for them."""
    net, a, b = pair()
    bound, connected, other = b.raw.open(253), b.raw.open(253), b.raw.open(254)
    assert bound.bind(packed("10.0.0.2")) is None
    assert bound.bind(packed("10.0.0.9")) is LocalError.EADDRNOTAVAIL
    assert connected.connect(packed("10.0.0.1")) is None
    a.raw.open(253).send(b"x", packed("10.0.0.2"))
    net.run_until_quiet()
    assert [e.waiting for e in (bound, connected, other)] == [1, 1, 0]
    connected.connect(packed("10.0.0.2"))
    a.raw.open(253).send(b"x", packed("10.0.0.2"))
    net.run_until_quiet()
    assert [e.waiting for e in (bound, connected, other)] == [2, 1, 0]


def test_a_protocol_that_a_raw_socket_reads_is_not_unreachable() -> None:
    """With a reader there is no ICMP 3/2."""
    net, a, b = pair()
    capture = net.capture(a)
    sender = a.raw.open(253)
    reader = b.raw.open(253)
    sender.send(b"x", packed("10.0.0.2"))
    net.run_until_quiet()
    reader.close()
    sender.send(b"y", packed("10.0.0.2"))
    net.run_until_quiet()
    assert [p.name for p in capture.filter("icmp")] == ["ICMP protocol unreachable"]


def test_a_program_may_write_the_header_itself() -> None:
    """IP_HDRINCL: length and checksum are filled in, a zero source and identification too."""
    net, a, b = pair()
    reader = b.raw.open(253)
    writer = a.raw.open(255)
    assert writer.header_included
    header = bytearray(ipv4.build(bytes(4), packed("10.0.0.2"), 253, b"mine", ttl=3))
    header[2:4] = header[10:12] = b"\0\0"
    assert writer.send(bytes(header), packed("10.0.0.2")) is None
    net.run_until_quiet()
    packet = reader.receive()
    assert packet is not None
    assert packet.ttl == 3
    assert packet.source == packed("10.0.0.1")
    assert packet.data[20:] == b"mine"


def test_raw_sends_that_cannot_be_are_refused() -> None:
    """No destination, no route, a broadcast not allowed, no header, too long."""
    net, a, _ = pair()
    raw, whole = a.raw.open(253), a.raw.open(255)
    there = packed("10.0.0.2")
    assert raw.send(b"") is LocalError.EDESTADDRREQ
    assert raw.send(b"", packed("203.0.113.1")) is LocalError.ENETUNREACH
    assert raw.send(b"", packed("10.0.0.3")) is LocalError.EACCES
    assert whole.send(b"short", there) is LocalError.EINVAL
    assert raw.send(bytes(70_000), there) is LocalError.EMSGSIZE
    raw.dont_fragment = True
    assert raw.send(bytes(1481), there) is LocalError.EMSGSIZE
    net.run_until_quiet()


def test_a_connected_raw_socket_keeps_an_icmp_error() -> None:
    """SO_ERROR: protocol unreachable is ECONNREFUSED."""
    net, a, _ = pair()
    raw = a.raw.open(253)
    raw.connect(packed("10.0.0.2"))
    raw.send(b"12345678")
    net.run_until_quiet()
    assert raw.take_error() is LocalError.ECONNREFUSED
    assert raw.take_error() is None


def test_a_raw_queue_is_limited() -> None:
    """A program that does not read costs no more than its limit."""
    net, a, b = pair()
    reader, writer = b.raw.open(253), a.raw.open(253)
    reader.receive_limit = 300
    for _ in range(10):
        writer.send(bytes(80), packed("10.0.0.2"))
    net.run_until_quiet()
    assert reader.waiting == 3
    assert b.counters["raw receive queue full"] == 7
