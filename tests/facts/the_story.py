# The experiment of the source: a client and a server, call by call, and what was seen at each call.
#
# Client 100.100.100.103 port 100, server 100.100.100.105 port 10000, a LAN whose MTU of 1492 makes
# one full segment 1,452 bytes. Plain sockets on a virtual network, watched by the monitor and by a
# capture at the client's adapter. tests/golden/ORDER.tsv has the calls in their order.
"""The story of the traces, told once and recorded for the tests of its facts."""

from __future__ import annotations

import csv
import functools
import re
import socket as std
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import wsock
from wsock import tdimon
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock.tdimon import Row

GOLDEN = Path(__file__).parent.parent / "golden"
CLIENT, SERVER = ("100.100.100.103", 100), ("100.100.100.105", 10000)
SIDES = ("client", "server")
PAYLOAD = {1000: b"one thousand. " * 72, 2000: b"two thousand. " * 143}
PAYLOAD = {length: text[:length] for length, text in PAYLOAD.items()}


@dataclass
class Step:
    """One call, and everything that it caused until the network was quiet again."""

    call: str  # "accept", "closesocket(accepted)"
    value: Any  # what it returned
    client: list[Row]
    server: list[Row]
    packets: list[str]  # the TCP segments at the client's adapter: "SYN", "FIN-ACK"
    packets_at_return: list[str]  # those that had crossed when the call returned
    states: dict[str, str]


@dataclass
class Story:
    """All steps, and the world afterwards."""

    network: Network
    steps: list[Step] = field(default_factory=list)
    table: dict[str, str] = field(default_factory=dict)  # the whole trace of a side, as TSV
    #: What is left of the transport's objects: connections, addresses.
    objects: dict[str, tuple[int, int]] = field(default_factory=dict)

    def step(self, call: str, number: int = 0) -> Step:
        """The ``number``-th step whose call begins so."""
        return [step for step in self.steps if step.call.startswith(call)][number]

    def rows(self, side: str) -> list[Row]:
        """All rows of one side."""
        return [row for step in self.steps for row in getattr(step, side)]


