"""Datagram sockets: whole or cut, connected or not, errors that come back."""

from __future__ import annotations

import socket as std
from contextlib import suppress

import pytest
import trio

import wsock
from tests.providers import WM_SOCKET, World, events_in, fill, messages
from wsock import FD_READ, FD_WRITE
from wsock.afd import Watcher


async def test_boundaries_are_kept(world: World) -> None:
    """S1-10, S4-2: no handshake; each datagram is received as it was sent, with its sender."""
    near, far = world.bound_datagram(), world.bound_datagram()
    for data in (b"one", b"", b"three"):
        assert far.sendto_nowait(data, near.getsockname()) == len(data)
    for data in (b"one", b"", b"three"):
        assert await near.recvfrom(99) == (data, far.getsockname())
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.recv_nowait(1)


async def test_cut(world: World) -> None:
    """A datagram longer than the room: WSAEMSGSIZE with what fitted; the rest is lost."""
    near, far = world.bound_datagram(), world.bound_datagram()
    far.sendto_nowait(b"abcdef", near.getsockname())
    far.sendto_nowait(b"next", near.getsockname())
    await world.settle(near, unread=4)
    with pytest.raises(wsock.WSAEMSGSIZE) as caught:
        near.recvfrom_nowait(3)
    assert (caught.value.data, caught.value.address) == (b"abc", far.getsockname())
    assert near.recv_nowait(9) == b"next"


async def test_cut_peek_loses_nothing(world: World) -> None:
    """With MSG_PEEK nothing of a cut datagram is lost."""
    near, far = world.bound_datagram(), world.bound_datagram()
    far.sendto_nowait(b"abcdef", near.getsockname())
    await world.settle(near, unread=6)
    for _ in range(2):
        with pytest.raises(wsock.WSAEMSGSIZE) as caught:
            near.recv_nowait(3, std.MSG_PEEK)
        assert caught.value.data == b"abc"
    assert near.recvfrom_nowait(9, std.MSG_PEEK) == (b"abcdef", far.getsockname())
    assert near.recv_nowait(9) == b"abcdef"


async def test_cut_into_a_buffer(world: World) -> None:
    """recv_into fills the buffer also when it raises WSAEMSGSIZE."""
    near, far = world.bound_datagram(), world.bound_datagram()
    far.sendto_nowait(b"abcdef", near.getsockname())
    buffer = bytearray(3)
    with pytest.raises(wsock.WSAEMSGSIZE):
        await near.recv_into(buffer)
    assert buffer == b"abc"


async def test_too_large(world: World) -> None:
    """S1-10: over 65,507 bytes is WSAEMSGSIZE; 65,507 go."""
    near, far = world.bound_datagram(), world.bound_datagram()
    with pytest.raises(wsock.WSAEMSGSIZE):
        far.sendto_nowait(bytes(65_508), near.getsockname())
    assert far.sendto_nowait(bytes(65_507), near.getsockname()) == 65_507
    assert len(await near.recv(65_507)) == 65_507


def code_of(call: object, *arguments: object) -> str:
    try:
        call(*arguments)  # type: ignore[operator]
    except wsock.WSAError as error:
        return error.name
    return ""


async def test_codes(world: World) -> None:
    """S1-23: recv needs a bound datagram socket; send needs a peer; MSG_OOB is not for it."""
    sock = world.socket(kind=std.SOCK_DGRAM)
    assert code_of(sock.recv_nowait, 1) == "WSAEINVAL"
    assert code_of(sock.send_nowait, b"x") == "WSAENOTCONN"
    assert code_of(sock.getpeername) == "WSAENOTCONN"
    assert code_of(sock.getsockname) == "WSAEINVAL"
    assert code_of(sock.recv_nowait, 1, std.MSG_OOB) == "WSAEOPNOTSUPP"
    assert code_of(sock.recv_nowait, -1) == "WSAEINVAL"
    assert code_of(sock.sendto_nowait, b"x", ("localhost", 9)) == "WSAEINVAL"
    sock.bind(("127.0.0.1", 0))
    assert code_of(sock.recv_nowait, 1) == "WSAEWOULDBLOCK"
    assert code_of(sock.ioctl, wsock.SIOCATMARK) == "WSAEINVAL"
    with pytest.raises(wsock.WSAENOTCONN):
        await sock.send(b"x")


