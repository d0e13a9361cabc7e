"""Fine points of IPv4: each is a place where an easier stack goes wrong unseen (IP3 to IP9)."""

from __future__ import annotations

import pytest
from ipv4_hosts import HERE, PROTOCOL, THERE, linked, note, noting_network, parsed, routed
from talkers import Talker

from wsock.virtual.addresses import LOOPBACK, packed
from wsock.virtual.layers import LocalError
from wsock.virtual.reassembly import MAX_PARTIAL
from wsock.virtual.tcp import Connection
from wsock.virtual.tcp.segment import SYN, build
from wsock.virtual.wire import ipv4


@pytest.mark.parametrize("same_length", [True, False])
def test_ip5_two_fragments_of_one_place_that_differ_drop_the_packet(same_length: bool) -> None:
    """IP5: a duplicate is the same bytes, not only the same place."""
    _, _, b = linked()
    whole = ipv4.build(HERE, THERE, PROTOCOL, bytes(96), identification=7)
    first, *rest = ipv4.fragments(parsed(whole), 68)
    length = 48 if same_length else 40
    forged = ipv4.build(
        HERE, THERE, PROTOCOL, b"x" * length, identification=7, flags_offset=ipv4.MORE_FRAGMENTS
    )
    for piece in (first, forged, *rest):
        b.interfaces["eth0"].deliver(piece)
    assert note(b).packets == []
    assert b.counters["ip fragments overlap"] >= 1


def test_ip3_what_lies_behind_the_total_length_is_not_forwarded() -> None:
    """An Ethernet frame may be longer than its packet (RFC 894: padding)."""
    net, _, r, b = routed()
    packet = ipv4.build(HERE, packed(str(b.address)), PROTOCOL, b"x")
    cap = net.capture(b)
    r.interfaces["eth0"].deliver(packet + bytes(25))
    net.run_until_quiet()
    assert note(b).packets == [b"x"]
    assert [len(seen.data) for seen in cap.packets] == [len(packet)]


@pytest.mark.parametrize("destination", ["240.0.0.1", "0.1.2.3", "255.255.255.255"])
def test_ip8_a_router_forwards_to_no_impossible_address(destination: str) -> None:
    """IP8: not even where a default route takes everything (RFC 1812 section 5.3.7)."""
    net, _, r, b = routed()
    r.add_route("0.0.0.0/0", b)
    r.interfaces["eth0"].deliver(ipv4.build(HERE, packed(destination), PROTOCOL, b"x", ttl=9))
    net.run_until_quiet()
    assert note(b).packets == []
    assert r.counters["ip forwarded"] == 0


def test_ip6_an_own_address_is_its_own_source() -> None:
    """MUST-43: who connects to an address of this host comes from that address."""
    _, a, _ = linked()
    for destination, source in (
        (HERE, HERE),
        (LOOPBACK, LOOPBACK),
        (packed("127.9.9.9"), LOOPBACK),
    ):
        made = a.tcp.connect(Talker(), destination, 80)
        assert isinstance(made, Connection)
        assert made.local == source


def test_ip4_a_learned_path_mtu_fades_also_for_those_who_go_on_sending() -> None:
    """RFC 1191 section 6.3: no packet makes the way remembered for longer than it was learned."""
    net, a, _, b = routed()
    destination = packed(str(b.address))
    a.ipv4.learn_path_mtu(destination, 600)
    for _ in range(3):
        a.ipv4.send(PROTOCOL, None, destination, bytes(1000))
        net.run_for(201)
    cap = net.capture(a)
    a.ipv4.send(PROTOCOL, None, destination, bytes(1000))
    assert [len(seen.data) for seen in cap.packets] == [1020]


def test_ip9_a_host_alone_hears_itself_once() -> None:
    """IP9: on loopback what is sent to everybody comes once, not once more as a copy."""
    net = noting_network()
    a = net.host("a")
    a.routes.add(0, 0, None, a.loopback)
    assert a.ipv4.send(PROTOCOL, None, packed("255.255.255.255"), b"x") is None
    net.run_until_quiet()
    assert note(a).packets == [b"x"]


