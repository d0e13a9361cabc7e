"""UDP to many: broadcasts and groups (checklist UD2, UD7)."""

from __future__ import annotations

from test_udp import A, B, bound, hosts, received

from wsock.virtual.addresses import packed
from wsock.virtual.layers import LocalError
from wsock.virtual.network import Network
from wsock.virtual.wire import ipv4, udp


def test_ud2_broadcast_needs_so_broadcast() -> None:
    """UD2: EACCES without it; with it every host of the segment gets the datagram."""
    net, (a, b, c) = hosts("abc")
    listeners = [bound(host, 67) for host in (a, b, c)]
    sender = a.udp.open()
    for address in ("255.255.255.255", "192.0.2.255"):
        assert sender.send(b"who?", packed(address), 67) is LocalError.EACCES
    sender.broadcast = True
    assert sender.send(b"who?", packed("255.255.255.255"), 67) is None
    net.run_until_quiet()
    assert [received(listener) for listener in listeners] == [[b"who?"]] * 3


def test_ud7_members_of_a_group_get_what_is_sent_to_it() -> None:
    """UD7: join, leave; a host that has not joined hears nothing; TTL 1."""
    net, (a, b, c) = hosts("abc")
    group = packed("239.1.1.1")
    members = [bound(host, 5000) for host in (a, b, c)]
    assert members[1].join(group) is None
    sender = a.udp.open()
    sender.send(b"one", group, 5000)
    net.run_until_quiet()
    datagram = members[1].receive()
    assert datagram is not None
    assert (datagram.data, datagram.ttl, datagram.destination) == (b"one", 1, group)
    assert received(members[0]) == received(members[2]) == []
    assert members[1].leave(group) is None
    sender.send(b"two", group, 5000)
    net.run_until_quiet()
    assert received(members[1]) == []


def test_ud7_the_senders_own_host_hears_it_unless_loop_is_off() -> None:
    """UD7: IP_MULTICAST_LOOP, on by default, decided by the sender."""
    net, (a, _) = hosts()
    group = packed("239.1.1.1")
    member = bound(a, 5000)
    member.join(group)
    sender = a.udp.open()
    sender.send(b"heard", group, 5000)
    sender.multicast_loop = False
    net.run_until_quiet()
    sender.send(b"not heard", group, 5000)
    net.run_until_quiet()
    assert received(member) == [b"heard"]


def test_ud7_wrong_joins_and_leaves_are_refused() -> None:
    """UD7: no group, joined twice, never joined, no such interface."""
    _, (a, _) = hosts()
    endpoint = a.udp.open()
    group = packed("239.1.1.1")
    assert endpoint.join(A) is LocalError.EINVAL
    assert endpoint.join(group, B) is LocalError.EADDRNOTAVAIL
    assert endpoint.leave(group) is LocalError.EADDRNOTAVAIL
    assert endpoint.join(group) is None
    assert endpoint.join(group) is LocalError.EADDRINUSE


def test_ud7_closing_leaves_the_groups() -> None:
    """UD7: with the last member gone the host does not take the group's packets."""
    _, (a, _) = hosts()
    endpoint = a.udp.open()
    endpoint.join(packed("239.1.1.1"))
    endpoint.close()
    data = ipv4.build(B, packed("239.1.1.1"), 17, udp.build(B, 1, packed("239.1.1.1"), 2, b""))
    a.ipv4.receive(data, a.interfaces["eth0"])
    assert a.counters["ip not for this host"] == 1


def test_a_broadcast_is_not_for_those_bound_to_one_address_or_another_peer() -> None:
    """As on Linux: bound to a unicast address it hears no broadcast."""
    net, (a, b) = hosts()
    exact = bound(b, 53, "192.0.2.2", reuse=True)
    connected = bound(b, 53, reuse=True)
    connected.connect(A, 999)
    connected.local = packed("0.0.0.0")
    wild = bound(b, 53, reuse=True)
    sender = a.udp.open()
    sender.broadcast = True
    sender.send(b"x", packed("255.255.255.255"), 53)
    net.run_until_quiet()
    assert [e.waiting for e in (exact, connected, wild)] == [0, 0, 1]


def test_ud7_ttl_0_stays_in_the_host() -> None:
    """UD7: such a datagram reaches members on this host, and no wire."""
    net, (a, b) = hosts()
    group = packed("239.1.1.1")
    members = [bound(a, 5000), bound(b, 5000)]
    for member in members:
        member.join(group)
    sender = a.udp.open()
    sender.multicast_ttl = 0
    sender.send(b"here", group, 5000)
    net.run_until_quiet()
    assert [received(member) for member in members] == [[b"here"], []]


def test_ud7_a_group_on_loopback() -> None:
    """Join and send with the interface 127.0.0.1, as on a machine without a network."""
    net = Network(4)
    host = net.host("localhost")
    group, loopback = packed("239.1.2.3"), packed("127.0.0.1")
    receivers = [host.udp.open() for _ in range(2)]
    for receiver in receivers:
        receiver.reuse = True
        assert receiver.bind(port=5000) is None
        assert receiver.join(group, loopback) is None
    sender = host.udp.open()
    sender.multicast_interface = loopback
    assert sender.send(b"to the group", group, 5000) is None
    net.run_until_quiet()
    for receiver in receivers:
        datagram = receiver.receive()
        assert datagram is not None
        assert (datagram.data, datagram.source) == (b"to the group", loopback)
        assert receiver.receive() is None
