"""While nothing happens nothing runs: no engine polls, none spins on what is reported already."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

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
    events_in,
    fill,
    messages,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: The fallback engine looks for urgent data this often, where somebody wants to hear of it.
LOOK_S = 0.020

#: No engine has a deadline nearer than this for anything else.
FAR_S = 1.0

ALL_BUT_URGENT = FD_READ | FD_WRITE | FD_ACCEPT | FD_CONNECT | FD_CLOSE


def next_deadline() -> float:
    """How many seconds from now Trio would wake up by itself."""
    return trio.lowlevel.current_statistics().seconds_to_next_deadline


async def idle() -> None:
    """Return when for 5 ms nothing has run; a wait that spins is never over for so long."""
    with trio.fail_after(5):
        await trio.testing.wait_all_tasks_blocked(0.005)


async def no_look(pair: Pair) -> None:
    """Wait for the look that may be due still; none must follow it."""
    await pair.world.until(lambda: next_deadline() > FAR_S)
    await idle()
    assert next_deadline() > FAR_S


async def test_nothing_polls_while_no_urgent_data_is_wanted(
    pair: Pair, window: wsock.Window
) -> None:
    """Selections without FD_OOB, tasks that wait, an event object: no deadline is due soon."""
    listener = pair.world.listener()
    listener.async_select(window, WM_SOCKET, ALL_BUT_URGENT)
    pair.near.async_select(window, WM_SOCKET, ALL_BUT_URGENT)
    event = wsock.Event()
    pair.far.event_select(event, ALL_BUT_URGENT)
    datagrams = pair.world.bound_datagram()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(datagrams.recvfrom, 9)
        await idle()
        assert next_deadline() > FAR_S
        nursery.cancel_scope.cancel()


async def test_a_look_every_20_ms_while_fd_oob_is_selected(
    pair: Pair, window: wsock.Window
) -> None:
    """On the fallback engine alone, and no longer than the selection."""
    looks = pair.world.provider.name == "waits"
    pair.near.async_select(window, WM_SOCKET, EVERYTHING)
    await idle()
    assert (next_deadline() <= LOOK_S) is looks
    pair.near.async_select(window, WM_SOCKET, ALL_BUT_URGENT)
    await no_look(pair)
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    await idle()
    assert (next_deadline() <= LOOK_S) is looks
    pair.near.close()
    await no_look(pair)


async def test_nobody_looks_behind_a_close(pair: Pair, window: wsock.Window) -> None:
    """A closed socket that still sends its rest hears of no urgent data: no look for it."""
    pair.near.async_select(window, WM_SOCKET, FD_OOB)
    await idle()
    fill(pair.near)
    pair.near.send_all_nowait(bytes(1000))
    pair.near.close()
    assert pair.near.state == "CLOSING"
    await no_look(pair)


async def _data(pair: Pair, window: wsock.Window) -> None:
    pair.far.send_nowait(b"abc")
    assert await messages(window) == [(FD_READ, 0)]


async def _a_part_of_the_data(pair: Pair, window: wsock.Window) -> None:
    await _data(pair, window)
    assert pair.near.recv_nowait(1) == b"a"
    assert events_in(window) == [FD_READ]


async def _the_end(pair: Pair, window: wsock.Window) -> None:
    pair.far.shutdown(wsock.SD_SEND)
    assert await messages(window) == [(FD_CLOSE, 0)]


async def _the_end_behind_data(pair: Pair, window: wsock.Window) -> None:
    await _data(pair, window)
    pair.far.shutdown(wsock.SD_SEND)
    await pair.settle(ended=True)


async def _a_reset(pair: Pair, window: wsock.Window) -> None:
    pair.far.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
    pair.far.close()
    assert [event for event, _ in await messages(window)] == [FD_CLOSE]


async def _room_again(pair: Pair, window: wsock.Window) -> None:
    sent = await pair.world.fill(pair.near)
    assert events_in(window) == []
    assert await drain(pair.far, sent) == sent
    assert await messages(window) == [(FD_WRITE, 0)]


@pytest.mark.parametrize(
    "state", [_data, _a_part_of_the_data, _the_end, _the_end_behind_data, _a_reset, _room_again]
)
async def test_what_is_reported_is_not_waited_for(
    pair: Pair, window: wsock.Window, state: Callable[[Pair, wsock.Window], Awaitable[None]]
) -> None:
    """The system would go on saying "ready": until the re-enabling call nobody asks it."""
    pair.near.async_select(window, WM_SOCKET, ALL_BUT_URGENT)
    assert await messages(window) == [(FD_WRITE, 0)]
    await state(pair, window)
    await idle()
    assert next_deadline() > FAR_S


async def test_a_connection_that_is_reported_is_not_waited_for(
    world: World, window: wsock.Window
) -> None:
    """A listener with clients in its queue and FD_ACCEPT posted."""
    listener = world.listener()
    listener.async_select(window, WM_SOCKET, FD_ACCEPT)
    for _ in range(3):
        await world.connected(listener)
    assert await messages(window) == [(FD_ACCEPT, 0)]
    await idle()
    assert next_deadline() > FAR_S


async def test_a_datagram_that_is_reported_is_not_waited_for(
    world: World, window: wsock.Window
) -> None:
    """Two datagrams, and one FD_READ."""
    near, far = world.bound_datagram(), world.bound_datagram()
    near.async_select(window, WM_SOCKET, FD_READ)
    for _ in range(2):
        far.sendto_nowait(b"x", near.getsockname())
    assert await messages(window) == [(FD_READ, 0)]
    await idle()
    assert next_deadline() > FAR_S
