"""The resolver of virtual hosts, by trio.socket's calls; and sockets' calls with rare arguments."""

from __future__ import annotations

import errno
import socket as std
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import assert_checkpoints

from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def run(main: Callable[[], Awaitable[object]]) -> object:
    """Run a program on a network of one host."""
    network = Network()
    network.host("server.example")
    network.names.add("server.example", bytes([127, 0, 0, 1]))
    return network.run(main)


def test_a_name_has_no_address_of_ipv6() -> None:
    """EAI_NONAME, as a name server answers that has none; unasked it is left out."""

    async def main() -> None:
        with pytest.raises(std.gaierror) as caught:
            await trio.socket.getaddrinfo("server.example", 80, std.AF_INET6)
        assert caught.value.errno == std.EAI_NONAME
        families = {answer[0] for answer in await trio.socket.getaddrinfo("server.example", 80)}
        assert families == {std.AF_INET}

    run(main)


def test_an_address_has_a_name_unless_the_number_is_wanted() -> None:
    """NI_NUMERICHOST asks nobody."""

    async def main() -> None:
        address = ("127.0.0.1", 80)
        numeric = std.NI_NUMERICHOST | std.NI_NUMERICSERV
        assert await trio.socket.getnameinfo(address, numeric) == ("127.0.0.1", "80")
        assert await trio.socket.getnameinfo(address, std.NI_NUMERICSERV) == ("localhost", "80")

    run(main)


def test_a_look_up_is_a_checkpoint() -> None:
    """Both ways, also when the answer is known at once."""

    async def main() -> None:
        with assert_checkpoints():
            await trio.socket.getaddrinfo("server.example", 80)
        with assert_checkpoints():
            await trio.socket.getnameinfo(("127.0.0.1", 80), 0)

    run(main)


async def two_datagram_sockets() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    near, far = (trio.socket.socket(type=std.SOCK_DGRAM) for _ in range(2))
    await near.bind(("127.0.0.1", 0))
    await far.bind(("127.0.0.1", 0))
    return near, far


def test_receiving_into_a_part_of_a_buffer() -> None:
    """``nbytes`` bounds it, and what is behind stays as it was."""

    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        near = await trio.open_tcp_stream(*listener.socket.getsockname())
        far = await listener.accept()
        async with listener, near, far:
            await near.send_all(b"abcdef")
            room = bytearray(b"......")
            assert await far.socket.recv_into(room, 2) == 2
            assert room == b"ab...."
            assert await far.socket.recv_into(room) == 4
            assert room == b"cdef.."

    run(main)


def test_flags_stand_between_data_and_address() -> None:
    """Those that do not exist here are refused, not taken for none."""

    async def main() -> None:
        near, far = await two_datagram_sockets()
        with near, far:
            await near.sendto(b"one", 0, far.getsockname())
            assert await far.recv(9) == b"one"
            with pytest.raises(OSError) as caught:  # noqa: PT011  (its errno is looked at)
                await near.sendto(b"two", std.MSG_OOB, far.getsockname())
            assert caught.value.errno == errno.EOPNOTSUPP

    run(main)


def test_ancillary_data_is_refused() -> None:
    """Descriptors of the machine cannot be sent to a virtual host."""

    async def main() -> None:
        near, far = await two_datagram_sockets()
        with near, far:
            rights = [(std.SOL_SOCKET, 1, b"\0\0\0\0")]
            with pytest.raises(OSError) as caught:  # noqa: PT011  (its errno is looked at)
                await near.sendmsg([b"x"], rights, 0, far.getsockname())
            assert caught.value.errno == errno.EOPNOTSUPP

    run(main)
