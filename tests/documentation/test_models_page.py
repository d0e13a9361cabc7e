"""docs/models.md: what it says of models and of copies holds (test_pages runs its listings)."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import TYPE_CHECKING

import wsock
from examples.echo.__main__ import MODELS
from tests.pages import Page
from tests.providers import Epoll, World, messages
from wsock.virtual import Network

if TYPE_CHECKING:
    from tests.providers import Pair

PAGE = Page("docs/models.md")


def in_the_kernel(sock: wsock.Socket) -> int:
    """How many bytes the kernel still holds for it, asked behind wsock's back."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0]


def test_every_model_of_the_examples_is_there() -> None:
    """With a link to its program, a listing, and the trace of it."""
    shown = {link for link in PAGE.links if link.startswith("../examples/echo/")}
    named = {"async_socket", "blocking", "event", "message", "polling", "select", "stream"}
    assert shown == {f"../examples/echo/{name}.py" for name in named}
    assert set(MODELS) - {"tls", "async_tls"} == named
    traces = [listing.output for listing in PAGE.listings[1:]]
    assert len(traces) == len(named)
    for trace in traces:
        requests = [line.split()[0] for line in trace.splitlines()]
        assert requests.index("TDI_EVENT_RECEIVE") < requests.index("recv", 5)
        assert {"accept", "recv", "send", "closesocket"} <= set(requests)


async def test_nothing_is_read_before_recv(pair: Pair, window: wsock.Window) -> None:
    """The machine's sockets: told, and the message taken, and the bytes still lie in the kernel."""
    pair.near.async_select(window, wsock.WM_USER, wsock.FD_READ)
    await pair.far.send(b"hello")
    assert await messages(window) == [(wsock.FD_READ, 0)]
    assert in_the_kernel(pair.near) == 5
    assert pair.near.recv_nowait(100) == b"hello"
    assert in_the_kernel(pair.near) == 0


def test_a_virtual_socket_takes_them_when_they_come() -> None:
    """As on Windows: acknowledged and in the socket's buffer before anybody calls recv."""
    net = Network(seed=1)
    lan = net.segment("lan", "192.0.2.0/24")
    here, there = net.host("here", lan), net.host("there", lan)

    async def main() -> None:
        with (
            here,
            wsock.create_server(("192.0.2.1", 7)) as listener,
            wsock.socket(stack=there.stack) as far,
        ):
            await far.connect(("192.0.2.1", 7))
            near, _ = await listener.accept()
            await far.send(b"hello")
            await net.settle()
            assert here.stack.netstat()[1]["unread"] == 5
            assert [row.unread for row in here.netstat()] == [0, 0]
            assert near.recv_nowait(100) == b"hello"
            near.close()

    net.run(main)


async def test_a_buffer_may_be_used_again_at_once() -> None:
    """What waits of a bytearray was copied before send returned: changing it changes nothing."""
    world = World(Epoll())
    pair = await world.pair()
    buffer = bytearray(b"a" * 8_000_000)
    assert pair.near.send_nowait(buffer) == len(buffer)
    assert pair.near.unsent
    buffer[:] = bytes(len(buffer))
    got = bytearray()
    while len(got) < len(buffer):
        got += await pair.far.recv(1 << 20)
    assert got == b"a" * len(buffer)
    world.close()


async def test_recv_into_fills_the_callers_buffer(pair: Pair) -> None:
    """No bytes object in between: the buffer given is the one that is filled."""
    await pair.far.send(b"hello")
    buffer = bytearray(100)
    assert await pair.near.recv_into(buffer) == 5
    assert buffer[:5] == b"hello"
