"""The receiving and sending calls of trio.socket: a virtual host gives what this machine gives.

The same program runs on both; what it saw must be the same (checklist UD5, UD6).
"""

from __future__ import annotations

import errno
import socket as std
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio

from wsock.virtual import Host, Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Program = Callable[[], Awaitable[object]]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")

HERE = "127.0.0.1"


def on_both(program: Program) -> tuple[object, object]:
    """Run it on this machine and on a virtual host."""
    net = Network(seed=3)
    host = net.host("host", net.segment("lan", "192.0.2.0/24"), profile="linux")
    assert isinstance(host, Host)

    async def there() -> object:
        with host:
            return await program()

    return trio.run(program), net.run(there)


async def datagram_pair() -> tuple[Any, Any]:
    """Two sockets of UDP; the first is connected to the second."""
    near, far = (trio.socket.socket(type=std.SOCK_DGRAM) for _ in "ab")
    await far.bind((HERE, 0))
    await near.connect(far.getsockname())
    return near, far


async def stream_pair() -> tuple[Any, Any]:
    """Two connected sockets of TCP."""
    listener, near = trio.socket.socket(), trio.socket.socket()
    with listener:
        await listener.bind((HERE, 0))
        listener.listen()
        await near.connect(listener.getsockname())
        far, _ = await listener.accept()
    return near, far


async def answer(call: Callable[..., Awaitable[object]], *args: object) -> object:
    """Return the result, or the name of the errno."""
    try:
        return await call(*args)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def test_ud5_a_datagram_that_is_cut_says_so_by_msg_trunc() -> None:
    """And by nothing where there is no place for it; the rest is lost; MSG_PEEK loses nothing."""

    async def program() -> object:
        near, far = await datagram_pair()
        with near, far:
            seen: list[object] = []
            for _ in range(5):
                await near.send(b"datagram")
            data, ancillary, flags, _ = await far.recvmsg(4, 0, std.MSG_PEEK)
            seen.append((data, ancillary, bool(flags & std.MSG_TRUNC)))
            data, ancillary, flags, _ = await far.recvmsg(4)
            seen.append((data, ancillary, bool(flags & std.MSG_TRUNC)))
            data, ancillary, flags, _ = await far.recvmsg(8)
            seen.append((data, ancillary, bool(flags & std.MSG_TRUNC)))
            seen.append((await far.recvfrom(4))[0])
            first, second = bytearray(3), bytearray(2)
            count, ancillary, flags, _ = await far.recvmsg_into([first, second])
            seen.append((count, bytes(first), bytes(second), bool(flags & std.MSG_TRUNC)))
            buffer = bytearray(20)
            seen.append((await far.recvfrom_into(buffer))[0])
            seen.append(bytes(buffer))
            return seen

    linux, virtual = on_both(program)
    assert virtual == linux


def test_flags_that_mean_nothing_are_no_error() -> None:
    """A kernel ignores MSG_NOSIGNAL in a receive, MSG_PEEK in a send: of streams and datagrams."""

    async def program() -> object:
        near, far = await datagram_pair()
        with near, far:
            await near.send(b"one", std.MSG_PEEK)
            await near.sendto(b"two", std.MSG_PEEK, far.getsockname())
            seen = [await far.recv(9, std.MSG_NOSIGNAL)]
            seen.append((await far.recvfrom(9, std.MSG_NOSIGNAL))[0])
        listener = trio.socket.socket()
        await listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = trio.socket.socket()
        await client.connect(listener.getsockname())
        accepted, _ = await listener.accept()
        with listener, client, accepted:
            await client.send(b"three", std.MSG_PEEK | std.MSG_NOSIGNAL)
            seen.append(await accepted.recv(9, std.MSG_NOSIGNAL))
        return seen

    linux, virtual = on_both(program)
    assert virtual == linux


def test_ud6_empty_datagrams_and_several_buffers() -> None:
    """An empty one is received as one; sendmsg joins its buffers; addresses are the sender's."""

    async def program() -> object:
        near, far = await datagram_pair()
        with near, far:
            seen: list[object] = []
            await near.send(b"")
            await near.sendmsg([b"one ", bytearray(b"two"), memoryview(b" three")])
            for _ in range(2):
                data, address = await far.recvfrom(100)
                seen.append((data, address == near.getsockname()))
            unconnected = trio.socket.socket(type=std.SOCK_DGRAM)
            with unconnected:
                seen.append(await unconnected.sendmsg([b"four"], (), 0, far.getsockname()))
                seen.append(await far.recv(100))
                seen.append(await answer(unconnected.sendmsg, [b"to nobody"]))
            return seen

    linux, virtual = on_both(program)
    assert virtual == linux


def test_sending_without_a_peer() -> None:
    """A datagram wants an address, a stream that is not connected is a broken pipe."""

    async def program() -> object:
        seen = []
        for kind in (std.SOCK_DGRAM, std.SOCK_STREAM):
            with trio.socket.socket(type=kind) as sock:
                seen.append(await answer(sock.send, b"to nobody"))
        return seen

    linux, virtual = on_both(program)
    assert virtual == linux


def test_the_same_calls_on_a_stream() -> None:
    """Nothing is cut there, and nobody has an address."""

    async def program() -> object:
        near, far = await stream_pair()
        with near, far:
            seen: list[object] = []
            await near.sendmsg([b"abc", b"def", b"ghi"])
            seen.append(await far.recvmsg(2))
            seen.append(await far.recvfrom(2, std.MSG_PEEK))
            seen.append((await far.recvfrom(2))[0])
            first, second = bytearray(2), bytearray(2)
            seen.append(await far.recvmsg_into([first, second]))
            seen.append((bytes(first), bytes(second)))
            buffer = bytearray(5)
            seen.append((await far.recvfrom_into(buffer))[0])
            near.shutdown(std.SHUT_WR)
            seen.append(await far.recvmsg(2))
            seen.append(await far.recv_into(buffer))
            return seen

    linux, virtual = on_both(program)
    assert virtual == linux
