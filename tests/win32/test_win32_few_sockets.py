"""Random sequences of calls on a few sockets against a naive model of Winsock's rules.

A listener, up to four clients and what is accepted of them, and two datagram sockets. After every
call its result, the messages of every socket and every event object must be the model's: nothing
owed, nothing too many, no Python exception, no hang. The examples are the same in every run.
"""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_winsock import ACCEPT, ALL, CLOSE, ORDER, READ, WRITE, Datagrams, Listener, Stream
from ported import listener, loopback, nonblocking

from wsock import Stack, _stack
from wsock import win32 as w
from wsock.win32._waits import event_of

WM_SOCKET = w.WM_USER + 1
MOST_CLIENTS = 4

masks = st.one_of(
    st.sampled_from([0, ALL, READ, READ | CLOSE, READ | WRITE | CLOSE, ACCEPT, ACCEPT | CLOSE]),
    st.integers(0, ALL),
)
which = st.integers(0, 7)
numbers = st.integers(1, 6)
SELECTIONS = st.sampled_from(["message", "event"])
EVERYWHERE = ["enumerate", "look", "so_error", "blocking", "keepalive"]
STREAM_CALLS = ["recv", "recv", "peek", "send", "send", "unread", "shutdown"]
ENDS = ["close", "abort", "shutdown"]
URGENT_CALLS = ["send_urgent", "recv_urgent", "mark"]


def steps(*stream_calls: str) -> st.SearchStrategy[tuple[type, str, int, int]]:
    """One call: on which kind of socket, its name, on which one of them, and a number."""
    streams = st.just(Stream)
    return st.one_of(
        st.tuples(streams, st.sampled_from(stream_calls), which, numbers),
        st.tuples(streams, st.sampled_from(stream_calls), which, numbers),
        st.tuples(streams, SELECTIONS, which, masks),
        st.tuples(streams, st.sampled_from(ENDS + EVERYWHERE), which, numbers),
        st.tuples(st.just(Listener), SELECTIONS, which, masks),
        st.tuples(
            st.just(Listener),
            st.sampled_from(["connect", "connect", "accept", "accept", *EVERYWHERE, "close"]),
            which,
            numbers,
        ),
        st.tuples(st.just(Datagrams), SELECTIONS, which, masks),
        st.tuples(
            st.just(Datagrams),
            st.sampled_from(["recv", "peek", "send", "send", *EVERYWHERE, "close"]),
            which,
            numbers,
        ),
    )


def answer(value: int) -> int:
    """What a call returned, or minus the error code."""
    return -w.WSAGetLastError() if value == w.SOCKET_ERROR else value