def order_of_calls(order: int) -> list[dict[str, str]]:
    """The lines of ORDER.tsv with one of the two orders of closing."""
    with (GOLDEN / "ORDER.tsv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    return [line for line in lines if not line["seq"].startswith(f"close{3 - order}")]


def golden(name: str, **names: str) -> list[tuple[str, ...]]:
    """The rows of a golden table; ``@L`` and the like stand for what the system chose."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    for mark in sorted(names, reverse=True):
        text = text.replace(f"@{mark}", names[mark])
    return comparable(tuple(line.split("\t")) for line in text.splitlines()[1:])


def comparable(rows: Any) -> list[tuple[str, ...]]:
    """Rows without the arbitrary number of a context."""
    return [(*row[:5], re.sub("^Context:.*", "Context", row[5])) for row in rows]


class Connected(NamedTuple):
    """The three sockets of the scenario."""

    listener: wsock.Socket
    client: wsock.Socket
    accepted: wsock.Socket


class World:
    """The two hosts, watched."""

    def __init__(self, *, watched: bool = True, latency: float = 0.0, seed: int = 1) -> None:
        self.network = Network(seed)
        lan = self.network.segment("lan", "100.100.100.0/24", mtu=1492, latency=latency)
        self.hosts = {
            side: self.network.host(side, lan, address, profile="windows2000")
            for side, (address, _) in zip(SIDES, (CLIENT, SERVER), strict=True)
        }
        self.capture = self.network.capture(self.hosts["client"])
        self.trace = tdimon.Trace()
        self.watched = watched
        self._seen = dict.fromkeys(SIDES, 0)
        self._made: list[wsock.Socket] = []

    def run(self, program: Callable[[World], Awaitable[None]]) -> None:
        """Run a program on the network, watched."""

        async def main() -> None:
            with ExitStack() as block:
                if self.watched:
                    self.trace = block.enter_context(tdimon.watch(self.network))
                try:
                    await program(self)
                finally:
                    for sock in self._made:
                        sock.close()

        self.network.run(main)

    def socket(self, side: str, **options: Any) -> wsock.Socket:
        """A socket of one host; what a program leaves open is closed at its end."""
        self._made.append(wsock.socket(stack=self.hosts[side].stack, **options))
        return self._made[-1]

    def tcp_state(self, side: str) -> str:
        """The state of this side's one connection in its TCP; "" if it knows none."""
        states = [
            row.state
            for row in self.hosts[side].netstat()
            if (row.protocol, row.remote) != ("tcp", "*:*")
        ]
        assert len(states) < 2, states
        return states[0] if states else ""

    def segments(self) -> list[str]:
        """The TCP segments captured so far."""
        return [packet.name for packet in self.capture.packets if packet.tcp is not None]

    async def new_rows(self, side: str) -> list[Row]:
        """What the monitor shows of this side since the last look."""
        await self.network.settle()
        rows = self.trace.rows(side, profile="tdimon-2003")[self._seen[side] :]
        self._seen[side] += len(rows)
        return rows

    def listener(self) -> wsock.Socket:
        """The server's socket, with backlog 2."""
        listener = self.socket("server")
        listener.bind(SERVER)
        listener.listen(2)
        return listener

    async def accept(self, listener: wsock.Socket) -> wsock.Socket:
        """The socket of the next client."""
        self._made.append((await listener.accept())[0])
        return self._made[-1]

    async def connected(self) -> Connected:
        """A connection as the story makes it; its rows are behind us."""
        listener, client = self.listener(), self.socket("client")
        client.bind(CLIENT)
        await client.connect(SERVER)
        made = Connected(listener, client, await self.accept(listener))
        for side in SIDES:
            await self.new_rows(side)
        return made


async def act(world: World, sockets: dict[str, wsock.Socket], side: str, call: str) -> Any:
    """Do what one line of ORDER.tsv says; return what the call returned."""
    name, _, rest = call.partition("(")
    own = "client" if side == "client" else "listening"
    if name == "socket":
        sockets[own] = world.socket(side, type=std.SOCK_STREAM, proto=std.IPPROTO_TCP)
        return sockets[own]
    if name == "bind":
        return sockets[own].bind(CLIENT if side == "client" else SERVER)
    if name == "listen":
        return sockets[own].listen(2)
    if name == "connect":
        return await sockets[own].connect(SERVER)
    if name == "accept":
        sockets["accepted"], peer = await sockets[own].accept()
        return sockets["accepted"], peer
    if name == "send":
        return await sockets[own].send(PAYLOAD[int(rest.split()[0])])
    if name == "closesocket":
        return sockets[rest.rstrip(")")].close()
    return await receive(sockets["accepted"], int(re.findall(r"\d+", call)[-1]))


async def receive(sock: wsock.Socket, count: int) -> bytes:
    """Exactly ``count`` bytes."""
    data = b""
    while len(data) < count:
        data += await sock.recv(count - len(data))
    return data


@functools.cache
def told(order: int = 1, *, reading: bool = True, watched: bool = True) -> Story:
    """Tell the story with one of the orders of closing, with or without the server's recv."""
    world = World(watched=watched)
    story = Story(world.network)

    async def program(world: World) -> None:
        sockets: dict[str, wsock.Socket] = {}
        for line in order_of_calls(order):
            if not reading and line["call"].startswith("recv"):
                continue
            before = len(world.segments())
            value = await act(world, sockets, line["side"], line["call"])
            at_return = world.segments()[before:]
            rows = {side: await world.new_rows(side) for side in SIDES}
            states = {name: sock.state for name, sock in sockets.items()}
            story.steps.append(
                Step(line["call"], value, **rows, packets=world.segments()[before:],
                     packets_at_return=at_return, states=states)
            )  # fmt: skip

    world.run(program)
    for side in SIDES:
        device = world.hosts[side].stack.device
        story.objects[side] = (device.live_connections, device.live_addresses)
        lines = ["\t".join(row) for row in world.trace.rows(side, profile="tdimon-2003")]
        story.table[side] = "\n".join(lines)
    return story
