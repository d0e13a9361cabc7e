"""Attaching a network to a Trio run: who moves time, what is plugged in, what is put back."""

from __future__ import annotations

import math
import socket as std
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from wsock.virtual import Host, Network
from wsock.virtual.testing import LocalNetwork, RealConnectionError
from wsock.virtual.trio_face import VirtualSocket

ROUNDS = 5


def one_host() -> Network:
    network = Network()
    network.host("localhost")
    return network


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        near = await trio.open_tcp_stream(*listener.socket.getsockname())
        return near, await listener.accept()


# Time


def test_a_thread_holds_time_and_network_still() -> None:
    """Ruling A6: while one works no deadline comes, and what was sent waits for its instant."""
    network = one_host()
    capture = network.capture(network.hosts["localhost"])

    def work(seen: int) -> None:
        for _ in range(ROUNDS):
            trio.from_thread.run(wait_all_tasks_blocked)  # now the network could move
            assert trio.from_thread.run_sync(trio.current_time) == 0
            assert len(capture) == seen

    async def main() -> None:
        near, far = await pair()
        async with near, far:
            await network.settle(0.0)
            await near.send_all(b"x")
            with trio.move_on_after(0.001):  # a deadline, for time to go to
                await trio.to_thread.run_sync(work, len(capture))
            assert await far.receive_some() == b"x"

    network.run(main)


def test_only_the_pump_moves_a_mock_clock() -> None:
    """Trio's autojump is off while attached, and what it was is put back."""
    network = one_host()
    clock = MockClock(autojump_threshold=0.25)

    async def main() -> None:
        async with network.attach():
            await wait_all_tasks_blocked()
            assert clock.autojump_threshold == math.inf
            await trio.sleep(60)
        assert clock.autojump_threshold == 0.25

    trio.run(main, clock=clock)


def test_a_rate_lets_time_pass_by_itself() -> None:
    """Virtual seconds per second: the network runs at that clock's pace."""
    network = one_host()
    network.latency(0.5)

    async def main() -> float:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        assert (clock.rate, clock.autojump_threshold) == (100.0, math.inf)
        near, far = await pair()
        async with near, far:
            await near.send_all(b"x")
            assert await far.receive_some() == b"x"
        return trio.current_time()

    assert 2.0 <= network.run(main, rate=100.0) < 20.0


def test_under_the_systems_clock_it_runs_in_real_time() -> None:
    """A purely virtual network too: nothing jumps."""
    network = one_host()
    network.latency(0.005)

    async def main() -> float:
        async with network.attach():
            start = trio.current_time()
            near, far = await pair()
            async with near, far:
                return trio.current_time() - start

    assert trio.run(main) >= 0.010


def test_what_was_written_last_still_arrives() -> None:
    """As from a machine whose program has ended: the FIN of a socket closed last gets there."""
    network = Network()
    server, client = network.host("server"), network.host("client")
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    network.link(server, client, latency=0.1)
    capture = network.capture(server)

    async def main() -> None:
        with server:
            (listener,) = await trio.open_tcp_listeners(80)
        with client:
            near = await trio.open_tcp_stream("server", 80)
        far = await listener.accept()
        async with listener, far, near:
            await network.settle()
            await near.send_all(b"last")

    network.run(main)
    arrived = [packet.name for packet in capture.packets if not packet.outgoing]
    assert "FIN-PSH-ACK" in arrived


# What is plugged in


class Factory(trio.abc.SocketFactory):
    """One that was there before."""

    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> trio.socket.SocketType:  # noqa: A002
        raise NotImplementedError


class Resolver(trio.abc.HostnameResolver):
    """One that was there before."""

    getaddrinfo = getnameinfo = None  # type: ignore[assignment]


@pytest.mark.parametrize("fails", [False, True])
def test_factory_and_resolver_are_put_back(fails: bool) -> None:
    """Those that were there, or Trio's own; also when the body fails."""
    network = one_host()
    factory, resolver = Factory(), Resolver()

    async def attached() -> None:
        async with network.attach():
            with trio.socket.socket() as sock:
                assert isinstance(sock, VirtualSocket)
            if fails:
                raise KeyError

    async def main() -> None:
        for before in ((None, None), (factory, resolver)):
            trio.socket.set_custom_socket_factory(before[0])
            trio.socket.set_custom_hostname_resolver(before[1])
            try:
                await attached()
            except KeyError:
                assert fails
            assert trio.socket.set_custom_socket_factory(None) is before[0]
            assert trio.socket.set_custom_hostname_resolver(None) is before[1]

    trio.run(main, clock=MockClock())


def test_it_is_attached_once() -> None:
    """Two pumps would move it twice."""
    network = one_host()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="attached already"):
            async with network.attach():
                pass

    network.run(main)
    network.run(partial(trio.sleep, 1))  # but any number of times, one after the other


def test_a_network_that_is_not_attached_cannot_settle() -> None:
    """Nobody would ever say that it is quiet."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="not attached"):
            await one_host().settle()

    trio.run(main)


def test_settle_waits_for_what_is_due_within_its_bound() -> None:
    """A retransmission in a second counts as moving for 1.5 s, and not for 0.5 s."""
    for bound, passed in ((0.5, 0.0), (1.5, 1.0)):
        network = one_host()

        async def main(network: Network = network, bound: float = bound) -> float:
            network.at(1.0, lambda: None)
            await network.settle(bound)
            return trio.current_time()

        assert network.run(main) == passed


def test_the_machines_own_sockets_are_not_asked() -> None:
    """A name that only the machine knows is unknown; one that only the network knows is not."""
    network = one_host()
    network.names.add("nowhere.invalid", bytes([127, 0, 0, 1]))

    async def main() -> None:
        found = await trio.socket.getaddrinfo("nowhere.invalid", 80)
        assert found[0][4] == ("127.0.0.1", 80)
        with pytest.raises(std.gaierror):
            await trio.socket.getaddrinfo(std.gethostname() + ".example", 80)

    network.run(main)


def test_a_network_for_tests_refuses_real_connections_while_it_is_attached() -> None:
    """Whoever attaches it, with a test framework or without; before and after they pass."""
    network = LocalNetwork()

    def real_connection() -> None:
        with std.socket() as sock:
            sock.settimeout(5)
            sock.connect(address)

    async def main() -> None:
        with pytest.raises(RealConnectionError, match="allow_real"):
            real_connection()
        network.allow_real(address[0])
        real_connection()

    with std.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        real_connection()
        network.run(main)
        real_connection()
