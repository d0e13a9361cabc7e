"""AsyncSocket over TLS: the same calls and notifications, about plaintext."""

from __future__ import annotations

import socket as std
import ssl
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from tests.providers import RESET_AT_CLOSE, Pair, World
from wsock import (
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    SD_SEND,
    WM_TLS_NOTIFY,
    AsyncSocket,
    TLSError,
    TLSFilter,
    _hints,
)
from wsock._async_tls import CHATTER_BYTES, TLSChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIB = 1 << 20


class Near(AsyncSocket):
    """The end under test: writes down what it is told."""

    def __init__(self, window: wsock.Window, max_bytes: int = 65536) -> None:
        super().__init__(window)
        self.log: list[tuple[str, int]] = []
        self.got = bytearray()
        self.max_bytes = max_bytes

    def on_receive(self, error: int) -> None:
        self.log.append(("receive", error))
        self.got += self.receive(self.max_bytes)

    def on_send(self, error: int) -> None:
        self.log.append(("send", error))

    def on_close(self, error: int) -> None:
        self.log.append(("close", error))


class Far:
    """The other end, by hand: a filter, and a socket whose calls wait."""

    def __init__(self, sock: wsock.Socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.tls = TLSFilter(context, server_hostname="localhost")

    async def flush(self) -> None:
        await self.sock.send_all(self.tls.outgoing())

    async def pull(self) -> bytes:
        """Receive once; b"" at the end of the stream."""
        data = await self.sock.recv(65536)
        if data:
            self.tls.feed(data)
            await self.flush()
        return data

    async def pull_all(self) -> None:
        """Receive until the end of the stream."""
        while await self.pull():
            pass

    async def handshake(self) -> None:
        await self.flush()
        while not self.tls.handshake_done:
            assert await self.pull()

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def receive(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            if not self.tls.unread:
                assert await self.pull()
            elif self.tls.unread:
                got += self.tls.read(count - len(got))
        return bytes(got)

    async def close_notify(self) -> None:
        self.tls.close_notify()
        await self.flush()


@asynccontextmanager
async def served(window: wsock.Window) -> AsyncIterator[None]:
    """The window's loop runs meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def ends(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> tuple[Near, Far]:
    near = Near(window)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True)
    return near, Far(pair.far, client_context)


def deliver(window: wsock.Window) -> list[tuple[int, int]]:
    """Hand over what is about ciphertext; what the program would be told, not handed over."""
    told = []
    with suppress(wsock.WSAEWOULDBLOCK):
        while True:
            message = window.get_nowait()
            if message.message == WM_TLS_NOTIFY:
                told.append((message.event, message.error))
            else:
                message.socket.handler.dispatch(message)
    return told


def ciphertext(sock: wsock.Socket) -> int:
    """Bytes that lie in the system, still encrypted."""
    return wsock.Socket.ioctl(sock, wsock.FIONREAD)


async def delivered(pair: Pair, window: wsock.Window, unread: int = 0) -> list[tuple[int, int]]:
    """What is told once so much ciphertext has arrived, and all is quiet."""
    await pair.world.until(lambda: ciphertext(pair.near) >= unread)
    await pair.settle()
    return deliver(window)


async def shaken(pair: Pair, window: wsock.Window, far: Far) -> None:
    """The handshake without a loop; the FD_WRITE that it ends with is taken."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.handshake)
        told: list[tuple[int, int]] = []
        while (FD_WRITE, 0) not in told:
            await trio.lowlevel.checkpoint()
            pair.world.stack.turn()
            told += deliver(window)
    assert told == [(FD_WRITE, 0)]


# Notifications


async def test_the_end_of_the_handshake_is_told_by_on_send(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Once, and nothing before it, though plain FD_WRITE was queued when TLS began."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        await far.send(b"hello")
        await world.until(lambda: near.got)
    assert near.log == [("send", 0), ("receive", 0)]
    assert near.got == b"hello"
    assert near.tls is not None
    assert near.tls.ssl_object.version() == "TLSv1.3"


async def test_before_that_a_send_would_block(ends: tuple[Near, Far]) -> None:
    """And send_all takes nothing: what is accepted is delivered."""
    near, _ = ends
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.send(b"early")
    with pytest.raises(wsock.WSAENOBUFS, match="TLS HANDSHAKE"):
        near.send_all(b"early")
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.receive()
    assert near.socket.unsent == 0


async def test_one_fd_read_until_receive_and_again_for_what_is_left(
    pair: Pair, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """However many records arrive; decrypted bytes that are left over are reported again."""
    near, far = ends
    await shaken(pair, window, far)
    await far.send(b"abcd")
    assert await delivered(pair, window, unread=20) == [(FD_READ, 0)]
    await far.send(b"ef")
    assert await delivered(pair, window) == []
    assert near.receive(2, std.MSG_PEEK) == b"ab"
    assert deliver(window) == [(FD_READ, 0)]
    assert near.receive(3) == b"abc"
    assert deliver(window) == [(FD_READ, 0)]
    assert near.receive_from(64) == (b"d", None)
    await pair.world.until(lambda: (FD_READ, 0) in deliver(window))
    assert near.receive() == b"ef"
    assert await delivered(pair, window) == []
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.receive()


async def test_fd_close_comes_after_the_last_byte(
    pair: Pair, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """However the program takes them; then receive says the end."""
    near, far = ends
    await shaken(pair, window, far)
    far.tls.write(b"abc")
    far.tls.close_notify()
    await far.flush()
    far.sock.shutdown(SD_SEND)
    assert await delivered(pair, window, unread=40) == [(FD_READ, 0)]
    assert near.receive(1) == b"a"
    assert deliver(window) == [(FD_READ, 0)]
    assert near.receive(2) == b"bc"
    assert await delivered(pair, window) == [(FD_CLOSE, 0)]
    assert near.receive() == b""
    assert await delivered(pair, window) == []


async def test_fd_write_comes_after_a_refusal(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """A send takes all or nothing; after WSAEWOULDBLOCK on_send tells of room, once."""
    near, far = ends
    sent = 0
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        with suppress(wsock.WSAEWOULDBLOCK):
            while True:
                sent += near.send(bytes(100_000))
        assert 0 < near.socket.unsent <= 100_000 + 7 * 128
        assert await far.receive(sent) == bytes(sent)
        await world.until(lambda: len(near.log) == 2)
        assert near.send(b"more") == 4
        assert await far.receive(4) == b"more"
    assert near.log == [("send", 0), ("send", 0)]


async def test_send_all_waits_behind_up_to_max_unsent(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Then WSAENOBUFS, nothing taken; a peer that never reads costs that much and no more."""
    near, far = ends
    near.socket.max_unsent = 300_000
    sent = 0
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        with suppress(wsock.WSAENOBUFS):
            while True:
                near.send_all(bytes(50_000))
                sent += 50_000
        assert near.socket.unsent <= 300_000
        assert near.socket.max_unsent == 300_000
        assert await far.receive(sent) == bytes(sent)
        await world.until(lambda: len(near.log) == 2)


async def test_select_chooses_among_the_events_of_plaintext(
    pair: Pair, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """TLS goes on beneath; what holds when it is selected again is told then."""
    near, far = ends
    near.select(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.handshake)
        while near.tls is None or not near.tls.handshake_done or not far.tls.handshake_done:
            await trio.lowlevel.checkpoint()
            pair.world.stack.turn()
            assert deliver(window) == []
    await far.send(b"hello")
    assert await delivered(pair, window, unread=20) == []
    near.select(FD_READ)
    assert deliver(window) == [(FD_READ, 0)]
    near.select(FD_WRITE)
    assert deliver(window) == [(FD_WRITE, 0)]


async def test_the_events_are_those_that_were_selected_before(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """attach chose them; start_tls keeps the choice."""
    near, far = Near(window), Far(pair.far, client_context)
    near.attach(pair.near, FD_READ)
    near.start_tls(server_context, server_side=True)
    async with served(window):
        await far.handshake()
        await far.send(b"hello")
        await pair.world.until(lambda: near.got)
    assert near.log == [("receive", 0)]


# The end


async def test_the_peer_closes_first(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """on_close(0); what we still send arrives, and then our own close_notify."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await far.close_notify()
        await world.until(lambda: ("close", 0) in near.log)
        assert near.send(b"last words") == 10
        near.close()
        assert await far.receive(10) == b"last words"
        await far.pull_all()
    assert far.tls.state == "ENDED"
    far.tls.feed_eof()


async def test_we_close_first(world: World, ends: tuple[Near, Far], window: wsock.Window) -> None:
    """After shutdown the peer may still send, and its own end is a good one."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.send(b"goodbye")
        near.shutdown(SD_SEND)
        with pytest.raises(wsock.WSAESHUTDOWN):
            near.send(b"x")
        assert await far.receive(7) == b"goodbye"
        await far.pull_all()
        assert far.tls.state == "PEER_CLOSED"
        await far.send(b"and you")
        await far.close_notify()
        await world.until(lambda: ("close", 0) in near.log)
    assert near.got == b"and you"


async def test_close_sends_what_was_accepted_and_says_the_end(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Also a megabyte that the system has no room for yet."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.send(bytes(MIB))
        near.close()
        near.close()
        assert await far.receive(MIB) == bytes(MIB)
        await far.pull_all()
    assert far.tls.state == "PEER_CLOSED"


async def test_a_close_that_resets_is_no_good_end(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """The peer sees a reset and no close_notify."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.socket.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
        near.close()
        with pytest.raises(wsock.WSAECONNRESET):
            await far.pull_all()
    assert not far.tls.peer_closed


async def test_an_end_without_close_notify_is_told_as_an_error(
    world: World, ends: tuple[Near, Far], window: wsock.Window, caplog: pytest.LogCaptureFixture
) -> None:
    """After what came before it: somebody on the way may have cut the rest off."""
    caplog.set_level("INFO", "wsock")
    near, far = ends
    async with served(window):
        await far.handshake()
        await far.send(b"pay 1000")
        far.sock.shutdown(SD_SEND)
        await world.until(lambda: near.log and near.log[-1][0] == "close")
    assert near.got == b"pay 1000"
    assert near.log[-1] == ("close", 10053)
    for call in (near.receive, lambda: near.send(b"x")):
        with pytest.raises(TLSError, match="without close_notify"):
            call()
    assert caplog.text.count("without close_notify") == 1


async def test_it_can_be_taken_for_a_good_one(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """With suppress_ragged_eofs."""
    near, far = Near(window), Far(pair.far, client_context)
    near.attach(pair.near)
    near.start_tls(server_context, server_side=True, suppress_ragged_eofs=True)
    async with served(window):
        await far.handshake()
        far.sock.shutdown(SD_SEND)
        await pair.world.until(lambda: ("close", 0) in near.log)
    assert near.receive() == b""


async def test_a_reset_is_told_with_its_own_code(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Not as a failure of TLS."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        far.sock.reset()
        await world.until(lambda: near.log[-1][0] == "close")
    assert near.log[-1] == ("close", 10054)
    for call in (near.receive, lambda: near.send(b"x")):
        with pytest.raises(wsock.WSAECONNRESET):
            call()


async def test_a_reset_is_told_at_once_and_what_came_before_can_be_read(
    pair: Pair, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Though the program has not read yet; with "waits" the next call would see it."""
    if pair.world.provider.name == "waits":
        pytest.skip("nothing wakes up for a reset behind unread data")
    near, far = ends
    await shaken(pair, window, far)
    await far.send(b"before")
    assert await delivered(pair, window, unread=20) == [(FD_READ, 0)]
    far.sock.reset()
    told: list[tuple[int, int]] = []
    while not told:
        told = await delivered(pair, window)
    assert told == [(FD_CLOSE, 10054)]
    assert near.receive() == b"before"
    with pytest.raises(wsock.WSAECONNRESET):
        near.receive()


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
                await trio.lowlevel.checkpoint()
        assert near.tls is not None
        assert 0 < near.tls.unread <= 65536
        assert near.log == [("send", 0), ("receive", 0)]
        got = 0
        while got < sent:
            with suppress(wsock.WSAEWOULDBLOCK):
                got += len(near.receive())
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
                pair.far.send_nowait(b"x" * 1000)
                await trio.lowlevel.checkpoint()
        assert 0 < pair.near.unsent <= CHATTER_BYTES + 20_000
        assert ciphertext(pair.near)
        while pair.near.unsent or ciphertext(pair.near):
            with suppress(wsock.WSAEWOULDBLOCK):
                pair.far.recv_nowait(1 << 20)
            await trio.lowlevel.checkpoint()
            pair.world.stack.turn()


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
                await trio.lowlevel.checkpoint()
                said += capsys.readouterr().err
    finally:
        _hints.uninstall()
    assert said.count("FD_READ") == 1


# Beginning


async def test_both_ends_may_be_async_sockets(
    world: World,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """A server begins in on_accept, a client in on_connect."""

    accepted: list[AsyncSocket] = []

    class Echo(AsyncSocket):
        def on_accept(self, error: int) -> None:
            accepted.append(self.accept())
            accepted[0].start_tls(server_context, server_side=True)

        def on_receive(self, error: int) -> None:
            self.send(self.receive())

    class Caller(Near):
        def on_connect(self, error: int) -> None:
            self.start_tls(client_context, server_hostname="127.0.0.1")

        def on_send(self, error: int) -> None:
            self.send(b"hello")

    echo, caller = Echo(window), Caller(window)
    echo.create(0, address="127.0.0.1", stack=world.stack)
    echo.listen()
    caller.create(stack=world.stack)
    async with served(window):
        caller.connect(echo.socket.getsockname())
        await world.until(lambda: caller.got)
        caller.close()
        await world.until(lambda: accepted[0].socket.closed)  # by on_close
        echo.close()
    assert caller.got == b"hello"
    assert caller.tls is not None
    assert caller.tls.ssl_object.getpeercert()


async def test_starttls_after_a_plain_beginning(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """The plain reply goes out first, TLS follows behind it."""

    class Mail(Near):
        def on_receive(self, error: int) -> None:
            if self.tls is None:
                assert self.receive() == b"STARTTLS\n"
                self.send(b"220 go ahead\n")
                self.start_tls(server_context, server_side=True)
            else:
                super().on_receive(error)

    near, far = Mail(window), Far(pair.far, client_context)
    near.attach(pair.near)
    async with served(window):
        await pair.far.send_all(b"STARTTLS\n")
        assert await pair.far.recv(99) == b"220 go ahead\n"
        await far.handshake()
        await far.send(b"secret")
        await pair.world.until(lambda: near.got)
    assert near.got == b"secret"


async def test_a_command_slipped_in_before_tls_is_not_taken_for_plaintext(
    pair: Pair, window: wsock.Window, server_context: ssl.SSLContext
) -> None:
    """Bytes that were there before the handshake are part of it, and so it fails."""
    near = Near(window)
    near.attach(pair.near, 0)
    await pair.far.send_all(b"RCPT TO:<mallory>\n")
    await pair.settle(unread=18)
    near.select(FD_READ | FD_CLOSE)
    near.start_tls(server_context, server_side=True)
    async with served(window):
        await pair.world.until(lambda: near.log and near.log[-1][0] == "close")
    assert near.got == b""


async def test_when_it_cannot_begin(
    world: World,
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """Each wrong moment has its own error, and leaves the socket as it was."""
    near = Near(window)
    with pytest.raises(wsock.WSAENOTSOCK):
        near.start_tls(server_context, server_side=True)
    near.create(stack=world.stack)
    with pytest.raises(wsock.WSAENOTCONN):
        near.start_tls(server_context, server_side=True)
    near.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        near.start_tls(server_context, server_side=True)
    near.create(type=std.SOCK_DGRAM, address="127.0.0.1", stack=world.stack)
    with pytest.raises(wsock.WSAEOPNOTSUPP):
        near.start_tls(server_context, server_side=True)
    near.close()
    near.attach(pair.near)
    with pytest.raises(ValueError, match="server_hostname"):
        near.start_tls(client_context)
    assert near.tls is None
    near.start_tls(server_context, server_side=True)
    with pytest.raises(wsock.WSAEALREADY):
        near.start_tls(server_context, server_side=True)


async def test_what_tls_has_no_meaning_for(ends: tuple[Near, Far]) -> None:
    """Urgent data, and giving the socket to somebody without the keys."""
    near, _ = ends
    for call in (
        lambda: near.receive(1, std.MSG_OOB),
        lambda: near.send(b"x", std.MSG_OOB),
    ):
        with pytest.raises(wsock.WSAEOPNOTSUPP, match="over TLS"):
            call()
    with pytest.raises(wsock.WSAEINVAL, match="speaks TLS"):
        near.detach()
    near.close()
    assert near.detach().closed


async def test_the_socket_itself_speaks_plaintext_too(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Who holds the Socket cannot send past the encryption, nor take a record from its middle."""
    near, far = ends
    sock = near.socket
    near.select(FD_WRITE | FD_CLOSE)
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        assert sock.send_all_nowait(bytearray(b"one ")) == 4
        assert sock.sendto_nowait(memoryview(b"two"), None) == 3
        assert sock.send_nowait(b"") == 0
        assert await far.receive(7) == b"one two"
        await far.send(b"answer")
        await world.until(lambda: sock.ioctl(wsock.FIONREAD) == 6)
        buffer = bytearray(4)
        assert sock.recv_into_nowait(buffer) == 4
        assert (bytes(buffer), sock.recvfrom_nowait(9)) == (b"answ", (b"er", None))
        rows = {row.event: row for row in sock.notifications()}
        assert rows[FD_CLOSE].selected
        assert not rows[FD_READ].selected
        assert sock.state == "CONNECTED"
        sock.close()
        await far.pull_all()
    assert far.tls.state == "PEER_CLOSED"


async def test_its_calls_that_wait_are_refused(ends: tuple[Near, Far]) -> None:
    """They would move ciphertext; the text names what is there for tasks that wait."""
    sock = ends[0].socket
    for call in (
        partial(sock.recv, 9),
        partial(sock.recv_into, bytearray(9)),
        partial(sock.recvfrom, 9),
        partial(sock.send, b"x"),
        partial(sock.send_all, b"x"),
        partial(sock.sendto, b"x", None),
    ):
        with pytest.raises(wsock.WSAEOPNOTSUPP, match=r"trio\.SSLStream"):
            await call()
    with pytest.raises(wsock.WSAEOPNOTSUPP):
        sock.event_select(wsock.Event(), FD_READ)
    with pytest.raises(wsock.WSAEINVAL, match="speaks TLS"):
        sock.detach()


async def test_the_end_of_receiving(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """After SD_RECEIVE nothing is received; sending goes on."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.shutdown(wsock.SD_RECEIVE)
        with pytest.raises(wsock.WSAESHUTDOWN):
            near.receive()
        near.send_to(b"still here", None)
        assert await far.receive(10) == b"still here"
