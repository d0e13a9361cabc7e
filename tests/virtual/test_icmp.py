"""ICMP (checklist IC1 to IC4, IC6): echo, errors, who gets them, and when none is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from talkers import Talker

from wsock.virtual.addresses import packed
from wsock.virtual.layers import PROTOCOL_ICMP, PROTOCOL_TCP, LocalError
from wsock.virtual.network import Network
from wsock.virtual.tcp import Connection
from wsock.virtual.wire import icmp, ipv4, udp

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore

A, B = packed("10.0.0.1"), packed("10.0.0.2")


def linked() -> tuple[Network, HostCore, HostCore]:
    """Two hosts at 10.0.0.1 and 10.0.0.2."""
    net = Network(5)
    a, b = net.host("a"), net.host("b")
    net.link(a, b, latency=0.001)
    return net, a, b


def deliver_to_b(net: Network, b: HostCore, data: bytes) -> list[str]:
    """Deliver bytes at b; return the names of what b sends because of them."""
    cap = net.capture(b.wires[0])
    b.interfaces["eth0"].deliver(data)
    net.run_until_quiet()
    return [packet.name for packet in cap.packets if packet.outgoing]


@pytest.mark.parametrize("size", [0, 1, 56, 4000])
def test_ic1_an_echo_comes_back_with_id_sequence_and_data(size: int) -> None:
    """IC1: same identifier, same sequence number, same data, also when it comes in fragments."""
    net, a, _ = linked()
    raw = a.raw.open(PROTOCOL_ICMP)
    data = bytes(i % 251 for i in range(size))
    assert raw.send(icmp.build_echo(icmp.ECHO_REQUEST, 0x1234, 7, data), B) is None
    net.run_until_quiet()
    reply = raw.receive()
    assert reply is not None
    message = icmp.parse(reply.data[20:])
    assert isinstance(message, icmp.IcmpMessage)
    assert (message.type, message.identifier, message.sequence) == (icmp.ECHO_REPLY, 0x1234, 7)
    assert bytes(message.body) == data


def test_ic2_s4_3_a_closed_udp_port_is_answered_3_3_quoting_the_packet() -> None:
    """IC2, S4-3: port unreachable, with the IP header and more than 8 bytes of the datagram."""
    net, a, _ = linked()
    cap = net.capture(a)
    a.udp.open().send(b"question", B, 9)
    net.run_until_quiet()
    sent, answer = cap.packets
    assert answer.icmp is not None
    assert answer.name == "ICMP port unreachable"
    assert bytes(answer.icmp.body) == sent.data


def test_ic2_an_unknown_protocol_is_answered_3_2() -> None:
    """IC2: protocol unreachable."""
    net, _, b = linked()
    sent = deliver_to_b(net, b, ipv4.build(A, B, 250, b"12345678"))
    assert sent == ["ICMP protocol unreachable"]


def datagram(**changes: object) -> bytes:
    """A UDP datagram from a to a closed port of b, with fields of the packet changed."""
    fields: dict[str, object] = {"source": A, "destination": B} | changes
    source, destination = fields.pop("source"), fields.pop("destination")
    payload = udp.build(source, 1000, destination, 9, b"x")  # type: ignore[arg-type]
    return ipv4.build(source, destination, 17, payload, **fields)  # type: ignore[arg-type]


def about_an_error() -> bytes:
    """An ICMP error to b about a packet that b never sent, wrapped as protocol 1."""
    return ipv4.build(A, B, 1, icmp.build(3, 3, 0, datagram()))


@pytest.mark.parametrize(
    "data",
    [
        about_an_error(),
        datagram(destination=b"\xff\xff\xff\xff"),
        datagram(destination=packed("10.0.0.3")),  # the directed broadcast of 10.0.0.0/30
        datagram(destination=packed("224.0.0.1")),
        datagram(flags_offset=3),
        datagram(source=packed("10.0.0.3")),
    ],
    ids=["about an error", "broadcast", "directed", "group", "later fragment", "from a broadcast"],
)
def test_ic3_no_error_is_sent_about(data: bytes) -> None:
    """IC3: never about an ICMP error, a later fragment, broadcast or multicast, or a bad source."""
    net, _, b = linked()
    assert deliver_to_b(net, b, data) == []


@pytest.mark.parametrize(("offset", "sent"), [(0, ["ICMP time exceeded"]), (3, [])])
def test_ic3_a_router_complains_of_a_first_fragment_only(offset: int, sent: list[str]) -> None:
    """IC3: who gets the error could not know what a later one belongs to."""
    net = Network(5)
    a, r, b = net.host("a"), net.router("r"), net.host("b")
    net.link(a, r)
    net.link(r, b)
    far = packed(str(b.address))
    data = datagram(destination=far, ttl=1, flags_offset=ipv4.MORE_FRAGMENTS | offset)
    assert deliver_to_b(net, r, data) == sent


def test_ic3_an_empty_icmp_packet_is_not_complained_of() -> None:
    """IC3: nobody can tell that it is no error."""
    net = Network(5)
    a, r, b = net.host("a"), net.router("r"), net.host("b")
    net.link(a, r)
    net.link(r, b)
    data = ipv4.build(A, packed(str(b.address)), PROTOCOL_ICMP, b"", ttl=1)
    assert deliver_to_b(net, r, data) == []


def test_ic2_an_error_comes_from_the_address_that_was_asked() -> None:
    """IC2: a host with two addresses answers from the one in question (RFC 1122, 3.2.2)."""
    net = Network(5)
    a, r, b = net.host("a"), net.router("r"), net.host("b")
    net.link(a, r)
    net.link(r, b)
    a.add_route("0.0.0.0/0", r)
    far = r.wires[1].address
    cap = net.capture(a)
    a.udp.open().send(b"x", far, 9)
    net.run_until_quiet()
    assert cap.packets[-1].name == "ICMP port unreachable"
    assert cap.packets[-1].ip is not None
    assert cap.packets[-1].ip.source == far


def test_ic1_an_echo_keeps_the_codepoint() -> None:
    """IC1: the answer is treated on its way as the question was (RFC 1349 section 5.1)."""
    net, _, b = linked()
    cap = net.capture(b)
    echo = icmp.build_echo(icmp.ECHO_REQUEST, 1, 1, b"x")
    b.interfaces["eth0"].deliver(ipv4.build(A, B, PROTOCOL_ICMP, echo, tos=46 << 2))
    net.run_until_quiet()
    (reply,) = [packet for packet in cap.packets if packet.outgoing]
    assert reply.ip is not None
    assert reply.ip.dscp == 46


def test_ip5_what_was_put_together_has_the_codepoint_of_its_first_fragment() -> None:
    """IP5: the echo of a packet that came in pieces keeps it, too."""
    net, _, b = linked()
    cap = net.capture(b)
    echo = icmp.build_echo(icmp.ECHO_REQUEST, 1, 1, bytes(2000))
    whole = ipv4.parse(ipv4.build(A, B, PROTOCOL_ICMP, echo, tos=46 << 2, identification=7))
    assert isinstance(whole, ipv4.Ipv4Packet)
    for piece in ipv4.fragments(whole, 1500):
        b.interfaces["eth0"].deliver(piece)
    net.run_until_quiet()
    replies = [packet.ip for packet in cap.packets if packet.outgoing]
    assert [ip.dscp for ip in replies if ip is not None] == [46, 46]


def test_ic3_an_error_is_sent_about_an_ordinary_datagram() -> None:
    """IC3, the other side: the same datagram unchanged is answered."""
    net, _, b = linked()
    assert deliver_to_b(net, b, datagram()) == ["ICMP port unreachable"]


def test_ic4_s4_3_a_connected_udp_socket_gets_econnrefused_and_others_do_not() -> None:
    """IC4, S4-3: the error reaches the socket that sent, once; a neighbour hears nothing."""
    net, a, _ = linked()
    connected, other = a.udp.open(), a.udp.open()
    connected.connect(B, 9)
    other.connect(B, 10)
    connected.send(b"x")
    net.run_until_quiet()
    assert other.take_error() is None
    assert connected.send(b"y") is LocalError.ECONNREFUSED
    assert connected.send(b"y") is None


def test_ic4_an_unconnected_socket_is_told_but_keeps_no_error() -> None:
    """RFC 1122 section 4.1.3.3: the error is reported with the address it is about."""
    net, a, _ = linked()
    told: list[tuple[LocalError, bytes, int]] = []
    endpoint = a.udp.open()
    endpoint.on_error = lambda *what: told.append(what)
    endpoint.send(b"x", B, 9)
    net.run_until_quiet()
    assert told == [(LocalError.ECONNREFUSED, B, 9)]
    assert endpoint.take_error() is None


@pytest.mark.parametrize(
    ("profile", "seconds", "destination", "event"),
    [
        ("rfc", 183.0, "192.0.2.9", "failed ENETUNREACH"),  # 3/0 of the router: soft
        ("rfc", 183.0, "10.1.0.9", "failed EHOSTUNREACH"),  # 3/1: nobody answers the router's ARP
        ("rfc", 0.0, "10.1.0.2", "failed ENOPROTOOPT"),  # 3/2: a host without TCP
    ],
)
def test_ic4_tcp_is_told_through_a_router(
    profile: str, seconds: float, destination: str, event: str
) -> None:
    """IC4, line 58: soft errors are the reason at the end, hard ones the end while connecting."""
    net = Network(5)
    lan = net.segment("lan", "10.1.0.0/24")
    router = net.router("r", lan)
    bare = net.host("bare", lan)
    a = net.host("a", profile=profile)
    net.link(a, router)
    net.fill_routes()
    a.add_route("0.0.0.0/0", router)
    del bare.ipv4.transports[PROTOCOL_TCP]
    talker = Talker()
    connection = a.tcp.connect(talker, packed(destination), 80)
    assert isinstance(connection, Connection)
    net.run_for(400.0)
    assert talker.events == [event]
    assert connection.trace[-1].time_ns / 1e9 == pytest.approx(seconds, abs=0.01)


def test_an_error_about_a_packet_of_somebody_else_is_dropped() -> None:
    """A quote whose source is no address of ours is not believed."""
    net, _, b = linked()
    deliver_to_b(net, b, about_an_error())
    assert b.counters["icmp error about nothing we sent"] == 1


def told_of(change: tuple[int, int]) -> tuple[HostCore, LocalError | None]:
    """A connected socket gets 3/3 about its datagram, one byte of whose header is another."""
    net, a, _ = linked()
    endpoint = a.udp.open()
    assert endpoint.bind(port=1111) is None
    assert endpoint.connect(B, 9) is None
    quote = bytearray(ipv4.build(A, B, 17, udp.build(A, 1111, B, 9, b"x")))
    quote[change[0]] = change[1]
    error = icmp.build(icmp.UNREACHABLE, icmp.PORT_UNREACHABLE, 0, bytes(quote))
    a.interfaces["eth0"].deliver(ipv4.build(B, A, PROTOCOL_ICMP, error))
    net.run_until_quiet()
    return a, endpoint.take_error()


def test_ic4_an_error_is_believed_for_what_it_quotes() -> None:
    """IC4: the quote as it was sent; and a first fragment, which has MF and the ports."""
    assert told_of((0, 0x45))[1] is LocalError.ECONNREFUSED
    assert told_of((6, 0x20))[1] is LocalError.ECONNREFUSED


def test_an_error_that_quotes_another_ip_version_is_dropped() -> None:
    """No packet of ours begins so, whatever stands where IPv4 has its source."""
    host, error = told_of((0, 0x65))
    assert error is None
    assert host.counters["icmp error about nothing we sent"] == 1


@pytest.mark.parametrize("byte", [6, 7])
def test_ic4_an_error_about_a_later_fragment_of_ours_concerns_nobody(byte: int) -> None:
    """IC3 forbids to send it; what it quotes are bytes of the datagram, and no ports."""
    host, error = told_of((byte, 1))
    assert error is None
    assert host.counters["icmp error about a later fragment"] == 1


def test_ic6_errors_are_limited_for_each_host_and_the_limit_can_be_switched_off() -> None:
    """IC6: at most so many in one second to one host; None for no limit."""
    net, _, b = linked()
    b.icmp.icmp_errors_per_second = 5
    assert sum(len(deliver_to_b(net, b, datagram())) for _ in range(20)) == 5
    net.run_for(1)
    assert len(deliver_to_b(net, b, datagram())) == 1
    b.icmp.icmp_errors_per_second = None
    assert sum(len(deliver_to_b(net, b, datagram())) for _ in range(20)) == 20


def test_an_error_is_never_longer_than_576_bytes() -> None:
    """RFC 1812 section 4.3.2.3: it must reach everybody."""
    net, a, _ = linked()
    cap = net.capture(a)
    a.udp.open().send(bytes(1400), B, 9)
    net.run_until_quiet()
    assert len(cap.packets[1].data) == 576


def test_an_echo_to_everybody_is_not_answered() -> None:
    """RFC 1122 section 3.2.2.6: one packet must not wake a crowd."""
    net, _, b = linked()
    request = icmp.build_echo(icmp.ECHO_REQUEST, 1, 1, b"")
    assert deliver_to_b(net, b, ipv4.build(A, packed("10.0.0.3"), 1, request)) == []


def test_a_bad_icmp_checksum_is_counted() -> None:
    """A damaged message is dropped unseen."""
    net, _, b = linked()
    request = bytearray(icmp.build_echo(icmp.ECHO_REQUEST, 1, 1, b"abc"))
    request[-1] ^= 1
    assert deliver_to_b(net, b, ipv4.build(A, B, 1, bytes(request))) == []
    assert b.counters["icmp bad checksum"] == 1


def test_a_router_without_mtu_in_its_3_4_makes_us_try_the_next_likely_one() -> None:
    """RFC 1191 section 5: old routers say 0; the plateau below the packet's length is tried."""
    net, a, _ = linked()
    quoted = ipv4.build(A, B, 17, udp.build(A, 1, B, 2, bytes(1400)))
    error = ipv4.build(B, A, 1, icmp.build(3, 4, 0, quoted[:100]))
    a.interfaces["eth0"].deliver(error)
    net.run_until_quiet()
    assert a.ipv4.route(B).mtu == 1006  # type: ignore[union-attr]


