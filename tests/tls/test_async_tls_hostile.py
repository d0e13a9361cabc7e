"""AsyncSocket over TLS: handshakes that fail, much data, and hostile peers."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from async_ends import Far, Near, ciphertext, served

import wsock
from wsock import (
    FD_READ,
    AsyncSocket,
    TLSError,
    TLSFilter,
    _hints,
)
from wsock._async_tls import CHATTER_BYTES, TLSChannel

if TYPE_CHECKING:
    from tests.providers import Pair, World

MIB = 1 << 20


# Handshakes that fail, or never end


async def test_garbage_instead_of_a_hello(
    world: World, ends: tuple[Near, Far], window: wsock.Window, caplog: pytest.LogCaptureFixture
) -> None:
    """on_close with 10053, the reason in tls.error and once in the log; calls raise it."""
    caplog.set_level("INFO", "wsock")
    near, far = ends
    async with served(window):
        await far.sock.send_all(b"LOGIN bob correct-horse\n")
        await world.until(lambda: near.log)
    assert near.log == [("close", 10053)]
    assert near.tls is not None
    assert "what came is not TLS" in str(near.tls.error)
    for call in (near.receive, lambda: near.send(b"x"), lambda: near.send_all(b"x")):
        with pytest.raises(TLSError, match="not TLS"):
            call()
    assert caplog.text.count("not TLS") == 1
    near.close()


async def test_the_alert_goes_out_before_the_close(
    pair: Pair, window: wsock.Window, server_context: ssl.SSLContext
) -> None:
    """A client that does not trust the server says so; the server closes at that."""
    far = Far(pair.far, ssl.create_default_context())
    near = AsyncSocket(window)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    async with served(window):
        await far.flush()
        with pytest.raises(TLSError, match="CERTIFICATE_VERIFY_FAILED"):
            await far.pull_all()
        await far.flush()
        await pair.world.until(lambda: near.socket.closed)
    assert near.tls is not None
    assert "alert unknown ca" in str(near.tls.error)


async def test_a_client_that_stops_in_the_middle_of_the_handshake(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Nothing is told while it only waits; when it ends, an error."""
    near, far = ends
    hello = far.tls.outgoing()
    async with served(window):
        await far.sock.send_all(hello[:100])
        await world.settle(near.socket)
        assert near.log == []
        far.sock.close()
        await world.until(lambda: near.log)
    assert near.log == [("close", 10053)]
    assert "middle of the handshake" in str(near.tls and near.tls.error)


@pytest.mark.parametrize("part", [0, 1, 100, 10_000])
async def test_close_in_the_middle_of_the_handshake(
    world: World, ends: tuple[Near, Far], window: wsock.Window, part: int
) -> None:
    """Whatever has come by then: the peer sees an end that is none of TLS's."""
    near, far = ends
    hello = far.tls.outgoing()
    async with served(window):
        if part:
            await far.sock.send_all(hello[:part])
            await world.settle(near.socket)
        near.close()
        with pytest.raises(wsock.WSAENOTSOCK):
            near.receive()
        with suppress(ConnectionError):
            await far.pull_all()
    assert not far.tls.handshake_done or not far.tls.peer_closed
    assert near.log in ([], [("send", 0)])


