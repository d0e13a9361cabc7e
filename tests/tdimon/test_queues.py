"""Rows of message queues: what is posted, taken, handed to a procedure; on both kinds of hosts."""

from __future__ import annotations

import signal
import socket as std
import threading
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import _message_queue, tdimon, win32
from wsock._message_queue import MessageQueue
from wsock._message_trace import TracedMessageQueue
from wsock._stack import Stack
from wsock.constants import FD_ACCEPT, FD_CLOSE, FD_READ, WM_TIMER, WM_USER
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

WM_SOCKET = WM_USER + 5


@pytest.fixture(autouse=True)
def _plain_before_and_after() -> Iterator[None]:
    """Outside of a watch every queue is a plain one, and nothing waits for new queues."""
    yield
    assert _message_queue.new_queue_hooks == []
    assert TracedMessageQueue not in {type(queue) for queue in _message_queue.queues}


def traffic(trace: tdimon.Trace) -> list[tuple[str, str]]:
    rows = [(row.request, row.detail) for row in trace.rows(profile="events")]
    return [row for row in rows if not row[0].startswith("FD_")]


async def serve_one_client(window: wsock.Window, address: str = "127.0.0.1") -> int:
    """A server on messages and a client that sends, until WM_QUIT; the code of that."""

    def procedure(message: wsock.Message) -> None:
        if message.event == FD_ACCEPT:
            message.socket.accept_nowait()
        elif message.event == FD_READ:
            message.socket.recv_nowait(100)
        else:
            message.socket.close()
            window.post_quit(3)

    listener = wsock.create_server(("0.0.0.0", 0), backlog=2)
    listener.async_select(window, WM_SOCKET, FD_ACCEPT | FD_READ | FD_CLOSE)

    async def client() -> None:
        with wsock.socket() as sock:
            await sock.connect((address, listener.getsockname()[1]))
            await sock.send(b"hello")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client)
        code = await window.run(procedure)
    listener.close()
    return code


EXPECTED = [
    ("DispatchMessage", "WM_USER+5 FD_ACCEPT"),
    ("DispatchMessage", "WM_USER+5 FD_READ"),
    ("DispatchMessage", "WM_USER+5 FD_CLOSE"),
    ("PostQuitMessage", "WM_QUIT wparam=3"),
    ("GetMessage", "WM_QUIT wparam=3 lparam=0"),
]


async def test_dispatch_on_the_machine() -> None:
    """run() writes a row for each message that it hands out, and one for WM_QUIT."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            assert await serve_one_client(window) == 3
    assert traffic(trace) == EXPECTED
    told = [r for r in trace.records() if r.kind in ("fd", "message") and r.flags == FD_READ]
    assert [r.kind for r in told] == ["fd", "message"]  # it is told before it is handed out
    assert told[0].socket == told[1].socket > 0


def test_dispatch_on_a_virtual_host() -> None:
    """The same rows, in virtual time, under the host's name."""

    async def main() -> int:
        async with wsock.Window() as window:
            with host:
                return await serve_one_client(window, "10.0.0.1")

    network = Network()
    host = network.host("server", network.segment("lan", "10.0.0.0/24"), "10.0.0.1")
    with tdimon.watch(network) as trace:
        assert network.run(main) == 3
    assert traffic(trace) == EXPECTED
    assert trace.hosts() == ["server"]


