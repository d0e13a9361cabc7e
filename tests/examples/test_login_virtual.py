"""The login server on a virtual network: unchanged, in virtual time, with several peers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

import wsock
from examples.login_server.client import LoginClient, ServerGoneError
from examples.login_server.listeners import open_listener
from examples.login_server.log import Log
from examples.login_server.server import LoginServer
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from login_world import World

    from wsock.virtual import Host

ADDRESS = "192.0.2.1"


class Place:
    """A network with the server on its first host."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = Network()
        self.lan = self.network.segment("lan", "192.0.2.0/24", latency=0.01)
        self.host = cast("Host", self.network.host("server", self.lan, ADDRESS))
        self.server = LoginServer(world.service, world.limits, Log(world.log))

    async def serve(self) -> None:
        listener = open_listener(ADDRESS, 7023)
        await self.server.run([listener])

    def client(self, name: str) -> Host:
        return cast("Host", self.network.host(name, self.lan))


@asynccontextmanager
async def placed(world: World) -> AsyncIterator[Place]:
    """The server runs on the network while the block does."""
    place = Place(world)
    async with place.network.attach(), place.host.running(place.serve):
        await place.network.settle()  # now it listens
        yield place


@asynccontextmanager
async def connected(host: Host) -> AsyncIterator[LoginClient]:
    """The login server's own client, on that host."""
    with host, wsock.socket() as sock:
        await sock.connect((ADDRESS, 7023))
        yield LoginClient(sock)


async def test_a_conversation(world: World, mock_clock: trio.testing.MockClock) -> None:
    """The same replies as over real sockets, from another host."""
    async with placed(world) as place, connected(place.client("laptop")) as client:
        token = (await client.ask("LOGIN bob correct-horse")).removeprefix("OK ")
        assert await client.ask(f"WHOAMI {token}") == "OK bob"
        assert (await client.ask("LOGIN bob wrong")).startswith("ERR DENIED")
        assert await client.ask("QUIT") == "OK bye"


async def test_hashing_takes_no_virtual_time(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    """A thread at work stops the clock, so nobody is timed out by a slow machine."""
    async with placed(world) as place, connected(place.client("laptop")) as client:
        start = trio.current_time()
        assert (await client.ask("LOGIN bob correct-horse")).startswith("OK ")
        assert trio.current_time() - start < 0.1


async def test_the_time_to_log_in_is_a_minute(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    """A byte a second does not stretch it."""
    async with placed(world) as place:
        with place.client("laptop"), wsock.socket() as sock:
            await sock.connect((ADDRESS, 7023))
            start = trio.current_time()
            reply = b""
            while not reply:
                await sock.send(b"x")
                with trio.move_on_after(1.0):
                    reply = await sock.recv(100)
            assert reply.startswith(b"ERR TIMEOUT ")
            assert 59.0 < trio.current_time() - start < 63.0


async def test_one_peers_failures_are_not_anothers(
    make_world: Callable[..., World], mock_clock: trio.testing.MockClock
) -> None:
    """A peer that guessed waits for every name; the host beside it does not."""
    world = make_world(failures_per_peer=3)
    async with placed(world) as place:
        async with connected(place.client("guesser")) as guesser:
            codes = [(await guesser.ask(f"LOGIN user{n} x")).split()[1] for n in range(4)]
            assert codes == ["DENIED"] * 3 + ["RETRY"]
        async with connected(place.client("owner")) as owner:
            assert (await owner.ask("REGISTER ann correct-horse")) == "OK ann"
            assert (await owner.ask("LOGIN ann correct-horse")).startswith("OK ")


async def test_a_client_whose_cable_is_cut_is_closed_for_idleness(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    """No FIN and no reset ever comes; the server does not keep the connection for that."""
    async with placed(world) as place:
        laptop = place.client("laptop")
        with laptop, wsock.socket() as sock:
            await sock.connect((ADDRESS, 7023))
            client = LoginClient(sock)
            assert (await client.ask("LOGIN bob correct-horse")).startswith("OK ")
            await trio.sleep(1.0)  # the reply is acknowledged: nothing is left to resend
            laptop.crash()
        assert place.server.connections == 1
        await trio.sleep(world.limits.idle_seconds + world.limits.drain_seconds + 5.0)
        assert place.server.connections == 0
        assert '"reason": "timeout"' in world.log.getvalue()


async def test_a_stop_says_goodbye_to_every_host(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    """Each gets the end of the stream; the server's task ends by itself."""
    async with (
        placed(world) as place,
        connected(place.client("one")) as one,
        connected(place.client("two")) as two,
    ):
        assert (await two.ask("WHOAMI x")).startswith("ERR TOKEN")
        place.server.stop()
        for client in (one, two):
            with pytest.raises(ServerGoneError):
                await client.ask("WHOAMI x")
