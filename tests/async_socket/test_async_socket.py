from __future__ import annotations

import contextlib
import errno
import resource
import socket as std
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import wsock
from tests.providers import Epoll, Provider, Virtual
from wsock import FD_CLOSE, FD_READ, FD_WRITE, AsyncSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Recorder(AsyncSocket):
    """Writes down what it is told, in a list for all of a test."""

    def __init__(self, window: wsock.Window, log: list[tuple[Any, ...]] | None = None) -> None:
        super().__init__(window)
        self.log = [] if log is None else log
        self.accepted: list[Recorder] = []

    def on_receive(self, error: int) -> None:
        self.log.append(("receive", error, self.receive()))

    def on_send(self, error: int) -> None:
        self.log.append(("send", error))

    def on_out_of_band(self, error: int) -> None:
        self.log.append(("out of band", error, self.receive(1, std.MSG_OOB)))

    def on_accept(self, error: int) -> None:
        client = Recorder(self.window, self.log)
        self.accept(client)
        self.accepted.append(client)
        self.log.append(("accept", error))

    def on_connect(self, error: int) -> None:
        self.log.append(("connect", error))

    def on_close(self, error: int) -> None:
        self.log.append(("close", error))
        self.close()


@pytest.fixture(autouse=True, params=[Epoll(), Virtual()], ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    """The machine's sockets, and those of a virtual host, are current in turn."""
    return request.param.ready(request)


async def connected(server: AsyncSocket) -> wsock.Socket:
    """A client of ``server``."""
    client = wsock.socket()
    await client.connect(server.socket.getsockname())
    return client


@pytest.fixture
async def window() -> AsyncIterator[wsock.Window]:
    async with wsock.Window() as window:
        yield window


async def run_until(window: wsock.Window, condition: Any) -> None:
    """Serve the window until ``condition()`` holds."""
    with trio.fail_after(10):
        async for batch in window.batches():
            for message in batch:
                handler = message.socket.handler
                if handler is not None:
                    handler.dispatch(message)
            if condition():
                return


async def until(condition: Any) -> None:
    """Let everything run until it holds; on loopback that takes no time but the system's."""
    with trio.fail_after(10):
        while not condition():
            await trio.lowlevel.checkpoint()
            wsock.current_stack().turn()


def listening(window: wsock.Window, kind: type[AsyncSocket] = Recorder) -> Any:
    listener = kind(window)
    listener.create(address="127.0.0.1")
    listener.listen()
    return listener


async def test_a_connection_from_connect_to_close(window: wsock.Window) -> None:
    """Each method is called in its turn, on both ends."""
    server = listening(window)
    client = Recorder(window)
    client.create()
    client.connect(server.socket.getsockname())
    await run_until(window, lambda: len(client.log) == 2 and len(server.log) == 2)
    assert client.log == [("connect", 0), ("send", 0)]
    assert server.log == [("accept", 0), ("send", 0)]
    client.log.clear()
    server.log.clear()

    assert client.send(b"hello") == 5
    await run_until(window, lambda: server.log)
    client.send(b"!", std.MSG_OOB)
    await run_until(window, lambda: len(server.log) == 2)
    client.close()
    await run_until(window, lambda: len(server.log) == 3)
    assert server.log == [("receive", 0, b"hello"), ("out of band", 0, b"!"), ("close", 0)]
    assert server.accepted[0].socket.closed
    server.close()


async def test_a_refused_connect_is_told(window: wsock.Window) -> None:
    """on_connect gets the reason; the call itself only began it."""
    client = Recorder(window)
    client.create()
    with wsock.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client.connect(taken.getsockname())
        await run_until(window, lambda: client.log)
    assert client.log == [("connect", 10061)]
    with pytest.raises(wsock.WSAEADDRNOTAVAIL):
        client.connect(("127.0.0.1", 0))
    client.close()


async def test_a_reset_is_told(window: wsock.Window) -> None:
    """on_close with WSAECONNRESET."""
    server = listening(window)
    with await connected(server) as client:
        await run_until(window, lambda: len(server.log) == 2)
        client.setsockopt(std.SOL_SOCKET, std.SO_LINGER, (1, 0))
    await run_until(window, lambda: len(server.log) == 3)
    assert server.log[-1] == ("close", 10054)
    server.close()


async def test_the_shortest_server(window: wsock.Window) -> None:
    """on_accept accepts and on_close closes by themselves: one method is enough."""

    class Echo(AsyncSocket):
        def on_receive(self, error: int) -> None:
            self.send(self.receive())

    echo = listening(window, Echo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)
        for _ in range(3):
            stream = await trio.open_tcp_stream(*echo.socket.getsockname())
            await stream.send_all(b"again")
            assert await stream.receive_some() == b"again"
            await stream.aclose()
        # The listener's remains: the clients' sockets have closed by themselves.
        await until(lambda: window.statistics().selected == 1)
        window.post_quit()
    echo.close()


async def test_accept_makes_accepted_class(window: wsock.Window) -> None:
    """Or the listener's own class; never a socket without an object."""

    class Client(AsyncSocket):
        pass

    class Server(AsyncSocket):
        accepted_class = Client
        accepted: AsyncSocket | None = None

        def on_accept(self, error: int) -> None:
            self.accepted = self.accept()

    server = listening(window, Server)
    with await connected(server):
        await run_until(window, lambda: server.accepted)
        assert type(server.accepted) is Client
        assert server.accepted.socket.handler is server.accepted
        server.accepted.close()
    server.close()


async def test_late_notifications_are_no_errors(window: wsock.Window) -> None:
    """Everything was read before the method came: receive has nothing, and nobody minds."""
    server = listening(window)
    with await connected(server) as client:
        await run_until(window, lambda: server.accepted)
        client.send_nowait(b"abc")
        (accepted,) = server.accepted
        await until(lambda: any(message.event == FD_READ for message in queued(window)))
        assert accepted.receive() == b"abc"
        await drain(window)
        assert ("receive", 0, b"abc") not in server.log
        assert not accepted.socket.closed
        client.send_nowait(b"def")
        await run_until(window, lambda: ("receive", 0, b"def") in server.log)
        accepted.close()
    server.close()


def queued(window: wsock.Window) -> list[wsock.Message]:
    return list(window.queue._messages)


async def drain(window: wsock.Window) -> None:
    window.post_quit()
    await window.run()


async def test_closed_means_no_more_calls(window: wsock.Window) -> None:
    """What waits in the queue is dropped; of a socket closed by itself nothing can be received."""
    called: list[Recorder] = []

    class Told(Recorder):
        def on_receive(self, error: int) -> None:
            called.append(self)
            super().on_receive(error)

        def on_accept(self, error: int) -> None:
            client = Told(self.window, self.log)
            self.accept(client)
            self.accepted.append(client)

    server = listening(window, Told)
    closed = []
    for through_object in (True, False):
        with await connected(server) as client:
            await run_until(window, lambda: server.accepted)
            client.send_nowait(b"abc")
            accepted = server.accepted.pop()
            if through_object:
                closed.append(accepted)
            await until(lambda: any(message.event == FD_READ for message in queued(window)))
            if through_object:
                accepted.close()
                accepted.close()
            else:
                accepted.socket.close()
            await drain(window)
    assert not any(entry[0] == "receive" for entry in server.log)
    assert not set(called) & set(closed)
    server.close()


async def test_an_exception_goes_to_on_error_of_its_object(window: wsock.Window) -> None:
    """Which may deal with it; by default it leaves through run()."""

    class Failing(Recorder):
        caught: Exception | None = None
        deal_with_it = True

        def on_send(self, error: int) -> None:
            raise LookupError("in on_send")

        def on_error(self, exception: Exception) -> None:
            self.caught = exception
            if not self.deal_with_it:
                super().on_error(exception)

    server = listening(window)
    for deal_with_it in (True, False):
        client = Failing(window)
        client.deal_with_it = deal_with_it
        client.create()
        client.connect(server.socket.getsockname())
        async with trio.open_nursery() as nursery:
            if deal_with_it:
                nursery.start_soon(window.run)
                await until(lambda: client.caught is not None)  # noqa: B023
                nursery.cancel_scope.cancel()
            else:
                with pytest.raises(LookupError, match="in on_send"):
                    await window.run()
        assert isinstance(client.caught, LookupError)
        client.close()
    for accepted in server.accepted:
        accepted.close()
    server.close()


async def test_an_async_method_is_refused(window: wsock.Window) -> None:
    """Nobody would await it."""

    class Wrong(Recorder):
        async def on_accept(self, error: int) -> None:  # type: ignore[override]
            pass

    server = listening(window, Wrong)
    refused = pytest.raises(TypeError, match="plain function")
    with await connected(server), refused:
        await window.run()
    server.close()


async def test_a_dispatch_that_is_overridden_is_what_run_calls(window: wsock.Window) -> None:
    """For every message, the usual FD_READ included."""
    events = []

    class Own(AsyncSocket):
        def dispatch(self, message: wsock.Message) -> object:
            events.append(message.event)
            if message.event == FD_CLOSE:
                window.post_quit()
            return super().dispatch(message)

        def on_receive(self, error: int) -> None:
            self.send(self.receive())

    class Listener(AsyncSocket):
        accepted_class = Own

    listener = listening(window, Listener)
    client = await connected(listener)

    async def talk() -> None:
        await client.send(b"once")
        assert await client.recv(10) == b"once"
        client.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        with trio.fail_after(10):
            await window.run()
    listener.close()
    assert sorted(events) == [FD_READ, FD_WRITE, FD_CLOSE]


async def test_attach_and_detach(window: wsock.Window) -> None:
    """A socket may have an object for a while; it works on without."""
    near, far = std.socketpair()
    sock = wsock.from_stdlib_socket(near)
    owner = Recorder(window)
    owner.attach(sock)
    assert window.statistics().selected == 1
    with pytest.raises(wsock.WSAEINVAL):
        owner.attach(sock)
    with pytest.raises(ValueError, match="belongs to"):
        Recorder(window).attach(sock)
    assert owner.detach() is sock
    assert window.statistics().selected == 0
    assert sock.handler is None
    with far:
        far.sendall(b"x")
        assert await sock.recv(10) == b"x"
    sock.close()


async def test_an_attach_that_fails_leaves_both_as_they_were(window: wsock.Window) -> None:
    """The window has ended: the socket may go to another object, and the object have another."""
    ended = wsock.Window()
    ended.close()
    with wsock.socket() as sock, wsock.socket() as other:
        owner = Recorder(ended)
        with pytest.raises(wsock.WSAEINVAL):
            owner.attach(sock)
        assert sock.handler is None
        Recorder(window).attach(sock)
        owner.window = window
        owner.attach(other)
        assert (owner.socket, other.handler) == (other, owner)


async def test_accepting_into_an_object_that_has_a_socket(window: wsock.Window) -> None:
    """WSAEINVAL, and the client waits on; an object of another window is moved to this one."""
    server = listening(window, AsyncSocket)
    with await connected(server) as client:
        with pytest.raises(wsock.WSAEINVAL):
            server.accept(server)
        elsewhere = wsock.Window()
        accepted = server.accept(Recorder(elsewhere))
        assert accepted.window is window
        assert accepted.socket.getpeername() == client.getsockname()
        accepted.close()
        elsewhere.close()
    server.close()


async def test_without_a_socket_every_call_says_so(window: wsock.Window) -> None:
    """WSAENOTSOCK before create and after detach; close does nothing."""
    empty = Recorder(window)
    for call in (empty.listen, empty.receive, empty.detach, empty.accept, empty.shutdown):
        with pytest.raises(wsock.WSAENOTSOCK):
            call()
    empty.close()
    assert "without a socket" in repr(empty)


async def test_without_a_socket_the_error_names_the_call(window: wsock.Window) -> None:
    """And not the property of the socket that the call looked at."""
    empty = Recorder(window)
    with pytest.raises(wsock.WSAENOTSOCK, match="create, attach or accept comes first") as told:
        empty.detach()
    assert told.value.call == "detach"
    with pytest.raises(wsock.WSAENOTSOCK, match="create, attach or accept comes first") as told:
        empty.start_tls(ssl.create_default_context(), server_hostname="x")
    assert told.value.call == "start_tls"


@pytest.mark.parametrize("port", [("127.0.0.1", 1), "80", 65536, -1])
async def test_create_wants_a_port(window: wsock.Window, port: Any) -> None:
    """An address there is refused, and the error says what is expected."""
    with pytest.raises(wsock.WSAEFAULT, match="the port is an int from 0 to 65535"):
        Recorder(window).create(port)


async def test_a_failing_create_leaves_no_socket(window: wsock.Window) -> None:
    """A port in use: the object may try another."""
    first, second = listening(window), Recorder(window)
    port = first.socket.getsockname()[1]
    with pytest.raises(OSError, match="bind"):
        second.create(port, address="127.0.0.1")
    second.create(0, address="127.0.0.1")
    assert "BOUND" in repr(second)
    for done in (first, second):
        done.close()
    ended = wsock.Window()
    ended.close()
    with pytest.raises(wsock.WSAEINVAL):
        Recorder(ended).create()


async def test_events_may_be_chosen(window: wsock.Window) -> None:
    """create, attach and select take FD_ bits; others are not told."""
    near, far = std.socketpair()
    owner = Recorder(window)
    owner.attach(wsock.from_stdlib_socket(near), FD_READ)
    with far:
        far.sendall(b"x")
        await run_until(window, lambda: owner.log)
        assert owner.log == [("receive", 0, b"x")]
        owner.select(FD_WRITE)
        far.sendall(b"y")
        await run_until(window, lambda: len(owner.log) == 2)
        assert owner.log[1] == ("send", 0)
        owner.select(0)
        await wait_all_tasks_blocked()
    owner.close()


async def test_datagrams(window: wsock.Window) -> None:
    """receive_from and send_to; IPv6 by the look of the address."""

    class Answer(AsyncSocket):
        def on_receive(self, error: int) -> None:
            data, address = self.receive_from()
            self.send_to(data.upper(), address)

    server = Answer(window)
    server.create(0, type=std.SOCK_DGRAM, address="::1")
    assert server.socket.family == std.AF_INET6
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)
        with wsock.socket(std.AF_INET6, std.SOCK_DGRAM) as client, trio.fail_after(10):
            for _ in range(3):
                await client.sendto(b"time?", server.socket.getsockname())
                assert (await client.recvfrom(100))[0] == b"TIME?"
        nursery.cancel_scope.cancel()
    server.close()


