"""The golden and derived tables, through plain sockets on a virtual network under Trio."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import wsock
from wsock import tdimon
from wsock.virtual import Network

from .story import GOLDEN, SIDES, steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock.tdimon import Trace

CLIENT, SERVER = ("100.100.100.103", 100), ("100.100.100.105", 10000)


class World:
    """The two hosts of the source, watched; remembers which rows were compared already."""

    def __init__(self) -> None:
        self.network = Network(seed=1)
        lan = self.network.segment("lan", "100.100.100.0/24", mtu=1492)
        self.stacks = {
            side: self.network.host(side, lan, address, profile="windows2000").stack
            for side, (address, _) in zip(SIDES, (CLIENT, SERVER), strict=True)
        }
        self.trace: Trace = tdimon.Trace()
        self._seen = dict.fromkeys(SIDES, 0)

    def run(self, story: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            with tdimon.watch(self.network) as self.trace:
                await story(self)

        self.network.run(main)

    def socket(self, side: str) -> wsock.Socket:
        return wsock.socket(stack=self.stacks[side])

    async def new_rows(self, side: str) -> list[str]:
        await self.network.settle()
        rows = self.trace.rows(side, profile="tdimon-2003")[self._seen[side] :]
        self._seen[side] += len(rows)
        return [anonymous("\t".join(row)) for row in rows]

    async def expect(self, side: str, name: str, **names: str) -> None:
        """What is new on that side is exactly this table."""
        assert await self.new_rows(side) == ([] if name == "-" else table(name, **names)), name

    async def connected(self) -> tuple[wsock.Socket, wsock.Socket, wsock.Socket]:
        listener, client = self.socket("server"), self.socket("client")
        listener.bind(SERVER)
        listener.listen(2)
        client.bind(CLIENT)
        await client.connect(SERVER)
        accepted, _ = await listener.accept()
        for side in SIDES:
            await self.new_rows(side)
        return listener, client, accepted


def anonymous(line: str) -> str:
    """The line without the arbitrary number of a context."""
    return re.sub(r"Context:0x[0-9A-F]{8}$", "Context:", line)


def table(name: str, **names: str) -> list[str]:
    """The lines of a golden or derived table; ``@L`` and the like stand for what was chosen."""
    text = (GOLDEN / name).read_text(encoding="utf-8").replace("Context:@C", "Context:0x00000000")
    for mark in sorted(names, reverse=True):
        text = text.replace(f"@{mark}", names[mark])
    return [anonymous(line) for line in text.splitlines()[1:]]


async def receive(sock: wsock.Socket, count: int) -> None:
    while count:
        count -= len(await sock.recv(count))


async def act(sockets: dict[str, wsock.Socket], side: str, text: str) -> None:
    """Do what one line of ORDER.tsv says."""
    call, _, rest = text.partition("(")
    if call == "bind":
        sock, address = ("client", CLIENT) if side == "client" else ("listening", SERVER)
        sockets[sock].bind(address)
    elif call == "listen":
        sockets["listening"].listen(2)
    elif call == "connect":
        await sockets["client"].connect(SERVER)
    elif call == "accept":
        sockets["accepted"], _ = await sockets["listening"].accept()
    elif call == "send":
        await sockets["client"].send(bytes(int(rest.split()[0])))
    elif call == "recv":
        await receive(sockets["accepted"], int(re.findall(r"\d+", rest)[-1]))
    elif call == "closesocket":
        sockets[rest.rstrip(")")].close()


@pytest.mark.parametrize("reading", [True, False], ids=["recv", "no recv"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_story_of_the_source(order: int, reading: bool) -> None:
    """All 89 rows, step by step on both hosts; with and without reading what was sent (R17)."""

    async def story(world: World) -> None:
        sockets = {"listening": world.socket("server"), "client": world.socket("client")}
        for step in steps(order):
            if reading or not step["call"].startswith("recv"):
                await act(sockets, step["side"], step["call"])
            for side in SIDES:
                await world.expect(side, step[f"{side}_file"])

    World().run(story)


LISTENING = "100.100.100.105:10000"


def test_an_unbound_connect_and_a_second_client() -> None:
    """connect binds first, and a second client gets the place that was made last."""

    async def story(world: World) -> None:
        listener, client, accepted = await world.connected()
        second = world.socket("client")
        await second.connect(SERVER)
        local = "{}:{}".format(*second.getsockname())
        wildcard = f"0.0.0.0:{second.getsockname()[1]}"
        await world.expect(
            "client", "derived/connect-unbound.client.tsv", L=local, L0=wildcard, R=LISTENING
        )
        also, _ = await listener.accept()
        await world.expect("server", "derived/second-client.server.tsv", L=LISTENING, R=local)
        for sock in (second, also, client, accepted, listener):
            sock.close()

    World().run(story)


def test_a_full_backlog_refuses() -> None:
    """A third client in a pool of two is refused, and the refusal is one row."""

    async def story(world: World) -> None:
        listener, client, accepted = await world.connected()
        waiting = [world.socket("client") for _ in range(2)]
        for sock in waiting:
            await sock.connect(SERVER)
        await world.new_rows("server")
        refused = world.socket("client")
        refused.bind(("100.100.100.103", 200))
        with pytest.raises(wsock.WSAECONNREFUSED):
            await refused.connect(SERVER)
        names = {"L": LISTENING, "R": "100.100.100.103:200"}
        await world.expect("server", "derived/backlog-full.server.tsv", **names)
        for sock in (*waiting, refused, client, accepted, listener):
            sock.close()

    World().run(story)


def test_the_listener_closes_first() -> None:
    """Its address lives on with the accepted socket, and ends with it."""

    async def story(world: World) -> None:
        listener, client, accepted = await world.connected()
        listener.close()
        await world.expect("server", "derived/listener-closes-first.server.tsv", L=LISTENING)
        accepted.close()
        await world.expect("server", "derived/accepted-closes-last.server.tsv", L=LISTENING)
        client.close()

    World().run(story)
