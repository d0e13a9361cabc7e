"""Loss and retransmission: a fifth of all packets vanish, and every byte arrives.

    python -m examples.virtual.retransmission

Watch: what is marked X never arrived. What is sent again says why: three duplicate ACKs (fast
retransmit), or the retransmission timer, whose pauses double. The programs notice nothing but time.
"""

from __future__ import annotations

import hashlib

import trio

from wsock.virtual import Network

DATA = bytes(range(256)) * 64  # 16 KiB


async def send(stream: trio.SocketStream) -> None:
    """Send everything and end."""
    await stream.send_all(DATA)
    await stream.send_eof()


def main(loss: float = 0.20, seed: int = 8) -> None:
    """Fetch the data over a bad line."""
    net = Network(seed)
    server, client = net.host("server"), net.host("client")
    line = net.link(server, client, latency=0.020)
    capture = net.capture(server)

    async def fetch() -> bytes:
        async with server.running(trio.serve_tcp, send, 80):
            await net.settle()
            with client, net.loss(loss, line):
                stream = await trio.open_tcp_stream("server", 80)
                data = b"".join([part async for part in stream])
                await stream.aclose()
            return data

    data = net.run(fetch)
    print(capture.ladder("tcp", states=False))
    sent = capture.filter(f"tcp.len > 0 && ip.src == {server.addresses[0]}")
    again = [p for p in sent if any("RTO" in c or "retransmit" in c for c in p.comments)]
    same = "equal" if hashlib.sha256(data).digest() == hashlib.sha256(DATA).digest() else "another"
    print(f"\n{len(sent)} data segments sent, {len(again)} of them again")
    print(f"{len(data)} bytes received after {net.time:.1f} s, their SHA-256 is {same}")


if __name__ == "__main__":
    main()
