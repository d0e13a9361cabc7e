"""UDP (checklist UD1 to UD7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.profile import TcpProfile
from wsock.virtual.wire import icmp, ipv4, udp
from wsock.virtual.wire.malformed import Malformed

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore
    from wsock.virtual.udp_endpoint import UdpEndpoint

A, B = packed("192.0.2.1"), packed("192.0.2.2")


def hosts(names: str = "ab") -> tuple[Network, list[HostCore]]:
    """Hosts 192.0.2.1, .2, ... on one segment."""
    net = Network(9)
    lan = net.segment("lan", "192.0.2.0/24")
    return net, [net.host(name, lan) for name in names]


def bound(host: HostCore, port: int, local: str = "0.0.0.0", **options: bool) -> UdpEndpoint:
    """An endpoint that has the port."""
    endpoint = host.udp.open()
    for name, value in options.items():
        setattr(endpoint, name, value)
    assert endpoint.bind(packed(local), port) is None
    return endpoint


def received(endpoint: UdpEndpoint) -> list[bytes]:
    """Take all that waits."""
    result = []
    while (datagram := endpoint.receive()) is not None:
        result.append(datagram.data)
    return result


@given(st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=100))
def test_ud1_header_and_checksum_round_trip(source: int, destination: int, data: bytes) -> None:
    """UD1: ports, length, data come back; a changed byte does not."""
    raw = udp.build(A, source, B, destination, data)
    datagram = udp.parse(A, B, memoryview(raw))
    assert isinstance(datagram, udp.Datagram)
    assert (datagram.source_port, datagram.destination_port) == (source, destination)
    assert bytes(datagram.data) == data
    damaged = bytearray(raw)
    damaged[0] ^= 1
    assert udp.parse(A, B, memoryview(damaged)) == "udp bad checksum"


def test_ud1_a_checksum_that_comes_out_as_0_is_sent_as_ffff() -> None:
    """UD1: 0 would mean that there is none."""
    empty = udp.build(A, 1, B, 2, b"\0\0")
    missing = int.from_bytes(empty[6:8], "big")
    raw = udp.build(A, 1, B, 2, missing.to_bytes(2, "big"))
    assert raw[6:8] == b"\xff\xff"
    assert isinstance(udp.parse(A, B, memoryview(raw)), udp.Datagram)


def test_ud1_a_received_checksum_of_0_means_none() -> None:
    """UD1: such a datagram is taken as it is."""
    raw = bytearray(udp.build(A, 1, B, 2, b"unchecked"))
    raw[6:8] = b"\0\0"
    datagram = udp.parse(A, B, memoryview(raw))
    assert isinstance(datagram, udp.Datagram)
    assert bytes(datagram.data) == b"unchecked"


@pytest.mark.parametrize("length", [0, 7, 100])
def test_ud1_a_wrong_length_is_dropped(length: int) -> None:
    """UD1: shorter than the header or longer than the packet is no datagram."""
    raw = bytearray(udp.build(A, 1, B, 2, b"abc"))
    raw[4:6] = length.to_bytes(2, "big")
    assert isinstance(udp.parse(A, B, memoryview(raw)), Malformed)


def test_ud2_s2_5_the_same_port_cannot_be_bound_twice() -> None:
    """UD2, S2-5: wildcard against exact is a conflict too; another address is none."""
    net, (a, _) = hosts()
    net.link(a, net.host("c"))
    bound(a, 53, "192.0.2.1")
    again = a.udp.open()
    assert again.bind(A, 53) is LocalError.EADDRINUSE
    assert again.bind(port=53) is LocalError.EADDRINUSE
    assert again.bind(packed("10.0.0.1"), 53) is None
    assert again.bind(port=54) is LocalError.EINVAL  # bound already


def test_ud2_so_reuseaddr_shares_when_both_want_it() -> None:
    """UD2: both must have said so, and none must be exclusive."""
    _, (a, _) = hosts()
    bound(a, 53, reuse=True)
    second, third, fourth = a.udp.open(), a.udp.open(), a.udp.open()
    assert second.bind(port=53) is LocalError.EADDRINUSE
    third.reuse = True
    assert third.bind(port=53) is None
    fourth.reuse = fourth.exclusive = True
    assert fourth.bind(port=53) is LocalError.EADDRINUSE


def test_ud2_a_foreign_address_cannot_be_bound() -> None:
    """UD2: EADDRNOTAVAIL."""
    _, (a, _) = hosts()
    assert a.udp.open().bind(B, 53) is LocalError.EADDRNOTAVAIL


def test_ud2_the_exact_address_is_preferred_to_the_wildcard() -> None:
    """UD2: the endpoint that knows more about the datagram gets it."""
    net, (a, b) = hosts()
    wild = bound(b, 53, reuse=True)
    exact = bound(b, 53, "192.0.2.2", reuse=True)
    a.udp.open().send(b"x", B, 53)
    net.run_until_quiet()
    assert received(exact) == [b"x"]
    assert received(wild) == []


def test_ud2_a_closed_endpoint_gives_its_port_back() -> None:
    """UD2: close, then the port is free."""
    _, (a, _) = hosts()
    first = bound(a, 53)
    first.close()
    bound(a, 53)


def test_ud2_ephemeral_ports_are_the_profiles_and_never_one_that_is_taken() -> None:
    """UD2, D5: windows2000 takes 1024 to 5000; when all are taken, EADDRINUSE."""
    net = Network()
    a = net.host("a", profile="windows2000")
    ports = set()
    for _ in range(5000 - 1024 + 1):
        endpoint = a.udp.open()
        assert endpoint.bind() is None
        ports.add(endpoint.local_port)
    assert ports == set(range(1024, 5001))
    assert a.udp.open().bind() is LocalError.EADDRINUSE


def test_ud3_a_connected_socket_hears_its_peer_only() -> None:
    """UD3: datagrams from others go elsewhere, or are answered port unreachable."""
    net, (a, b, c) = hosts("abc")
    endpoint = bound(b, 53)
    endpoint.connect(A, 1000)
    bound(a, 1000).send(b"from the peer", B, 53)
    bound(c, 1000).send(b"from another", B, 53)
    bound(a, 1001).send(b"another port", B, 53)
    net.run_until_quiet()
    assert received(endpoint) == [b"from the peer"]
    endpoint.disconnect()
    c.udp.open().send(b"now all", B, 53)
    net.run_until_quiet()
    assert received(endpoint) == [b"now all"]


def test_ud4_over_long_is_emsgsize_and_over_mtu_comes_in_fragments() -> None:
    """UD4: 65,507 bytes are the most; more than the MTU travels in pieces."""
    net, (a, b) = hosts()
    endpoint = bound(b, 53)
    endpoint.receive_limit = 200_000
    cap = net.capture(a)
    sender = a.udp.open()
    assert sender.send(bytes(65_508), B, 53) is LocalError.EMSGSIZE
    data = bytes(i % 251 for i in range(4000))
    assert sender.send(data, B, 53) is None
    assert sender.send(bytes(20_000), B, 53) is None
    net.run_until_quiet()
    assert received(endpoint) == [data, bytes(20_000)]
    assert len(cap.filter("ip.frag_offset > 0")) == 2 + 13


def test_ud4_dont_fragment_over_the_mtu_is_emsgsize() -> None:
    """UD4: with DF the caller learns at once."""
    _, (a, _) = hosts()
    sender = a.udp.open()
    sender.dont_fragment = True
    assert sender.send(bytes(1473), B, 53) is LocalError.EMSGSIZE
    assert sender.send(bytes(1472), B, 53) is None


def test_ud5_a_full_receive_queue_drops_the_newest() -> None:
    """UD5: what waits already stays; the drop is counted."""
    net, (a, b) = hosts()
    endpoint = bound(b, 53)
    endpoint.receive_limit = 3 * (100 + 64)
    sender = a.udp.open()
    for number in range(5):
        sender.send(bytes([number]) * 100, B, 53)
    net.run_until_quiet()
    assert [data[0] for data in received(endpoint)] == [0, 1, 2]
    assert b.counters["udp receive queue full"] == 2


def test_ud5_peek_leaves_the_datagram_and_available_tells_its_length() -> None:
    """UD5: MSG_PEEK, FIONREAD; the whole datagram is there, so a cut is seen (MSG_TRUNC)."""
    net, (a, b) = hosts()
    endpoint = bound(b, 53)
    a.udp.open().send(b"datagram", B, 53)
    net.run_until_quiet()
    assert endpoint.available == 8
    peeked = endpoint.receive(peek=True)
    assert peeked == endpoint.receive()
    assert endpoint.receive() is None


def test_ud6_an_empty_datagram_is_a_datagram() -> None:
    """UD6: it arrives, it counts as waiting, and its length is 0."""
    net, (a, b) = hosts()
    endpoint = bound(b, 53)
    a.udp.open().send(b"", B, 53)
    net.run_until_quiet()
    assert (endpoint.waiting, endpoint.available) == (1, 0)
    assert received(endpoint) == [b""]


def test_send_emits_nothing_before_the_flush_and_in_the_order_of_keys() -> None:
    """D2: the order of calls inside one instant does not reach the wire, that of keys does."""
    orders = []
    for names in (["x", "y"], ["y", "x"]):
        net, (a, _) = hosts()
        endpoints = {"x": bound(a, 100), "y": bound(a, 200)}
        cap = net.capture(a)
        for name in names:
            endpoints[name].send(name.encode(), B, 9)
        assert len(cap) == 0
        net.run_until_quiet()
        orders.append([bytes(p.udp.data) for p in cap.filter("udp") if p.udp])
    assert orders[0] == orders[1] == [b"x", b"y"]


def test_s4_2_a_question_and_its_answer_are_one_packet_each() -> None:
    """S4-2: a DNS-like look-up over UDP: one packet each way, nothing else."""
    net, (a, b) = hosts()
    server, client = bound(b, 53), a.udp.open()

    def answer() -> None:
        question = server.receive()
        assert question is not None
        server.send(b"192.0.2.7", question.source, question.source_port)

    server.on_readable = answer
    cap = net.capture(a)
    client.connect(B, 53)
    client.send(b"www.example?")
    net.run_until_quiet()
    assert received(client) == [b"192.0.2.7"]
    cap.assert_sequence("UDP", "UDP", where="udp")


def test_dscp_and_ttl_of_a_socket_are_on_its_packets() -> None:
    """S1-54: the codepoint set on the socket round-trips; so does the TTL."""
    net, (a, _) = hosts()
    endpoint = a.udp.open()
    endpoint.dscp, endpoint.ttl = 46, 7
    cap = net.capture(a)
    endpoint.send(b"x", B, 9)
    net.run_until_quiet()
    assert len(cap.filter("ip.dsfield.dscp == 46 && ip.ttl == 7")) == 1


def test_sends_that_cannot_be_are_refused_at_once() -> None:
    """No peer, port 0, no route, no address for a join."""
    net, (a, _) = hosts()
    alone = net.host("alone").udp.open()
    endpoint = a.udp.open()
    far = packed("203.0.113.1")
    assert endpoint.send(b"x") is LocalError.EDESTADDRREQ
    assert endpoint.send(b"x", B, 0) is LocalError.EINVAL
    assert endpoint.send(b"x", far, 9) is LocalError.ENETUNREACH
    assert endpoint.connect(far, 9) is LocalError.ENETUNREACH
    assert endpoint.connect(packed("192.0.2.255"), 9) is LocalError.EACCES
    assert alone.join(packed("239.1.1.1")) is LocalError.ENETUNREACH
    assert endpoint.leave(A) is LocalError.EINVAL


def test_no_ephemeral_port_is_an_error_of_the_call() -> None:
    """Connect and send bind by themselves, and say so when they cannot."""
    net = Network()
    a = net.host("a", profile=TcpProfile(name="tiny", ephemeral_ports=(5000, 5000)))
    bound(a, 5000)
    endpoint = a.udp.open()
    assert endpoint.connect(packed("127.0.0.1"), 9) is LocalError.EADDRINUSE
    assert endpoint.send(b"x", packed("127.0.0.1"), 9) is LocalError.EADDRINUSE


def test_an_error_between_send_and_flush_is_told_to_the_socket() -> None:
    """The route went away inside the instant: a connected socket learns."""
    net, (a, _) = hosts()
    endpoint = a.udp.open()
    endpoint.connect(B, 9)
    assert endpoint.send(b"x") is None
    assert a.routes.remove(int.from_bytes(packed("192.0.2.0"), "big"), 24)
    assert not a.routes.remove(0, 0)
    net.run_until_quiet()
    assert endpoint.take_error() is LocalError.ENETUNREACH


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        (3, 0, LocalError.ENETUNREACH), (3, 13, LocalError.EHOSTUNREACH),
        (11, 0, LocalError.EHOSTUNREACH), (12, 0, LocalError.EPROTO), (4, 0, None),
    ],
)  # fmt: skip
def test_icmp_errors_have_their_errno(kind: int, code: int, error: LocalError | None) -> None:
    """RFC 1122 section 4.1.3.3; source quench means nothing (RFC 6633)."""
    net, (a, _) = hosts()
    endpoint = bound(a, 1000)
    other = bound(a, 1001)
    endpoint.connect(B, 9)
    quoted = ipv4.build(A, B, 17, udp.build(A, 1000, B, 9, b"x"))
    a.ipv4.receive(ipv4.build(B, A, 1, icmp.build(kind, code, 0, quoted)), a.interfaces["eth0"])
    net.run_until_quiet()
    assert endpoint.take_error() is error
    assert other.take_error() is None


def test_closing_twice_is_no_error_and_sends_what_was_accepted() -> None:
    """close gives the port back at once; the outbox still leaves."""
    net, (a, b) = hosts()
    receiver, sender = bound(b, 53), bound(a, 1000)
    sender.send(b"last words", B, 53)
    sender.close()
    sender.close()
    net.run_until_quiet()
    assert received(receiver) == [b"last words"]
    assert "1000" in repr(sender)
