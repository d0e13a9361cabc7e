"""Trio programs run unchanged on a virtual network, and time there is virtual."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme
from trio.testing import MockClock

import wsock
from wsock.virtual import Network, current_host

if TYPE_CHECKING:
    from wsock.virtual import Host


def two_hosts(seed: int = 7, **conditions: float) -> tuple[Network, Host, Host]:
    network = Network(seed=seed)
    lan = network.segment("lan", "192.0.2.0/24", **conditions)  # type: ignore[arg-type]
    server, client = network.host("server.example", lan), network.host("client.example", lan)
    return network, server, client  # type: ignore[return-value]


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


def test_serve_tcp_and_open_tcp_stream_never_heard_of_it() -> None:
    """A plain Trio server and client, by name, over simulated packets."""
    network, server, client = two_hosts(latency=0.010)

    async def main() -> tuple[bytes, float]:
        async with server.running(partial(trio.serve_tcp, echo, 80)):
            await trio.testing.wait_all_tasks_blocked()
            with client:
                stream = await trio.open_tcp_stream("server.example", 80)
                await stream.send_all(b"hello")
                answer = await stream.receive_some(100)
                await stream.aclose()
        return answer, trio.current_time()

    answer, _ = network.run(main)
    assert answer == b"hello"
    assert 0.04 <= network.time < 1.0  # two round trips of 20 ms, and nobody slept for it


def test_tls_runs_on_it() -> None:
    """trio.SSLStream over virtual TCP, with a certificate of our own."""
    network, server, client = two_hosts()
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server.example").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def main() -> bytes:
        serve = partial(trio.serve_ssl_over_tcp, echo, 443, server_side)
        async with server.running(serve):
            await trio.testing.wait_all_tasks_blocked()
            with client:
                stream = await trio.open_ssl_over_tcp_stream(
                    "server.example", 443, ssl_context=client_side
                )
                await stream.send_all(b"secret")
                answer = await stream.receive_some(100)
                await stream.aclose()
        return bytes(answer)

    assert network.run(main) == b"secret"


def test_the_message_model_runs_on_it() -> None:
    """The same Window, Socket and events as on the machine."""
    network, server, client = two_hosts()

    async def serve() -> None:
        with wsock.create_server(("0.0.0.0", 7)) as listener:
            async with wsock.Window() as window:
                events = wsock.FD_ACCEPT | wsock.FD_READ | wsock.FD_CLOSE
                listener.async_select(window, wsock.WM_USER, events)
                await window.run(answer)

    def answer(message: wsock.Message) -> None:
        if message.event == wsock.FD_ACCEPT:
            message.socket.accept_nowait()
        elif not message.socket.send_all_nowait(message.socket.recv_nowait(65536)):
            message.socket.close()

    async def main() -> bytes:
        async with server.running(serve):
            await network.settle()
            with client:
                sock = wsock.socket()
                await sock.connect(("server.example", 7))
                await sock.send(b"x" * 100_000)
                sock.shutdown(wsock.SD_SEND)
                got = bytearray()
                while data := await sock.recv(65536):
                    got += data
                sock.close()
        return bytes(got)

    assert network.run(main) == b"x" * 100_000


def test_an_idle_hour_costs_nothing() -> None:
    """Virtual time: the clock jumps to the next deadline when nothing moves."""
    network, server, client = two_hosts()
    del server, client

    async def main() -> float:
        start = trio.current_time()
        await trio.sleep(3600)
        return trio.current_time() - start

    assert network.run(main) == 3600


def test_an_exception_of_the_body_leaves_as_itself() -> None:
    """Ruling B21: attach() opens no nursery around the body."""
    network, _, _ = two_hosts()

    async def main() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        network.run(main)


@pytest.mark.parametrize("fails", [False, True])
def test_attaching_puts_the_factory_and_the_resolver_back(fails: bool) -> None:
    """Those of before are in force again after the block, also if it raises."""

    class Before(trio.abc.SocketFactory, trio.abc.HostnameResolver):
        def socket(self, *_: object) -> Any:
            raise LookupError("the factory of before")

        async def getaddrinfo(self, *_: object) -> Any:
            raise LookupError("the resolver of before")

        async def getnameinfo(self, *_: object) -> Any:
            raise LookupError

    network, server, _ = two_hosts()
    before = Before()

    async def main() -> None:
        trio.socket.set_custom_socket_factory(before)
        trio.socket.set_custom_hostname_resolver(before)
        with suppress(KeyError):
            async with network.attach():
                with server, trio.socket.socket() as sock:
                    assert sock.fileno() >= 1 << 30
                found = await trio.socket.getaddrinfo("server.example", 80)
                assert found[0][4][0] == str(server.address)
                if fails:
                    raise KeyError
        with pytest.raises(LookupError, match="factory of before"):
            trio.socket.socket()
        with pytest.raises(LookupError, match="resolver of before"):
            await trio.socket.getaddrinfo("server.example", 80)

    trio.run(main, clock=MockClock())


def test_any_number_of_tasks_may_be_inside_one_host() -> None:
    """Ruling B21: the token is kept per entry."""
    network, server, client = two_hosts()

    async def inside(host: Host) -> None:
        with host:
            await trio.sleep(1)
            assert current_host() is host

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for host in (server, client, server):
                nursery.start_soon(inside, host)

    network.run(main)
    assert current_host() is None


def test_hosts_left_in_another_order_are_noticed() -> None:
    """The error names the host that is still open."""
    _, server, client = two_hosts()
    server.__enter__()
    client.__enter__()
    with pytest.raises(RuntimeError, match=r"client\.example"):
        server.__exit__(None, None, None)
    client.__exit__(None, None, None)
    server.__exit__(None, None, None)


def test_a_socket_needs_a_current_host_where_there_are_several() -> None:
    """The error says what to do."""
    network, _, _ = two_hosts()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="with host"):
            trio.socket.socket()

    network.run(main)


def test_an_unknown_name_is_unknown() -> None:
    """No real DNS is ever asked."""
    network, _, client = two_hosts()

    async def main() -> None:
        with client, pytest.raises(OSError, match="example"):
            await trio.open_tcp_stream("no.such.example", 80)

    network.run(main)


def test_nobody_listening_is_refused() -> None:
    """ECONNREFUSED, as from a kernel."""
    network, _, client = two_hosts()

    async def main() -> None:
        with client, pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("server.example", 81)

    network.run(main)


def test_a_crash_sends_nothing_and_restart_resets() -> None:
    """virtual-network 7: the peer learns by a RST after the restart."""
    network, server, client = two_hosts()

    async def main() -> None:
        async with server.running(partial(trio.serve_tcp, echo, 80)):
            await network.settle()
            with client:
                stream = await trio.open_tcp_stream("server.example", 80)
            await stream.send_all(b"x")
            await stream.receive_some(1)
            await network.settle()
            capture = network.capture(client.eth0)
            server.crash()
            await network.settle()
            assert not capture.packets
            server.restart()
            await stream.send_all(b"y")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some(1)
            await stream.aclose()

    network.run(main)


async def make_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    listeners = await trio.open_tcp_listeners(0)
    near = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    far = await listeners[0].accept()
    await listeners[0].aclose()
    return near, far


async def make_clogged_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """The same, and what either end sends next has to wait."""
    pair = await make_pair()
    for stream in pair:
        with suppress(wsock.WSAEWOULDBLOCK):
            while True:
                stream.socket._sock.send_nowait(bytes(1_000_000))  # type: ignore[attr-defined]
    return pair


def test_trios_own_stream_check_passes() -> None:
    """check_half_closeable_stream on virtual sockets (J8)."""
    network = Network()
    network.host("only")

    async def main() -> None:
        await trio.testing.check_half_closeable_stream(make_pair, make_clogged_pair)

    network.run(main)


@pytest.mark.parametrize("seed", [1, 2])
def test_one_seed_gives_one_digest(seed: int) -> None:
    """D1: same seed and program, same packets at the same times."""

    def digest() -> str:
        network, server, client = two_hosts(seed=seed, loss=0.05, latency=0.02)
        network.capture(client.eth0)

        async def main() -> None:
            async with server.running(partial(trio.serve_tcp, echo, 80)):
                await network.settle()
                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        client.start_soon(nursery, talk)

        async def talk() -> None:
            async with await trio.open_tcp_stream("server.example", 80) as stream:
                await stream.send_all(b"q" * 5000)
                await stream.send_eof()
                parts = [part async for part in stream]
            assert b"".join(parts) == b"q" * 5000

        network.run(main)
        return network.digest()

    assert digest() == digest()


def test_stop_accepting_refuses_new_clients_and_keeps_the_old_ones() -> None:
    """On a virtual host a SYN that comes after it is answered with a RST; who waits is served."""
    network, server, client = two_hosts()

    async def main() -> None:
        with server:
            listener = wsock.create_server(("192.0.2.1", 80))
        with client:
            early, late = wsock.socket(), wsock.socket()
        with listener, early, late:
            await early.connect(("192.0.2.1", 80))
            assert listener.stop_accepting() == 1
            with pytest.raises(wsock.WSAECONNREFUSED):
                await late.connect(("192.0.2.1", 80))
            accepted, _ = await listener.accept()
            with accepted:
                await accepted.send(b"served")
                assert await early.recv(100) == b"served"

    network.run(main)
