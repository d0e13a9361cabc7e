"""Options: remembered as they were set, with Winsock's meaning; sharing an address."""

from __future__ import annotations

import socket as std
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import wsock
from wsock import SO_DONTLINGER, SO_EXCLUSIVEADDRUSE

if TYPE_CHECKING:
    from tests.providers import Pair, World

SOCKET = std.SOL_SOCKET


@pytest.mark.parametrize("value", [0, 1, 5000, 65535, 65536, 100_000])
@pytest.mark.parametrize("option", [std.SO_RCVBUF, std.SO_SNDBUF])
def test_buffer_sizes_as_they_were_set(world_free: World, option: int, value: int) -> None:
    """S1-29: buffer sizes read as they were set, 0 too, whatever the system makes of them."""
    sock = world_free.socket()
    assert sock.getsockopt(SOCKET, option) > 0
    sock.setsockopt(SOCKET, option, value)
    assert sock.getsockopt(SOCKET, option) == value


async def test_buffer_sizes_that_nobody_set(pair: Pair) -> None:
    """They read as on a fresh socket, also where the system lets those of a connection grow."""
    fresh = pair.world.socket()
    for option in (std.SO_RCVBUF, std.SO_SNDBUF):
        assert pair.near.getsockopt(SOCKET, option) == fresh.getsockopt(SOCKET, option)


def test_small_buffers_are_not_handed_to_the_kernel(world_free: World) -> None:
    """Below 64 KiB the kernel keeps its own sizes: setting any ends its autotuning."""
    sock = world_free.socket()
    with std.socket(fileno=sock.fileno()) as raw:
        before = raw.getsockopt(SOCKET, std.SO_RCVBUF)
        sock.setsockopt(SOCKET, std.SO_RCVBUF, 4096)
        assert raw.getsockopt(SOCKET, std.SO_RCVBUF) == before
        raw.detach()


def test_linger(world_free: World) -> None:
    """SO_LINGER in all its forms; SO_DONTLINGER is its opposite."""
    sock = world_free.socket()
    linger = lambda: struct.unpack("ii", sock.getsockopt(SOCKET, std.SO_LINGER))  # noqa: E731
    assert linger() == (0, 0)
    assert sock.getsockopt(SOCKET, SO_DONTLINGER) == 1
    sock.setsockopt(SOCKET, std.SO_LINGER, (1, 7))
    assert linger() == (1, 7)
    assert sock.getsockopt(SOCKET, SO_DONTLINGER) == 0
    sock.setsockopt(SOCKET, std.SO_LINGER, struct.pack("ii", 1, 0))
    assert linger() == (1, 0)
    sock.setsockopt(SOCKET, SO_DONTLINGER, 1)
    assert linger() == (0, 0)
    sock.setsockopt(SOCKET, SO_DONTLINGER, 0)
    assert linger()[0] == 1
    with pytest.raises(wsock.WSAEFAULT):
        sock.setsockopt(SOCKET, std.SO_LINGER, 1)


@pytest.mark.parametrize(
    "value",
    [
        *(8, -1, 1 << 40, True, None, [1] * 8, b"1234", bytes(12)),
        *((1,), (1, 2, 3), (1, "7"), ("on", 7), (1, 7.5), (1, 1 << 31)),
    ],
)
def test_linger_takes_its_structure_alone(world_free: World, value: object) -> None:
    """What is no pair of numbers, and no ``linger`` in bytes, is WSAEFAULT, and changes nothing."""
    sock = world_free.socket()
    sock.setsockopt(SOCKET, std.SO_LINGER, (1, 7))
    with pytest.raises(wsock.WSAEFAULT):
        sock.setsockopt(SOCKET, std.SO_LINGER, value)
    assert sock.getsockopt(SOCKET, std.SO_LINGER) == struct.pack("ii", 1, 7)


@pytest.mark.parametrize("value", [(1, -1), struct.pack("ii", 1, -1)])
def test_no_lingering_for_less_than_no_time(world_free: World, value: object) -> None:
    """Negative seconds are WSAEINVAL: taken for 0 they would reset a connection."""
    sock = world_free.socket()
    with pytest.raises(wsock.WSAEINVAL):
        sock.setsockopt(SOCKET, std.SO_LINGER, value)
    assert sock.getsockopt(SOCKET, std.SO_LINGER) == bytes(8)


