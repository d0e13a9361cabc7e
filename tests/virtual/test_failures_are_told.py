"""How a connection can fail besides a refusal and a reset, and what FD_CONNECT and FD_CLOSE say."""

from __future__ import annotations

import socket as std
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import FD_CLOSE, FD_CONNECT, FD_READ, FD_WRITE
from wsock.virtual import Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wsock.virtual import Host

WM_SOCKET = wsock.WM_USER + 1
SERVER = ("192.0.2.1", 7)


def play(main: Callable[[Network, Host, Host], Awaitable[None]]) -> None:
    """Run it with a server and a client on one segment."""
    network = Network(seed=3)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.001)
    server, client = network.host("server", lan), network.host("client", lan)

    async def run() -> None:
        await main(network, server, client)  # type: ignore[arg-type]

    network.run(run)


async def told(window: wsock.Window) -> tuple[int, int]:
    message = await window.get()
    return message.event, message.error


def selected(host: Host, window: wsock.Window) -> wsock.Socket:
    sock = wsock.socket(stack=host.stack)
    sock.async_select(window, WM_SOCKET, FD_CONNECT | FD_WRITE | FD_READ | FD_CLOSE)
    return sock


async def connected(server: Host, client: Host, window: wsock.Window) -> wsock.Socket:
    """A client of a server that says nothing."""
    with wsock.socket(stack=server.stack) as listener:
        listener.bind(("", SERVER[1]))
        listener.listen()
        sock = selected(client, window)
        sock.connect_ex(SERVER)
        sock.data = (await listener.accept())[0]  # lives as long as its client
        assert [await told(window), await told(window)] == [(FD_CONNECT, 0), (FD_WRITE, 0)]
    return sock


def test_a_connect_that_nobody_answers_times_out() -> None:
    """FD_CONNECT with WSAETIMEDOUT, the reason in SO_ERROR; the socket may try again."""

    async def main(network: Network, server: Host, client: Host) -> None:
        async with wsock.Window() as window:
            with selected(client, window) as sock, network.drop("tcp.port == 7"):
                start = trio.current_time()
                assert sock.connect_ex(SERVER) == wsock.WSAEWOULDBLOCK.winerror
                assert await told(window) == (FD_CONNECT, wsock.WSAETIMEDOUT.winerror)
                assert trio.current_time() - start > 20
                assert sock.getsockopt(std.SOL_SOCKET, std.SO_ERROR) == 10060
                assert sock.state == "BOUND"

    play(main)


def test_a_connect_to_a_host_that_is_not_there() -> None:
    """FD_CONNECT with WSAEHOSTUNREACH: nobody answers for the address."""

    async def main(network: Network, server: Host, client: Host) -> None:
        async with wsock.Window() as window:
            with selected(client, window) as sock:
                sock.connect_ex(("192.0.2.99", 7))
                assert await told(window) == (FD_CONNECT, wsock.WSAEHOSTUNREACH.winerror)

    play(main)


def test_a_connect_without_a_route_fails_at_once() -> None:
    """WSAENETUNREACH from the call itself, and nothing is posted."""

    async def main(network: Network, server: Host, client: Host) -> None:
        async with wsock.Window() as window:
            with selected(client, window) as sock:
                assert sock.connect_ex(("203.0.113.1", 7)) == wsock.WSAENETUNREACH.winerror
                await network.settle()
                assert window.peek() is None

    play(main)


@pytest.mark.parametrize("has_lost_its_memory", [False, True])
def test_a_half_open_connection_is_found_by_the_next_send(has_lost_its_memory: bool) -> None:
    """A peer that is off never answers: WSAETIMEDOUT. One that was started anew resets."""

    async def main(network: Network, server: Host, client: Host) -> None:
        async with wsock.Window() as window:
            sock = await connected(server, client, window)
            server.crash()
            if has_lost_its_memory:
                server.restart()
            await network.settle()
            assert window.peek() is None  # nobody has told anybody
            assert sock.send_nowait(b"are you there?") == 14
            code = wsock.WSAECONNRESET if has_lost_its_memory else wsock.WSAETIMEDOUT
            assert await told(window) == (FD_CLOSE, code.winerror)
            for _ in range(2):
                with pytest.raises(code):
                    sock.recv_nowait(9)
            sock.close()

    play(main)


def test_keep_alive_finds_it_without_a_send() -> None:
    """SO_KEEPALIVE: the probes go unanswered, and FD_CLOSE comes with WSAETIMEDOUT."""

    async def main(network: Network, server: Host, client: Host) -> None:
        async with wsock.Window() as window:
            sock = await connected(server, client, window)
            sock.setsockopt(std.SOL_SOCKET, std.SO_KEEPALIVE, 1)
            server.crash()
            assert await told(window) == (FD_CLOSE, wsock.WSAETIMEDOUT.winerror)
            sock.close()

    play(main)


def test_a_thousand_connects_at_once_to_a_backlog_of_five() -> None:
    """Each is served or refused, the refused may come again, and the listener serves on."""

    async def main(network: Network, server: Host, client: Host) -> None:
        served: list[int] = []
        refusals: list[int] = []

        async def knock(number: int) -> None:
            with wsock.socket(stack=client.stack) as sock:
                while True:
                    try:
                        await sock.connect(SERVER)
                        break
                    except wsock.WSAECONNREFUSED:
                        refusals.append(number)
                        await trio.sleep(0.005 * number)  # one after the other
                assert await sock.recv(9) == b"hello"
                served.append(number)

        with wsock.socket(stack=server.stack) as listener:
            listener.bind(("", SERVER[1]))
            listener.listen(5)
            async with trio.open_nursery() as nursery:
                for number in range(1000):
                    nursery.start_soon(knock, number)
                for _ in range(1000):
                    with (await listener.accept())[0] as sock:
                        await sock.send(b"hello")
        assert sorted(served) == list(range(1000))
        assert refusals

    play(main)
