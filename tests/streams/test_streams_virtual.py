"""The streams' contract on a virtual network: the same code, another transport."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

import wsock
from wsock.virtual import Network

if TYPE_CHECKING:
    from wsock.virtual import Host

Pair = tuple[wsock.SocketStream, wsock.SocketStream]


def two_hosts() -> tuple[Network, Host, Host]:
    network = Network(seed=11)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.001)
    return network, network.host("server", lan), network.host("client", lan)  # type: ignore[return-value]


async def make_pair(server: Host, client: Host) -> Pair:
    (listener,) = await wsock.open_tcp_listeners(0, host="192.0.2.1", stack=server.stack)
    async with listener:
        near = await wsock.open_tcp_stream(*listener.socket.getsockname(), stack=client.stack)
        return near, await listener.accept()


async def make_clogged_pair(server: Host, client: Host) -> Pair:
    pair = await make_pair(server, client)
    for stream in pair:
        try:
            while True:
                stream.socket.send_nowait(bytes(1_000_000))
        except wsock.WSAEWOULDBLOCK:
            continue
    return pair


def test_streams_keep_trio_s_contract_on_a_virtual_network() -> None:
    """What Trio checks of its own streams, clogged ones included."""
    network, server, client = two_hosts()
    network.run(
        check_half_closeable_stream,
        partial(make_pair, server, client),
        partial(make_clogged_pair, server, client),
    )


def test_serve_tcp_on_a_virtual_host() -> None:
    """By name, and a port where nobody listens."""
    network, server, client = two_hosts()

    async def echo(stream: wsock.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with server:
                await nursery.start(wsock.serve_tcp, echo, 7)
            with client:
                stream = await wsock.open_tcp_stream("server", 7)
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"
                await stream.aclose()
                with pytest.raises(wsock.WSAECONNREFUSED):
                    await wsock.open_tcp_stream("server", 8)
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()

    network.run(main)
