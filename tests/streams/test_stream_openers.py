from __future__ import annotations

import errno
import logging
import resource
import socket as std
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import wsock
from wsock import _streams
from wsock._streams import SocketStream, open_tcp_listeners, open_tcp_stream, serve_tcp

if TYPE_CHECKING:
    from collections.abc import Callable


async def echo(stream: SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def test_serve_tcp_serves_every_client() -> None:
    """A task for each; nursery.start gives the listeners."""
    async with trio.open_nursery() as nursery:
        listeners: list[Any] = await nursery.start(serve_tcp, echo, 0)
        for listener in listeners:
            host, port = listener.socket.getsockname()[:2]
            loopback = "::1" if ":" in host else "127.0.0.1"
            async with await open_tcp_stream(loopback, port) as one:
                async with await open_tcp_stream(loopback, port) as two:
                    await two.send_all(b"two")
                    assert await two.receive_some() == b"two"
                await one.send_all(b"one")
                assert await one.receive_some() == b"one"
        nursery.cancel_scope.cancel()


async def test_localhost_is_found_by_name() -> None:
    """Also where the name has an IPv6 address, too, and nobody listens there."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stream = await open_tcp_stream("localhost", listener.socket.getsockname()[1])
        await stream.aclose()


async def test_a_refused_connect_says_so() -> None:
    """The class of the failure; each address's own as cause."""
    with wsock.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be there
        with pytest.raises(ConnectionRefusedError) as caught:
            await open_tcp_stream(*taken.getsockname())
    assert isinstance(caught.value, wsock.WSAECONNREFUSED)
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert [type(error) for error in cause.exceptions] == [wsock.WSAECONNREFUSED]


async def test_a_name_that_does_not_exist() -> None:
    """WSAHOST_NOT_FOUND or WSATRY_AGAIN, which are gaierrors."""
    with pytest.raises(std.gaierror):
        await open_tcp_stream("no-such-host.invalid", 80)


async def test_a_local_address_may_be_given() -> None:
    """The connection comes from there; peers of another family are left out."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        host, port = listener.socket.getsockname()
        async with await open_tcp_stream(host, port, local_address="127.0.0.2") as stream:
            assert stream.socket.getsockname()[0] == "127.0.0.2"
        with pytest.raises(wsock.WSAEADDRNOTAVAIL):
            await open_tcp_stream(host, port, local_address="::1")


class FakeSocket:
    """Connects as its address's plan says: after so many seconds, or not."""

    made: list[FakeSocket]
    plans: dict[str, tuple[float, type[wsock.WSAError] | None]]

    no_ipv6 = False
    connected: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, family: int, type: int, *, stack: object = None) -> None:  # noqa: A002
        if self.no_ipv6 and family == std.AF_INET6:
            raise wsock.WSAEAFNOSUPPORT("socket")
        self.type = type
        self.closed = False
        self.started: float | None = None
        self.address = ""
        self.made.append(self)

    async def connect(self, address: tuple[str, int]) -> None:
        self.address = address[0]
        self.started = trio.current_time()
        seconds, error = self.plans[address[0]]
        await trio.sleep(seconds)
        if error is not None:
            raise error("connect", "", address[0])
        self.connected()

    def close(self) -> None:
        self.closed = True

    def setsockopt(self, level: int, option: int, value: int) -> None:
        pass


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeSocket]]:
    """Replace resolver and sockets; ``plans({address: (seconds, error)})`` says what happens."""

    def make(
        plans: dict[str, tuple[float, type[wsock.WSAError] | None]],
    ) -> list[FakeSocket]:
        FakeSocket.plans, FakeSocket.made = plans, []

        async def resolve(host: str, port: int, **_: object) -> list[tuple[str, int]]:
            await trio.lowlevel.checkpoint()
            return [(address, port) for address in plans]

        monkeypatch.setattr(_streams._socket_making, "socket", FakeSocket)
        monkeypatch.setattr(_streams._socket_waiting, "resolve", resolve)
        return FakeSocket.made

    return make


async def test_addresses_are_tried_one_after_the_other(
    plans: Callable[..., list[FakeSocket]], autojump_clock: MockClock
) -> None:
    """Each a quarter of a second later, the families in turn; the first answer wins."""
    never = (9, None)
    made = plans({"2::1": never, "2::2": never, "1.1.1.1": (0.6, None), "1.1.1.2": never})
    start = trio.current_time()
    stream = await open_tcp_stream("host", 80)
    assert stream.socket.address == "1.1.1.1"  # type: ignore[attr-defined]
    assert trio.current_time() - start == pytest.approx(0.25 + 0.6)
    assert [(sock.address, sock.started) for sock in made] == [
        ("2::1", start),
        ("1.1.1.1", start + 0.25),
        ("2::2", start + 0.5),
        ("1.1.1.2", start + 0.75),
    ]
    assert [sock.closed for sock in made] == [True, False, True, True]


async def test_a_failure_starts_the_next_attempt_at_once(
    plans: Callable[..., list[FakeSocket]], autojump_clock: MockClock
) -> None:
    """Who was refused need not wait for the delay."""
    made = plans({"1.1.1.1": (0.01, wsock.WSAECONNREFUSED), "1.1.1.2": (0.01, None)})
    start = trio.current_time()
    stream = await open_tcp_stream("host", 80, happy_eyeballs_delay=5)
    assert stream.socket.address == "1.1.1.2"  # type: ignore[attr-defined]
    assert trio.current_time() - start == pytest.approx(0.02)
    assert made[0].closed


