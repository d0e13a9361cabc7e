"""A program that polls freezes nothing: "not now" turns the reactor and passes the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from ported import loopback, nonblocking, pair, winsock_program

from wsock import win32 as w

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 300


async def _beside(main: Callable[[], None]) -> int:
    """Run a polling main; how often another task ran meanwhile."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await w.start(main)
        nursery.cancel_scope.cancel()
    return turns


def _idle_calls() -> dict[str, Callable[[], object]]:
    """Calls that mean "not now", on an idle nonblocking socket."""
    near, _ = pair()
    nonblocking(near)
    listening = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    w.bind(listening, loopback(), 16)
    w.listen(listening, 1)
    nonblocking(listening)
    datagram = w.socket(w.AF_INET, w.SOCK_DGRAM, 0)
    w.bind(datagram, loopback(), 16)
    nonblocking(datagram)
    event = w.WSACreateEvent()
    return {
        "recv": lambda: w.recv(near, bytearray(1), 1, 0),
        "recvfrom": lambda: w.recvfrom(datagram, bytearray(1), 1, 0, None, None),
        "accept": lambda: w.accept(listening, None, None),
        "select": lambda: w.select(0, w.fd_set([near]), None, None, w.timeval(0, 0)),
        "WSAPoll": lambda: w.WSAPoll([w.WSAPOLLFD(near, w.POLLIN)], 1, 0),
        "FIONREAD": lambda: w.ioctlsocket(near, w.FIONREAD, w.ULONG()),
        "PeekMessage": lambda: w.PeekMessage(w.MSG(), None, 0, 0, w.PM_REMOVE),
        "WSAWait": lambda: w.WSAWaitForMultipleEvents(1, [event], False, 0, False),
        "MsgWait": lambda: w.MsgWaitForMultipleObjects(0, None, False, 0, w.QS_ALLINPUT),
        "Sleep": lambda: w.Sleep(0),
    }


NAMES = (
    "recv", "recvfrom", "accept", "select", "WSAPoll", "FIONREAD", "PeekMessage", "WSAWait",
    "MsgWait", "Sleep",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_not_now_lets_the_others_run(name: str) -> None:
    """Once for each such answer."""

    def main() -> None:
        w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
        call = _idle_calls()[name]
        for _ in range(ROUNDS):
            call()

    assert await _beside(main) >= ROUNDS - 5


async def test_a_call_that_always_succeeds_lets_the_others_run_too() -> None:
    """Every 256th in a row."""

    def main() -> None:
        w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
        hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
        message = w.MSG()
        for _ in range(256 * 4):
            w.PostMessage(hwnd, w.WM_USER, 0, 0)
            w.GetMessage(message, None, 0, 0)

    assert await _beside(main) >= 6


@winsock_program
def test_a_polling_echo() -> None:
    """Server and client poll in two threads; neither call of theirs ever waits."""
    near, far = pair()
    nonblocking(near)
    nonblocking(far)

    def echo(_: object) -> None:
        room = bytearray(64)
        while True:
            count = w.recv(far, room, 64, 0)
            if count == 0:
                return
            if count > 0:
                assert w.send(far, room, count, 0) == count
            else:
                assert w.WSAGetLastError() == w.WSAEWOULDBLOCK

    thread = w.CreateThread(echo, None)
    for text in (b"one", b"two", b"three"):
        w.send(near, text, len(text), 0)
        got = b""
        while got != text:
            room = bytearray(64)
            count = w.recv(near, room, 64, 0)
            got += bytes(room[: max(count, 0)])
    w.shutdown(near, w.SD_SEND)
    assert w.WaitForSingleObject(thread, 5000) == w.WAIT_OBJECT_0


@winsock_program
def test_a_peek_message_loop_sees_socket_messages() -> None:
    """Without one call that waits."""
    hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    near, far = pair()
    w.WSAAsyncSelect(far, hwnd, w.WM_USER, w.FD_READ | w.FD_CLOSE)
    message, seen = w.MSG(), []
    w.send(near, b"x", 1, 0)
    while w.FD_CLOSE not in seen:
        if w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
            seen.append(w.WSAGETSELECTEVENT(message.lParam))
            if seen[-1] == w.FD_READ:
                w.recv(far, bytearray(8), 8, 0)
                w.closesocket(near)
    assert seen == [w.FD_READ, w.FD_CLOSE]


async def test_get_message_looks_before_it_sleeps() -> None:
    """What has arrived when GetMessage is called comes at once, with no pass of the scheduler."""

    def main() -> None:
        w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
        near, far = pair()
        hwnd = w.CreateWindow("STATIC", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
        assert hwnd
        w.WSAAsyncSelect(near, hwnd, w.WM_USER, w.FD_READ)
        w.Sleep(0)
        assert w.send(far, b"x", 1, 0) == 1
        passes_before = passes
        message = w.MSG()
        assert w.GetMessage(message, None, 0, 0) == w.TRUE
        assert w.WSAGETSELECTEVENT(message.lParam) == w.FD_READ
        assert passes == passes_before

    passes = 0

    async def other() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await w.start(main)
        nursery.cancel_scope.cancel()
