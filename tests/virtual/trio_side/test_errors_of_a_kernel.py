"""trio.socket on a virtual host fails as on Linux: the same errno, and nothing silently ignored."""

from __future__ import annotations

import errno
import socket as std
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from wsock.virtual import Host, Network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SERVER = "192.0.2.1"


def two_hosts() -> tuple[Network, Host, Host]:
    """A server and a client, 10 ms apart."""
    net = Network(seed=3)
    lan = net.segment("lan", "192.0.2.0/24", latency=0.010)
    server, client = net.host("server", lan), net.host("client", lan)
    assert isinstance(server, Host)
    assert isinstance(client, Host)
    return net, server, client


def on_a_host(fn: Callable[[], Awaitable[object]]) -> None:
    """Run ``fn`` on the client."""
    net, _, client = two_hosts()

    async def main() -> None:
        with client:
            await fn()

    net.run(main)


async def fails(number: int, call: Callable[..., Any], *args: object) -> None:
    """The call, plain or async, fails with this errno."""
    with pytest.raises(OSError) as caught:  # noqa: PT011, PT012  (errno is compared below)
        result = call(*args)
        if hasattr(result, "__await__"):
            await result
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def stream() -> Any:
    return trio.socket.socket()


def datagram() -> Any:
    return trio.socket.socket(type=std.SOCK_DGRAM)


# Families and types


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ((std.AF_INET6,), errno.EAFNOSUPPORT),
        ((std.AF_UNIX,), errno.EAFNOSUPPORT),
        ((std.AF_INET, std.SOCK_SEQPACKET), errno.ESOCKTNOSUPPORT),
        ((std.AF_INET, std.SOCK_STREAM, std.IPPROTO_UDP), errno.EPROTONOSUPPORT),
        ((std.AF_INET, std.SOCK_DGRAM, std.IPPROTO_TCP), errno.EPROTONOSUPPORT),
    ],
)
def test_what_does_not_exist_here(arguments: tuple[int, ...], number: int) -> None:
    """No IPv6, no Unix sockets, and no protocol of another type."""

    async def main() -> None:
        await fails(number, trio.socket.socket, *arguments)

    on_a_host(main)


# Options


@pytest.mark.parametrize(
    ("level", "option"),
    [
        (std.SOL_SOCKET, 9999),
        (std.IPPROTO_TCP, 9999),
        (std.IPPROTO_IP, 9999),
        (std.IPPROTO_IPV6, std.IPV6_V6ONLY),
        (9999, 1),
    ],
)
def test_an_unknown_option(level: int, option: int) -> None:
    """ENOPROTOOPT, set or asked for, on streams and datagram sockets."""

    async def main() -> None:
        for make in (stream, datagram):
            with make() as sock:
                await fails(errno.ENOPROTOOPT, sock.getsockopt, level, option)
                await fails(errno.ENOPROTOOPT, sock.setsockopt, level, option, 1)

    on_a_host(main)


# States


def test_calls_in_the_wrong_state() -> None:
    """As Linux answers them."""

    async def main() -> None:
        with stream() as sock:
            await fails(errno.ENOTCONN, sock.recv, 1)
            await fails(errno.ENOTCONN, sock.getpeername)
            await fails(errno.ENOTCONN, sock.shutdown, std.SHUT_WR)
            await fails(errno.EINVAL, sock.accept)
            await sock.bind(("", 80))
            await fails(errno.EINVAL, sock.bind, ("", 81))
            with stream() as other:
                await fails(errno.EADDRINUSE, other.bind, ("", 80))
                await fails(errno.EADDRNOTAVAIL, other.bind, ("203.0.113.1", 80))
        with datagram() as sock:
            await fails(errno.EOPNOTSUPP, sock.listen)
            await fails(errno.EMSGSIZE, sock.sendto, bytes(65508), (SERVER, 9))

    on_a_host(main)


def test_after_shutdown() -> None:
    """A sender gets EPIPE, a receiver the end; Trio is told of it by did_shutdown_SHUT_WR."""
    net, server, client = two_hosts()

    async def hold(_: object) -> None:
        await trio.sleep_forever()

    async def main() -> None:
        async with server.running(partial(trio.serve_tcp, hold, 80)):
            await net.settle()
            with client, stream() as sock:
                await sock.connect((SERVER, 80))
                assert not sock.did_shutdown_SHUT_WR
                sock.shutdown(std.SHUT_WR)
                assert sock.did_shutdown_SHUT_WR
                await fails(errno.EPIPE, sock.send, b"x")
                sock.shutdown(std.SHUT_RD)
                assert await sock.recv(1) == b""

    net.run(main)


def test_after_shutdown_of_receiving_the_peer_may_go_on_sending() -> None:
    """As on Linux: what comes is thrown away. Winsock would reset the connection."""
    net, server, client = two_hosts()
    heard = []

    async def serve(peer: trio.SocketStream) -> None:
        await peer.send_all(b"never read")
        heard.append(await peer.receive_some())

    async def main() -> None:
        async with server.running(partial(trio.serve_tcp, serve, 80)):
            await net.settle()
            with client, stream() as sock:
                await sock.connect((SERVER, 80))
                sock.shutdown(std.SHUT_RD)
                await net.settle()
                await sock.send(b"still here")
                await net.settle()
        assert heard == [b"still here"]

    net.run(main)


def test_a_port_in_time_wait_needs_so_reuseaddr() -> None:
    """Of both sockets, as on Linux; under Winsock's rules every binder gets past it."""

    async def main() -> None:
        with stream() as listener, stream() as far:
            listener.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
            await listener.bind(("127.0.0.1", 80))
            listener.listen()
            await far.connect(("127.0.0.1", 80))
            near, _ = await listener.accept()
            near.close()
            assert await far.recv(1) == b""
        with stream() as again:
            await fails(errno.EADDRINUSE, again.bind, ("127.0.0.1", 80))
            again.setsockopt(std.SOL_SOCKET, std.SO_REUSEADDR, 1)
            await again.bind(("127.0.0.1", 80))

    on_a_host(main)