async def test_all_failures_are_told(
    plans: Callable[..., list[FakeSocket]], autojump_clock: MockClock
) -> None:
    """The last one's class, all of them as cause, no socket left open."""
    made = plans({"1.1.1.1": (0.5, wsock.WSAETIMEDOUT), "1.1.1.2": (0.1, wsock.WSAECONNREFUSED)})
    with pytest.raises(wsock.WSAETIMEDOUT, match=r"1\.1\.1\.1") as caught:
        await open_tcp_stream("host", 80)
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == 2
    assert all(sock.closed for sock in made)


async def test_a_family_that_is_not_there_is_a_failure_as_any_other(
    plans: Callable[..., list[FakeSocket]],
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next address is tried at once."""
    monkeypatch.setattr(FakeSocket, "no_ipv6", True)
    plans({"2::1": (0, None), "1.1.1.1": (0.5, None)})
    start = trio.current_time()
    stream = await open_tcp_stream("host", 80)
    assert stream.socket.address == "1.1.1.1"  # type: ignore[attr-defined]
    assert trio.current_time() - start == pytest.approx(0.5)


async def test_a_connection_that_comes_as_the_caller_is_cancelled_is_closed(
    plans: Callable[..., list[FakeSocket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would get it, so nobody could close it."""
    made = plans({"1.1.1.1": (0, None)})
    with trio.CancelScope() as scope:
        monkeypatch.setattr(FakeSocket, "connected", staticmethod(scope.cancel))
        await open_tcp_stream("host", 80, happy_eyeballs_delay=5)
    assert scope.cancelled_caught
    assert [sock.closed for sock in made] == [True]


async def test_cancelling_ends_every_attempt(
    plans: Callable[..., list[FakeSocket]], autojump_clock: MockClock
) -> None:
    """Nothing is left open."""
    made = plans({"1.1.1.1": (50, None), "1.1.1.2": (50, None)})
    with trio.move_on_after(1) as scope:
        await open_tcp_stream("host", 80)
    assert scope.cancelled_caught
    assert len(made) == 2
    assert all(sock.closed for sock in made)


async def test_listeners_need_a_free_port() -> None:
    """WSAEADDRINUSE, and none of the others stays open."""
    (first,) = await open_tcp_listeners(0, host="127.0.0.1")
    async with first:
        port = first.socket.getsockname()[1]
        with pytest.raises(OSError, match="bind"):
            await open_tcp_listeners(port, host="127.0.0.1")
    for listener in await open_tcp_listeners(port, host="127.0.0.1", backlog=5):
        await listener.aclose()


async def test_listeners_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address of several that is taken: those before it are closed again."""
    (taken,) = await open_tcp_listeners(0, host="127.0.0.1")

    async def resolve(*_: object, **__: object) -> list[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        return [("127.0.0.1", 0), taken.socket.getsockname()]

    monkeypatch.setattr(_streams._socket_waiting, "resolve", resolve)
    async with taken:
        with pytest.raises(wsock.WSAEADDRINUSE):
            await open_tcp_listeners(0)
        assert [row["state"] for row in wsock.netstat()].count("LISTENING") == 1


async def test_the_backlog_is_handed_on() -> None:
    """As it was given; connection objects are made in advance for it."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1", backlog=5)
    async with listener:
        assert len(listener.socket._endpoint.pool.free) == 5


async def test_handlers_may_run_in_a_nursery_of_ones_own() -> None:
    """Then they go on when the server has ended, as with trio.serve_listeners."""
    async with trio.open_nursery() as handlers:
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(
                partial(serve_tcp, echo, 0, host="127.0.0.1", handler_nursery=handlers)
            )
            client = await open_tcp_stream(*listener.socket.getsockname())
            await client.send_all(b"one")
            assert await client.receive_some() == b"one"
            nursery.cancel_scope.cancel()
        async with client:
            await client.send_all(b"two")
            assert await client.receive_some() == b"two"


async def test_a_missing_family_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two: go on with the other. Both: WSAEAFNOSUPPORT."""
    real, missing = wsock.socket, {std.AF_INET6}

    def without(family: int, type: int, **rest: Any) -> wsock.Socket:  # noqa: A002
        if family in missing:
            raise wsock.WSAEAFNOSUPPORT("socket")
        return real(family, type, **rest)

    monkeypatch.setattr(_streams._socket_making, "socket", without)
    listeners = await open_tcp_listeners(0)
    assert [listener.socket.family for listener in listeners] == [std.AF_INET]
    await listeners[0].aclose()
    missing.add(std.AF_INET)
    with pytest.raises(wsock.WSAEAFNOSUPPORT):
        await open_tcp_listeners(0)


async def test_running_out_of_descriptors_is_survived(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """serve_listeners logs, waits and goes on; nobody spins; the client is served later."""
    (listener,) = await open_tcp_listeners(0, host="127.0.0.1")
    client = std.socket()
    client.setblocking(False)
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    with client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, echo, [listener])
            await wait_all_tasks_blocked()
            with caplog.at_level(logging.ERROR):
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free(), old[1]))
                try:
                    code = client.connect_ex(listener.socket.getsockname())
                    assert code in (0, errno.EINPROGRESS)
                    await trio.sleep(3.5)  # of the mock clock: a try every 0.1 s
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, old)
            assert 1 <= len(caplog.records) <= 50
            with trio.fail_after(10):
                sock = trio.socket.from_stdlib_socket(client.dup())
                with sock:
                    await sock.send(b"hello")
                    assert await sock.recv(10) == b"hello"
            nursery.cancel_scope.cancel()


def lowest_free() -> int:
    """The number that the next descriptor would get: a limit of that many allows no more."""
    with std.socket() as probe:
        return probe.fileno()
