"""IPv6, AF_UNIX, and sockets that were made elsewhere."""

from __future__ import annotations

import os
import socket as std
from typing import TYPE_CHECKING, Self

import pytest
import trio
import trio.testing

import wsock
from tests.providers import WM_SOCKET, World, drain, events_in, fill, messages
from wsock import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_READ, FD_WRITE

if TYPE_CHECKING:
    import pathlib


async def test_ipv6(world: World) -> None:
    """Streams over IPv6: addresses of four; V6ONLY is on."""
    listener = world.socket(std.AF_INET6)
    listener.bind(("::1", 0))
    listener.listen()
    assert listener.getsockopt(std.IPPROTO_IPV6, std.IPV6_V6ONLY) == 1
    client = world.socket(std.AF_INET6)
    await client.connect(listener.getsockname()[:2])
    near, address = await listener.accept()
    world.keep(near)
    assert address == client.getsockname()
    assert address[0] == "::1"
    assert len(address) == 4
    await client.send(b"six")
    assert await near.recv(9) == b"six"
    assert repr(near).startswith("<Socket CONNECTED [::1]:")


async def test_ipv6_refused_and_again(world: World) -> None:
    """A second connect keeps V6ONLY too."""
    sock = world.socket(std.AF_INET6)
    with std.socket(std.AF_INET6) as probe:
        probe.bind(("::1", 0))
        address = probe.getsockname()
    for _ in range(2):
        with pytest.raises(wsock.WSAECONNREFUSED):
            await sock.connect(address)
    sock.connect_ex(address)
    assert sock.getsockopt(std.IPPROTO_IPV6, std.IPV6_V6ONLY) == 1


async def test_ipv6_codes(world: World) -> None:
    """The wrong kind of address, and none at all."""
    sock = world.socket(std.AF_INET6)
    with pytest.raises(wsock.WSAEINVAL):
        sock.bind(("127.0.0.1", 0))
    assert sock.connect_ex(("::", 9)) == wsock.WSAEADDRNOTAVAIL.winerror
    assert sock.connect_ex(("::1", 0)) == wsock.WSAEADDRNOTAVAIL.winerror
    sock.bind(("", 0))
    assert sock.getsockname()[0] == "::"


async def test_unix(world: World, window: wsock.Window, tmp_path: pathlib.Path) -> None:
    """AF_UNIX: the same calls, messages and ends."""
    path = str(tmp_path / "socket")
    listener = world.socket(std.AF_UNIX)
    listener.bind(path)
    listener.listen()
    assert listener.getsockname() == path
    listener.async_select(window, WM_SOCKET, FD_ACCEPT | FD_READ | FD_CLOSE)
    client = world.socket(std.AF_UNIX)
    await client.connect(path)
    assert client.getpeername() == path
    assert await messages(window) == [(FD_ACCEPT, 0)]
    near, address = listener.accept_nowait()
    world.keep(near)
    assert address == ""
    client.send_nowait(b"abc")
    assert await messages(window) == [(FD_READ, 0)]
    assert near.recv_nowait(9) == b"abc"
    total = fill(near)
    assert await drain(client, total) == total
    client.close()
    assert await messages(window) == [(FD_CLOSE, 0)]
    with pytest.raises(wsock.WSAEADDRINUSE):
        world.socket(std.AF_UNIX).bind(path)


@pytest.mark.parametrize("kind", [std.SOCK_STREAM, std.SOCK_DGRAM])
async def test_unix_connect_to_nobody(world: World, tmp_path: pathlib.Path, kind: int) -> None:
    """Where nobody listens connect is refused, whether there is a file of that name or none."""
    file = tmp_path / "file"
    file.touch()
    sock = world.socket(std.AF_UNIX, kind)
    for path in (tmp_path / "nobody", tmp_path / "nowhere" / "nobody", file / "nobody", file):
        with pytest.raises(wsock.WSAECONNREFUSED):
            await sock.connect(str(path))
        assert sock.connect_ex(str(path)) == wsock.WSAECONNREFUSED.winerror
    if kind == std.SOCK_DGRAM:
        with pytest.raises(wsock.WSAECONNREFUSED):
            await sock.sendto(b"x", str(tmp_path / "nobody"))


