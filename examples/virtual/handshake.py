"""The handshake and the four-way close, drawn packet by packet.

    python -m examples.virtual.handshake            (or: handshake server)

Watch: SYN, SYN-ACK, ACK before any data; then FIN, ACK, FIN, ACK. Who closes first, here the client
or with "server" the server, is the one that stays in TIME-WAIT. Both programs are plain Trio.
"""

from __future__ import annotations

import sys
from functools import partial

import trio

from wsock.virtual import Network


async def serve(stream: trio.SocketStream, *, closes_first: bool) -> None:
    """Answer one request; then close, at once or when the client has."""
    request = await stream.receive_some()
    await stream.send_all(request.upper())
    while not closes_first and await stream.receive_some():
        pass
    await trio.sleep(0.5)
    await stream.aclose()


async def ask(*, closes_first: bool) -> None:
    """Send a request, read the answer; close, at once or when the server has."""
    stream = await trio.open_tcp_stream("server", 80)
    await stream.send_all(b"hello")
    print(f"answer: {await stream.receive_some()!r}\n")
    while not closes_first and await stream.receive_some():
        pass
    await trio.sleep(0.5)
    await stream.aclose()
    await trio.sleep(1)


def main(first: str = "client") -> None:
    """Run it once; ``first`` is who closes first."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24", latency=0.010)
    server, client = net.host("server", lan), net.host("client", lan)
    capture, answer = net.capture(client), partial(serve, closes_first=first == "server")

    async def run() -> None:
        async with server.running(trio.serve_tcp, answer, 80):
            await net.settle()
            with client:
                await ask(closes_first=first == "client")

    net.run(run)
    print(capture.ladder("tcp"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
