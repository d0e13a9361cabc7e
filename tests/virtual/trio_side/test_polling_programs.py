"""A program that polls never lets idleness come, and the network moves all the same.

A worker thread holds virtual time still, and so does a task that works without asking for anything.
"""

from __future__ import annotations

import socket as std
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import win32 as w
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock.virtual import Host

PORT = 7


def two_hosts() -> tuple[Network, Host, Host]:
    network = Network(seed=7)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.010)
    return network, network.host("server", lan), network.host("client", lan)  # type: ignore[return-value]


async def asked_again(call: Callable[[], object], between: Callable[[], Awaitable[None]]) -> object:
    """Poll: the call until it succeeds, and what a program may do between two tries."""
    while True:
        try:
            return call()
        except wsock.WSAEWOULDBLOCK:
            await between()


async def three_checkpoints() -> None:
    for _ in range(3):
        await trio.lowlevel.checkpoint()


async def a_time_out_that_is_over() -> None:
    with trio.move_on_after(0):
        await trio.sleep_forever()


@pytest.mark.parametrize(
    "between", [trio.lowlevel.checkpoint, three_checkpoints, a_time_out_that_is_over]
)
def test_a_polling_echo(between: Callable[[], Awaitable[None]]) -> None:
    """Server and client poll for everything, accept and connect too; neither ever waits."""
    network, here, there = two_hosts()

    async def serve() -> None:
        with wsock.create_server(("0.0.0.0", PORT)) as listener:
            sock, _ = await asked_again(listener.accept_nowait, between)  # type: ignore[misc]
        with sock:
            while data := await asked_again(partial(sock.recv_nowait, 64), between):
                await asked_again(partial(sock.send_nowait, data), between)

    async def main() -> bytes:
        async with here.running(serve):
            await network.settle()
            with there, wsock.socket() as sock:
                with suppress(wsock.WSAEISCONN):
                    while sock.connect_ex(("192.0.2.1", PORT)) != wsock.WSAEISCONN.winerror:
                        await between()
                sock.send_nowait(b"hello")
                got = await asked_again(partial(sock.recv_nowait, 64), between)
                sock.shutdown(wsock.SD_SEND)
                assert await asked_again(partial(sock.recv_nowait, 64), between) == b""
        return got  # type: ignore[return-value]

    assert network.run(main) == b"hello"
    assert 0.06 <= network.time < 2


def test_a_full_buffer_is_polled_empty() -> None:
    """``send_nowait`` says "not now" until the peer has read."""
    network, here, there = two_hosts()
    block = bytes(100_000)

    async def swallow() -> int:
        with wsock.create_server(("0.0.0.0", PORT)) as listener:
            sock, _ = await listener.accept()
        with sock:
            return sum([len(data) async for data in wsock.SocketStream(sock)])

    async def main() -> None:
        async with here.running(swallow):
            await network.settle()
            with there, wsock.socket() as sock:
                await sock.connect(("server", PORT))
                for _ in range(10):
                    await asked_again(partial(sock.send_nowait, block), trio.lowlevel.checkpoint)

    network.run(main)


def test_is_readable_can_be_polled() -> None:
    """trio.socket has no other call that does not wait."""
    network, here, there = two_hosts()

    async def greet(stream: trio.SocketStream) -> None:
        await trio.sleep(5)
        await stream.send_all(b"late")

    async def main() -> float:
        async with here.running(partial(trio.serve_tcp, greet, PORT)):
            await network.settle()
            with there:
                stream = await trio.open_tcp_stream("server", PORT)
            async with stream:
                while not stream.socket.is_readable():  # type: ignore[attr-defined]
                    await trio.lowlevel.checkpoint()
                assert await stream.receive_some() == b"late"
                return trio.current_time()

    assert 5 <= network.run(main) < 7


def test_a_peeking_loop_sees_socket_messages() -> None:
    """A window that is only peeked at, in the Python face."""
    network, here, there = two_hosts()

    async def main() -> list[int]:
        seen: list[int] = []
        async with here.running(partial(trio.serve_tcp, hang_up, PORT)):
            await network.settle()
            with there:
                async with wsock.Window() as window:
                    sock = wsock.socket()
                    events = wsock.FD_CONNECT | wsock.FD_READ | wsock.FD_CLOSE
                    sock.async_select(window, wsock.WM_USER, events)
                    sock.connect_ex(("192.0.2.1", PORT))
                    while wsock.FD_CLOSE not in seen:
                        if window.peek() is None:
                            await trio.lowlevel.checkpoint()
                            continue
                        message = window.get_nowait()
                        seen.append(message.event)
                        if message.event == wsock.FD_READ:
                            message.socket.recv_nowait(64)
                    sock.close()
        return seen

    assert network.run(main) == [wsock.FD_CONNECT, wsock.FD_READ, wsock.FD_CLOSE]