async def test_get_and_post() -> None:
    """A posted message has a row when it is posted and one when it is taken."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            window.post(WM_USER + 1, 7, {"secret": "s"})
            window.post(0x8002)
            await window.get()
            async for message in window:
                assert message.message == 0x8002
                window.post_quit(4)
    assert traffic(trace) == [
        ("PostMessage", "WM_USER+1 wparam=7 lparam=<dict>"),
        ("PostMessage", "WM_APP+2 wparam=0 lparam=0"),
        ("GetMessage", "WM_USER+1 wparam=7 lparam=<dict>"),
        ("GetMessage", "WM_APP+2 wparam=0 lparam=0"),
        ("PostQuitMessage", "WM_QUIT wparam=4"),
        ("GetMessage", "WM_QUIT wparam=4 lparam=0"),
    ]


async def test_looking_is_no_traffic() -> None:
    """A peek leaves the message where it is, and no row."""
    async with wsock.Window() as window:
        window.post(WM_USER)
        with tdimon.watch() as trace:
            assert window.peek() is not None
            async for batch in window.batches():
                assert len(list(batch)) == 1
                window.post_quit()
    assert [request for request, _ in traffic(trace)] == [
        "GetMessage",
        "PostQuitMessage",
        "GetMessage",
    ]


async def test_a_timer_is_one_row_and_counts_once(autojump_clock: object) -> None:
    """WM_TIMER is made when it is handed out: a row for that, and one message in the figures."""

    def procedure(message: wsock.Message) -> None:
        assert message.message == WM_TIMER
        window.kill_timer(message.wparam)
        window.post_quit()

    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            window.set_timer(9, 0.5)
            await window.run(procedure)
        assert window.statistics().taken == 2  # WM_TIMER and WM_QUIT
    assert traffic(trace)[0] == ("DispatchMessage", "WM_TIMER wparam=9 lparam=0")


async def test_what_a_procedure_raises_is_in_its_row() -> None:
    """The row names the exception, which goes its way."""

    def procedure(message: wsock.Message) -> None:
        raise KeyError(message)

    async with wsock.Window() as window:
        window.post(WM_USER)
        with tdimon.watch() as trace, pytest.raises(KeyError):
            await window.run(procedure)
    assert traffic(trace)[-1] == ("DispatchMessage", "WM_USER wparam=0 lparam=0 raised=KeyError")


async def test_a_run_without_a_procedure_is_watched_too() -> None:
    """Each message is a row, and goes to the AsyncSocket that it is about all the same."""
    near, far = map(wsock.from_stdlib_socket, std.socketpair())
    got = []

    class Reader(wsock.AsyncSocket):
        def on_receive(self, error: int) -> None:
            got.append(self.receive())
            window.post_quit()

    with near, far:
        async with wsock.Window() as window:
            Reader(window).attach(near, FD_READ)
            far.send_nowait(b"hello")
            with tdimon.watch() as trace, trio.fail_after(10):
                await window.run()
    assert got == [b"hello"]
    assert traffic(trace)[0] == ("DispatchMessage", "WM_SOCKET_NOTIFY FD_READ")


async def test_a_dispatch_takes_time() -> None:
    """The row of a dispatch has the time that the procedure took, also for a second trace."""

    def procedure(message: wsock.Message) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        signal.sigwait([signal.SIGALRM])
        window.post_quit()

    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    try:
        async with wsock.Window() as window:
            window.post(WM_USER)
            with tdimon.watch() as first, tdimon.watch() as second:
                await window.run(procedure)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    for trace in (first, second):
        [record] = [r for r in trace.records() if r.request == "DispatchMessage"]
        assert record.duration_ns >= 5_000_000


async def test_a_refused_post_says_why() -> None:
    """A full queue: the row has the error that the program gets."""
    async with wsock.Window(max_messages=1) as window:
        with tdimon.watch() as trace:
            window.post(WM_USER)
            with pytest.raises(wsock.WSAENOBUFS):
                window.post(WM_USER)
    assert [row.result for row in trace.rows(profile="events")] == ["SUCCESS", "WSAENOBUFS"]


async def test_what_nobody_takes_has_no_row() -> None:
    """Messages that are dropped with their window are not shown as taken."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            shared = wsock.Window(queue=window.queue)
            shared.post(WM_USER)
            shared.close()
    assert [request for request, _ in traffic(trace)] == ["PostMessage"]


async def test_attaching_and_detaching_in_the_middle_of_a_batch() -> None:
    """Rows begin with the next batch and end at once; every message is handed out once."""
    trace = tdimon.Trace()
    seen: list[int] = []

    def procedure(message: wsock.Message) -> None:
        seen.append(message.wparam)
        if message.wparam == 1:
            trace.attach()
        elif message.wparam == 2:
            window.post(WM_USER, 3)
            window.post(WM_USER, 4)
            window.post(WM_USER, 5)
        elif message.wparam == 4:
            trace.detach()
        elif message.wparam == 5:
            window.post_quit()

    async with wsock.Window() as window:
        for number in range(3):
            window.post(WM_USER, number)
        await window.run(procedure)
    assert seen == [0, 1, 2, 3, 4, 5]
    rows = [request for request, _ in traffic(trace)]
    assert rows == ["PostMessage"] * 3 + ["DispatchMessage"] * 2


async def test_the_messages_of_one_socket() -> None:
    """Watching one socket shows its messages and not those of another one at the same window."""
    async with wsock.Window() as window:
        one, other = await two_pairs()
        for near, _ in (one, other):
            near.async_select(window, WM_SOCKET, FD_READ)
        with tdimon.watch(one[0]) as trace:
            for near, far in (one, other):
                far.send_nowait(b"x")
                await window.get()
                near.recv_nowait(1)
        for sock in (*one, *other):
            sock.close()
    assert traffic(trace) == [("GetMessage", "WM_USER+5 FD_READ")]


async def two_pairs() -> list[tuple[wsock.Socket, wsock.Socket]]:
    pairs = []
    for _ in range(2):
        with wsock.create_server(("127.0.0.1", 0)) as listener:
            far = wsock.socket()
            await far.connect(listener.getsockname())
            pairs.append(((await listener.accept())[0], far))
    return pairs


