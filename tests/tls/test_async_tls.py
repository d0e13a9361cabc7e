"""AsyncSocket over TLS: the same calls and notifications, about plaintext."""

from __future__ import annotations

import socket as std
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from async_ends import Far, Near, deliver, delivered, served, shaken

import wsock
from tests.providers import RESET_AT_CLOSE, Pair, World
from wsock import (
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    SD_SEND,
    TLSError,
)

if TYPE_CHECKING:
    import ssl

MIB = 1 << 20


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


async def test_a_bit_that_is_no_event_is_refused(
    pair: Pair, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """WSAEINVAL, and the choice that was made before stays in force."""
    near, far = ends
    near.select(FD_READ)
    with pytest.raises(wsock.WSAEINVAL):
        near.select(-1)
    async with served(window):
        await far.handshake()
        await far.send(b"hello")
        await pair.world.until(lambda: near.got)
    assert near.log == [("receive", 0)]


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
