"""Random calls on a pair of sockets against a naive model of the notification rules.

The model knows how many bytes are unread, whether the peer has ended, and which bits are armed; it
computes the list of messages that are owed. After each step the window must hold exactly that
list: a notification owed and missing, or one posted that the rules forbid, fails.
"""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import wsock
from tests.providers import (
    EVERYTHING,
    KERNEL,
    RESET_AT_CLOSE,
    WM_SOCKET,
    Pair,
    Provider,
    World,
    drain,
    fill,
)
from wsock import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER = (FD_CONNECT, FD_ACCEPT, FD_OOB, FD_READ, FD_WRITE, FD_CLOSE)


class Model:
    """What the near end of a pair owes, by winsock's rules in the documented column."""

    def __init__(self) -> None:
        self.unread = b""
        self.ended = self.reset = self.full = False
        self.shut_send = self.shut_receive = False
        self.mode: str | None = None
        self.mask = 0
        self.armed = EVERYTHING
        self.record = 0
        self.owed: list[int] = []
        self.signalled = False

    def holds(self, bit: int) -> bool:
        if bit == FD_READ:
            return bool(self.unread) and not self.shut_receive
        if bit == FD_WRITE:
            return not (self.full or self.shut_send or self.reset)
        if bit == FD_CLOSE:
            return self.reset or (self.ended and (self.shut_receive or not self.unread))
        return False

    def report(self, bit: int) -> None:
        if self.mode is None or not self.armed & bit:
            return
        if self.mode == "message":
            if self.mask & bit:
                self.armed &= ~bit
                self.owed.append(bit)
        else:
            self.armed &= ~bit
            self.record |= bit
            self.signalled |= bool(self.mask & bit)

    def evaluate(self, bits: int) -> None:
        for bit in ORDER:
            if bits & bit and self.holds(bit):
                self.report(bit)

    def refused(self) -> None:
        self.armed |= FD_WRITE
        self.record &= ~FD_WRITE

    def re_enable(self, bits: int) -> None:
        self.armed |= bits
        self.record &= ~bits
        self.evaluate(bits)

    def select(self, mode: str, mask: int) -> None:
        if mode == "message":
            self.armed |= EVERYTHING & ~FD_CONNECT
            self.record &= FD_CONNECT
        if not mask:
            self.mode, self.mask = None, 0
            return
        self.mode, self.mask = mode, mask
        if mode == "message":
            self.evaluate(mask)
        else:
            waiting = self.record & mask
            self.evaluate(EVERYTHING)
            self.signalled |= bool(waiting)

    def enumerate(self) -> int:
        events = self.record & self.mask
        self.record &= ~events
        self.signalled = False
        return events


