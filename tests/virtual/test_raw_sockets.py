"""Ping and tracert as programs over SOCK_RAW of a virtual host (fact S1-11)."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest

from wsock import Stack, errors
from wsock.afd import DatagramEndpoint, get_option, set_option
from wsock.tdi import addresses
from wsock.virtual.network import Network
from wsock.virtual.tdi_provider import VirtualProvider
from wsock.virtual.wire import icmp

if TYPE_CHECKING:
    from wsock.virtual.node import HostCore


def way() -> tuple[Network, HostCore, HostCore, DatagramEndpoint]:
    """A chain a - r1 - r2 - b, and a raw ICMP socket on a."""
    net = Network(3)
    a, _, _, b = net.chain("a", "r1", "r2", "b", latency=0.001)
    endpoint = Stack("a", provider=VirtualProvider(a)).open(
        std.AF_INET, std.SOCK_RAW, std.IPPROTO_ICMP
    )
    assert isinstance(endpoint, DatagramEndpoint)
    return net, a, b, endpoint


def at(host: HostCore | str) -> bytes:
    """The packed address of a host."""
    where = host if isinstance(host, str) else str(host.address)
    return addresses.pack(std.AF_INET, (where, 0))


def answer(net: Network, endpoint: DatagramEndpoint) -> tuple[icmp.IcmpMessage, str]:
    """Run until quiet; return the one message that came, and from whom."""
    net.run_until_quiet()
    data, cut, source = endpoint.recvfrom(65535)
    assert not cut
    message = icmp.parse(data[(data[0] & 15) << 2 :])
    assert isinstance(message, icmp.IcmpMessage)
    return message, addresses.unpack(std.AF_INET, source)[0]


def test_s1_11_ping_by_a_raw_socket() -> None:
    """S1-11: an echo request out, an echo reply in, with its IP header; the round trip is seen."""
    net, _, b, endpoint = way()
    start = net.time
    endpoint.sendto(icmp.build_echo(icmp.ECHO_REQUEST, 7, 1, b"alive?"), at(b))
    message, source = answer(net, endpoint)
    assert (message.type, message.identifier, bytes(message.body)) == (0, 7, b"alive?")
    assert source == str(b.address)
    assert net.time - start == pytest.approx(0.006)


def test_s1_11_tracert_by_a_raw_socket() -> None:
    """S1-11: TTL 1, 2, 3 set on the socket: time exceeded by each router, then the reply."""
    net, _, b, endpoint = way()
    path = []
    for ttl in range(1, 5):
        set_option(endpoint, std.IPPROTO_IP, std.IP_TTL, ttl)
        endpoint.sendto(icmp.build_echo(icmp.ECHO_REQUEST, 7, ttl, b""), at(b))
        message, source = answer(net, endpoint)
        path.append((message.type, source))
        if message.type == icmp.ECHO_REPLY:
            break
    assert path == [(11, "10.0.0.2"), (11, "10.0.0.6"), (0, "10.0.0.10")]


def test_options_of_a_raw_socket() -> None:
    """TTL as set, the profile's before; an option that does not exist is WSAENOPROTOOPT."""
    _, _, _, endpoint = way()
    assert get_option(endpoint, std.IPPROTO_IP, std.IP_TTL) == 64
    set_option(endpoint, std.IPPROTO_IP, std.IP_HDRINCL, 1)
    set_option(endpoint, std.IPPROTO_IP, std.IP_TOS, 46 << 2)
    assert get_option(endpoint, std.IPPROTO_IP, std.IP_HDRINCL) == 1
    assert get_option(endpoint, std.IPPROTO_IP, std.IP_TOS) == 46 << 2
    with pytest.raises(errors.WSAENOPROTOOPT):
        set_option(endpoint, std.IPPROTO_IP, 250, 1)
    with pytest.raises(errors.WSAENOPROTOOPT):
        get_option(endpoint, std.IPPROTO_IP, 250)


def test_a_raw_socket_that_cannot_send_says_why() -> None:
    """No route is WSAENETUNREACH, a broadcast without the option WSAEACCES."""
    _, _, _, endpoint = way()
    with pytest.raises(errors.WSAEACCES):
        endpoint.sendto(b"12345678", at("255.255.255.255"))
    set_option(endpoint, std.SOL_SOCKET, std.SO_BROADCAST, 1)
    assert endpoint.sendto(b"12345678", at("255.255.255.255")) == 8
    alone = Stack("alone", provider=VirtualProvider(Network().host("alone"))).open(
        std.AF_INET, std.SOCK_RAW, std.IPPROTO_ICMP
    )
    with pytest.raises(errors.WSAENETUNREACH):
        alone.sendto(b"12345678", at("203.0.113.1"))  # type: ignore[union-attr]


def test_a_closed_raw_socket_hears_nothing() -> None:
    """closesocket takes it out of the host's table."""
    net, a, b, endpoint = way()
    endpoint.sendto(icmp.build_echo(icmp.ECHO_REQUEST, 7, 1, b""), at(b))
    endpoint.close()
    net.run_until_quiet()
    assert a.raw.endpoints == []
    with pytest.raises(errors.WSAENOTSOCK):
        endpoint.recvfrom(100)


@pytest.mark.parametrize("protocol", [0, 256, -1])
def test_a_protocol_number_that_does_not_exist_is_refused(protocol: int) -> None:
    """One byte in the header, and 0 is no protocol of raw sockets."""
    stack = Stack("a", provider=VirtualProvider(Network().host("a")))
    with pytest.raises(errors.WSAError):
        stack.open(std.AF_INET, std.SOCK_RAW, protocol)
