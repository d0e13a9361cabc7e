"""The echo servers: every model gives back every byte, and no client can hurt the others."""

from __future__ import annotations

import importlib
import socket
import struct
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from examples.echo.client import echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLAIN = ["blocking", "polling", "select", "message", "event", "async_socket", "stream"]
RESET = struct.pack("ii", 1, 0)


@asynccontextmanager
async def running(model: str) -> AsyncIterator[int]:
    """The server of that model; gives its port, ends it afterwards."""
    module = importlib.import_module(f"examples.echo.{model}")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(module.serve, 0))
            nursery.cancel_scope.cancel()


@pytest.fixture(params=PLAIN)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the server ends its side."""
    return b"".join([data async for data in stream])


async def test_what_is_sent_comes_back(model: str) -> None:
    """Also through wsock's own client, and in pieces."""
    async with running(model) as port:
        with wsock.socket() as sock:
            await sock.connect(("127.0.0.1", port))
            assert await echo(sock, b"hello") == b"hello"
            assert await echo(sock, b"x" * 100_000) == b"x" * 100_000


async def test_who_ends_its_side_still_gets_everything(model: str) -> None:
    """Five megabytes, and a half close behind them: all comes back, then the end."""
    data = bytes(range(256)) * 20_000
    async with running(model) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)

        async def send() -> None:
            await stream.send_all(data)
            await stream.send_eof()

        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await read_all(stream) == data


async def test_who_never_reads_is_not_read_and_hurts_nobody(model: str) -> None:
    """The server takes what its buffers hold, and others are served meanwhile."""
    async with running(model) as port:
        greedy = await trio.open_tcp_stream("127.0.0.1", port)
        other = await trio.open_tcp_stream("127.0.0.1", port)
        async with greedy, other:
            sent = 0
            greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            chunk = b"x" * 65536
            for _ in range(4000):
                with trio.move_on_after(1.0) as scope:
                    sent += await greedy.socket.send(chunk)
                if scope.cancelled_caught:
                    break
            assert sent < 64 << 20
            await other.send_all(b"still there?")
            assert await other.receive_some() == b"still there?"


async def test_clients_that_reset_hurt_nobody(model: str) -> None:
    """Before, while and after they send."""
    async with running(model) as port:
        for data in (b"", b"x", b"x" * 1_000_000):
            rude = await trio.open_tcp_stream("127.0.0.1", port)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with trio.move_on_after(0.5):
                await rude.send_all(data)
            rude.socket.close()
        polite = await trio.open_tcp_stream("127.0.0.1", port)
        async with polite:
            await polite.send_all(b"still there?")
            assert await polite.receive_some() == b"still there?"


async def test_many_clients_at_once(model: str) -> None:
    """Each gets its own bytes."""

    async def talk(number: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            for turn in range(5):
                text = f"client {number}, turn {turn}".encode()
                await stream.send_all(text)
                assert await stream.receive_some() == text

    async with running(model) as port, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(talk, number)
