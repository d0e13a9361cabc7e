"""Networks: building, names, shapes, the manual driver, the flush."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsock.virtual.addresses import packed
from wsock.virtual.conditions import Direction
from wsock.virtual.layers import ANY_ADDRESS, FlushKey
from wsock.virtual.network import Network
from wsock.virtual.probes import Ping
from wsock.virtual.profile import LINUX, PROFILES, TcpProfile

if TYPE_CHECKING:
    from collections.abc import Sequence


def answers(net: Network, source: str, destination: str) -> bool:
    """Whether one host's ping reaches another."""
    ping = Ping(net.hosts[source], str(net.hosts[destination].address), count=1)
    net.run_until(lambda: ping.done)
    return not ping.replies[0].error


def test_names_of_hosts_and_media_are_unique() -> None:
    """A second host or link of one name is a mistake; default link names give way."""
    net = Network()
    a, b = net.host("a"), net.host("b")
    with pytest.raises(ValueError, match="'a' is taken"):
        net.host("a")
    assert [net.link(a, b).name, net.link(a, b).name] == ["a-b", "a-b 2"]
    with pytest.raises(ValueError, match="'a-b' is taken"):
        net.segment("a-b", "192.0.2.0/24")
    with pytest.raises(ValueError, match="no host is called 'nobody'"):
        net.link("a", "nobody")


def test_links_get_addresses_of_their_own_or_those_given() -> None:
    """10.0.0.0/30, 10.0.0.4/30, ...; or as the notes have them, with their MTU."""
    net = Network()
    a, b, c = net.host("a"), net.host("b"), net.host("c")
    net.link(a, b)
    net.link(b, c)
    net.link(a, c, addresses=("100.100.100.103", "100.100.100.105"), mtu=1492)
    assert [str(x) for x in a.addresses] == ["10.0.0.1", "100.100.100.103"]
    assert [str(x) for x in b.addresses] == ["10.0.0.2", "10.0.0.5"]
    assert a.interfaces["eth1"].mtu == 1492
    assert a.eth1 is a.interfaces["eth1"]
    with pytest.raises(AttributeError, match="has no 'eth9'"):
        _ = a.eth9


def test_a_chain_is_hosts_at_the_ends_and_routers_between_with_routes() -> None:
    """``net.chain``: any end reaches any other node."""
    net = Network()
    nodes = net.chain("a", "r1", "r2", "b", latency=0.001)
    assert [node.forwarding for node in nodes] == [False, True, True, False]
    assert answers(net, "a", "b")
    assert answers(net, "b", "r1")
    assert "0.0.0.0/0 via 10.0.0.2 dev eth0" in nodes[0].routes.lines()


def test_a_star_is_a_router_with_hosts_around_it() -> None:
    """``net.star``: leaves reach each other through the center."""
    net = Network()
    center, leaves = net.star("hub", ["a", "b", "c"])
    assert center.forwarding
    assert len(leaves) == 3
    assert answers(net, "a", "c")


def test_shapes_can_be_joined() -> None:
    """A segment behind a chain: ``fill_routes`` finds the way."""
    net = Network()
    _, r, _ = net.chain("a", "r", "b")
    lan = net.segment("lan", "192.0.2.0/24")
    net.host("c", lan)
    net.join(r, lan)
    net.fill_routes()
    assert answers(net, "a", "c")


def test_a_route_needs_a_neighbour() -> None:
    """A gateway must be on a link of the host."""
    net = Network()
    a, _, b = net.chain("a", "r", "b")
    with pytest.raises(ValueError, match="is on no link of a"):
        a.add_route("203.0.113.0/24", b)


def test_profiles_by_name_or_by_hand() -> None:
    """A profile is data; an unknown name lists those there are."""
    net = Network()
    assert net.host("a", profile="linux").profile is LINUX
    assert net.host("b", profile=TcpProfile(name="mine", time_to_live=7)).profile.time_to_live == 7
    with pytest.raises(ValueError, match="there are rfc, linux, windows2000"):
        net.host("c", profile="solaris")
    assert all(profile.syn_retries_on_reset == 0 for profile in PROFILES.values())


# Names.


def test_names_resolve_both_ways_with_aliases_and_several_addresses() -> None:
    """Host names, aliases for all or for one host, localhost, reverse look-up."""
    net = Network()
    a, b = net.host("a.example"), net.host("b.example")
    net.link(a, b)
    net.link(a, b)
    names = net.names
    names.alias("www", "b.example")
    names.alias("db", "a.example", a)
    assert names.resolve("B.Example.") == [packed("10.0.0.2"), packed("10.0.0.6")]
    assert names.resolve("www", a) == names.resolve("b.example")
    assert names.resolve("db", a) == names.resolve("a.example")
    assert names.resolve("localhost") == [packed("127.0.0.1")]
    assert names.resolve("192.0.2.9") == [packed("192.0.2.9")]
    assert names.reverse(packed("10.0.0.6")) == "b.example"
    assert names.reverse(packed("127.0.0.1")) == "localhost"
    for unknown in ("nobody", "db", "1.2.3.x"):
        with pytest.raises(socket.gaierror) as caught:
            names.resolve(unknown, b)
        assert caught.value.errno == socket.EAI_NONAME
    with pytest.raises(socket.gaierror):
        names.reverse(packed("203.0.113.1"))


