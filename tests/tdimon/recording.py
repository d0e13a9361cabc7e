"""Records the story of the source notes on a virtual network, and draws it.

``python -m tests.tdimon.recording`` writes story.jsonl beside this file and docs/story.svg. The
client waits in its calls; the server is told by window messages.
"""

from __future__ import annotations

from pathlib import Path

import trio

import wsock
from wsock import tdimon
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, WM_TIMER, WM_USER
from wsock.virtual import Network

RECORDED = Path(__file__).parent / "story.jsonl"
PICTURE = Path(__file__).parent.parent.parent / "docs" / "story.svg"
TITLE = "The story of the source notes: what Winsock calls cause below"
CLIENT, SERVER = ("100.100.100.103", 100), ("100.100.100.105", 10000)
LATENCY_S = 0.001


async def serve(*, task_status: trio.TaskStatus[None]) -> None:
    """Accept one client, read what it sends, close when it closes."""
    listener = wsock.socket()
    listener.bind(SERVER)
    listener.listen(2)

    def procedure(message: wsock.Message) -> None:
        if message.event == FD_ACCEPT:
            message.socket.accept_nowait()
        elif message.event == FD_READ:
            message.socket.recv_nowait(8192)
        elif message.event == FD_CLOSE:
            message.socket.close()
            message.window.set_timer(1, 0.1)
        elif message.message == WM_TIMER:
            listener.close()
            message.window.post_quit()

    async with wsock.Window() as window:
        listener.async_select(window, WM_USER + 1, FD_ACCEPT | FD_READ | FD_CLOSE)
        task_status.started()
        await window.run(procedure)


async def connect() -> None:
    """Send 1000 bytes and 2000 bytes, and close."""
    with wsock.socket() as client:
        client.bind(CLIENT)
        await client.connect(SERVER)
        await trio.sleep(0.1)
        await client.send(bytes(1000))
        await trio.sleep(0.3)
        await client.send(bytes(2000))
        await trio.sleep(0.3)


def record() -> tdimon.Trace:
    """Run both on two hosts of the time; the same records every time."""
    network = Network(seed=1)
    lan = network.segment("lan", "100.100.100.0/24", mtu=1492, latency=LATENCY_S)
    client, server = (
        network.host(name, lan, address, profile="windows2000")
        for name, (address, _) in (("client", CLIENT), ("server", SERVER))
    )

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with server:
                await nursery.start(serve, name="the server")
            with client:
                nursery.start_soon(connect, name="the client")
        await network.settle()

    with tdimon.watch(network) as trace:
        network.run(main)
    return trace


if __name__ == "__main__":
    trace = record()
    trace.save(RECORDED)
    PICTURE.write_text(tdimon.load(RECORDED).diagram().to_svg(TITLE), encoding="utf-8")
