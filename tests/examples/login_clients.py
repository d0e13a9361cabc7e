"""The login server in a test, and its clients, in plain text and over TLS."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio
import trustme
from login_world import wait_for

from examples.login_server.listeners import open_listener
from examples.login_server.log import Log
from examples.login_server.server import LoginServer
from wsock import TLSFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from login_world import World

    from examples.login_server.connection import Connection

RESET = struct.pack("ii", 1, 0)


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    # A client that closes with a session ticket unread would reset, and which of the two it is,
    # would be luck.
    server.num_tickets = 0
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class Encrypted:
    """A Trio stream over TLS that can do what trio.SSLStream cannot: end one direction."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self.socket = stream.socket
        self.setsockopt = stream.setsockopt
        self.tls = TLSFilter(context, server_hostname="localhost")

    async def handshake(self) -> None:
        while not self.tls.handshake_done:
            await self._flush()
            await self._pull()
        await self._flush()

    async def send_all(self, data: bytes) -> None:
        self.tls.write(data)
        await self._flush()

    async def receive_some(self, max_bytes: int) -> bytes:
        while not self.tls.unread and not self.tls.peer_closed:
            await self._pull()
        return self.tls.read(max_bytes)

    async def send_eof(self) -> None:
        self.tls.close_notify()
        await self._flush()

    async def aclose(self) -> None:
        with suppress(trio.BrokenResourceError):
            await self.send_eof()
        await self.stream.aclose()

    async def _flush(self) -> None:
        await self.stream.send_all(self.tls.outgoing())

    async def _pull(self) -> None:
        data = await self.stream.receive_some(65536)
        self.tls.feed(data) if data else self.tls.feed_eof()


class Client:
    """A plain Trio client: lines out, lines in."""

    def __init__(self, stream: trio.SocketStream | Encrypted) -> None:
        self.stream = stream
        self._rest = b""

    async def send(self, *lines: str) -> None:
        await self.stream.send_all("".join(line + "\n" for line in lines).encode())

    async def line(self) -> str:
        """The next reply; "" at the end."""
        while b"\n" not in self._rest:
            data = await self.stream.receive_some(4096)
            if not data:
                assert not self._rest
                return ""
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def ask(self, line: str) -> str:
        await self.send(line)
        return await self.line()

    async def lines(self) -> list[str]:
        """All replies until the end."""
        found = []
        while line := await self.line():
            found.append(line)
        return found

    def reset(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.stream.socket.close()


class Running:
    """A server that runs, and its clients."""

    def __init__(self, world: World, server: LoginServer, port: int, *, tls: bool) -> None:
        self.world = world
        self.server = server
        self.port = port
        self.tls = tls
        self.stopped = trio.Event()
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = await self.plain()
        if self.tls:
            client.stream = Encrypted(client.stream, contexts()[1])
            await client.stream.handshake()
        return client

    async def plain(self) -> Client:
        """A client that says nothing of TLS."""
        client = Client(await trio.open_tcp_stream("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.stream.socket.close()

    async def connected(self) -> tuple[Client, Connection]:
        """A client and the server's side of it."""
        known = set(self.server._connections)
        client = await self.connect()
        await wait_for(lambda: set(self.server._connections) != known)
        (number,) = set(self.server._connections) - known
        connection = self.server._connections[number]
        await wait_for(lambda: not connection._shaking)
        return client, connection

    def log(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.world.log.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    async def gone(self, clients: int = 0) -> None:
        await wait_for(lambda: self.server.connections == clients)


@asynccontextmanager
async def running(world: World, *, tls: bool = False) -> AsyncIterator[Running]:
    """The server over that world; whatever was logged has no secret."""
    certificate = SimpleNamespace(context=contexts()[0]) if tls else None
    log, clock = Log(world.log), lambda: world.now
    server = LoginServer(world.service, world.limits, log, clock=clock, certificate=certificate)
    listener = open_listener("127.0.0.1", 0)
    run = Running(world, server, listener.getsockname()[1], tls=tls)

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await server.run([listener], task_status=task_status)
        run.stopped.set()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            try:
                yield run
            finally:
                world.passwords.gate.set()
                run.close_clients()
                listener.close()
                nursery.cancel_scope.cancel()
    assert "correct-horse" not in world.log.getvalue()
    errors = run.log("error")
    assert not errors or "error expected" in errors[0]["text"], errors