def test_redirects_and_unknown_types_are_counted_and_change_nothing() -> None:
    """A redirect is a way to steal traffic; routes here change by hand only."""
    net, a, _ = linked()
    quoted = ipv4.build(A, B, 17, udp.build(A, 1, B, 2, b""))
    before = a.ipv4.route(B)
    for message in (icmp.build(icmp.REDIRECT, 1, 0x0A0000FE, quoted), icmp.build(13, 0, 0, b"")):
        a.interfaces["eth0"].deliver(ipv4.build(B, A, 1, message))
    net.run_until_quiet()
    assert a.ipv4.route(B) == before
    assert a.counters["icmp redirect ignored"] == a.counters["icmp type unknown"] == 1


def test_a_parameter_problem_tells_its_pointer() -> None:
    """ICMP 12: the offset of the byte that is wrong reaches the raw socket."""
    net, a, _ = linked()
    told: list[tuple[int, int]] = []
    raw = a.raw.open(17)
    raw.on_icmp_error = lambda error: told.append((error.type, error.extra))
    quoted = ipv4.build(A, B, 17, udp.build(A, 1, B, 2, b""))
    message = icmp.build(icmp.PARAMETER_PROBLEM, 0, 21 << 24, quoted)
    a.interfaces["eth0"].deliver(ipv4.build(B, A, 1, message))
    net.run_until_quiet()
    assert told == [(12, 21)]
