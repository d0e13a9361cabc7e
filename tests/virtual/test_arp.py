"""Ethernet and ARP (checklist AR1 to AR7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsock.virtual.addresses import packed
from wsock.virtual.ethernet_interface import EthernetInterface
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.wire import arp, ethernet, udp

if TYPE_CHECKING:
    from wsock.virtual.capture.packet import CapturedPacket
    from wsock.virtual.node import HostCore

A, B = packed("192.0.2.1"), packed("192.0.2.2")


def segment(hosts: str = "ab", **conditions: object) -> tuple[Network, list[HostCore]]:
    """Hosts 192.0.2.1, .2, ... on one segment."""
    net = Network(3)
    lan = net.segment("lan", "192.0.2.0/24", **conditions)  # type: ignore[arg-type]
    return net, [net.host(name, lan) for name in hosts]


def port(host: HostCore) -> EthernetInterface:
    """The host's first adapter."""
    interface = host.interfaces["eth0"]
    assert isinstance(interface, EthernetInterface)
    return interface


def send(host: HostCore, destination: bytes, data: bytes = b"x") -> LocalError | None:
    """Send a UDP datagram to a port that need not be open."""
    return host.udp.open().send(data, destination, 9)


def arp_packets(packets: list[CapturedPacket]) -> list[str]:
    """The names of the ARP packets, with ``(unicast)`` where a request is one."""
    result = []
    for packet in packets:
        if packet.arp is not None and packet.frame is not None:
            unicast = packet.name == "ARP request" and not packet.frame.destination[0] & 1
            result.append(packet.name + " (unicast)" * unicast)
    return result


def test_ar1_request_is_broadcast_reply_unicast_and_both_fill_the_caches() -> None:
    """AR1: one question to all, one answer to the asker; both know each other afterwards."""
    net, (a, b, c) = segment("abc")
    cap = net.capture(a, b, c, merged=True)
    send(a, B)
    net.run_until_quiet()
    seen_by_c = [p for p in cap.packets if p.interface == "c.eth0"]
    assert [p.name for p in seen_by_c] == ["ARP request"]
    assert port(a).arp_cache == {B: port(b).mac}
    assert port(b).arp_cache == {A: port(a).mac}
    assert port(c).arp_cache == {}


def test_s4_3_the_first_packet_to_a_neighbour_costs_one_request_the_next_none() -> None:
    """S4-3: ARP finds the MAC address once; then the cache knows it."""
    net, (a, _) = segment()
    cap = net.capture(a)
    send(a, B)
    net.run_until_quiet()
    assert arp_packets(cap.packets) == ["ARP request", "ARP reply"]
    send(a, B)
    net.run_until_quiet()
    assert arp_packets(cap.packets) == ["ARP request", "ARP reply"]


def test_s1_52_the_link_knows_ipv4_by_0x0800() -> None:
    """S1-52: version 4 in the packet, type 0x0800 in the frame."""
    net, (a, _) = segment()
    cap = net.capture(a)
    send(a, B)
    net.run_until_quiet()
    frame = cap.filter("udp")[0].frame
    assert frame is not None
    assert frame.type == 0x0800
    assert frame.payload[0] >> 4 == 4


def test_ar2_an_old_entry_is_asked_again_by_unicast_first() -> None:
    """AR2: after its lifetime an entry is still used, while one unicast request confirms it."""
    net, (a, _) = segment()
    send(a, B)
    net.run_for(61)
    cap = net.capture(a)
    send(a, B)
    net.run_until_quiet()
    assert arp_packets(cap.packets) == ["ARP request (unicast)", "ARP reply"]
    assert cap.packets[0].name == "ARP request"
    assert any(packet.udp for packet in cap.packets[:2])  # nothing waited


def test_ar3_an_old_entry_is_asked_for_once_however_much_is_sent() -> None:
    """AR3: ten packets while the answer is under way are no reason to ask again."""
    net, (a, _) = segment()
    send(a, B)
    net.run_for(61)
    cap = net.capture(a)
    for _ in range(10):
        send(a, B)
    net.run_until_quiet()
    assert arp_packets(cap.packets) == ["ARP request (unicast)", "ARP reply"]


def test_ar2_a_neighbour_that_is_silent_is_asked_by_broadcast_then() -> None:
    """AR2: a second after the unanswered unicast the MAC is forgotten, and all are asked."""
    net, (a, b) = segment()
    send(a, B)
    net.run_for(61)
    b.crash()
    cap = net.capture(a)
    send(a, B)
    net.run_for(10)
    assert arp_packets(cap.packets) == ["ARP request (unicast)"] + ["ARP request"] * 3
    assert port(a).arp_cache == {}


