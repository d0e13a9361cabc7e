"""TIME-WAIT, and why it exists: the last ACK of a connection is lost.

    python -m examples.virtual.time_wait

Watch: the server repeats its FIN. First the client keeps the connection for 2 MSL: it answers, and
its port cannot be taken. Then TIME-WAIT is switched off: a new program gets the port, the FIN that
was not meant for it arrives there, and the server's connection ends in a reset.
"""

from __future__ import annotations

from dataclasses import replace

import trio

from wsock.virtual import Network
from wsock.virtual.profile import RFC

PORT = 2000  # the client's


async def hang_up(stream: trio.SocketStream) -> None:
    """Wait until the client has closed; then the stream is closed here, too."""
    await stream.receive_some()


async def client_program(net: Network) -> None:
    """Connect from PORT, close first; the ACK of the server's FIN is lost; take PORT again."""
    with trio.socket.socket() as sock:
        await sock.bind(("192.0.2.2", PORT))
        await sock.connect(("192.0.2.1", 80))
        net.drop("tcp.flags.ack == 1 && ip.src == 192.0.2.2", nth=2, count=1)
    await trio.sleep(0.5)
    with trio.socket.socket() as other:
        try:
            await other.bind(("192.0.2.2", PORT))
            print(f"port {PORT}: another program listens there now")
        except OSError as error:
            print(f"port {PORT}: {error.strerror}")
        await trio.sleep(5)


async def main(net: Network) -> None:
    """Run the two programs, each on its host."""
    async with net.hosts["server"].running(trio.serve_tcp, hang_up, 80):
        await net.settle()
        with net.hosts["client"]:
            await client_program(net)


if __name__ == "__main__":
    for profile in (RFC, replace(RFC, time_wait_ns=1)):
        network = Network()
        lan = network.segment("lan", "192.0.2.0/24", latency=0.010)
        network.host("server", lan)
        capture = network.capture(network.host("client", lan, profile=profile))
        print(f"--- TIME-WAIT of {profile.time_wait_ns / 1e9:.0f} s")
        network.run(main, network)
        print(capture.ladder("tcp"))
