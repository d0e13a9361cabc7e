"""AsyncSocket on a virtual network: the same class, hosts of our own."""

from __future__ import annotations

import trio

import wsock
from wsock.virtual import Network


class Echo(wsock.AsyncSocket):
    def on_receive(self, error: int) -> None:
        self.send(self.receive())


class Caller(wsock.AsyncSocket):
    """Says hello, and quits the window's loop with the answer."""

    answer = b""

    def on_connect(self, error: int) -> None:
        if error:
            self.window.post_quit(error)
        else:
            self.send(b"hello")

    def on_receive(self, error: int) -> None:
        self.answer = self.receive()
        self.close()
        self.window.post_quit()


def test_client_and_server_on_two_hosts() -> None:
    """create takes the host's stack; a port where nobody listens refuses."""
    network = Network(seed=5)
    lan = network.segment("lan", "192.0.2.0/24", latency=0.001)
    server, client = network.host("server", lan), network.host("client", lan)

    async def main() -> tuple[bytes, int]:
        async with wsock.Window() as window, wsock.Window() as home, trio.open_nursery() as nursery:
            echo = Echo(home)
            echo.create(7, stack=server.stack)
            echo.listen()
            nursery.start_soon(home.run)
            caller, refused = Caller(window), Caller(window)
            caller.create(stack=client.stack)
            caller.connect(("192.0.2.1", 7))
            assert await window.run() == 0
            refused.create(stack=client.stack)
            refused.connect(("192.0.2.1", 8))
            code = await window.run()
            refused.close()
            echo.close()
            nursery.cancel_scope.cancel()
        return caller.answer, code

    assert network.run(main) == (b"hello", 10061)
