"""The echo servers: every model gives back every byte, and no client can hurt the others."""

from __future__ import annotations

import importlib
import socket
import struct
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import wsock
from examples.echo import async_socket, event, message, polling, select
from examples.echo.client import echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


async def test_what_had_to_wait_is_sent_once(model: str) -> None:
    """A client fills every buffer, then reads it all, then goes on: nothing lost, nothing twice."""
    numbers = count()
    sent = bytearray()
    async with running(model) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        received = bytearray()
        async with stream:
            for size in (0.3, 0.0, 0.3, 0.0):  # seconds without progress; 0: one piece only
                while True:
                    piece = b"".join(b"%07d\n" % next(numbers) for _ in range(4096))
                    view = memoryview(piece)
                    with trio.move_on_after(size or 30) as scope:
                        while view:
                            taken = await stream.socket.send(view)
                            sent += view[:taken]
                            view = view[taken:]
                    if scope.cancelled_caught or not size:
                        break
                while len(received) < len(sent):
                    received += await stream.receive_some()
            assert received == sent


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


class FakeSocket:
    """A socket whose calls would wait whenever the script says so."""

    def __init__(self, script: list[bool]) -> None:
        self.data: bytes | None = None
        self.sent: list[bytes] = []
        self.received = 0
        self._script = iter(script)

    def _maybe_wait(self, call: str) -> None:
        if next(self._script, False):
            raise wsock.WSAEWOULDBLOCK(call)

    def recv_nowait(self, _max_bytes: int) -> bytes:
        self._maybe_wait("recv")
        self.received += 1
        return b"%d" % self.received

    def send_nowait(self, data: bytes) -> int:
        self._maybe_wait("send")
        if data:
            self.sent.append(data)
        return len(data)

    def enum_network_events(self, _event: object = None) -> wsock.NetworkEvents:
        return wsock.NetworkEvents(wsock.FD.READ, {})


class FakeAsyncSocket(async_socket.Echo):
    """The same below an Echo object."""

    def __init__(self, script: list[bool]) -> None:
        self._fake = FakeSocket(script)

    def receive(self, max_bytes: int = 65536, flags: int = 0) -> bytes:
        return self._fake.recv_nowait(max_bytes)

    def send(self, data: object, flags: int = 0) -> int:
        assert isinstance(data, bytes)
        return self._fake.send_nowait(data)


@pytest.mark.parametrize("name", ["polling", "select", "message", "event", "async_socket"])
@given(script=st.lists(st.booleans(), max_size=40))
def test_whenever_a_call_would_wait_each_byte_is_echoed_once(name: str, script: list[bool]) -> None:
    """Whatever recv and send answer, and in whatever order: nothing twice, nothing out of order."""
    fake: Any
    turn: Callable[[], object]
    if name == "async_socket":
        echo_object = FakeAsyncSocket(script)
        fake, turn = echo_object._fake, partial(echo_object.on_receive, 0)
    else:
        fake = FakeSocket(script)
        turn = partial(TURNS[name], fake)
    for _ in range(len(script) + 2):
        with suppress(wsock.WSAEWOULDBLOCK):
            turn()
    assert fake.sent == [b"%d" % number for number in range(1, fake.received + 1)]
    assert fake.received > 0


TURNS: dict[str, Callable[[Any], object]] = {
    "polling": polling.poll,
    "select": select.echo,
    "message": message.echo,
    "event": lambda sock: event.look_at(sock, wsock.Event(), {}),
}