async def test_sendto_binds(world: World) -> None:
    """sendto of an unbound socket binds it to the wildcard and a port, and connects nothing."""
    near, sock = world.bound_datagram(), world.socket(kind=std.SOCK_DGRAM)
    sock.sendto_nowait(b"x", near.getsockname())
    host, port = sock.getsockname()
    assert (host, port > 0) == ("0.0.0.0", True)
    assert code_of(sock.getpeername) == "WSAENOTCONN"
    assert await near.recvfrom(9) == (b"x", ("127.0.0.1", port))


async def test_connected(world: World) -> None:
    """connect fixes a peer: send needs no address, others' datagrams do not come."""
    near, far, other = (world.bound_datagram() for _ in range(3))
    assert near.connect_ex(far.getsockname()) == 0
    assert near.getpeername() == far.getsockname()
    near.send_nowait(b"hello")
    assert await far.recvfrom(9) == (b"hello", near.getsockname())
    other.sendto_nowait(b"stranger", near.getsockname())
    far.sendto_nowait(b"peer", near.getsockname())
    assert await near.recvfrom(9) == (b"peer", far.getsockname())


async def test_peer_taken_away(world: World) -> None:
    """connect to no address takes the peer away; the local port stays."""
    near, far = world.bound_datagram(), world.bound_datagram()
    name = near.getsockname()
    near.connect_ex(far.getsockname())
    assert near.connect_ex(("0.0.0.0", 0)) == 0
    assert code_of(near.getpeername) == "WSAENOTCONN"
    assert code_of(near.send_nowait, b"x") == "WSAENOTCONN"
    assert near.getsockname() == name
    world.bound_datagram().sendto_nowait(b"anybody", name)
    assert await near.recv(9) == b"anybody"


async def test_connected_again(world: World) -> None:
    """connect may be called again: the new peer replaces the old one."""
    near, first, second = (world.bound_datagram() for _ in range(3))
    for peer in (first, second):
        near.connect_ex(peer.getsockname())
        near.send_nowait(b"x")
        assert await peer.recv(9) == b"x"


async def test_port_unreachable_of_a_connected_socket(world: World) -> None:
    """A port unreachable comes back as WSAECONNRESET, told once, and as FD_READ."""
    near, window = world.bound_datagram(), wsock.Window()
    near.connect_ex(world.free_port())
    near.async_select(window, WM_SOCKET, FD_READ)
    near.send_nowait(b"x")
    assert await messages(window) == [(FD_READ, 0)]
    with pytest.raises(wsock.WSAECONNRESET):
        near.recv_nowait(9)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.recv_nowait(9)
    window.close()


async def test_port_unreachable_of_an_unconnected_socket(
    world: World, window: wsock.Window
) -> None:
    """S4-3: without a fixed peer too; a send to somebody else does not fail for it."""
    near, far = world.bound_datagram(), world.bound_datagram()
    near.async_select(window, WM_SOCKET, FD_READ)
    near.sendto_nowait(b"x", world.free_port())
    assert near.sendto_nowait(b"y", far.getsockname()) == 1
    assert await far.recv(9) == b"y"
    assert await messages(window) == [(FD_READ, 0)]
    with pytest.raises(wsock.WSAECONNRESET):
        near.recvfrom_nowait(9)
    far.sendto_nowait(b"z", near.getsockname())
    assert await near.recv(9) == b"z"
    assert events_in(window) == []