async def test_queues_of_a_stack_that_is_not_watched() -> None:
    """A trace of one stack has no messages of another one's sockets."""
    async with wsock.Window() as window:
        with tdimon.watch(Stack("other")) as trace:
            assert await serve_one_client(window) == 3
    assert traffic(trace) == []


async def test_a_post_of_another_thread() -> None:
    """Its row has no task, and is of the host of the window's sockets."""
    stack = Stack("posted")
    async with wsock.Window() as window:
        with wsock.socket(stack=stack) as sock, tdimon.watch() as trace:
            sock.async_select(window, WM_SOCKET, FD_CLOSE)
            await trio.to_thread.run_sync(window.post, WM_USER)
            await window.get()
    posted, taken = (r for r in trace.records() if r.kind == "message")
    assert (posted.host, posted.task) == ("posted", "")
    assert "test_a_post_of_another_thread" in taken.task


async def test_many_threads_post() -> None:
    """Every post has a row, and numbers have no gap."""
    count, threads = 500, 4

    def post_many() -> None:
        for number in range(count):
            window.post(WM_USER, number)

    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            workers = [threading.Thread(target=post_many) for _ in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            for _ in range(count * threads):
                window.get_nowait()
    records = trace.records()
    assert [r.sequence for r in records] == list(range(1, 2 * count * threads + 1))


async def test_a_post_of_a_signal_handler() -> None:
    """A handler may run in the middle of a row that is being written."""
    async with wsock.Window() as window:
        old = signal.signal(signal.SIGALRM, lambda *_: window.post(WM_USER, 1))
        try:
            with tdimon.watch() as trace:
                signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
                for _ in range(5_000):
                    window.post(WM_USER, 0)
                    window.get_nowait()
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, old)
    numbers = [r.sequence for r in trace.records()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 10_000


def test_messages_of_the_c_face() -> None:
    """GetMessage and PeekMessage write a row for what they remove, PostMessage for what it adds."""

    def main() -> None:
        message = win32.MSG()
        for number in (1, 2):
            win32.PostThreadMessage(win32.GetCurrentThreadId(), WM_USER + number, number, 0)
        assert win32.PeekMessage(message, None, 0, 0, win32.PM_NOREMOVE)
        assert win32.PeekMessage(message, None, 0, 0, win32.PM_REMOVE)
        assert win32.GetMessage(message, None, 0, 0)
        win32.PostQuitMessage(0)
        assert not win32.GetMessage(message, None, 0, 0)

    with tdimon.watch() as trace:
        win32.run(main)
    assert [request for request, _ in traffic(trace)] == [
        *["PostMessage"] * 2,
        *["GetMessage"] * 2,
        "PostQuitMessage",
        "GetMessage",
    ]


async def test_new_queues_are_traced_and_old_ones_given_back() -> None:
    """A window made while one watches writes rows; afterwards all are plain again."""
    async with wsock.Window() as before:
        with tdimon.watch() as outer:
            with tdimon.watch():
                pass
            async with wsock.Window() as meanwhile:
                assert type(meanwhile.queue) is type(before.queue) is TracedMessageQueue
                meanwhile.post(WM_USER)
            assert len(traffic(outer)) == 1
        assert type(before.queue) is MessageQueue


async def test_a_queue_of_another_kind_is_left_alone() -> None:
    """A class of the program's own cannot be swapped; it works on, without rows."""

    class Own(MessageQueue):
        """With a dictionary of its own."""

    queue = Own()
    with tdimon.watch() as trace:
        queue.post(None, WM_USER)
        Own().post(None, WM_USER)
    assert type(queue) is Own
    assert traffic(trace) == []
    queue.close()


async def test_filters_by_message_and_event() -> None:
    """ws.queue, ws.message, ws.event and ws.socket choose rows of a queue."""
    async with wsock.Window() as window:
        with tdimon.watch() as trace:
            await serve_one_client(window)

    def requests(expression: str) -> list[str]:
        return [row.request.strip() for row in trace.select(expression, profile="all")]

    assert requests("ws.event == FD_READ") == ["FD_READ", "DispatchMessage"]
    assert requests("ws.queue == PostQuitMessage") == ["PostQuitMessage"]
    assert requests('ws.message == "WM_USER+5" and ws.queue') == ["DispatchMessage"] * 3
    [number] = {r.socket for r in trace.records() if r.kind == "fd" and r.flags == FD_READ}
    own = requests(f"ws.socket == {number}")
    assert own[-1] == "CLOSED"
    assert {"TDI_EVENT_RECEIVE", "FD_READ", "DispatchMessage", "recv", "closesocket"} <= set(own)
    assert "listen" not in own