class Program:
    """Makes each call on the C face and on the model, and compares."""

    def __init__(self, *, sees_all: bool) -> None:
        assert w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA()) == 0
        #: Whether a reset behind unread data, or behind a release, is noticed at once.
        self.sees_all = sees_all
        self.window = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
        self.address: Any
        self.sockets: list[int] = []
        self.models: list[Any] = []
        self.events: list[int] = []
        self.clients = 0
        self.ports: list[Any] = []
        s, self.address = listener()
        self.add(s, Listener())
        for _ in range(2):
            s, address = w.socket(w.AF_INET, w.SOCK_DGRAM, 0), loopback()
            assert w.bind(s, address, 16) == 0
            assert w.getsockname(s, address) == 0
            self.ports.append(address)
            self.add(s, Datagrams())
        for number in range(2):
            self.connect(0, number)
            self.accept(self.sockets[0], 0)

    def add(self, s: int, model: Any, event: int | None = None) -> None:
        nonblocking(s)
        if isinstance(model, Stream):  # what is sent is there at once
            assert w.setsockopt(s, w.IPPROTO_TCP, w.TCP_NODELAY, w.INT(1), 4) == 0
        self.sockets.append(s)
        self.models.append(model)
        self.events.append(w.WSACreateEvent() if event is None else event)

    # What may be called when

    def skipped(self, name: str, model: Any) -> bool:
        """More clients than enough, and what the kernel decides."""
        if name == "connect":
            return self.clients == MOST_CLIENTS
        return isinstance(model, Stream) and self.left_to_the_kernel(name, model)

    def left_to_the_kernel(self, name: str, model: Stream) -> bool:
        peer = model.peer
        waits_for_accept = peer in self.models[0].pending
        if name == "send_urgent":  # it keeps one place of urgent data
            return bool(peer.data) or peer.at_mark or waits_for_accept
        if name == "abort" and waits_for_accept:
            return True  # accepted all the same; FD_WRITE may come before the reset is seen
        if self.sees_all:
            return False
        if name in ("close", "abort"):
            return bool(peer.data) or peer.ended
        return name == "send" and peer.closed

    # The calls

    def play(self, kind: type, name: str, index: int, number: int) -> tuple[Any, Any]:
        """Make the call on both; their answers."""
        those = [at for at, model in enumerate(self.models) if isinstance(model, kind)]
        at = those[index % len(those)]
        s, model = self.sockets[at], self.models[at]
        if self.skipped(name, model):
            return None, None
        if name in ("accept", "connect"):
            return getattr(self, name)(s, number if name == "connect" else at)
        if name == "send" and isinstance(model, Datagrams):
            other = 2 if at == 1 else 1
            expected = model.send_to(self.models[other], number)
            data, to = bytes(number), self.ports[other - 1]
            return answer(w.sendto(s, data, number, 0, to, 16)), expected
        expected = getattr(model, name)(number)
        call = getattr(self, name)
        return call(s, at if name in ("event", "enumerate") else number, number), expected

    def connect(self, s: int, number: int) -> tuple[int, int]:
        listening, client = self.models[0], Stream()
        s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
        self.add(s, client)
        self.clients += 1
        if number % 2:  # some are selected before they connect
            w.WSAAsyncSelect(s, self.window, WM_SOCKET, ALL)
            client.mode, client.mask = "message", ALL
        got = answer(w.connect(s, self.address, 16))
        if listening.closed:
            assert got == -w.WSAEWOULDBLOCK
            w.closesocket(s)
            client.closed = client.peer.closed = True
            return 0, 0
        listening.connected(client)
        return got, -w.WSAEWOULDBLOCK

    def accept(self, s: int, at: int) -> tuple[int, int]:
        expected = self.models[at].accept(0)
        got = w.accept(s, None, None)
        if got == w.INVALID_SOCKET or isinstance(expected, int):
            return (answer(-1) if got == w.INVALID_SOCKET else got), expected
        # The selection is inherited, the event object too.
        own = self.events[at] if expected.mode == "event" else None
        self.add(got, expected, own)
        if own is not None:
            expected.signalled |= self.models[at].signalled
        return 0, 0

    def recv(self, s: int, count: int, _: int, flags: int = 0) -> int:
        return answer(w.recv(s, bytearray(count), count, flags))

    def peek(self, s: int, count: int, _: int) -> int:
        return self.recv(s, count, 0, w.MSG_PEEK)

    def recv_urgent(self, s: int, count: int, _: int) -> int:
        return self.recv(s, count, 0, w.MSG_OOB)

    def send(self, s: int, count: int, _: int) -> int:
        return answer(w.send(s, bytes(count), count, 0))

    def send_urgent(self, s: int, _: int, __: int) -> int:
        return answer(w.send(s, b"!", 1, w.MSG_OOB))

    def shutdown(self, s: int, _: int, __: int) -> int:
        return answer(w.shutdown(s, w.SD_SEND))

    def close(self, s: int, _: int, __: int) -> int:
        return answer(w.closesocket(s))

    def abort(self, s: int, _: int, __: int) -> int:
        w.setsockopt(s, w.SOL_SOCKET, w.SO_LINGER, w.linger(1, 0), w.sizeof(w.linger))
        return answer(w.closesocket(s))

    def message(self, s: int, mask: int, _: int) -> int:
        return answer(w.WSAAsyncSelect(s, self.window, WM_SOCKET, mask))

    def event(self, s: int, at: int, mask: int) -> int:
        return answer(w.WSAEventSelect(s, self.events[at], mask))

    def enumerate(self, s: int, at: int, _: int) -> Any:
        found = w.WSANETWORKEVENTS()
        if w.WSAEnumNetworkEvents(s, self.events[at], found):
            return -w.WSAGetLastError()
        for each, model in zip(self.events, self.models, strict=True):
            if each == self.events[at]:
                model.signalled = False  # the object is shared with what was accepted
        bits = [bit for bit in sorted(ORDER) if found.lNetworkEvents & bit]
        return [(bit, found.iErrorCode[bit.bit_length() - 1]) for bit in bits]

    def blocking(self, s: int, _: int, __: int) -> int:
        got = answer(w.ioctlsocket(s, w.FIONBIO, w.ULONG(0)))
        if got == 0:
            nonblocking(s)
        return got

    def keepalive(self, s: int, on: int, _: int) -> int:
        value = w.INT(on & 1)
        if w.setsockopt(s, w.SOL_SOCKET, w.SO_KEEPALIVE, value, 4):
            return answer(-1)
        return answer(w.getsockopt(s, w.SOL_SOCKET, w.SO_KEEPALIVE, value, w.INT(4))) or value.value

    def so_error(self, s: int, _: int, __: int) -> int:
        value = w.INT(77)
        return answer(w.getsockopt(s, w.SOL_SOCKET, w.SO_ERROR, value, w.INT(4))) or value.value

    def unread(self, s: int, _: int, __: int) -> int:
        value = w.ULONG()
        return answer(w.ioctlsocket(s, w.FIONREAD, value)) or value.value

    def mark(self, s: int, _: int, __: int) -> int:
        value = w.ULONG()
        return answer(w.ioctlsocket(s, w.SIOCATMARK, value)) or value.value

    def look(self, s: int, _: int, __: int) -> Any:
        sets = [w.fd_set([s]) for _ in range(3)]
        if w.select(0, *sets, w.timeval(0, 0)) == w.SOCKET_ERROR:
            return -w.WSAGetLastError()
        return tuple(s in each for each in sets)

    # What is owed

    def compare(self, where: str) -> None:
        """Every message and every event object is the model's."""
        message, found = w.MSG(), {s: [] for s in self.sockets}
        while w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
            assert message.message == WM_SOCKET, where
            told = w.WSAGETSELECTEVENT(message.lParam), w.WSAGETSELECTERROR(message.lParam)
            found[message.wParam].append(told)
        for s, model in zip(self.sockets, self.models, strict=True):
            assert found[s] == model.posted, (where, s, found[s], model.posted)
            model.posted.clear()
        for event in set(self.events):
            owed = any(
                model.signalled
                for each, model in zip(self.events, self.models, strict=True)
                if each == event
            )
            assert event_of(event).is_set() == owed, where


def _play(script: list[tuple[type, str, int, int]], sees_all: bool) -> None:
    program = Program(sees_all=sees_all)
    program.compare("at first")
    for number, (kind, name, index, argument) in enumerate(script):
        where = f"step {number}: {kind.__name__} {name} {index} {argument}"
        got, expected = program.play(kind, name, index, argument)
        assert got == expected, where
        program.compare(where)


def _run(engine: str, script: list[tuple[type, str, int, int]]) -> None:
    async def main() -> None:
        _stack.current.set(Stack(engine=engine))
        with trio.fail_after(10):
            await w.start(_play, script, engine == "epoll")

    trio.run(main)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(steps(*STREAM_CALLS, *URGENT_CALLS), min_size=25, max_size=60))
def test_epoll_owes_what_the_model_says(script: list[tuple[type, str, int, int]]) -> None:
    """On the epoll engine."""
    _run("epoll", script)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(steps(*STREAM_CALLS), min_size=25, max_size=60))
def test_waits_owes_what_the_model_says(script: list[tuple[type, str, int, int]]) -> None:
    """On the fallback engine, which looks for urgent data only every 20 ms."""
    _run("waits", script)
