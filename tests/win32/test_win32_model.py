"""Random sequences of calls against a naive model of the notification rules.

The model is one accepted stream socket: bytes unread, whether the peer has ended, what is armed,
recorded and selected. After every call the messages in the queue, the event object and the call's
result must be the model's: nothing owed, nothing too many, no Python exception, no hang.
"""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from ported import nonblocking, pair

from wsock import Stack, _stack
from wsock import win32 as w

READ, WRITE, CLOSE = w.FD_READ, w.FD_WRITE, w.FD_CLOSE
ORDER = (READ, WRITE, CLOSE)
WM_SOCKET = w.WM_USER + 1

masks = st.sampled_from([READ, WRITE, CLOSE, READ | WRITE, READ | CLOSE, READ | WRITE | CLOSE])
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 5)),
    st.tuples(st.just("recv"), st.integers(1, 6)),
    st.tuples(st.just("peek"), st.integers(1, 6)),
    st.tuples(st.just("message"), masks),
    st.tuples(st.just("event"), masks),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("enumerate"), st.just(0)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("look"), st.just(0)),
)


class Model:
    """What the rules say."""

    def __init__(self) -> None:
        self.unread = 0
        self.ended = False
        self.target = ""
        self.mask = 0
        self.armed = READ | WRITE | CLOSE
        self.record = 0
        self.signalled = False
        self.posted: list[int] = []

    def holds(self, bit: int) -> bool:
        if bit == READ:
            return self.unread > 0
        return bit == WRITE or (self.ended and not self.unread)

    def report(self, bit: int) -> None:
        if not self.armed & bit or not self.holds(bit) or not self.target:
            return
        if self.target == "event":
            self.armed &= ~bit
            self.record |= bit
            self.signalled |= bool(self.mask & bit)
        elif self.mask & bit:
            self.armed &= ~bit
            self.posted.append(bit)

    def received(self) -> None:
        """recv was called: FD_READ is enabled again, and the end may have come into sight."""
        self.armed |= READ
        self.record &= ~READ
        self.report(READ)
        self.report(CLOSE)

    def send(self, count: int) -> int:
        if self.ended:
            return w.WSAESHUTDOWN
        self.unread += count
        self.report(READ)
        return count

    def recv(self, count: int, keep: bool = False) -> int:
        got = min(count, self.unread)
        nothing = not self.unread and not self.ended
        self.unread -= 0 if keep else got
        self.received()
        return w.WSAEWOULDBLOCK if nothing else got

    def peek(self, count: int) -> int:
        return self.recv(count, keep=True)

    def message(self, mask: int) -> int:
        self.target, self.mask = "message", mask
        self.armed = READ | WRITE | CLOSE
        self.record = 0
        for bit in ORDER:
            self.report(bit)
        return 0

    def event(self, mask: int) -> int:
        self.target, self.mask = "event", mask
        for bit in ORDER:
            self.report(bit)
        self.signalled |= bool(self.record & mask)
        return 0

    def cancel(self, _: int) -> int:
        self.target, self.mask = "", 0
        return 0

    def enumerate(self, _: int) -> int:
        found = self.record & self.mask
        self.record &= ~found
        self.signalled = False
        return found

    def end(self, _: int) -> int:
        self.ended = True
        self.report(CLOSE)
        return 0

    def look(self, _: int) -> int:
        return self.unread


class Real:
    """The same calls on the C face."""

    def __init__(self) -> None:
        assert w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA()) == 0
        self.window = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
        self.object = w.WSACreateEvent()
        self.peer, self.s = pair()
        nonblocking(self.s)

    @staticmethod
    def _result(value: int) -> int:
        return w.WSAGetLastError() if value == w.SOCKET_ERROR else value

    def send(self, count: int) -> int:
        return self._result(w.send(self.peer, bytes(count), count, 0))

    def recv(self, count: int, flags: int = 0) -> int:
        return self._result(w.recv(self.s, bytearray(count), count, flags))

    def peek(self, count: int) -> int:
        return self.recv(count, w.MSG_PEEK)

    def message(self, mask: int) -> int:
        return self._result(w.WSAAsyncSelect(self.s, self.window, WM_SOCKET, mask))

    def event(self, mask: int) -> int:
        return self._result(w.WSAEventSelect(self.s, self.object, mask))

    def cancel(self, _: int) -> int:
        return self._result(w.WSAEventSelect(self.s, None, 0))

    def enumerate(self, _: int) -> int:
        found = w.WSANETWORKEVENTS()
        assert w.WSAEnumNetworkEvents(self.s, self.object, found) == 0
        return found.lNetworkEvents

    def end(self, _: int) -> int:
        return self._result(w.shutdown(self.peer, w.SD_SEND))

    def look(self, _: int) -> int:
        value = w.ULONG()
        assert w.ioctlsocket(self.s, w.FIONREAD, value) == 0
        return value.value

    def posted(self) -> list[int]:
        """The events in the queue, taken out."""
        message, events = w.MSG(), []
        while w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
            assert (message.message, message.wParam) == (WM_SOCKET, self.s)
            assert w.WSAGETSELECTERROR(message.lParam) == 0
            events.append(w.WSAGETSELECTEVENT(message.lParam))
        return events

    def signalled(self) -> bool:
        return w.WSAWaitForMultipleEvents(1, [self.object], False, 0, False) == w.WSA_WAIT_EVENT_0


def _compare(script: list[tuple[str, int]]) -> None:
    real, model = Real(), Model()
    for number, (name, argument) in enumerate(script):
        where = f"step {number}: {name} {argument}"
        expected: Any = getattr(model, name)(argument)
        assert getattr(real, name)(argument) == expected, where
        assert real.posted() == model.posted, where
        assert real.signalled() == model.signalled, where
        model.posted.clear()


def _run(engine: str, script: list[tuple[str, int]]) -> None:
    async def main() -> None:
        _stack.current.set(Stack(engine=engine))
        with trio.fail_after(10):
            await w.start(_compare, script)

    trio.run(main)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=25))
def test_epoll_follows_the_model(script: list[tuple[str, int]]) -> None:
    """On the epoll engine."""
    _run("epoll", script)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=25))
def test_waits_follows_the_model(script: list[tuple[str, int]]) -> None:
    """On the fallback engine."""
    _run("waits", script)
