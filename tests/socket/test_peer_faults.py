"""Peers that reset, at every stage, that close, dawdle or never read: each on its own account."""

from __future__ import annotations

import os
import socket as std
from contextlib import suppress

import pytest
import trio
import trio.testing

import wsock
from tests.providers import (
    EVERYTHING,
    RESET_AT_CLOSE,
    WM_SOCKET,
    Pair,
    World,
    drain,
    messages,
    queued,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ

blocked = trio.testing.wait_all_tasks_blocked


def reset(sock: wsock.Socket) -> None:
    sock.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    sock.close()


async def test_reset_before_accept(world: World, window: wsock.Window) -> None:
    """A client that resets before accept: accept hands over a socket that says so, or none."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT | FD_CLOSE | FD_READ)
    reset(await world.connected(listener))
    client = await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    while True:
        accepted = world.keep(listener.accept_nowait()[0])
        if accepted.getpeername() == client.getsockname():
            break
        with pytest.raises(wsock.WSAECONNRESET):
            await accepted.recv(1)
        await world.until(lambda: listener.notifications())
    client.send_nowait(b"a")
    assert await accepted.recv(9) == b"a"


async def test_reset_while_a_send_is_pending(pair: Pair) -> None:
    """A reset ends a send that waits; what was unsent is gone."""
    assert await pair.world.fill(pair.near)

    async def sender() -> None:
        with pytest.raises(wsock.WSAECONNRESET) as caught:
            await pair.near.send(b"x" * 100)
        assert isinstance(caught.value, trio.BrokenResourceError)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        await blocked()
        reset(pair.far)
    assert pair.near.unsent == 0
    pair.near.close()


async def test_input_while_the_rest_goes_out(pair: Pair) -> None:
    """A closed socket with a rest throws away what arrives: no reset cuts its own bytes off."""
    pair.near.send_nowait(bytes(5_000_000))
    pair.near.close()
    pair.far.send_nowait(bytes(100_000))
    assert await drain(pair.far, 6_000_000) == 5_000_000


async def test_reset_while_a_recv_waits(pair: Pair) -> None:
    """A reset ends a recv that waits."""

    async def reader() -> None:
        with pytest.raises(wsock.WSAECONNRESET):
            await pair.near.recv(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await blocked()
        reset(pair.far)


async def test_reset_with_data_unread(pair: Pair) -> None:
    """Bytes before a reset stay readable for who reads; then WSAECONNRESET, every time."""
    pair.far.send_nowait(b"abc")
    await pair.settle(unread=3)
    reset(pair.far)
    await pair.settle(reset=True)
    assert await pair.near.recv(9) == b"abc"
    for _ in range(2):
        with pytest.raises(wsock.WSAECONNRESET):
            await pair.near.recv(9)


async def test_reset_during_shutdown(pair: Pair) -> None:
    """A reset behind own shutdown(SD_SEND), also one that still waits for its rest."""
    pair.near.send_nowait(bytes(20_000_000))
    pair.near.shutdown(wsock.SD_SEND)
    reset(pair.far)
    with pytest.raises(wsock.WSAECONNRESET):
        await pair.near.recv(1)
    pair.near.close()
    assert pair.near.state == "CLOSED"


async def test_reset_of_a_closed_socket_with_a_rest(pair: Pair) -> None:
    """A peer that resets while the rest of a closed socket goes out ends it."""
    pair.near.send_nowait(bytes(20_000_000))
    pair.near.close()
    assert pair.near.state == "CLOSING"
    reset(pair.far)
    await pair.world.until(lambda: pair.near.state == "CLOSED")


async def test_closed_at_once_everything_arrives(pair: Pair) -> None:
    """S1-30: what send accepted is delivered although the socket is closed at once."""
    data = os.urandom(5_000_000)
    assert pair.near.send_nowait(data) == len(data)
    pair.near.close()
    got = bytearray()
    while part := await pair.far.recv(1 << 20):
        got += part
    assert got == data


async def test_netstat_counts_down_what_a_closed_socket_owes(pair: Pair) -> None:
    """Closed and not drained counts as open; netstat shows what is still unsent."""
    pair.near.send_nowait(bytes(20_000_000))
    pair.near.close()
    owed = [row["unsent"] for row in pair.world.stack.netstat() if row["state"] == "CLOSING"]
    assert len(owed) == 1
    await drain(pair.far, 8_000_000)
    await pair.world.until(lambda: pair.near.unsent < owed[0])
    await drain(pair.far, 12_000_000)
    await pair.world.until(lambda: pair.near.state == "CLOSED")


async def test_peer_closes_while_the_rest_goes_out(pair: Pair) -> None:
    """Half close of the peer does not end the sending of what was accepted."""
    pair.near.send_nowait(bytes(5_000_000))
    pair.far.shutdown(wsock.SD_SEND)
    assert await pair.near.recv(9) == b""
    pair.near.close()
    assert await drain(pair.far, 6_000_000) == 5_000_000


async def test_shutdown_sends_the_rest_first(pair: Pair) -> None:
    """shutdown(SD_SEND) takes effect after what was accepted; receiving goes on."""
    pair.near.send_nowait(bytes(5_000_000))
    pair.near.shutdown(wsock.SD_SEND)
    assert await drain(pair.far, 6_000_000) == 5_000_000
    pair.far.send_nowait(b"bye")
    assert await pair.near.recv(9) == b"bye"


async def test_linger_0_drops_the_rest(pair: Pair) -> None:
    """SO_LINGER with 0 seconds resets, also what is still with the endpoint."""
    pair.near.send_nowait(bytes(5_000_000))
    reset(pair.near)
    assert pair.near.state == "CLOSED"
    with pytest.raises(wsock.WSAECONNRESET):
        await drain(pair.far, 6_000_000)


async def test_a_reader_that_never_reads(pair: Pair) -> None:
    """A reader that never reads costs at most max_unsent plus one send."""
    pair.near.max_unsent = 100_000
    with suppress(wsock.WSAENOBUFS):
        while True:
            pair.near.send_all_nowait(bytes(7_000))
    assert pair.near.unsent <= 100_000 + 7_000
    assert pair.near._endpoint.file.rest_length() == pair.near.unsent


async def test_one_byte_at_a_time(pair: Pair, window: wsock.Window) -> None:
    """A client that sends a byte, and then a byte: one message and one recv for each."""
    pair.near.async_select(window, WM_SOCKET, FD_READ)
    for number in range(50):
        pair.far.send_nowait(bytes([number]))
        assert await messages(window) == [(FD_READ, 0)]
        assert pair.near.recv_nowait(64) == bytes([number])
    assert queued(window) == []


async def test_everything_selected_and_everything_wrong(world: World, window: wsock.Window) -> None:
    """Twenty clients that reset at once: one FD_CLOSE each, and nothing else."""
    pairs = [await world.pair() for _ in range(20)]
    for pair in pairs:
        pair.near.async_select(window, WM_SOCKET, EVERYTHING)
    queued(window)
    for pair in pairs:
        reset(pair.far)
    found = await messages(window, 20)
    assert found == [(FD_CLOSE, wsock.WSAECONNRESET.winerror)] * 20
    assert queued(window) == []