class Player:
    """Makes each call on the pair and on the model, and compares."""

    def __init__(self, pair: Pair, window: wsock.Window) -> None:
        self.pair, self.window = pair, window
        self.model = Model()
        self.event = wsock.Event()
        self.sent = 0
        self.over_tcp = pair.near.family != std.AF_UNIX

    async def play(self, name: str, argument: int) -> None:
        await getattr(self, name)(argument)
        await self.compare()

    async def compare(self) -> None:
        model, near = self.model, self.pair.near
        facts: dict[str, object] = {}
        if model.reset:
            facts = {"reset": True} if near.fileno() >= 0 and self.over_tcp else {}
        elif not model.shut_receive:
            facts = {"unread": len(model.unread), "ended": model.ended and self.over_tcp}
        await self.pair.settle(**facts)
        await trio.lowlevel.checkpoint()
        await self.pair.settle()
        found = []
        try:
            while True:
                found.append(self.window.get_nowait().event)
        except wsock.WSAEWOULDBLOCK:
            pass
        assert found == model.owed
        model.owed = []
        assert self.event.is_set() == model.signalled
        assert near._endpoint.record & near._endpoint.mask == model.record & model.mask

    # What the near end calls

    async def async_select(self, mask: int) -> None:
        self.pair.near.async_select(self.window, WM_SOCKET, mask)
        self.model.select("message", mask)

    async def event_select(self, mask: int) -> None:
        self.pair.near.event_select(self.event if mask else None, mask)
        self.model.select("event", mask)

    async def enumerate(self, _: int) -> None:
        expected = self.model.enumerate()
        assert self.pair.near.enum_network_events(self.event).events == expected

    async def recv(self, size: int, flags: int = 0) -> None:
        model = self.model
        size %= 7
        try:
            data = self.pair.near.recv_nowait(size, flags)
        except wsock.WSAESHUTDOWN:
            assert model.shut_receive
        except (wsock.WSAECONNRESET, wsock.WSAECONNABORTED):
            assert model.reset
            assert not model.unread
        except wsock.WSAEWOULDBLOCK:
            assert (model.unread, model.ended, model.reset) == (b"", False, False)
        else:
            assert data == model.unread[:size]
            if not flags:
                model.unread = model.unread[size:]
        model.re_enable(FD_READ | FD_OOB)
        model.evaluate(FD_CLOSE)

    async def peek(self, size: int) -> None:
        await self.recv(size, std.MSG_PEEK)

    async def send(self, size: int) -> None:
        try:
            self.pair.near.send_nowait(bytes(1 + size % 9))
        except wsock.WSAESHUTDOWN:
            assert self.model.shut_send
        except (wsock.WSAECONNRESET, wsock.WSAECONNABORTED):
            assert self.model.reset
        except wsock.WSAEWOULDBLOCK:
            assert self.model.full
            self.model.refused()
        else:
            assert not self.model.full

    async def ask(self, _: int) -> None:
        near = self.pair.near
        near.getsockopt(std.SOL_SOCKET, std.SO_ERROR)
        near.getpeername()
        assert near.ioctl(wsock.SIOCATMARK) == 1
        near.notifications()
        repr(near)

    async def cancel_recv(self, _: int) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await self.pair.near.recv(5)
        assert scope.cancelled_caught

    async def fill(self, _: int) -> None:
        if not (self.model.shut_send or self.model.reset or self.model.full):
            self.sent += fill(self.pair.near)
            self.model.full = True
            self.model.refused()

    async def drain(self, _: int) -> None:
        if self.model.full and not self.model.reset and not self.pair.far.closed:
            await drain(self.pair.far, self.sent)
            await self.pair.world.until(self.pair.near._endpoint.has_room)
            self.model.full, self.sent = False, 0
            if not self.model.shut_send:
                self.model.report(FD_WRITE)

    async def shutdown_receive(self, _: int) -> None:
        model = self.model
        self.pair.near.shutdown(wsock.SD_RECEIVE)
        model.reset |= bool(model.unread)
        model.shut_receive, model.unread = True, b""
        model.evaluate(FD_CLOSE)

    async def shutdown_send(self, _: int) -> None:
        self.pair.near.shutdown(wsock.SD_SEND)
        self.model.shut_send = True

    # What the far end does

    async def arrive(self, size: int) -> None:
        model = self.model
        if model.ended or model.reset:
            return
        data = bytes([65 + size % 26]) * (1 + size % 5)
        self.pair.far.send_nowait(data)
        if model.shut_receive:  # data that nobody will read resets the connection
            await self.pair.world.until(lambda: self.pair.near.fileno() < 0)
            model.reset = True
            model.evaluate(FD_CLOSE)
            return
        model.unread += data
        model.report(FD_READ)

    async def end(self, _: int) -> None:
        model = self.model
        if model.ended or model.reset:
            return
        self.pair.far.shutdown(wsock.SD_SEND)
        model.ended = True
        model.evaluate(FD_CLOSE)

    async def abort(self, _: int) -> None:
        model = self.model
        # Without epoll a reset behind unread data, or behind the end, gives no wake-up.
        hidden = self.pair.world.provider.name == "waits" and (model.unread or model.ended)
        if model.reset or model.ended or hidden:
            return
        self.pair.far.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET_AT_CLOSE)
        self.pair.far.close()
        model.reset = True
        model.evaluate(FD_CLOSE)


MASKS = st.sets(st.sampled_from([FD_READ, FD_WRITE, FD_OOB, FD_CLOSE, FD_CONNECT])).map(sum)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["async_select", "event_select"]), MASKS),
    st.tuples(
        st.sampled_from(["recv", "peek", "send", "arrive", "arrive", "recv"]),
        st.integers(0, 40),
    ),
    st.tuples(st.sampled_from(["enumerate", "ask", "cancel_recv"]), st.just(0)),
    st.tuples(st.sampled_from(["end", "shutdown_send", "shutdown_receive"]), st.just(0)),
)
#: AF_UNIX knows no reset. Over TCP acknowledgements make room at times of their own.
OF_THE_FAMILY = {
    std.AF_INET: st.tuples(st.just("abort"), st.just(0)),
    std.AF_UNIX: st.tuples(st.sampled_from(["fill", "drain"]), st.just(0)),
}


async def play(provider: Provider, family: int, steps: Sequence[tuple[str, int]]) -> None:
    world = World(provider)
    try:
        async with wsock.Window() as window:
            pair = await world.pair() if family == std.AF_INET else world.local_pair()
            player = Player(pair, window)
            for name, argument in steps:
                await player.play(name, argument)
    finally:
        world.close()


@pytest.mark.parametrize("provider", KERNEL, ids=lambda provider: provider.name)
@pytest.mark.parametrize("family", OF_THE_FAMILY)
def test_every_sequence_of_calls_owes_what_the_model_says(provider: Provider, family: int) -> None:
    """No notification owed is missing, none is posted that the rules forbid, no other exception."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(STEPS | OF_THE_FAMILY[family], max_size=25))
    def check(steps: list[tuple[str, int]]) -> None:
        trio.run(play, provider, family, steps)

    check()
