from __future__ import annotations

import gc
import socket as std
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trustme
from trio.testing import (
    assert_checkpoints,
    check_half_closeable_stream,
    check_two_way_stream,
    wait_all_tasks_blocked,
)

import wsock
from wsock import _stack
from wsock._streams import SocketListener, SocketStream, open_tcp_listeners, open_tcp_stream

if TYPE_CHECKING:
    from tests.providers import Provider


@pytest.fixture(autouse=True)
async def stack(provider: Provider) -> wsock.Stack:
    """The stack that is current: one on each provider in turn."""
    made = provider.make_stack()
    _stack.current.set(made)
    return made


async def make_pair(stack: wsock.Stack | None = None) -> tuple[SocketStream, SocketStream]:
    """Two ends of a connection over 127.0.0.1."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1", stack=stack)
    async with listener:
        near = await open_tcp_stream(*listener.socket.getsockname(), stack=stack)
        return near, await listener.accept()


async def make_clogged_pair(stack: wsock.Stack | None = None) -> tuple[SocketStream, SocketStream]:
    """The same, and what either end sends next has to wait."""
    near, far = await make_pair(stack)
    clog(near)
    clog(far)
    return near, far


def clog(stream: SocketStream) -> None:
    try:
        while True:
            stream.socket.send_nowait(bytes(1_000_000))
    except wsock.WSAEWOULDBLOCK:
        return


async def test_streams_keep_trio_s_contract(stack: wsock.Stack) -> None:
    """What Trio checks of its own streams, clogged ones included; on every provider."""
    await check_half_closeable_stream(partial(make_pair, stack), partial(make_clogged_pair, stack))


async def test_streams_over_a_socketpair_keep_it_too() -> None:
    """Adopted sockets of the standard library."""

    async def make() -> tuple[SocketStream, SocketStream]:
        near, far = (SocketStream(wsock.from_stdlib_socket(end)) for end in std.socketpair())
        return near, far

    await check_half_closeable_stream(make, None)


async def test_tls_runs_on_top() -> None:
    """trio.SSLStream, with a certificate made for the test, both directions."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    async def make() -> tuple[trio.SSLStream[SocketStream], trio.SSLStream[SocketStream]]:
        near, far = await make_pair()
        client = trio.SSLStream(near, client_context, server_hostname="localhost")
        server = trio.SSLStream(far, server_context, server_side=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        return client, server

    await check_two_way_stream(make, None)
    client, server = await make()
    block = bytes(range(256)) * 4000
    async with client, server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, block)
            got = b""
            while len(got) < len(block):
                got += await server.receive_some()
        assert got == block


async def test_trio_serve_listeners_takes_our_listeners() -> None:
    """And ends when the nursery is cancelled."""

    async def shout(stream: SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data.upper())

    async with trio.open_nursery() as nursery:
        listeners = await open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, shout, listeners)
        async with await open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
            await stream.send_all(b"quiet")
            assert await stream.receive_some() == b"QUIET"
        nursery.cancel_scope.cancel()


async def test_errors_have_the_wsaerror_as_cause() -> None:
    """Trio's class outside, Winsock's code inside."""
    near, far = await make_pair()
    far.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 0))
    await far.aclose()
    with pytest.raises(trio.BrokenResourceError) as caught:
        await near.receive_some()
    assert isinstance(caught.value.__cause__, wsock.WSAECONNRESET)
    with pytest.raises(trio.BrokenResourceError):
        await near.send_all(b"x")
    await near.aclose()
    with pytest.raises(trio.ClosedResourceError) as closed:
        await near.receive_some()
    assert isinstance(closed.value.__cause__, wsock.WSAENOTSOCK)


async def test_failing_calls_are_checkpoints_too() -> None:
    """A loop over a broken stream freezes nobody."""
    near, far = await make_pair()
    await near.aclose()
    await far.aclose()
    for call in (
        partial(near.send_all, b"x"),
        near.receive_some,
        near.wait_send_all_might_not_block,
        near.send_eof,
    ):
        with assert_checkpoints(), pytest.raises(trio.ClosedResourceError):
            await call()


async def test_what_was_accepted_arrives_although_the_stream_is_closed() -> None:
    """aclose does not wait for a slow reader, and loses nothing."""
    near, far = await make_pair()
    clog(near)
    expected = 0
    await near.aclose()
    async with far:
        async for data in far:
            expected += len(data)
    assert expected >= 1_000_000
    assert expected % 1_000_000 == 0


async def test_nagle_is_off() -> None:
    """As on Trio's streams, on both ends."""
    near, far = await make_pair()
    async with near, far:
        assert near.getsockopt(std.IPPROTO_TCP, std.TCP_NODELAY)
        assert far.getsockopt(std.IPPROTO_TCP, std.TCP_NODELAY)
        assert "SocketStream" in repr(near)


async def test_only_fitting_sockets_are_taken() -> None:
    """Datagram sockets are no streams, and a fresh socket does not listen."""
    with wsock.socket(type=std.SOCK_DGRAM) as datagram, wsock.socket() as fresh:
        with pytest.raises(TypeError):
            SocketStream(datagram)
        with pytest.raises(TypeError):
            SocketListener(datagram)
        with pytest.raises(ValueError, match="listening"):
            SocketListener(fresh)


async def test_receive_some_wants_at_least_a_byte() -> None:
    """0 would look like the end."""
    near, far = await make_pair()
    async with near, far:
        for size in (0, -1):
            with pytest.raises(ValueError, match="max_bytes"):
                await near.receive_some(size)


async def test_closing_a_listener_ends_accept() -> None:
    """ClosedResourceError, in a waiting accept and afterwards."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1")
    assert "SocketListener" in repr(listener)
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await listener.accept()
        await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_stream_nobody_closes_warns() -> None:
    """ResourceWarning, as for every socket."""
    near, far = await make_pair()
    async with far:
        with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031
            del near
            gc.collect()