async def test_the_window_may_end_in_the_middle(
    pair: Pair, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The socket stays usable to close; nothing is told any more."""
    far = Far(pair.far, client_context)
    async with wsock.Window() as window:
        near = Near(window)
        near.attach(pair.near)
        near.start_tls(server_context, server_side=True)
        await far.flush()
    await pair.world.until(lambda: ciphertext(pair.near))
    assert near.log == []
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.receive()
    near.close()
    assert near.socket.closed


async def test_a_socket_closed_behind_its_back(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """By reset_client, say: messages that are still queued do nothing."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await far.send(b"x")
        await world.until(lambda: near.got)
        near.socket.reset()
        window.post(wsock.WM_SOCKET_NOTIFY, near.socket.handle, FD_READ)
        await trio.testing.wait_all_tasks_blocked()
        near.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        near.send(b"x")


# Much data, and hostile peers


async def test_a_megabyte_each_way(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """At the same time."""
    near, far = ends
    up, down = bytes(range(256)) * 4096, bytes(reversed(range(256))) * 4096

    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.send(down)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(far.send, up)
            assert await far.receive(MIB) == down
        await world.until(lambda: len(near.got) == MIB)
    assert near.got == up


async def test_reads_of_a_few_bytes_get_everything(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """One receive for each FD_READ, of 1000 bytes: no record is forgotten."""
    near, far = Near(window, max_bytes=1000), Far(pair.far, client_context)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    data = bytes(range(250)) * 1000
    async with served(window):
        await far.handshake()
        await far.send(data)
        await far.close_notify()
        await pair.world.until(lambda: ("close", 0) in near.log)
    assert near.got == data


class Stubborn(Near):
    """Reads only when it is asked to."""

    def on_receive(self, error: int) -> None:
        self.log.append(("receive", error))


async def test_a_flood_that_nobody_reads_is_held_back(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """At most one receive of plaintext is held; the rest waits with the peer."""
    near, far = Stubborn(window), Far(pair.far, client_context)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    sent = 0
    async with served(window):
        await far.handshake()
        with suppress(wsock.WSAEWOULDBLOCK):
            while True:
                far.tls.write(bytes(16000))
                far.sock.send_nowait(far.tls.outgoing())
                sent += 16000
                await pair.settle()
                await trio.lowlevel.checkpoint()
        assert near.tls is not None
        assert 0 < near.tls.unread <= 65536
        assert near.log == [("send", 0), ("receive", 0)]
        got = 0
        while got < sent:
            with suppress(wsock.WSAEWOULDBLOCK):
                got += len(near.receive())
            await pair.settle()
            await trio.lowlevel.checkpoint()


class Chatty(TLSFilter):
    """A filter that has 10,000 bytes to say to whatever comes, as to a key update."""

    __slots__ = ()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def outgoing(self) -> bytes:
        return bytes(10_000)


async def test_a_peer_that_makes_us_talk_and_does_not_listen(
    pair: Pair, window: wsock.Window, server_context: ssl.SSLContext
) -> None:
    """Is not received from any more, until it listens again."""
    near = Near(window)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    channel = TLSChannel(pair.near, window, Chatty(server_context, server_side=True))
    near._tls = channel
    async with served(window):
        with suppress(wsock.WSAEWOULDBLOCK):
            while True:
                pair.far.send_nowait(b"x" * 8000)
                await pair.settle()
                await trio.lowlevel.checkpoint()
        buffer = pair.near._endpoint.send_limit  # of the endpoint itself: 0 where a kernel has it
        assert 0 < pair.near.unsent <= buffer + CHATTER_BYTES + 20_000
        assert ciphertext(pair.near)
        while pair.near.unsent or ciphertext(pair.near):
            with suppress(wsock.WSAEWOULDBLOCK):
                pair.far.recv_nowait(1 << 20)
            await pair.settle()
            await trio.lowlevel.checkpoint()


async def test_a_hint_speaks_of_plaintext_once(
    world: World,
    ends: tuple[Near, Far],
    window: wsock.Window,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not of the ciphertext beneath, too, which nobody but TLS reads."""
    near, far = ends
    monkeypatch.setattr(near, "on_receive", lambda _error: None, raising=False)
    _hints.install()
    try:
        async with served(window):
            await far.handshake()
            await world.until(lambda: near.log)
            await far.send(b"never read")
            said = ""
            while "FD_READ" not in said:
                await trio.sleep(_hints.IDLE_S / 5)
                said += capsys.readouterr().err
    finally:
        _hints.uninstall()
    assert said.count("FD_READ") == 1
