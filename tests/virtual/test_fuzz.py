"""Any bytes at any parser and any interface: a counter, never an exception (IP10)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from talkers import Talker, dial, serve

from wsock.virtual.addresses import packed
from wsock.virtual.layers import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP
from wsock.virtual.network import Network
from wsock.virtual.probes import Ping
from wsock.virtual.tcp.options import parse_options
from wsock.virtual.tcp.segment import build as build_segment
from wsock.virtual.tcp.segment import parse as parse_segment
from wsock.virtual.wire import arp, ethernet, icmp, ipv4, udp

#: a, the router's two addresses, b, nobody, everybody, a group, loopback
ADDRESSES = [
    packed(text)
    for text in (
        "192.0.2.1", "192.0.2.2", "10.0.0.1", "10.0.0.2", "203.0.113.5", "255.255.255.255",
        "192.0.2.255", "224.0.0.1", "127.0.0.1", "0.0.0.0",
    )
]  # fmt: skip

addresses = st.sampled_from(ADDRESSES)
words = st.integers(0, 0xFFFF)
numbers = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
ports = st.sampled_from([0, 9, 80, 53, 65535])
flags_offsets = st.sampled_from([0, 0, 0, 0x2000, 0x4000, 1, 0x2001, 0x3FFF, 0x1FFF, 0x8000])


@given(st.binary(max_size=100))
def test_ip10_no_parser_raises(data: bytes) -> None:
    """IP10: every parser takes any bytes."""
    view = memoryview(data)
    ipv4.parse(data)
    icmp.parse(data)
    arp.parse(data)
    ethernet.parse(data)
    udp.parse(ADDRESSES[0], ADDRESSES[1], view)
    parse_segment(ADDRESSES[0], ADDRESSES[1], view)
    parse_options(view)
    ipv4.options_for_fragments(data)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[int, bytes]:
    """A protocol number and something that may well be a packet of it, checksum right."""
    kind = draw(st.sampled_from(["udp", "tcp", "icmp", "quote", "bytes"]))
    source, destination = draw(addresses), draw(addresses)
    if kind == "udp":
        data = draw(st.binary(max_size=30))
        return PROTOCOL_UDP, udp.build(source, draw(ports), destination, draw(ports), data)
    if kind == "tcp":
        options = draw(st.binary(max_size=40))
        options += bytes(-len(options) & 3)
        segment = build_segment(
            source, destination, draw(ports), draw(ports), draw(numbers), draw(numbers),
            draw(st.integers(0, 255)), draw(words), draw(words), options,
            draw(st.binary(max_size=30)),
        )  # fmt: skip
        return PROTOCOL_TCP, bytes(segment)
    if kind == "icmp":
        message = icmp.build(
            draw(st.integers(0, 20)), draw(st.integers(0, 20)), draw(numbers),
            draw(st.binary(max_size=60)),
        )  # fmt: skip
        return PROTOCOL_ICMP, message
    if kind == "quote":
        quoted = ipv4.build(
            source, destination, draw(st.sampled_from([1, 6, 17, 99])), draw(st.binary(max_size=40))
        )
        body = quoted[: draw(st.integers(0, len(quoted)))]
        type_ = draw(st.sampled_from(sorted(icmp.ERRORS)))
        return PROTOCOL_ICMP, icmp.build(type_, draw(st.integers(0, 15)), draw(numbers), body)
    return draw(st.sampled_from([1, 2, 6, 17, 99])), draw(st.binary(max_size=60))


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """An IP packet, sound or cut off or changed in one byte."""
    protocol, payload = draw(payloads())
    options = draw(st.sampled_from([b"", b"", bytes(4), b"\x88\x04ab", b"\x07\xff\x04\x00"]))
    data = bytearray(
        ipv4.build(
            draw(addresses), draw(addresses), protocol, payload,
            ttl=draw(st.sampled_from([0, 1, 2, 64])), tos=draw(st.integers(0, 255)),
            identification=draw(st.sampled_from([0, 1])), flags_offset=draw(flags_offsets),
            options=options,
        )
    )  # fmt: skip
    if draw(st.booleans()) and draw(st.booleans()):
        data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    return bytes(data[: draw(st.sampled_from([len(data)] * 5 + [19, 25]))])


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """An Ethernet frame to one adapter, to all, or to another."""
    mac = st.sampled_from([b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2", ethernet.BROADCAST, bytes(6)])
    kind = draw(st.sampled_from(["ip", "arp", "bytes"]))
    if kind == "arp":
        packet = arp.ArpPacket(
            draw(st.integers(0, 3)), draw(mac), draw(addresses), draw(mac), draw(addresses)
        )
        return ethernet.build(draw(mac), draw(mac), ethernet.TYPE_ARP, arp.build(packet))
    if kind == "ip":
        return ethernet.build(draw(mac), draw(mac), ethernet.TYPE_IPV4, draw(packets()))
    return draw(st.binary(max_size=80))


@settings(max_examples=150)
@given(st.lists(st.one_of(frames(), packets(), st.binary(max_size=64)), max_size=12))
def test_ip10_any_bytes_at_any_interface_are_counted_and_nothing_raises(data: list[bytes]) -> None:
    """IP10: a host, a router and a host with sockets of all kinds take whatever comes."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24")
    a, router, b = net.host("a", lan), net.router("r", lan), net.host("b")
    net.link(router, b)
    net.fill_routes()
    for host in (a, b):
        serve(host, 80, Talker)
        assert host.udp.open().bind(port=53) is None
        host.raw.open(99)
        host.raw.open(PROTOCOL_ICMP)
        host.udp.open().join(packed("224.0.0.1"))
    talker = Talker()
    dial(a, talker, packed(str(b.address)), 80)
    net.run_until(lambda: "connected" in talker.events)
    for number, item in enumerate(data):
        for host in (a, router, b):
            for wire in host.wires:
                net.inject(item, wire, frame=True)
        if number % 3 == 2:
            net.run_for(0.5)
    net.run_for(100.0)
    talker.send(b"still alive")
    net.run_for(1.0)
    assert net.traffic.in_flight == 0
    assert ping_works(net)


def ping_works(net: Network) -> bool:
    """Whether the network still carries a ping from end to end."""

    ping = Ping(net.hosts["b"], str(net.hosts["a"].address), count=3, timeout=4.0)
    net.run_until(lambda: ping.done)
    return any(not reply.error for reply in ping.replies)