def test_linger_is_for_streams(world_free: World) -> None:
    """SO_LINGER on a datagram socket is WSAENOPROTOOPT."""
    sock = world_free.socket(kind=std.SOCK_DGRAM)
    for option in (std.SO_LINGER, SO_DONTLINGER):
        with pytest.raises(wsock.WSAENOPROTOOPT):
            sock.getsockopt(SOCKET, option)
        with pytest.raises(wsock.WSAENOPROTOOPT):
            sock.setsockopt(SOCKET, option, 1)


@pytest.mark.parametrize(
    "key",
    [
        (SOCKET, std.SO_KEEPALIVE),
        (SOCKET, std.SO_OOBINLINE),
        (SOCKET, std.SO_BROADCAST),
        (std.IPPROTO_TCP, std.TCP_NODELAY),
    ],
)
def test_booleans(world_free: World, key: tuple[int, int]) -> None:
    """Boolean options: 0 at first; anything else than 0 reads as 1; bytes do as well."""
    sock = world_free.socket()
    assert sock.getsockopt(*key) == 0
    sock.setsockopt(*key, 9)
    assert sock.getsockopt(*key) == 1
    sock.setsockopt(*key, struct.pack("i", 0))
    assert sock.getsockopt(*key) == 0


def test_read_only_and_unknown(world_free: World) -> None:
    """SO_TYPE and SO_ACCEPTCONN can only be read; an unknown option is WSAENOPROTOOPT."""
    sock = world_free.listener()
    assert sock.getsockopt(SOCKET, std.SO_TYPE) == std.SOCK_STREAM
    assert sock.getsockopt(SOCKET, std.SO_ACCEPTCONN) == 1
    assert sock.getsockopt(SOCKET, std.SO_ERROR) == 0
    for option in (std.SO_TYPE, std.SO_ACCEPTCONN, std.SO_ERROR):
        with pytest.raises(wsock.WSAENOPROTOOPT):
            sock.setsockopt(SOCKET, option, 1)
    with pytest.raises(wsock.WSAENOPROTOOPT):
        sock.setsockopt(SOCKET, 9999, 1)
    with pytest.raises(wsock.WSAENOPROTOOPT):
        sock.getsockopt(SOCKET, 9999)
    with pytest.raises(wsock.WSAEFAULT):
        sock.setsockopt(SOCKET, std.SO_KEEPALIVE, b"1")


@pytest.mark.parametrize("value", [1 << 32, -(1 << 31) - 1, 1.5, "1", None])
@pytest.mark.parametrize(
    "key",
    [
        (SOCKET, std.SO_KEEPALIVE),
        (SOCKET, std.SO_RCVBUF),
        (SOCKET, std.SO_SNDTIMEO),
        (SOCKET, std.SO_REUSEADDR),
        (SOCKET, SO_EXCLUSIVEADDRUSE),
        (SOCKET, SO_DONTLINGER),
        (std.IPPROTO_IP, std.IP_TTL),
    ],
)
def test_values_that_are_no_int(world_free: World, key: tuple[int, int], value: object) -> None:
    """An option is an int of C: what fits none is WSAEFAULT, and changes nothing."""
    sock = world_free.socket()
    before = sock.getsockopt(*key)
    with pytest.raises(wsock.WSAEFAULT):
        sock.setsockopt(*key, value)
    assert sock.getsockopt(*key) == before


def test_time_outs_are_milliseconds(world_free: World) -> None:
    """SO_RCVTIMEO and SO_SNDTIMEO are milliseconds, 0 at first, never negative."""
    sock = world_free.socket()
    for option in (std.SO_RCVTIMEO, std.SO_SNDTIMEO):
        assert sock.getsockopt(SOCKET, option) == 0
        sock.setsockopt(SOCKET, option, 1500)
        assert sock.getsockopt(SOCKET, option) == 1500
        with pytest.raises(wsock.WSAEINVAL):
            sock.setsockopt(SOCKET, option, -1)


