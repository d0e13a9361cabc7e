"""A listener closes while clients are on their way to it (R10): they are reset, nothing is left."""

from __future__ import annotations

import pytest
import trio

import wsock
from wsock.virtual import Host, Network

LATENCY = 0.05


async def talk(sock: wsock.Socket, host: str) -> None:
    await sock.connect((host, 7))
    await sock.recv(1)


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (0.02, wsock.WSAECONNREFUSED),  # the SYN is under way
        (0.07, wsock.WSAECONNRESET),  # SYN-RECEIVED, the SYN-ACK under way
        (0.12, wsock.WSAECONNRESET),  # the client is connected, its ACK under way
        (0.17, wsock.WSAECONNRESET),  # the connection waits to be accepted
    ],
)
def test_a_client_on_its_way_is_refused_or_reset(at: float, what: type[wsock.WSAError]) -> None:
    """Whatever step of the handshake it is in; the listener's objects are all given back."""
    net = Network(seed=3)
    server, client = net.host("server"), net.host("client")
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    net.link(server, client, latency=LATENCY)

    async def main() -> None:
        with server:
            listener = wsock.create_server(("0.0.0.0", 7), backlog=3)

        async def close() -> None:
            await trio.sleep(at)
            listener.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with client, wsock.socket() as sock, pytest.raises(what):
                await talk(sock, str(server.address))
        await net.settle()
        assert server.netstat() == []
        assert server.stack.netstat() == []
        assert server.stack.device.live_connections == 0

    net.run(main)


def test_the_handshake_of_one_does_not_disturb_another_listener() -> None:
    """Closed and opened again at once: the late ACK of the first client finds no connection."""
    net = Network(seed=3)
    server, client = net.host("server"), net.host("client")
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    net.link(server, client, latency=LATENCY)

    async def main() -> None:
        with server:
            first = wsock.create_server(("0.0.0.0", 7))
        with client:
            early, late = wsock.socket(), wsock.socket()
        assert early.connect_ex((str(server.address), 7)) == wsock.WSAEWOULDBLOCK.winerror
        await trio.sleep(0.07)
        first.close()
        with server:
            second = wsock.create_server(("0.0.0.0", 7))
        await late.connect((str(server.address), 7))
        accepted, _ = await second.accept()
        await late.send(b"x")
        assert await accepted.recv(1) == b"x"
        with pytest.raises(wsock.WSAECONNRESET):
            await early.recv(1)
        for sock in (early, late, accepted, second):
            sock.close()

    net.run(main)