@pytest.mark.parametrize("call", ["accept", "recv", "connect", "recvfrom"])
def test_close_wakes_who_waits(call: str) -> None:
    """EBADF, which Trio's streams turn into ClosedResourceError; later calls get it, too."""

    async def main() -> None:
        sock = datagram() if call == "recvfrom" else stream()
        if call == "accept":
            sock.listen()
        if call == "recvfrom":
            await sock.bind(("", 0))
        if call == "recv":
            listener = stream()
            await listener.bind(("127.0.0.1", 0))
            listener.listen()
            await sock.connect(listener.getsockname())
        args: dict[str, tuple[Any, ...]] = {"connect": ((SERVER, 9),), "accept": ()}
        waiting = partial(getattr(sock, call), *args.get(call, (10,)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, errno.EBADF, waiting)
            await wait_all_tasks_blocked()
            sock.close()
        await fails(errno.EBADF, waiting)
        assert sock.fileno() == -1
        await fails(errno.EBADF, sock.getsockname)
        sock.close()  # twice does no harm
        if call == "recv":
            listener.close()

    on_a_host(main)


@pytest.mark.parametrize("call", ["accept", "recv", "recvfrom"])
def test_cancelled_it_has_lost_nothing(call: str) -> None:
    """What comes later is there for the next call."""

    async def main() -> None:
        listener = stream()
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        near, far = stream(), datagram()
        await far.bind(("127.0.0.1", 0))
        with listener, near, far:
            if call != "accept":
                await near.connect(listener.getsockname())
                accepted, _ = await listener.accept()
            waits: dict[str, Any] = {
                "accept": listener.accept,
                "recv": partial(near.recv, 9),
                "recvfrom": partial(far.recvfrom, 9),
            }
            with trio.move_on_after(1) as scope:
                await waits[call]()
            assert scope.cancelled_caught
            if call == "accept":
                await near.connect(listener.getsockname())
                accepted, _ = await listener.accept()
            elif call == "recv":
                await accepted.send(b"kept")
                assert await near.recv(9) == b"kept"
            else:
                await far.sendto(b"kept", far.getsockname())
                assert (await far.recvfrom(9))[0] == b"kept"
            accepted.close()

    on_a_host(main)


def test_a_cancelled_connect_closes_the_socket() -> None:
    """As in Trio: its state would be unknown."""

    async def main() -> None:
        sock = stream()
        with trio.move_on_after(0.005):
            await sock.connect((SERVER, 80))
        assert sock.fileno() == -1
        await fails(errno.EBADF, sock.send, b"x")

    on_a_host(main)


# Datagrams and ICMP


def test_nobody_listens_to_a_datagram() -> None:
    """A connected socket is told ECONNREFUSED; one that is not goes on as if nothing had come."""

    async def main() -> None:
        with datagram() as connected:
            await connected.connect((SERVER, 9))
            await connected.send(b"x")
            await fails(errno.ECONNREFUSED, connected.recv, 9)
        with datagram() as free:
            await free.bind(("", 0))
            await free.sendto(b"x", (SERVER, 9))
            await free.sendto(b"mine", ("127.0.0.1", free.getsockname()[1]))
            await trio.sleep(1)
            assert (await free.recvfrom(9))[0] == b"mine"

    on_a_host(main)


def test_to_any_address_is_to_oneself() -> None:
    """Linux takes 0.0.0.0 for the host itself, and listeners are often asked for their name."""

    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0)
        async with listener:
            assert listener.socket.getsockname()[0] == "0.0.0.0"
            async with await trio.open_tcp_stream(*listener.socket.getsockname()):
                await (await listener.accept()).aclose()

    on_a_host(main)


# What needs a descriptor of the machine


def test_what_a_virtual_socket_cannot() -> None:
    """EOPNOTSUPP; numbers are far from those of real descriptors."""

    async def main() -> None:
        with stream() as sock:
            for call in (sock.detach, sock.dup, partial(sock.share, 1)):
                await fails(errno.EOPNOTSUPP, call)
            await fails(errno.EOPNOTSUPP, sock.set_inheritable, True)
            sock.set_inheritable(False)
            assert not sock.get_inheritable()
            assert sock.fileno() >= 1 << 30

    on_a_host(main)


# Names


def test_the_resolver_fails_as_it_is_told() -> None:
    """By EAI_NONAME or EAI_AGAIN, and after a delay; heals; knows aliases by host."""
    net, server, client = two_hosts()

    async def ask(name: str) -> int:
        try:
            await trio.socket.getaddrinfo(name, 80)
        except std.gaierror as error:
            return error.errno or 0
        return 0

    async def main() -> None:
        with client:
            assert await ask("nobody") == std.EAI_NONAME
            net.names.fail("server", "again")
            assert await ask("SERVER.") == std.EAI_AGAIN
            net.names.fail("server", "noname")
            assert await ask("server") == std.EAI_NONAME
            net.names.fail("server", delay_s=3.0)
            start = trio.current_time()
            assert await ask("server") == 0
            assert trio.current_time() - start == 3.0
            net.names.fail("server")
            net.names.alias("www", "server", client)
            assert await ask("www") == 0
        with server:
            assert await ask("www") == std.EAI_NONAME
        found = await trio.socket.getaddrinfo("192.0.2.2", 80)
        assert found[0][4] == ("192.0.2.2", 80)
        assert await trio.socket.getnameinfo(("192.0.2.1", 80), 0) == ("server", "80")

    net.run(main)