async def test_port_unreachable_over_ipv6(world: World, window: wsock.Window) -> None:
    """The same there: told once, by the next receive, and by no send to somebody else."""
    near, far = (world.socket(std.AF_INET6, std.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind(("::1", 0))
    with std.socket(std.AF_INET6, std.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        nobody = probe.getsockname()
    near.async_select(window, WM_SOCKET, FD_READ)
    near.sendto_nowait(b"x", nobody)
    assert near.sendto_nowait(b"y", far.getsockname()) == 1
    assert await far.recv(9) == b"y"
    assert await messages(window) == [(FD_READ, 0)]
    with pytest.raises(wsock.WSAECONNRESET):
        near.recvfrom_nowait(9)
    with pytest.raises(wsock.WSAEWOULDBLOCK):
        near.recvfrom_nowait(9)


async def test_port_unreachable_wakes_the_reader(world: World) -> None:
    """A task that waits in recvfrom gets the error."""
    near = world.bound_datagram()
    near.connect_ex(world.free_port())

    async def reader() -> None:
        with pytest.raises(wsock.WSAECONNRESET):
            await near.recvfrom(9)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        near.send_nowait(b"x")


async def test_shutdown(world: World) -> None:
    """Datagram sockets may be shut down: WSAESHUTDOWN from own flags; waiters are woken."""
    near, far = world.bound_datagram(), world.bound_datagram()
    near.shutdown(wsock.SD_SEND)
    assert code_of(near.sendto_nowait, b"x", far.getsockname()) == "WSAESHUTDOWN"
    far.sendto_nowait(b"a", near.getsockname())
    assert await near.recv(9) == b"a"

    async def reader() -> None:
        with pytest.raises(wsock.WSAESHUTDOWN):
            await near.recv(9)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        near.shutdown(wsock.SD_RECEIVE)
    assert code_of(near.shutdown, 5) == "WSAEINVAL"


async def test_fionread(world: World) -> None:
    """FIONREAD: the datagram that waits first."""
    near, far = world.bound_datagram(), world.bound_datagram()
    assert near.ioctl(wsock.FIONREAD) == 0
    far.sendto_nowait(b"abc", near.getsockname())
    await world.settle(near, unread=3)
    assert near.ioctl(wsock.FIONREAD) == 3


async def test_sendto_resolves(world: World) -> None:
    """The waiting sendto resolves names."""
    near, far = world.bound_datagram(), world.bound_datagram()
    await far.sendto(b"x", ("localhost", near.getsockname()[1]))
    assert await near.recv(9) == b"x"


async def test_ipv6(world: World) -> None:
    """The same over IPv6."""
    near, far = (world.socket(std.AF_INET6, std.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind(("::1", 0))
    far.sendto_nowait(b"six", near.getsockname())
    assert await near.recvfrom(9) == (b"six", far.getsockname())
    near.connect_ex(far.getsockname())
    near.send_nowait(b"back")
    assert await far.recv(9) == b"back"
    assert near.connect_ex(("::", 0)) == 0
    assert code_of(near.getpeername) == "WSAENOTCONN"


async def test_full(world: World, window: wsock.Window) -> None:
    """No room for a datagram: WSAEWOULDBLOCK, then FD_WRITE when there is; a waiting send waits."""
    left, right = std.socketpair(type=std.SOCK_DGRAM)
    near = world.keep(wsock.from_stdlib_socket(left, stack=world.stack))
    with right:
        near.async_select(window, WM_SOCKET, FD_WRITE)
        assert events_in(window) == [FD_WRITE]
        sent = fill(near, 1000)
        assert events_in(window) == []
        right.setblocking(False)
        assert empty(right) == sent
        assert await messages(window) == [(FD_WRITE, 0)]
        sent = fill(near, 1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send, b"last")
            await trio.testing.wait_all_tasks_blocked()
            assert empty(right) == sent
        assert right.recv(9) == b"last"


def empty(raw: std.socket) -> int:
    got = 0
    with suppress(BlockingIOError):
        while True:
            got += len(raw.recv(65536))
    return got


async def test_watchers_look_and_take_nothing(world: World) -> None:
    """A watcher (select) is told of an arrival beside the task that waits, and swallows nothing."""
    near, far = world.bound_datagram(), world.bound_datagram()
    told: list[str] = []
    got: list[bytes] = []

    async def reader() -> None:
        got.append(await near.recv(9))

    async with trio.open_nursery() as nursery:
        near._endpoint.wait_receive(Watcher(lambda: told.append("first")))
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        far.sendto_nowait(b"a", near.getsockname())
    assert (told, got) == (["first"], [b"a"])