def test_look_ups_can_be_made_to_fail_or_to_take_time() -> None:
    """``fail``: noname, again, a delay; and healed."""
    net = Network()
    net.link(net.host("a"), net.host("b"))
    for failure, number in (("noname", socket.EAI_NONAME), ("again", socket.EAI_AGAIN)):
        net.names.fail("a", failure)  # type: ignore[arg-type]
        with pytest.raises(socket.gaierror) as caught:
            net.names.resolve("a")
        assert caught.value.errno == number
    net.names.fail("a", delay_s=1.5)
    assert net.names.resolve("a") == [packed("10.0.0.1")]
    assert (net.names.delay_of("a"), net.names.delay_of("b")) == (1.5, 0.0)
    with pytest.raises(ValueError, match="'noname' or 'again'"):
        net.names.fail("a", "never")  # type: ignore[arg-type]


# The flush and the manual driver.


class Endpoint:
    """Notes its flushes."""

    def __init__(self, name: str, port: int, order: list[str]) -> None:
        self.name = name
        self.port = port
        self.order = order

    @property
    def flush_key(self) -> FlushKey:
        """By name, then port."""
        return (self.name, 6, ANY_ADDRESS, self.port, ANY_ADDRESS, 0)

    def flush(self) -> None:
        """Note it."""
        self.order.append(f"{self.name}:{self.port}")


def test_dirty_endpoints_flush_once_and_sorted() -> None:
    """D2: by host name, protocol, addresses and ports; marked twice is flushed once."""
    net = Network()
    order: list[str] = []
    b, a = net.host("b"), net.host("a")
    endpoints = [(b, Endpoint("b", 1, order)), (a, Endpoint("a", 2, order)),
                 (a, Endpoint("a", 1, order))]  # fmt: skip
    for _ in range(2):
        for host, endpoint in endpoints:
            host.mark_dirty(endpoint)
    assert net.is_dirty
    assert net.flush()
    assert order == ["a:1", "a:2", "b:1"]
    assert not net.flush()


def test_endpoints_of_a_paused_host_stay_dirty() -> None:
    """They flush when it goes on."""
    net = Network()
    order: list[str] = []
    host = net.host("a")
    host.mark_dirty(Endpoint("a", 1, order))
    host.pause()
    assert not net.is_dirty
    assert not net.flush()
    host.resume()
    assert net.flush()


def test_the_flush_waits_for_the_end_of_the_instant() -> None:
    """``step`` runs every event of an instant before it flushes."""
    net = Network()
    order: list[str] = []
    host = net.host("a")
    host.mark_dirty(Endpoint("a", 1, order))
    for number in range(2):
        net.at(0.0, order.append, f"event {number}")
    net.run_for(0)
    assert order == ["event 0", "event 1", "a:1"]
    assert not net.step()


def test_run_for_stops_exactly_and_run_until_says_why_it_cannot() -> None:
    """Time stands where it was told to; a condition that cannot come is an error."""
    net = Network()
    net.run_for(1.25)
    assert net.time == 1.25
    with pytest.raises(TimeoutError, match="nothing happens any more"):
        net.run_until(lambda: False)
    net.at(100.0, lambda: None)
    with pytest.raises(TimeoutError, match=r"10\.0 s have passed"):
        net.run_until(lambda: False, limit=10.0)


def test_quiet_means_nothing_dirty_in_flight_or_due() -> None:
    """``is_quiet`` is what ``settle`` waits for."""
    net = Network()
    a, b = net.host("a"), net.host("b")
    net.link(a, b, latency=0.5)
    endpoint = b.udp.open()
    endpoint.bind(port=9)
    assert net.is_quiet(10**9)
    a.udp.open().send(b"x", packed("10.0.0.2"), 9)
    assert not net.is_quiet(0)
    net.flush()
    assert not net.is_quiet(0)
    net.run_until_quiet()
    assert endpoint.waiting == 1
    net.at(net.time + 0.5, lambda: None)
    assert not net.is_quiet(10**9)
    assert net.is_quiet(10**8)


def test_the_log_is_bounded() -> None:
    """A network that runs for ever does not fill the memory."""
    net = Network()
    for number in range(110_001):
        net.note("test", str(number))
    assert len(net.log) <= 100_000
    assert net.log[-1].text == "110000"


def test_a_thousand_hosts_on_one_segment() -> None:
    """Sheet 2: sizes to serve; every one has an address of its own and answers."""
    net = Network()
    lan = net.segment("lan", "10.0.0.0/16")
    hosts = [net.host(f"host{number}", lan) for number in range(1000)]
    assert len({host.address for host in hosts}) == 1000
    assert answers(net, "host0", "host999")


def test_other_transports_can_be_put_above_ipv4() -> None:
    """``net.transports``: hosts made afterwards have them."""

    class Nothing:
        def __init__(self, ip: object) -> None:
            self.ip = ip

        def receive(self, packet: object) -> None:
            """Take it."""

        def icmp_error(self, *_: object) -> None:
            """Take it."""

    net = Network()
    net.transports[132] = Nothing
    assert isinstance(net.host("a").transport(132), Nothing)


def test_s4_4_the_interface_is_the_only_thing_of_a_host_that_touches_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S4-4: whoever sends, the bytes enter a wire from the driver and from nowhere else."""
    callers = set()
    carry = Direction.carry

    def watched(self: Direction, data: bytes, receivers: Sequence[object]) -> str | None:
        callers.add(Path(sys._getframe(1).f_code.co_filename).name)
        return carry(self, data, receivers)

    monkeypatch.setattr(Direction, "carry", watched)
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24")
    router = net.router("r", lan)
    net.host("a", lan)
    net.link(router, net.host("b"))
    net.fill_routes()
    assert answers(net, "a", "b")
    assert callers == {"interfaces.py"}
