"""Libraries that never heard of wsock run on virtual hosts: their own code, unmodified.

Clients through httpx, anyio and trio-websocket; servers by hypercorn's TCPServer and
trio-websocket. Each over a slow way, in virtual time.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trio
import trio_websocket
import trustme
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app

from wsock.virtual import Network, current_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wsock.virtual import Host

LATENCY = 0.05


class World:
    """Two hosts, 50 ms apart, and an authority that both believe in."""

    def __init__(self, **conditions: float) -> None:
        self.net = Network(seed=11)
        link = {"latency": LATENCY, **conditions}
        self.server, self.client = self._hosts(link)
        authority = trustme.CA()
        self.server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server_tls.set_alpn_protocols(["h2", "http/1.1"])
        authority.issue_cert("server.example").configure_cert(self.server_tls)
        self.client_tls = ssl.create_default_context()
        authority.configure_trust(self.client_tls)

    def _hosts(self, link: dict[str, float]) -> tuple[Host, Host]:
        server, client = self.net.host("server.example"), self.net.host("client.example")
        self.net.link(server, client, **link)  # type: ignore[arg-type]
        return server, client  # type: ignore[return-value]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI application: it echoes bodies and websocket messages, and says who called."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"].upper()})
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    host = current_host()
    assert host is not None
    headers = [(b"x-client", scope["client"][0].encode()), (b"x-host", host.name.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body or b"hello"})


def asgi_handler() -> partial[TCPServer]:
    """Hypercorn's server for one connection, as its own worker makes it."""
    config = Config()
    config.errorlog = config.accesslog = None
    return partial(TCPServer, wrap_app(app, 2**20, None), config, WorkerContext(None), {})


