"""The golden and derived tables, through plain sockets on a virtual network under Trio."""

from __future__ import annotations

import re

import pytest

import wsock

from .golden_world import CLIENT, SERVER, World
from .story import SIDES, steps


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
