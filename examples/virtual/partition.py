"""A partition that heals: TCP survives a cable that was out for a while.

    python -m examples.virtual.partition

Watch: a counter is sent every second. From second 5 to second 20 nothing passes; TCP tries again at
growing intervals, and after the healing everything arrives, late and in order. Then the same with
200 seconds: longer than the sender's patience (100 s, RFC 9293). It gives up, and the receiver, who
has nothing to send, never learns of it: that is what keep-alive and time-outs are for.
"""

from __future__ import annotations

import trio

from wsock.virtual import Network


async def count(stream: trio.SocketStream) -> None:
    """Send a number every second."""
    for number in range(1, 31):
        await stream.send_all(b"%d\n" % number)
        await trio.sleep(1)
    await stream.aclose()


async def listen(name: str) -> None:
    """Print what comes, and when."""
    stream = await trio.open_tcp_stream(name, 80)
    start = trio.current_time()
    with trio.move_on_after(600) as patience:
        async for data in stream:
            print(f"{trio.current_time() - start:6.2f} s  {', '.join(data.decode().split())}")
    if patience.cancelled_caught:
        print("nothing more in ten minutes: who knows whether the peer is there")
    await stream.aclose()


def main(seconds: float) -> None:
    """Run it with a partition of so many seconds."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24", latency=0.010)
    server, client = net.host("server", lan), net.host("client", lan)
    capture = net.capture(server)
    net.at(5.0, net.partition, server, client, lasting=seconds)

    async def run() -> None:
        async with server.running(trio.serve_tcp, count, 80):
            await net.settle()
            with client:
                await listen("server")

    net.run(run)
    repeated = capture.filter(lambda packet: any("RTO" in text for text in packet.comments))
    print(f"tried again at {', '.join(f'{packet.time:.0f}' for packet in repeated)} s\n")


if __name__ == "__main__":
    main(15)
    main(200)