@asynccontextmanager
async def hypercorn(world: World, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """The application behind ``trio.serve_tcp``, on the server's port 80 (or 443 with TLS)."""
    serve: Any = partial(trio.serve_tcp, asgi_handler(), 80)
    if tls is not None:
        serve = partial(trio.serve_ssl_over_tcp, asgi_handler(), 443, tls)
    async with world.server.running(serve):
        await world.net.settle()
        with world.client:
            yield


# httpx and hypercorn


@pytest.mark.parametrize("conditions", [{}, {"loss": 0.05, "jitter": 0.02, "reorder": 0.02}])
def test_httpx_talks_to_hypercorn(conditions: dict[str, float]) -> None:
    """Two requests over one connection, the second with a large body."""
    world = World(**conditions)
    block = bytes(range(256)) * 1000

    async def main() -> None:
        async with hypercorn(world), httpx.AsyncClient(timeout=60) as client:
            first = await client.get("http://server.example/")
            assert (first.status_code, first.text) == (200, "hello")
            assert first.headers["x-client"] == str(world.client.address)
            assert first.headers["x-host"] == "server.example"
            assert (await client.post("http://server.example/", content=block)).content == block
            assert len([row for row in world.client.netstat() if row.state == "ESTABLISHED"]) == 1

    world.net.run(main)
    assert world.net.time > 4 * LATENCY


def test_https() -> None:
    """TLS by trio.SSLStream on one side and httpcore's on the other."""
    world = World()

    async def main() -> None:
        async with (
            hypercorn(world, world.server_tls),
            httpx.AsyncClient(verify=world.client_tls) as client,
        ):
            response = await client.get("https://server.example/")
            assert (response.http_version, response.text) == ("HTTP/1.1", "hello")

    world.net.run(main)


def test_httpx_throws_away_a_connection_that_the_server_has_closed() -> None:
    """``is_readable`` tells its pool; the next request opens another one."""
    world = World()
    served = 0

    async def one_answer(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def main() -> None:
        async with world.server.running(partial(trio.serve_tcp, one_answer, 80)):
            await world.net.settle()
            with world.client:
                async with httpx.AsyncClient() as client:
                    for _ in range(2):
                        assert (await client.get("http://server.example/")).text == "ok"
                        await trio.sleep(1)

    world.net.run(main)
    assert served == 2


def test_httpx_times_out_behind_a_partition_and_recovers() -> None:
    """Its own time-outs, in virtual time."""
    world = World()

    async def main() -> None:
        async with hypercorn(world), httpx.AsyncClient(timeout=5) as client:
            await client.get("http://server.example/")
            with world.net.partition(world.server, world.client):
                start = trio.current_time()
                with pytest.raises(httpx.ReadTimeout):
                    await client.get("http://server.example/")
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get("http://server.example/")
                assert trio.current_time() - start == pytest.approx(10, abs=0.2)
            assert (await client.get("http://server.example/")).text == "hello"

    world.net.run(main)


def test_httpx_names_what_went_wrong() -> None:
    """A port where nobody listens, and a name that nobody has."""
    world = World()

    async def main() -> None:
        with world.client:
            async with httpx.AsyncClient() as client:
                for url in ("http://server.example:81/", "http://nobody.example/"):
                    with pytest.raises(httpx.ConnectError):
                        await client.get(url)

    world.net.run(main)


# Websockets


async def shout(request: trio_websocket.WebSocketRequest) -> None:
    """A websocket server's connection: everything back in capitals."""
    socket = await request.accept()
    try:
        while True:
            await socket.send_message((await socket.get_message()).upper())
    except trio_websocket.ConnectionClosed:
        return


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_trio_websocket_server_and_client(tls: bool) -> None:
    """Both ends by trio-websocket, which opens its own listeners."""
    world = World()
    server_tls = world.server_tls if tls else None
    serve = partial(trio_websocket.serve_websocket, shout, None, 8080, server_tls)

    async def main() -> None:
        async with world.server.running(serve):
            await world.net.settle()
            scheme, context = ("wss", world.client_tls) if tls else ("ws", None)
            url = f"{scheme}://server.example:8080/chat"
            with world.client:
                async with trio_websocket.open_websocket_url(url, ssl_context=context) as socket:
                    await socket.send_message("hello")
                    assert await socket.get_message() == "HELLO"
                    await socket.ping()

    world.net.run(main)


def test_a_websocket_through_hypercorn() -> None:
    """trio-websocket's client, hypercorn's server."""
    world = World()

    async def main() -> None:
        async with (
            hypercorn(world),
            trio_websocket.open_websocket_url("ws://server.example/") as socket,
        ):
            await socket.send_message("quiet")
            assert await socket.get_message() == "QUIET"

    world.net.run(main)


# anyio


def test_anyio_s_clients() -> None:
    """connect_tcp, with TLS, and its UDP sockets, from inside Trio."""
    world = World()

    async def echo(stream: trio.SSLStream[trio.SocketStream]) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    async def main() -> None:
        serve = partial(trio.serve_ssl_over_tcp, echo, 443, world.server_tls)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(world.server.running(serve))
            await world.net.settle()
            stack.enter_context(world.client)
            stream = await anyio.connect_tcp("server.example", 443, ssl_context=world.client_tls)
            async with stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            with pytest.raises(OSError):  # noqa: PT011  (anyio's words change with its versions)
                await anyio.connect_tcp("server.example", 81)

    world.net.run(main)


# Trio itself


def test_trios_happy_eyeballs_take_the_address_that_answers() -> None:
    """Two addresses for one name: after 250 ms the second is tried beside the first."""
    world = World()
    net = world.net
    nowhere = net.segment("nowhere", "198.51.100.0/24")
    net.join(world.client, nowhere)
    for address in ("198.51.100.99", str(world.server.address)):
        net.names.add("both.example", bytes(map(int, address.split("."))))
    found: list[float] = []

    async def main() -> None:
        async with world.server.running(partial(trio.serve_tcp, trio.aclose_forcefully, 80)):
            await net.settle()
            start = trio.current_time()
            with world.client:
                stream = await trio.open_tcp_stream("both.example", 80)
            found.append(trio.current_time() - start)
            assert stream.socket.getpeername()[0] == str(world.server.address)
            await stream.aclose()

    net.run(main)
    assert found == [pytest.approx(0.25 + 2 * LATENCY)]