async def test_unix_names_that_cannot_be(world: World, tmp_path: pathlib.Path) -> None:
    """bind where no file can be made: WSAEADDRNOTAVAIL; a path that no address holds: WSAEINVAL."""
    too_long = str(tmp_path / ("x" * 300))
    file = tmp_path / "file"
    file.touch()
    for kind in (std.SOCK_STREAM, std.SOCK_DGRAM):
        sock = world.socket(std.AF_UNIX, kind)
        for path in (tmp_path / "nowhere" / "socket", file / "socket"):
            with pytest.raises(wsock.WSAEADDRNOTAVAIL):
                sock.bind(str(path))
        with pytest.raises(wsock.WSAEINVAL):
            sock.bind(too_long)
        with pytest.raises(wsock.WSAEFAULT):
            sock.bind(("127.0.0.1", 9))
        assert sock.connect_ex(too_long) == wsock.WSAEINVAL.winerror
        with pytest.raises(wsock.WSAEINVAL):
            await sock.connect(too_long)
    with pytest.raises(wsock.WSAEINVAL):
        sock.sendto_nowait(b"x", too_long)


class Crowded:
    """An AF_UNIX listener whose queue is full."""

    def __init__(self, world: World, path: str) -> None:
        self.world = world
        self.listener = std.socket(std.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(0)
        self.first = std.socket(std.AF_UNIX)
        self.first.connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.first.close()
        self.listener.close()


async def test_unix_connect_waits_for_room_in_the_queue(
    world: World, tmp_path: pathlib.Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A full queue is no error of connect: it waits until the listener accepts somebody."""
    path = str(tmp_path / "socket")
    client = world.socket(std.AF_UNIX)
    with Crowded(world, path) as crowded:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.connect, path)
            await trio.sleep(10)  # of the mock clock: many tries
            assert client.state == "CONNECTING"
            crowded.listener.accept()[0].close()
        assert client.state == "CONNECTED"
        peer, _ = crowded.listener.accept()
        with peer:
            peer.send(b"abc")
            assert await client.recv(9) == b"abc"
            await client.send(b"def")
            assert peer.recv(9) == b"def"
        assert await client.recv(9) == b""


async def test_unix_connect_under_way_is_notified(
    world: World, window: wsock.Window, tmp_path: pathlib.Path
) -> None:
    """connect_ex says WSAEWOULDBLOCK, and FD_CONNECT and FD_WRITE follow, as with TCP."""
    path = str(tmp_path / "socket")
    client = world.socket(std.AF_UNIX)
    with Crowded(world, path) as crowded:
        client.async_select(window, WM_SOCKET, FD_CONNECT | FD_WRITE)
        assert client.connect_ex(path) == wsock.WSAEWOULDBLOCK.winerror
        assert client.connect_ex(path) == wsock.WSAEALREADY.winerror
        crowded.listener.accept()[0].close()
        assert await messages(window, 2) == [(FD_CONNECT, 0), (FD_WRITE, 0)]


async def test_unix_connect_whose_listener_goes_is_refused(
    world: World, tmp_path: pathlib.Path
) -> None:
    """While it waits for room the listener closes: WSAECONNREFUSED."""
    path = str(tmp_path / "socket")
    client = world.socket(std.AF_UNIX)
    with Crowded(world, path) as crowded:
        assert client.connect_ex(path) == wsock.WSAEWOULDBLOCK.winerror
        crowded.listener.close()
        with pytest.raises(wsock.WSAECONNREFUSED):
            await client.wait_connected()


async def test_unix_connect_cancelled_or_closed_while_it_waits(
    world: World, tmp_path: pathlib.Path, mock_clock: trio.testing.MockClock
) -> None:
    """Cancelled, the socket is closed; closed by another task, WSAEINTR. Nothing is tried again."""
    path = str(tmp_path / "socket")
    with Crowded(world, path) as crowded:
        cancelled, closed = world.socket(std.AF_UNIX), world.socket(std.AF_UNIX)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancelled.connect, path)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert cancelled.closed

        async def expect_interruption() -> None:
            with pytest.raises(wsock.WSAEINTR):
                await closed.connect(path)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_interruption)
            await trio.testing.wait_all_tasks_blocked()
            closed.close()
        crowded.listener.accept()[0].close()
        crowded.listener.setblocking(False)
        mock_clock.jump(0.1)  # twice the longest pause between tries
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            crowded.listener.accept()


async def test_adopted_pair(world: World, window: wsock.Window) -> None:
    """from_stdlib_socket: a socket pair is connected, and detached from its old owner."""
    left, right = std.socketpair()
    with right:
        near = world.keep(wsock.from_stdlib_socket(left, stack=world.stack))
        assert left.fileno() == -1
        assert near.state == "CONNECTED"
        near.async_select(window, WM_SOCKET, FD_READ | FD_WRITE | FD_CLOSE)
        assert events_in(window) == [FD_WRITE]
        right.send(b"abc")
        assert await messages(window) == [(FD_READ, 0)]
        assert near.recv_nowait(9) == b"abc"
        near.send_nowait(b"def")
        assert right.recv(9) == b"def"
    assert await messages(window) == [(FD_CLOSE, 0)]


async def test_adopted_listener(world: World) -> None:
    """A listener that a service manager hands over serves, and can be given on."""
    raw = std.create_server(("127.0.0.1", 0))
    address = raw.getsockname()
    listener = world.keep(wsock.socket(fileno=raw.detach(), stack=world.stack))
    assert listener.state == "LISTENING"
    with std.create_connection(address) as client:
        near = await world.accept(listener)
        assert near.getpeername() == client.getsockname()
    number = listener.detach()
    assert listener.closed
    with std.socket(fileno=number) as again, std.create_connection(address) as client:
        again.settimeout(5)
        accepted, peer = again.accept()
        accepted.close()
        assert peer == client.getsockname()


async def test_adopted_bound_and_fresh(world: World) -> None:
    """Bound, datagram and fresh sockets keep their state."""
    bound = std.socket()
    bound.bind(("127.0.0.1", 0))
    name = bound.getsockname()
    sock = world.keep(wsock.from_stdlib_socket(bound, stack=world.stack))
    assert (sock.state, sock.getsockname()) == ("BOUND", name)
    fresh = world.keep(wsock.from_stdlib_socket(std.socket(), stack=world.stack))
    assert fresh.state == "OPEN"
    await fresh.connect(world.listener().getsockname())
    datagram = std.socket(type=std.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", 0))
    near = world.keep(wsock.from_stdlib_socket(datagram, stack=world.stack))
    world.bound_datagram().sendto_nowait(b"x", near.getsockname())
    assert await near.recv(9) == b"x"


async def test_detach(world: World) -> None:
    """detach gives the open descriptor away; bytes unsent are refused; waiters are woken."""
    pair = await world.pair()
    total = fill(pair.near)
    with pytest.raises(wsock.WSAEINVAL):
        pair.near.detach()
    await drain(pair.far, total)
    await world.until(lambda: pair.near.unsent == 0)

    async def reader() -> None:
        with pytest.raises(wsock.WSAEINTR):
            await pair.near.recv(9)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        number = pair.near.detach()
    assert pair.near.closed
    with std.socket(fileno=number) as raw:
        pair.far.send_nowait(b"abc")
        raw.settimeout(5)
        assert raw.recv(9) == b"abc"
    with pytest.raises(wsock.WSAENOTSOCK):
        pair.near.detach()


def test_adopting_what_is_no_socket() -> None:
    """A descriptor that is no socket is WSAENOTSOCK, and stays open."""
    number = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(wsock.WSAENOTSOCK):
        wsock.socket(fileno=number)
    os.fstat(number)
    os.close(number)


def test_what_cannot_be_adopted_stays_its_owners() -> None:
    """Another family, another type, or no descriptor at all: refused, and nothing is closed."""
    near, far = std.socketpair(std.AF_UNIX, std.SOCK_SEQPACKET)
    with near, far:
        with pytest.raises(wsock.WSAESOCKTNOSUPPORT, match="type 5"):
            wsock.from_stdlib_socket(near)
        near.send(b"still mine")
        assert far.recv(99) == b"still mine"
    if hasattr(std, "AF_NETLINK"):
        with std.socket(std.AF_NETLINK, std.SOCK_RAW, 0) as other:
            with pytest.raises(wsock.WSAEAFNOSUPPORT):
                wsock.socket(fileno=other.fileno())
            assert other.getsockname() is not None
    with pytest.raises(wsock.WSAENOTSOCK):
        wsock.socket(fileno=-1)
    closed = std.socket()
    closed.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        wsock.from_stdlib_socket(closed)


async def test_a_descriptor_is_adopted_once(world: World) -> None:
    """A second Socket on it would close it under the first."""
    pair = world.local_pair()
    with pytest.raises(wsock.WSAEINVAL, match="belongs to a Socket already"):
        wsock.socket(fileno=pair.near.fileno(), stack=world.stack)
    pair.far.send_nowait(b"x")
    assert await pair.near.recv(9) == b"x"


async def test_an_adoption_that_fails_half_way_gives_the_descriptor_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard library's object is as it was, and no Socket is left that would close it."""
    near, far = std.socketpair()

    def fail(_endpoint: object) -> None:
        raise OSError("no memory, say")

    with near, far, monkeypatch.context() as patch:
        patch.setattr("wsock.afd.adopt", fail)
        with pytest.raises(OSError, match="no memory"):
            wsock.from_stdlib_socket(near, stack=world.stack)
        near.send(b"still mine")
        assert far.recv(99) == b"still mine"
        assert world.stack.netstat() == []


async def test_context_manager(world: World) -> None:
    """Leaving ``with sock:`` closes, also with bytes unsent."""
    pair = await world.pair()
    with pair.near as near:
        total = fill(near)
    assert near.closed
    assert await drain(pair.far, total) == total
