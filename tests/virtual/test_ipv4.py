"""IPv4: header, options, routing, forwarding, special addresses (checklist IP1 to IP9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipv4_hosts import (
    HERE,
    PROTOCOL,
    THERE,
    linked,
    note,
    noting_network,
    parsed,
    routed,
)

from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.wire import ipv4
from wsock.virtual.wire.malformed import Malformed

# Format.


@given(
    st.binary(max_size=80), st.integers(0, 255), st.integers(0, 255), st.integers(0, 63),
    st.integers(0, 0xFFFF), st.sampled_from([0, ipv4.DONT_FRAGMENT, ipv4.MORE_FRAGMENTS | 5]),
)  # fmt: skip
def test_ip1_header_fields_round_trip(
    payload: bytes, ttl: int, protocol: int, dscp: int, identification: int, flags: int
) -> None:
    """IP1, S1-52, S1-54, S1-60: every field comes back; the version is 4, the checksum is right."""
    data = ipv4.build(
        HERE, THERE, protocol, payload,
        ttl=ttl, tos=dscp << 2, identification=identification, flags_offset=flags,
    )  # fmt: skip
    packet = parsed(data + b"padding of the link")
    assert data[0] >> 4 == 4
    assert (packet.source, packet.destination, packet.ttl) == (HERE, THERE, ttl)
    assert (packet.protocol, packet.dscp, packet.flags_offset) == (protocol, dscp, flags)
    assert packet.identification == identification
    assert bytes(packet.payload) == payload


@given(st.binary(max_size=40), st.integers(0, 159))
def test_ip1_a_flipped_bit_in_the_header_is_dropped(payload: bytes, bit: int) -> None:
    """IP1, S1-60: any single bit flipped in the header makes the packet unreadable."""
    data = bytearray(ipv4.build(HERE, THERE, 17, payload))
    data[bit // 8] ^= 1 << bit % 8
    assert isinstance(ipv4.parse(bytes(data)), Malformed)


def test_ip1_a_bad_checksum_is_counted_and_dropped() -> None:
    """IP1: the host counts, logs, and hands nothing up."""
    net, _, b = linked()
    data = bytearray(ipv4.build(HERE, THERE, PROTOCOL, b"x"))
    data[10] ^= 1
    b.interfaces["eth0"].deliver(bytes(data))
    assert b.counters["ip bad checksum"] == 1
    assert note(b).packets == []
    assert "ip bad checksum" in str(net.log[-1])


@pytest.mark.parametrize("words", range(11))
def test_ip2_options_are_skipped_by_header_length(words: int) -> None:
    """IP2, S1-53: IHL 5 to 15 leads to the payload, whatever the options are."""
    options = bytes([1] * 4 * words)
    net, a, b = linked()
    assert a.ipv4.send(PROTOCOL, None, THERE, b"payload", options=options) is None
    net.run_until_quiet()
    assert note(b).packets == [b"payload"]
    data = ipv4.build(HERE, THERE, PROTOCOL, b"payload", options=options)
    assert data[0] & 15 == 5 + words


def test_ip2_a_header_length_below_five_words_is_dropped() -> None:
    """IP2, S1-53: IHL 0 to 4 is no header."""
    for ihl in range(5):
        data = bytearray(ipv4.build(HERE, THERE, 17, b"x" * 20))
        data[0] = 0x40 | ihl
        assert ipv4.parse(bytes(data)) == "ip header length below 5 words"


def test_s1_55_total_length_is_at_most_65535() -> None:
    """S1-55: 65,535 bytes are a packet, one more is none, neither built nor sent."""
    assert len(ipv4.build(HERE, THERE, 17, bytes(65_515))) == 65_535
    with pytest.raises(ValueError, match="65536 bytes"):
        ipv4.build(HERE, THERE, 17, bytes(65_516))
    _, a, _ = linked()
    assert a.ipv4.send(PROTOCOL, None, THERE, bytes(65_516)) is LocalError.EMSGSIZE


def test_s1_55_every_host_handles_576_bytes_and_the_longest_packet() -> None:
    """S1-55: 576 bytes pass in one piece where the MTU allows, 65,535 in fragments."""
    net, a, b = linked(mtu=576)
    for size in (556, 65_515):
        assert a.ipv4.send(PROTOCOL, None, THERE, bytes(size)) is None
    net.run_until_quiet()
    assert [len(p) for p in note(b).packets] == [556, 65_515]


def test_s1_61_an_address_byte_is_at_most_255() -> None:
    """S1-61: 192.168.34.442 is no address."""
    with pytest.raises(ValueError, match="442"):
        packed("192.168.34.442")


# Forwarding.


def test_ip3_each_router_takes_one_from_ttl_and_mends_the_checksum() -> None:
    """IP3, S1-59, S1-60: TTL falls by one per hop, and the header still verifies."""
    net, a, _, b = routed()
    cap = net.capture(b)
    a.ipv4.send(PROTOCOL, None, packed(str(b.address)), b"x", ttl=9)
    net.run_until_quiet()
    (seen,) = cap.packets
    assert seen.ip is not None
    assert seen.ip.ttl == 8
    assert seen.ip_checksum_good


def test_ip3_s1_59_ttl_n_survives_n_minus_1_routers() -> None:
    """IP3, S1-59: with TTL 1 the first router answers ICMP 11/0, with TTL 2 it passes."""
    net, a, r, b = routed()
    destination = packed(str(b.address))
    a.ipv4.send(PROTOCOL, None, destination, b"dies", ttl=1)
    a.ipv4.send(PROTOCOL, None, destination, b"lives", ttl=2)
    net.run_until_quiet()
    assert note(b).packets == [b"lives"]
    assert note(a).errors == [(11, 0, 0)]
    assert r.counters["ip ttl exceeded"] == 1


def test_s1_50_two_links_of_different_kind_carry_the_same_datagram() -> None:
    """S1-50: IP hides what is below: an Ethernet segment on one side, a bare link on the other."""
    net = noting_network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, r, b = net.host("a", lan), net.router("r", lan), net.host("b")
    net.link(r, b, mtu=600)
    a.add_route("0.0.0.0/0", r)
    b.add_route("0.0.0.0/0", r)
    a.ipv4.send(PROTOCOL, None, packed("10.0.0.2"), b"d" * 1200)
    net.run_until_quiet()
    assert note(b).packets == [b"d" * 1200]


def test_a_host_does_not_forward() -> None:
    """A host that is no router drops what is not for it."""
    _, _, b = linked()
    b.interfaces["eth0"].deliver(ipv4.build(HERE, packed("10.9.9.9"), PROTOCOL, b"x"))
    assert b.counters["ip not for this host"] == 1


# Routes.


def test_ip6_the_longest_prefix_wins_and_the_default_route_takes_the_rest() -> None:
    """IP6: /32 before /24 before /0, whatever the order in which they were added."""
    net = Network()
    a, r1, r2, r3 = net.host("a"), net.router("r1"), net.router("r2"), net.router("r3")
    for router in (r1, r2, r3):
        net.link(a, router)
    a.add_route("0.0.0.0/0", r1)
    a.add_route("198.51.100.0/24", r2)
    a.add_route("198.51.100.7/32", r3)
    hops = [a.ipv4.route(packed(x)) for x in ("203.0.113.1", "198.51.100.8", "198.51.100.7")]
    assert [hop and hop.interface.name for hop in hops] == ["eth0", "eth1", "eth2"]


def test_ip6_no_route_is_enetunreach_here_and_3_0_from_a_router() -> None:
    """IP6: the host that has no route says so at once; a router says ICMP 3/0."""
    net, a, r, _ = routed()
    assert net.host("lonely").ipv4.send(PROTOCOL, None, THERE, b"") is LocalError.ENETUNREACH
    a.ipv4.send(PROTOCOL, None, packed("203.0.113.9"), b"x")
    net.run_until_quiet()
    assert note(a).errors == [(3, 0, 0)]
    assert r.counters["ip no route"] == 1


def test_ip7_identifications_of_a_flow_do_not_repeat_within_65536_packets() -> None:
    """IP7: unique per source, destination and protocol; 0 where DF makes it meaningless."""
    net, a, _ = linked()
    cap = net.capture(a)
    for _ in range(300):
        a.ipv4.send(PROTOCOL, None, THERE, b"")
    a.ipv4.send(PROTOCOL, None, THERE, b"", dont_fragment=True)
    *numbers, last = [p.ip.identification for p in cap.packets if p.ip]
    assert len(set(numbers)) == 300
    assert last == 0


# Special addresses.


def test_ip8_loopback_never_leaves_the_host() -> None:
    """IP8: 127/8 goes round inside; a source in 127/8 cannot go out."""
    net, a, _ = linked()
    cap = net.capture(a)
    assert a.ipv4.send(PROTOCOL, None, packed("127.9.9.9"), b"inside") is None
    bad = a.ipv4.send(PROTOCOL, packed("127.0.0.1"), THERE, b"outside")
    net.run_until_quiet()
    assert bad is LocalError.EINVAL
    assert note(a).packets == [b"inside"]
    assert len(cap) == 0


def test_an_own_address_is_reached_through_loopback() -> None:
    """A host that talks to its own address sends nothing on the wire."""
    net, a, _ = linked()
    cap = net.capture(a)
    a.ipv4.send(PROTOCOL, None, HERE, b"me")
    net.run_until_quiet()
    assert note(a).packets == [b"me"]
    assert len(cap) == 0


@pytest.mark.parametrize("source", ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"])
def test_ip8_impossible_sources_are_dropped(source: str) -> None:
    """IP8: no packet comes from nobody, from loopback, from a group or from everybody."""
    _, _, b = linked()
    b.interfaces["eth0"].deliver(ipv4.build(packed(source), THERE, PROTOCOL, b"x"))
    assert b.counters["ip source address invalid"] == 1
    assert note(b).packets == []


def test_ip8_a_loopback_destination_on_a_wire_is_dropped() -> None:
    """IP8: 127/8 is never believed when it comes from outside."""
    _, _, b = linked()
    b.interfaces["eth0"].deliver(ipv4.build(HERE, packed("127.0.0.1"), PROTOCOL, b"x"))
    assert b.counters["ip loopback address on a wire"] == 1


def test_a_foreign_source_address_cannot_be_sent_from() -> None:
    """A host sends from its own addresses only."""
    _, a, _ = linked()
    assert a.ipv4.send(PROTOCOL, THERE, THERE, b"") is LocalError.EADDRNOTAVAIL


@pytest.mark.parametrize("destination", ["255.255.255.255", "192.0.2.255"])
def test_ip9_limited_and_directed_broadcast_reach_every_host(destination: str) -> None:
    """IP9: all hosts of the segment, the sender itself included, get it."""
    net = noting_network()
    lan = net.segment("lan", "192.0.2.0/24")
    hosts = [net.host(name, lan) for name in "abc"]
    hosts[0].ipv4.send(PROTOCOL, None, packed(destination), b"all")
    net.run_until_quiet()
    assert [note(host).packets for host in hosts] == [[b"all"]] * 3


def test_ip9_groups_reach_their_members_only_and_no_router_carries_them_on() -> None:
    """IP9: 224/4 is delivered to members; TTL 1 by default."""
    net = noting_network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, member, other = (net.host(name, lan) for name in "abc")
    router = net.router("r", lan)
    group = packed("239.1.2.3")
    endpoint = member.udp.open()
    assert endpoint.join(group) is None
    a.ipv4.send(PROTOCOL, None, group, b"members")
    net.run_until_quiet()
    assert note(member).packets == [b"members"]
    assert note(other).packets == note(router).packets == []


def test_ip9_a_router_does_not_forward_a_directed_broadcast() -> None:
    """RFC 2644: else one packet from far away makes a whole network answer."""
    net = noting_network()
    lan = net.segment("lan", "192.0.2.0/24")
    b, r, a = net.host("b", lan), net.router("r", lan), net.host("a")
    net.link(a, r)
    a.add_route("0.0.0.0/0", r)
    a.ipv4.send(PROTOCOL, None, packed("192.0.2.255"), b"smurf")
    net.run_until_quiet()
    assert note(b).packets == []


def test_a_switched_mtu_is_seen_by_the_next_packet() -> None:
    """Routes carry the MTU of now."""
    net, a, _ = linked()
    assert a.ipv4.route(THERE).mtu == 1500  # type: ignore[union-attr]
    link = net.media["a-b"]
    for direction in link.directions():
        direction.change({"mtu": 1000})
    assert a.ipv4.route(THERE).mtu == 1000  # type: ignore[union-attr]


@pytest.mark.parametrize("bad", [{"ttl": 256}, {"ttl": -1}, {"dscp": 64}, {"dscp": -1}])
def test_a_ttl_or_codepoint_that_has_no_room_in_the_header_is_einval(bad: dict[str, int]) -> None:
    """What a program sets and cannot be sent is an error of its call, and nothing else."""
    _, a, _ = linked()
    assert a.ipv4.send(PROTOCOL, None, THERE, b"", **bad) is LocalError.EINVAL  # type: ignore[arg-type]
