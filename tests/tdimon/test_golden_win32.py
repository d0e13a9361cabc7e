"""The golden and derived tables once more, through the C calls of ``wsock.win32``.

Each host runs one program, whose main does what it is told, one call at a time; so what is compared
after a call is what that call caused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import greenback
import pytest
import trio

from wsock import win32 as w

from .golden_world import CLIENT, SERVER, World
from .story import SIDES, steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LISTENING = "100.100.100.105:10000"
BACKLOG = 2


class Program:
    """A C program on one host, whose main waits for what to do next."""

    def __init__(self, world: World, side: str) -> None:
        self.host = world.hosts[side]
        self._ask, self._asked = trio.open_memory_channel[Any](0)
        self._tell, self._told = trio.open_memory_channel[Any](0)

    async def run(self) -> None:
        with self.host:
            await w.start(self._main)

    def _main(self) -> None:
        assert w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA()) == 0
        while True:
            call, arguments = greenback.await_(self._asked.receive())
            result = call(*arguments)
            greenback.await_(self._tell.send((result, w.WSAGetLastError())))

    async def call(self, call: Callable[..., Any], *arguments: object) -> Any:
        """What the call returned; it must not have failed."""
        result, _ = await self.try_call(call, *arguments)
        assert result not in (w.SOCKET_ERROR, w.INVALID_SOCKET), call.__name__
        return result

    async def try_call(self, call: Callable[..., Any], *arguments: object) -> tuple[Any, int]:
        await self._ask.send((call, arguments))
        return await self._told.receive()  # type: ignore[no-any-return]

    async def socket(self) -> int:
        return await self.call(w.socket, w.AF_INET, w.SOCK_STREAM, w.IPPROTO_TCP)  # type: ignore[no-any-return]


def sockaddr(address: tuple[str, int]) -> w.sockaddr_in:
    made = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(address[1]))
    made.sin_addr.s_addr = w.inet_addr(address[0])
    return made


def tell(story: Callable[[World, Program, Program], Awaitable[None]]) -> None:
    """Run a story with its two programs."""

    async def on_the_network(world: World) -> None:
        client, server = (Program(world, side) for side in SIDES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            nursery.start_soon(server.run)
            await story(world, client, server)
            nursery.cancel_scope.cancel()

    World().run(on_the_network)


async def receive(program: Program, sock: int, count: int) -> None:
    room = bytearray(4096)
    while count:
        count -= await program.call(w.recv, sock, room, count, 0)


async def act(program: Program, sockets: dict[str, int], side: str, text: str) -> None:
    """Do what one line of ORDER.tsv says."""
    call, _, rest = text.partition("(")
    if call == "socket":
        sockets["client" if side == "client" else "listening"] = await program.socket()
    elif call == "bind":
        sock, address = ("client", CLIENT) if side == "client" else ("listening", SERVER)
        await program.call(w.bind, sockets[sock], sockaddr(address))
    elif call == "listen":
        await program.call(w.listen, sockets["listening"], BACKLOG)
    elif call == "connect":
        await program.call(w.connect, sockets["client"], sockaddr(SERVER))
    elif call == "accept":
        peer = w.sockaddr_in()
        accepted = await program.call(w.accept, sockets["listening"], peer, w.INT(16))
        assert (w.inet_ntoa(peer.sin_addr), w.ntohs(peer.sin_port)) == CLIENT  # S0-9
        sockets["accepted"] = accepted
    elif call == "send":
        size = int(rest.split()[0])
        assert await program.call(w.send, sockets["client"], bytes(size), size, 0) == size  # S0-7
    elif call == "recv":
        await receive(program, sockets["accepted"], int(re.findall(r"\d+", rest)[-1]))
    else:
        assert call == "closesocket"
        await program.call(w.closesocket, sockets[rest.rstrip(")")])


@pytest.mark.parametrize("reading", [True, False], ids=["recv", "no recv"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_story_of_the_source(order: int, reading: bool) -> None:
    """All 89 rows, all six columns, after each call on both hosts; with and without recv (R17)."""

    async def story(world: World, client: Program, server: Program) -> None:
        sockets: dict[str, int] = {}
        for step in steps(order):
            program = client if step["side"] == "client" else server
            if reading or not step["call"].startswith("recv"):
                await act(program, sockets, step["side"], step["call"])
            for side in SIDES:
                await world.expect(side, step[f"{side}_file"])

    tell(story)


async def connected(world: World, client: Program, server: Program) -> tuple[int, int, int]:
    """Listening, client and accepted socket; what they caused has been looked at."""
    listening, sock = await server.socket(), await client.socket()
    await server.call(w.bind, listening, sockaddr(SERVER))
    await server.call(w.listen, listening, BACKLOG)
    await client.call(w.bind, sock, sockaddr(CLIENT))
    await client.call(w.connect, sock, sockaddr(SERVER))
    accepted = await server.call(w.accept, listening, None, None)
    for side in SIDES:
        await world.new_rows(side)
    return listening, sock, accepted


async def name_of(program: Program, sock: int) -> tuple[str, int]:
    name = w.sockaddr_in()
    await program.call(w.getsockname, sock, name, w.INT(16))
    return w.inet_ntoa(name.sin_addr), w.ntohs(name.sin_port)


def test_an_unbound_connect_and_a_second_client() -> None:
    """connect binds first, and a second client gets the place that was made last."""

    async def story(world: World, client: Program, server: Program) -> None:
        listening, _, _ = await connected(world, client, server)
        second = await client.socket()
        await client.call(w.connect, second, sockaddr(SERVER))
        address, port = await name_of(client, second)
        names = {"L": f"{address}:{port}", "L0": f"0.0.0.0:{port}", "R": LISTENING}
        await world.expect("client", "derived/connect-unbound.client.tsv", **names)
        await server.call(w.accept, listening, None, None)
        names = {"L": LISTENING, "R": f"{address}:{port}"}
        await world.expect("server", "derived/second-client.server.tsv", **names)

    tell(story)


def test_a_full_backlog_refuses() -> None:
    """A third client in a pool of two gets WSAECONNREFUSED, and the refusal is one row (R4)."""

    async def story(world: World, client: Program, server: Program) -> None:
        await connected(world, client, server)
        for _ in range(BACKLOG):
            await client.call(w.connect, await client.socket(), sockaddr(SERVER))
        await world.new_rows("server")
        refused = await client.socket()
        await client.call(w.bind, refused, sockaddr(("100.100.100.103", 200)))
        failed = await client.try_call(w.connect, refused, sockaddr(SERVER))
        assert failed == (w.SOCKET_ERROR, w.WSAECONNREFUSED)
        names = {"L": LISTENING, "R": "100.100.100.103:200"}
        await world.expect("server", "derived/backlog-full.server.tsv", **names)

    tell(story)


def test_the_listener_closes_first() -> None:
    """Its address lives on with the accepted socket, and ends with it."""

    async def story(world: World, client: Program, server: Program) -> None:
        listening, _, accepted = await connected(world, client, server)
        await server.call(w.closesocket, listening)
        await world.expect("server", "derived/listener-closes-first.server.tsv", L=LISTENING)
        await server.call(w.closesocket, accepted)
        await world.expect("server", "derived/accepted-closes-last.server.tsv", L=LISTENING)

    tell(story)