async def test_send_all_queues_behind_what_waits(window: wsock.Window) -> None:
    """Up to max_unsent; then WSAENOBUFS, and on_send when there is room."""
    near, far = std.socketpair()
    owner = Recorder(window)
    owner.attach(wsock.from_stdlib_socket(near))
    owner.socket.max_unsent = 3_000_000
    total = 0
    with contextlib.suppress(wsock.WSAENOBUFS):
        while True:
            owner.send_all(bytes(1_000_000))
            total += 1_000_000
    assert owner.socket.unsent <= 3_000_000
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        owner.send(b"x")
    far.settimeout(10)
    owner.log.clear()
    with far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, read_exactly, far, total)
            await run_until(window, lambda: ("send", 0) in owner.log)
        owner.shutdown()
        assert await trio.to_thread.run_sync(far.recv, 1) == b""
    owner.close()


def read_exactly(sock: std.socket, count: int) -> None:
    while count:
        count -= len(sock.recv(65536))


async def test_running_out_of_descriptors_is_survived(
    window: wsock.Window, autojump_clock: MockClock
) -> None:
    """on_accept is called again when it may work; no exception, no spinning."""
    server = listening(window)
    clients = [std.socket() for _ in range(2)]
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(window.run)
        await wait_all_tasks_blocked()
        with std.socket() as probe:
            lowest_free = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, old[1]))
        try:
            for client in clients:
                client.setblocking(False)
                code = client.connect_ex(server.socket.getsockname())
                assert code in (0, errno.EINPROGRESS)
            await trio.sleep(3.5)  # of the mock clock: a try every 0.1 s
            assert server.accepted == []
            assert window.statistics().taken < 50
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, old)
        await trio.sleep(0.2)  # the next try
        assert len(server.accepted) == 2
        nursery.cancel_scope.cancel()
    for done in (*clients, *server.accepted, server):
        done.close()