def test_ar2_how_often_it_was_asked_at_first_does_not_count_later() -> None:
    """AR2: a neighbour that answered the third request gets three more when it falls silent."""
    net, (a, b) = segment()
    b.crash()
    send(a, B)
    net.run_for(1.5)
    b.restart()
    net.run_for(61 + 2)
    assert port(a).arp_cache == {B: port(b).mac}
    b.crash()
    cap = net.capture(a)
    send(a, B)
    net.run_for(10)
    assert arp_packets(cap.packets) == ["ARP request (unicast)"] + ["ARP request"] * 3


@pytest.mark.parametrize(
    ("prefix", "sender"),
    [
        ("192.0.2.0/24", "198.51.100.7"),  # of another segment
        ("192.0.2.0/24", "192.0.2.255"),  # everybody's
        ("0.0.0.0/1", "0.0.0.0"),  # of one that has none yet: a probe (RFC 5227)
    ],
)
def test_ar1_a_sender_that_can_be_no_neighbour_is_answered_and_not_learned(
    prefix: str, sender: str
) -> None:
    """AR1: nobody takes the packets of others over by a request for us."""
    net = Network()
    a = net.host("a", net.segment("lan", prefix), "0.0.0.9" if prefix[0] == "0" else "192.0.2.9")
    thief = bytes.fromhex("020000000099")
    packet = arp.ArpPacket(
        arp.REQUEST, thief, packed(sender), bytes(6), packed(str(a.address))
    )  # fmt: skip
    cap = net.capture(a)
    port(a).deliver(ethernet.build(ethernet.BROADCAST, thief, ethernet.TYPE_ARP, arp.build(packet)))
    assert port(a).arp_cache == {}
    assert [p.name for p in cap.packets if p.outgoing] == ["ARP reply"]


def test_ar3_at_most_one_request_per_second_and_address() -> None:
    """AR3: a hundred packets to a silent neighbour make three requests, a second apart."""
    net, (a, _) = segment()
    cap = net.capture(a)
    for _ in range(10):
        for _ in range(10):
            send(a, packed("192.0.2.77"))
        net.run_for(0.2)
    net.run_until_quiet()
    assert [p.time for p in cap.packets] == [0.0, 1.0, 2.0]


def test_ar4_packets_wait_for_the_answer_and_the_latest_are_kept() -> None:
    """AR4: what was sent while resolving leaves when the answer comes; the oldest give way."""
    net, (a, b) = segment()
    receiver = b.udp.open()
    receiver.bind(port=9)
    sender = a.udp.open()
    for number in range(40):
        sender.send(bytes([number]), B, 9)
    net.run_until_quiet()
    received = []
    while datagram := receiver.receive():
        received.append(datagram.data[0])
    assert received == list(range(8, 40))
    assert a.counters["arp queue full"] == 8


def test_ar4_three_tries_then_ehostunreach() -> None:
    """AR4: nobody answers: after three requests the connected socket learns EHOSTUNREACH."""
    net, (a, _) = segment()
    endpoint = a.udp.open()
    assert endpoint.connect(packed("192.0.2.77"), 9) is None
    endpoint.send(b"x")
    net.run_for(2.9)
    assert endpoint.take_error() is None
    net.run_for(0.2)
    assert endpoint.take_error() is LocalError.EHOSTUNREACH


def test_ar5_a_gratuitous_arp_updates_an_entry() -> None:
    """AR5: an announcement with another MAC address replaces the one that is known."""
    net, (a, b) = segment()
    send(a, B)
    net.run_until_quiet()
    new_mac = bytes.fromhex("020000000099")
    packet = arp.ArpPacket(arp.REQUEST, new_mac, B, bytes(6), B)
    frame = ethernet.build(ethernet.BROADCAST, new_mac, ethernet.TYPE_ARP, arp.build(packet))
    port(a).deliver(frame)
    assert port(a).arp_cache == {B: new_mac}
    port(b).announce()
    net.run_until_quiet()
    assert port(a).arp_cache == {B: port(b).mac}


def test_ar5_an_address_conflict_is_reported_and_defended_once_in_ten_seconds() -> None:
    """AR5: someone else with our address: a log line, a counter, one announcement."""
    net, (a, _) = segment()
    cap = net.capture(a)
    thief = bytes.fromhex("020000000099")
    packet = arp.ArpPacket(arp.REPLY, thief, A, bytes(6), B)
    frame = ethernet.build(ethernet.BROADCAST, thief, ethernet.TYPE_ARP, arp.build(packet))
    port(a).deliver(frame)
    port(a).deliver(frame)
    assert a.counters["arp address conflict"] == 2
    assert "02:00:00:00:00:99 uses our address" in str(net.log[-1])
    assert len([p for p in cap.packets if p.outgoing]) == 1