def test_ip9_nobody_connects_to_a_directed_broadcast() -> None:
    """TCP's line 15 on a real segment: neither from here nor by a SYN that comes (MUST-46, 57)."""
    net = noting_network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, b = net.host("a", lan), net.host("b", lan)
    everybody = packed("192.0.2.255")
    assert a.tcp.connect(Talker(), everybody, 80) is LocalError.ENETUNREACH
    segment = build(packed("192.0.2.1"), everybody, 5, 80, 1, 0, SYN, 100)
    a.ipv4.send(6, None, everybody, segment)
    net.run_until_quiet()
    assert b.counters["tcp not unicast"] == 1
    assert b.counters["tcp resets sent"] == 0


def test_ip5_a_fragment_that_is_no_multiple_of_8_is_dropped_alone() -> None:
    """IP5: MF with a length that cannot be; the packet is complete without it."""
    _, _, b = linked()
    pieces = ipv4.fragments(parsed(ipv4.build(HERE, THERE, PROTOCOL, bytes(96))), 68)
    odd = ipv4.build(
        HERE, THERE, PROTOCOL, b"abc", identification=parsed(pieces[0]).identification,
        flags_offset=ipv4.MORE_FRAGMENTS | 20,
    )  # fmt: skip
    for piece in (pieces[0], odd, *pieces[1:]):
        b.interfaces["eth0"].deliver(piece)
    assert note(b).packets == [bytes(96)]
    assert b.counters["ip fragment not a multiple of 8 bytes"] == 1


def test_ip5_an_empty_fragment_takes_no_memory() -> None:
    """IP5: it adds nothing, and could be sent for ever."""
    _, _, b = linked()
    empty = ipv4.build(HERE, THERE, PROTOCOL, b"", flags_offset=ipv4.MORE_FRAGMENTS | 2)
    b.interfaces["eth0"].deliver(empty)
    assert b.counters["ip fragment beyond 65535 bytes or empty"] == 1
    assert len(b.ipv4._reassembler) == 0


def test_ip5_a_packet_that_is_whole_or_was_pushed_out_does_not_time_out() -> None:
    """IP5: its timer goes with it."""
    net, _, b = linked()
    cap = net.capture(b)

    def pieces(number: int) -> list[bytes]:
        whole = ipv4.build(HERE, THERE, PROTOCOL, bytes(96), identification=number)
        return ipv4.fragments(parsed(whole), 68)

    for piece in pieces(1):
        b.interfaces["eth0"].deliver(piece)
    for number in range(2, 2 + MAX_PARTIAL + 1):
        b.interfaces["eth0"].deliver(pieces(number)[0])
    net.run_for(100.0)
    assert b.counters["ip reassembly memory full"] == 1
    assert b.counters["ip reassembly timed out"] == MAX_PARTIAL
    assert len([seen for seen in cap.packets if seen.outgoing]) == MAX_PARTIAL


def test_ip5_nobody_is_told_of_a_packet_that_was_dropped_for_its_overlaps() -> None:
    """IP5: 11/1 is about fragments that did not come."""
    net, _, b = linked()
    cap = net.capture(b)
    first = ipv4.fragments(parsed(ipv4.build(HERE, THERE, PROTOCOL, bytes(96))), 68)[0]
    forged = ipv4.build(HERE, THERE, PROTOCOL, bytes(16), flags_offset=ipv4.MORE_FRAGMENTS | 1)
    for piece in (first, forged):
        b.interfaces["eth0"].deliver(piece)
    net.run_for(100.0)
    assert b.counters["ip reassembly timed out"] == 1
    assert [seen for seen in cap.packets if seen.outgoing] == []


@pytest.mark.parametrize("what", ["source", "protocol", "identification"])
def test_ip5_fragments_of_different_packets_are_not_joined(what: str) -> None:
    """IP5: source, destination, protocol and identification together name a packet."""
    _, _, b = linked()
    other = {"source": HERE, "protocol": PROTOCOL, "identification": 7}
    other[what] = {"source": packed("10.0.0.3"), "protocol": 254, "identification": 8}[what]
    mine = ipv4.build(HERE, THERE, PROTOCOL, bytes(96), identification=7)
    theirs = ipv4.build(
        other["source"], THERE, other["protocol"], bytes(96),  # type: ignore[arg-type]
        identification=other["identification"],  # type: ignore[arg-type]
    )  # fmt: skip
    b.interfaces["eth0"].deliver(ipv4.fragments(parsed(mine), 68)[0])
    for piece in ipv4.fragments(parsed(theirs), 68)[1:]:
        b.interfaces["eth0"].deliver(piece)
    assert note(b).packets == []
    assert len(b.ipv4._reassembler) == 2
