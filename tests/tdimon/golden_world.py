"""The two hosts of the source, watched, for the golden tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import wsock
from wsock import tdimon
from wsock.virtual import Network

from .story import GOLDEN, SIDES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock.tdimon import Trace
    from wsock.virtual import Host

CLIENT, SERVER = ("100.100.100.103", 100), ("100.100.100.105", 10000)


class World:
    """The two hosts of the source, watched; remembers which rows were compared already."""

    def __init__(self) -> None:
        self.network = Network(seed=1)
        lan = self.network.segment("lan", "100.100.100.0/24", mtu=1492)
        self.hosts: dict[str, Host] = {
            side: self.network.host(side, lan, address, profile="windows2000")  # type: ignore[misc]
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
        return wsock.socket(stack=self.hosts[side].stack)

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
