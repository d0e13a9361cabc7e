"""A slow receiver: its window closes, the sender has to ask, and nothing is lost.

    python -m examples.virtual.slow_receiver

Watch win= in the server's packets: it falls to 0 while the program reads nothing. The client then
sends a window probe, after 1 s, 2 s, 4 s ..., until the server reads and the window opens again.
"""

from __future__ import annotations

import trio

from wsock.virtual import Network

SIZE = 40_000


async def read_late(stream: trio.SocketStream) -> None:
    """Read nothing for ten seconds; then everything."""
    await trio.sleep(10)
    count = 0
    async for data in stream:
        count += len(data)
    print(f"server: {count} bytes, the first of them read after 10 s")
    await stream.aclose()


async def send_at_once(net: Network) -> None:
    """Send more than the server's buffers hold."""
    stream = await trio.open_tcp_stream("server", 80)
    start = trio.current_time()
    await stream.send_all(bytes(SIZE))
    await stream.send_eof()
    print(f"client: send_all waited {trio.current_time() - start:.1f} s for the window")
    await stream.receive_some()
    await stream.aclose()
    await net.settle(5)


def main() -> None:
    """Hosts like Windows 2000: windows of 17,520 bytes and socket buffers of 8 KiB."""
    net = Network()
    lan = net.segment("lan", "192.0.2.0/24", latency=0.010)
    server = net.host("server", lan, profile="windows2000")
    client = net.host("client", lan, profile="windows2000")
    capture = net.capture(client)

    async def run() -> None:
        async with server.running(trio.serve_tcp, read_late, 80):
            await net.settle()
            with client:
                await send_at_once(net)

    net.run(run)
    print(capture.ladder("tcp", states=False))


if __name__ == "__main__":
    main()