@pytest.mark.parametrize("waiting", [True, False])
def test_event_objects_can_be_polled(waiting: bool) -> None:
    """Without a time-out, or by the call that never waits."""
    network, here, there = two_hosts()

    async def main() -> int:
        event = wsock.Event()
        async with here.running(partial(trio.serve_tcp, hang_up, PORT)):
            await network.settle()
            with there, wsock.socket() as sock:
                sock.event_select(event, wsock.FD_CLOSE | wsock.FD_READ)
                sock.connect_ex(("192.0.2.1", PORT))
                while True:
                    try:
                        if waiting:
                            await wsock.wait_for_multiple_events([event], timeout=0)
                        else:
                            wsock.wait_for_multiple_events_nowait([event])
                        return sock.enum_network_events(event).events
                    except (trio.TooSlowError, wsock.WSAEWOULDBLOCK):
                        await trio.lowlevel.checkpoint()

    assert network.run(main) & wsock.FD_READ


async def hang_up(stream: trio.SocketStream) -> None:
    await stream.send_all(b"bye")


def _c_server() -> None:
    w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
    listener = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    w.bind(listener, w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(PORT)))
    w.listen(listener, 1)
    w.ioctlsocket(listener, w.FIONBIO, w.ULONG(1))
    while (s := w.accept(listener, None, None)) == w.INVALID_SOCKET:
        assert w.WSAGetLastError() == w.WSAEWOULDBLOCK
    room = bytearray(64)
    while count := w.recv(s, room, 64, 0):
        if count > 0:
            w.send(s, room, count, 0)
        else:
            assert w.WSAGetLastError() == w.WSAEWOULDBLOCK
    w.closesocket(s)
    w.closesocket(listener)


def _c_client() -> list[object]:
    w.WSAStartup(w.MAKEWORD(2, 2), w.WSADATA())
    s = w.socket(w.AF_INET, w.SOCK_STREAM, 0)
    hwnd = w.CreateWindow("static", "", 0, 0, 0, 0, 0, w.HWND_MESSAGE, None, None, None)
    w.WSAAsyncSelect(s, hwnd, w.WM_USER, w.FD_CONNECT | w.FD_READ | w.FD_CLOSE)
    address = w.sockaddr_in(sin_family=w.AF_INET, sin_port=w.htons(PORT))
    address.sin_addr.s_addr = w.inet_addr("192.0.2.1")
    w.connect(s, address)
    message, story = w.MSG(), []
    while w.FD_CLOSE not in story:
        if not w.PeekMessage(message, None, 0, 0, w.PM_REMOVE):
            continue
        event = w.WSAGETSELECTEVENT(message.lParam)
        story.append(event)
        if event == w.FD_CONNECT:
            w.send(s, b"hello", 5, 0)
        elif event == w.FD_READ:
            room = bytearray(64)
            story.append(bytes(room[: w.recv(s, room, 64, 0)]))
            w.shutdown(s, w.SD_SEND)
    w.closesocket(s)
    return story


def test_polling_c_programs() -> None:
    """A server that polls accept and recv, a client that polls PeekMessage: the C face."""
    network, here, there = two_hosts()

    async def serve() -> None:
        await w.start(_c_server)

    async def main() -> list[object]:
        async with here.running(serve):
            await network.settle()
            with there:
                return await w.start(_c_client)

    assert network.run(main) == [w.FD_CONNECT, w.FD_READ, b"hello", w.FD_CLOSE]


def test_a_deadline_passes_while_a_program_polls() -> None:
    """Nothing comes, ever; the time-out around the loop ends it."""
    network, _, there = two_hosts()

    async def main() -> float:
        with there, wsock.socket(type=std.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", PORT))
            with trio.move_on_after(30):
                await asked_again(partial(sock.recvfrom_nowait, 64), trio.lowlevel.checkpoint)
        return trio.current_time()

    assert network.run(main) == 30


def test_a_task_that_works_holds_time_still_beside_one_that_polls() -> None:
    """The worker passes a thousand checkpoints, and its time-out of a millisecond never fires."""
    network, _, there = two_hosts()

    async def work() -> None:
        with trio.fail_after(0.001):
            for _ in range(1000):
                await trio.lowlevel.checkpoint()

    async def main() -> None:
        with there, wsock.socket(type=std.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", PORT))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work)
                with trio.move_on_after(30):
                    await asked_again(partial(sock.recvfrom_nowait, 64), trio.lowlevel.checkpoint)

    network.run(main)


def test_a_thread_holds_time_still_beside_a_task_that_polls() -> None:
    """The thread ends when it is told to, after the poller has asked a thousand times."""
    network, _, there = two_hosts()
    asked = 0
    enough = threading.Event()

    async def poll(sock: wsock.Socket) -> None:
        nonlocal asked
        while True:
            with suppress(wsock.WSAEWOULDBLOCK):
                sock.recvfrom_nowait(64)
            asked += 1
            if asked == 1000:
                enough.set()
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        with there, wsock.socket(type=std.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", PORT))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(poll, sock)
                with trio.move_on_after(0.001):  # a deadline, for time to go to
                    await trio.to_thread.run_sync(enough.wait)
                    assert trio.current_time() == 0
                nursery.cancel_scope.cancel()

    network.run(main)
    assert asked >= 1000


def test_time_goes_on_after_real_input_has_woken_a_task() -> None:
    """Nothing was due and all tasks slept; then a real descriptor woke one, and it sleeps."""
    network, _, _ = two_hosts()

    async def main() -> float:
        process = await trio.lowlevel.open_process(["sleep", "0.01"])
        await process.wait()
        await trio.sleep(5)
        return trio.current_time()

    assert network.run(main) == 5
