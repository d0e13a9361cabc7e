"""AsyncSocket over TLS on a virtual network: the same code, over segments that we can lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import AsyncSocket, TLSFilter
from wsock.virtual import Network

if TYPE_CHECKING:
    import ssl

SIZE = 300_000


class Echo(AsyncSocket):
    """Sends back what it gets, and keeps what has to wait."""

    def __init__(self, window: wsock.Window, context: ssl.SSLContext) -> None:
        super().__init__(window)
        self.context = context
        self.owed = b""

    def on_accept(self, error: int) -> None:
        self.accept(Echo(self.window, self.context)).start_tls(self.context, server_side=True)

    def on_receive(self, error: int) -> None:
        try:
            self.send(self.owed)
            self.owed = b""
            self.owed = self.receive()
            self.send(self.owed)
            self.owed = b""
        except wsock.WSAEWOULDBLOCK:
            return

    on_send = on_receive


class Caller(AsyncSocket):
    """Sends SIZE bytes as there is room, takes them all back, and quits."""

    def __init__(self, window: wsock.Window, context: ssl.SSLContext) -> None:
        super().__init__(window)
        self.context = context
        self.to_send = bytes(range(256)) * (SIZE // 256)
        self.expected = self.to_send
        self.got = bytearray()

    def on_connect(self, error: int) -> None:
        assert not error
        self.start_tls(self.context, server_hostname="localhost")

    def on_send(self, error: int) -> None:
        try:
            while self.to_send:
                self.send(self.to_send[:20_000])
                self.to_send = self.to_send[20_000:]
        except wsock.WSAEWOULDBLOCK:
            return

    def on_receive(self, error: int) -> None:
        self.got += self.receive()
        if len(self.got) == len(self.expected):
            self.shutdown()

    def on_close(self, error: int) -> None:
        self.close()
        self.window.post_quit(error)


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_everything_comes_back_also_over_a_bad_line(
    loss: float, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The filter sees the stream that TCP makes, whatever happened to its segments."""
    network = Network(seed=11)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.002, loss=loss)
    server, client = network.host("server", lan), network.host("client", lan)

    async def main() -> Caller:
        async with wsock.Window() as window, wsock.Window() as home, trio.open_nursery() as nursery:
            echo = Echo(home, server_context)
            echo.create(7, stack=server.stack)
            echo.listen()
            nursery.start_soon(home.run)
            caller = Caller(window, client_context)
            caller.create(stack=client.stack)
            caller.connect(("192.0.2.1", 7))
            with trio.fail_after(600):
                assert await window.run() == 0
            echo.close()
            nursery.cancel_scope.cancel()
        return caller

    caller = network.run(main)
    assert caller.got == caller.expected


def test_a_client_that_loses_power_in_the_handshake(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The server is told nothing, as over plain TCP, and can close: a time-out is its own."""
    network = Network(seed=3)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.002)
    server, client = network.host("server", lan), network.host("client", lan)
    told: list[str | int] = []

    class Server(Echo):
        def on_accept(self, error: int) -> None:
            told.append("accept")
            accepted.append(Server(self.window, self.context))
            self.accept(accepted[0]).start_tls(self.context, server_side=True)

        def on_close(self, error: int) -> None:
            told.append(error)

    accepted: list[Server] = []

    async def main() -> None:
        async with wsock.Window() as home, trio.open_nursery() as nursery:
            echo = Server(home, server_context)
            echo.create(7, stack=server.stack)
            echo.listen()
            nursery.start_soon(home.run)
            hello = TLSFilter(client_context, server_hostname="localhost").outgoing()
            with client, wsock.socket() as sock:
                await sock.connect(("192.0.2.1", 7))
                await sock.send_all(hello[:50])
                await trio.sleep(1.0)
                client.crash()
            await trio.sleep(3600)
            assert told == ["accept"]
            accepted[0].close()
            echo.close()
            nursery.cancel_scope.cancel()

    network.run(main)
    assert accepted[0].socket.closed