def test_ar6_an_address_is_answered_on_its_own_segment_only() -> None:
    """AR6: a host with two adapters does not answer for the one on the other."""
    net = Network()
    left, right = net.segment("left", "192.0.2.0/24"), net.segment("right", "198.51.100.0/24")
    both = net.host("both", left)
    net.join(both, right)
    asker = net.host("asker", right, "198.51.100.9")
    request = arp.ArpPacket(arp.REQUEST, port(asker).mac, packed("198.51.100.9"), bytes(6), A)
    cap = net.capture(both.interfaces["eth1"])
    frame = ethernet.build(
        ethernet.BROADCAST, port(asker).mac, ethernet.TYPE_ARP, arp.build(request)
    )
    both.interfaces["eth1"].deliver(frame)
    net.run_until_quiet()
    assert not [p for p in cap.packets if p.outgoing]


def test_ar7_frames_show_in_captures_with_link_type_ethernet() -> None:
    """AR7: link type 1; the frame view is MAC header, IP header, UDP header (S4-12)."""
    net, (a, _) = segment()
    cap = net.capture(a)
    send(a, B)
    net.run_until_quiet()
    packet = cap.filter("udp")[0]
    assert packet.link_type == 1
    lines = cap.explain(packet.number).splitlines()[2:5]
    for line, word in zip(lines, ("Ethernet (MAC header)", "IPv4", "UDP"), strict=True):
        assert word in line


def test_mac_addresses_come_by_order_of_creation() -> None:
    """D5: the same program gives the same MAC addresses."""
    _, hosts = segment("abc")
    assert [port(host).mac.hex() for host in hosts] == [
        "020000000001", "020000000002", "020000000003",
    ]  # fmt: skip


def test_a_frame_for_another_host_is_not_taken() -> None:
    """An adapter hears its own address, broadcasts and groups."""
    _, (a, _) = segment()
    port(a).deliver(ethernet.build(bytes.fromhex("020000000042"), bytes(6), 0x0800, b"x" * 40))
    assert a.counters["ethernet frame for another host"] == 1


def test_addresses_on_a_segment_are_the_next_free_ones() -> None:
    """Hosts get .1, .2, ... and step over those that were given."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/29")
    hosts = [net.host("a", lan), net.host("b", lan, "192.0.2.2"), net.host("c", lan)]
    assert [str(host.address) for host in hosts] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    with pytest.raises(ValueError, match=r"198\.51\.100\.1 is not in"):
        net.host("d", lan, "198.51.100.1")
    with pytest.raises(ValueError, match=r"192\.0\.2\.2 is taken"):
        net.host("e", lan, "192.0.2.2")
    for name in ("f", "g", "h"):
        net.host(name, lan)
    with pytest.raises(ValueError, match=r"192\.0\.2\.7 is taken"):  # the broadcast address
        net.host("i", lan)


def test_a_router_answers_host_unreachable_when_arp_fails() -> None:
    """RFC 1812 section 5.2.7.1: ICMP 3/1 goes back to the source of the packet."""
    net, (r_side, _) = segment()
    r_side.forwarding = True
    far = net.host("far")
    net.link(far, r_side)
    far.add_route("0.0.0.0/0", r_side)
    endpoint = far.udp.open()
    endpoint.connect(packed("192.0.2.77"), 9)
    endpoint.send(b"x")
    net.run_for(4)
    assert endpoint.take_error() is LocalError.EHOSTUNREACH


def test_ar4_our_own_socket_is_told_without_a_packet() -> None:
    """AR4: EHOSTUNREACH is no ICMP error to ourselves, so no limit of those concerns it."""
    net, (a, _) = segment()
    a.icmp.icmp_errors_per_second = 0
    endpoint = a.udp.open()
    assert endpoint.connect(packed("192.0.2.77"), 9) is None
    endpoint.send(b"x")
    net.run_for(4)
    assert endpoint.take_error() is LocalError.EHOSTUNREACH
    assert a.counters["icmp error sent"] == 0
    assert a.counters["icmp error over the limit"] == 0


def test_ar4_a_later_fragment_that_looks_like_anothers_datagram_is_not_its() -> None:
    """AR4: the fragments of one datagram wait together; only the first one tells whose it is."""
    net, (a, _) = segment()
    silent = packed("192.0.2.77")
    mine, other = a.udp.open(), a.udp.open()
    for endpoint, local in ((mine, 1111), (other, 2222)):
        assert endpoint.bind(port=local) is None
        assert endpoint.connect(silent, 9) is None
    looks_like_others = udp.build(A, 2222, silent, 9, b"")
    mine.send(looks_like_others * 500)
    net.run_for(4)
    assert mine.take_error() is LocalError.EHOSTUNREACH
    assert other.take_error() is None
