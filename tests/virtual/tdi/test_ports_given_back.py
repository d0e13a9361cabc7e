"""When a client's own port is free again: as soon as its address object is given back.

What is left of the connection in TCP keeps the pair of addresses (ruling R15), and nothing else.
"""

from __future__ import annotations

import socket as std
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import wsock
from wsock import errors
from wsock.virtual import Host, Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PORT = 1000
SERVER = ("192.0.2.1", 7)
CLIENT = ("192.0.2.2", PORT)


class World:
    """A client with a port of its own, connected to a server."""

    def __init__(self, profile: str) -> None:
        self.net = Network(seed=3)
        lan = self.net.segment("lan", "192.0.2.0/24", latency=0.01)
        server = self.net.host("server", lan, profile=profile)
        client = self.net.host("client", lan, profile=profile)
        assert isinstance(server, Host)
        assert isinstance(client, Host)
        self.server, self.client = server, client

    def run(self, main: Callable[[], Awaitable[object]]) -> None:
        """Connect, run ``main``, close what is still open."""

        async def whole() -> None:
            with ExitStack() as self.open:
                await self.begin()
                await main()

        self.net.run(whole)

    async def begin(self) -> None:
        self.listener = self.open.enter_context(wsock.socket(stack=self.server.stack))
        self.listener.bind(SERVER)
        self.listener.listen(5)
        self.sock = self.bound()
        await self.sock.connect(SERVER)
        self.accepted, _ = await self.listener.accept()
        self.open.enter_context(self.accepted)

    def bound(self) -> wsock.Socket:
        """A socket of the client with the port."""
        sock = self.open.enter_context(wsock.socket(stack=self.client.stack))
        sock.bind(CLIENT)
        return sock

    def tcp_states(self) -> list[str]:
        return [str(connection.state) for connection in self.client.tcp.connections()]

    def in_use(self) -> bool:
        try:
            self.bound().close()
        except errors.WSAEADDRINUSE:
            return True
        return False


PROFILES = pytest.mark.parametrize("profile", ["rfc", "linux", "windows2000"])


@PROFILES
def test_in_time_wait_the_port_is_free_and_the_pair_is_not(profile: str) -> None:
    """Ruling R15, fact S3-7; Winsock lets every binder past TIME-WAIT."""
    world = World(profile)

    async def main() -> None:
        world.sock.close()
        assert await world.accepted.recv(1) == b""
        world.accepted.close()
        await world.net.settle()
        assert world.tcp_states() == ["TIME-WAIT"]
        again = world.bound()
        with pytest.raises(wsock.WSAEADDRINUSE):
            await again.connect(SERVER)
        again.close()
        with wsock.socket(stack=world.server.stack) as elsewhere, world.bound() as sock:
            elsewhere.bind((SERVER[0], 8))
            elsewhere.listen(1)
            await sock.connect((SERVER[0], 8))

    world.run(main)


@PROFILES
def test_after_a_reset_of_its_own_port_and_pair_are_free(profile: str) -> None:
    """SO_LINGER with 0 seconds: nothing is left, neither object nor connection."""
    world = World(profile)

    async def main() -> None:
        world.sock.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 0))
        world.sock.close()
        with world.bound() as again:
            await again.connect(SERVER)

    world.run(main)


def test_while_the_peers_release_is_awaited_the_port_is_in_use() -> None:
    """Ruling R8: in FIN-WAIT-2 the closed client still has its address object."""
    world = World("windows2000")

    async def main() -> None:
        world.sock.close()
        await world.net.settle()
        assert world.tcp_states() == ["FIN-WAIT-2"]
        assert world.in_use()
        world.accepted.close()
        await world.net.settle()
        assert not world.in_use()

    world.run(main)


def test_a_socket_that_is_open_has_its_port_also_when_its_connection_has_ended() -> None:
    """Both sides released: the TCB is gone, the address object is closesocket's to end."""
    world = World("windows2000")

    async def main() -> None:
        world.accepted.close()
        assert await world.sock.recv(1) == b""
        world.sock.shutdown(std.SHUT_WR)
        await world.net.settle()
        assert world.tcp_states() == []
        assert world.in_use()
        world.sock.close()
        assert not world.in_use()

    world.run(main)


def test_where_tcp_waits_no_more_in_fin_wait_2_the_objects_are_given_back() -> None:
    """Profile linux forgets after 60 s what nobody owns; that ends the wait of R8, too."""
    world = World("linux")

    async def main() -> None:
        world.sock.close()
        await world.net.settle(bound=59)
        assert world.client.stack.device.live_connections == 1
        await world.net.settle(bound=61)
        assert world.tcp_states() == []
        assert world.client.stack.device.live_connections == 0
        assert world.client.stack.device.live_addresses == 0
        assert not world.in_use()

    world.run(main)