def test_reuse_and_exclusive_exclude_each_other(world_free: World) -> None:
    """SO_REUSEADDR with SO_EXCLUSIVEADDRUSE on one socket: WSAEINVAL, in either order."""
    for first, second in (
        (std.SO_REUSEADDR, SO_EXCLUSIVEADDRUSE),
        (SO_EXCLUSIVEADDRUSE, std.SO_REUSEADDR),
    ):
        sock = world_free.socket()
        sock.setsockopt(SOCKET, first, 1)
        assert sock.getsockopt(SOCKET, first) == 1
        with pytest.raises(wsock.WSAEINVAL):
            sock.setsockopt(SOCKET, second, 1)
        sock.setsockopt(SOCKET, first, 0)
        sock.setsockopt(SOCKET, second, 1)


def bound(world: World, address: object, option: int | None) -> str:
    """Bind a new socket with an option; the name of its error, "" for success."""
    sock = world.socket()
    if option is not None:
        sock.setsockopt(SOCKET, option, 1)
    try:
        sock.bind(address)
    except wsock.WSAError as error:
        return error.name
    return ""


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (None, None, "WSAEADDRINUSE"),
        (None, std.SO_REUSEADDR, "WSAEACCES"),
        (std.SO_REUSEADDR, None, "WSAEADDRINUSE"),
        (std.SO_REUSEADDR, std.SO_REUSEADDR, ""),
        (std.SO_REUSEADDR, SO_EXCLUSIVEADDRUSE, "WSAEADDRINUSE"),
        (SO_EXCLUSIVEADDRUSE, None, "WSAEADDRINUSE"),
        (SO_EXCLUSIVEADDRUSE, std.SO_REUSEADDR, "WSAEACCES"),
    ],
)
def test_second_binder_of_the_same_address(
    world_free: World, first: int | None, second: int | None, name: str
) -> None:
    """Windows' table of two binders of one address: both must ask to share."""
    holder = world_free.socket()
    if first is not None:
        holder.setsockopt(SOCKET, first, 1)
    holder.bind(("127.0.0.1", 0))
    assert bound(world_free, holder.getsockname(), second) == name
    holder.close()
    assert bound(world_free, world_free.free_port(), second) == ""


def test_wildcard_held_exclusively(world_free: World) -> None:
    """A wildcard held exclusively denies the addresses under it: WSAEACCES."""
    holder = world_free.socket()
    holder.setsockopt(SOCKET, SO_EXCLUSIVEADDRUSE, 1)
    holder.bind(("", 0))
    port = holder.getsockname()[1]
    assert bound(world_free, ("127.0.0.1", port), None) == "WSAEACCES"


def test_two_binders_that_share_both_listen(world_free: World) -> None:
    """Two sockets with SO_REUSEADDR may both listen on one address."""
    first, second = world_free.socket(), world_free.socket()
    for sock in (first, second):
        sock.setsockopt(SOCKET, std.SO_REUSEADDR, 1)
    first.bind(("127.0.0.1", 0))
    second.bind(first.getsockname())
    first.listen()
    second.listen()


def test_address_of_a_foreign_process(world_free: World) -> None:
    """Another process's listener: WSAEADDRINUSE at bind or at listen, never a silent share."""
    program = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        sock = world_free.socket()
        with pytest.raises(wsock.WSAEADDRINUSE):
            bind_and_listen(sock, port)
        process.stdin.close()


def bind_and_listen(sock: wsock.Socket, port: int) -> None:
    sock.bind(("127.0.0.1", port))
    sock.listen()


async def test_rebinding_past_time_wait(world: World) -> None:
    """A server that closed first binds its port again at once, without any option."""
    listener = world.listener()
    address = listener.getsockname()
    far = await world.connected(listener)
    near = await world.accept(listener)
    near.close()
    assert await far.recv(1) == b""
    far.close()
    listener.close()
    again = world.socket()
    again.bind(address)
    again.listen()


def test_udp_shares_only_what_the_user_set(world_free: World) -> None:
    """UDP: nothing is shared unless both sockets set SO_REUSEADDR."""
    first = world_free.bound_datagram()
    with pytest.raises(wsock.WSAEADDRINUSE):
        world_free.socket(kind=std.SOCK_DGRAM).bind(first.getsockname())
    sharers = [world_free.socket(kind=std.SOCK_DGRAM) for _ in range(2)]
    for sock in sharers:
        sock.setsockopt(SOCKET, std.SO_REUSEADDR, 1)
    sharers[0].bind(("127.0.0.1", 0))
    sharers[1].bind(sharers[0].getsockname())
