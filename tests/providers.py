# Worlds to test sockets in: a provider, a stack on it, and a barrier.
#
# A test that says "nothing was posted" needs to know that everything had its chance. So
# `World.settle` waits for facts (bytes that lie in the receiving socket, a release, a reset), which
# getsockopt and FIONREAD tell without re-enabling anything, then turns the reactor until nothing
# moves. Nothing here sleeps. A virtual network is one more Provider, whose settle is its own.
"""Providers, worlds and pairs of sockets for behaviour tests."""

from __future__ import annotations

import os
import socket as std
import struct
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import trio

import wsock
from wsock import FD_ACCEPT, FD_CLOSE, FD_CONNECT, FD_OOB, FD_READ, FD_WRITE, WM_USER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    import pytest

    from wsock.virtual.testing import LocalNetwork

WM_SOCKET = WM_USER + 5
EVERYTHING = FD_READ | FD_WRITE | FD_OOB | FD_ACCEPT | FD_CONNECT | FD_CLOSE
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
PATIENCE_S = 10.0

_CLOSE_WAIT, _LAST_ACK, _CLOSING, _CLOSED, _TIME_WAIT = 8, 9, 11, 7, 6


class Provider(ABC):
    """How to make a stack, and how to know that what was sent has arrived."""

    name: ClassVar[str]
    #: Ways of notifying that it can do.
    columns: ClassVar[tuple[str, ...]]
    host: ClassVar[str] = "127.0.0.1"

    def ready(self, request: pytest.FixtureRequest) -> Provider:
        """Prepare for one test; what comes back is used in it."""
        del request
        return self

    @abstractmethod
    def make_stack(self, **options: object) -> wsock.Stack:
        """Make a stack with the options of ``wsock.Stack``."""

    @abstractmethod
    async def settle(self, sock: wsock.Socket, **facts: object) -> None:
        """Wait until ``facts`` hold of ``sock`` and nothing of it moves any more."""

    @abstractmethod
    def unanswered(self) -> AbstractContextManager[tuple[str, int]]:
        """An address where a connect is neither accepted nor refused."""

    def run(self, main: Callable[[], Awaitable[object]]) -> None:
        """Run a Trio program, in any thread, where this provider's sockets move."""
        trio.run(main)


class KernelProvider(Provider):
    """The machine's sockets."""

    engine: ClassVar[str]

    def make_stack(self, **options: object) -> wsock.Stack:
        return wsock.Stack(engine=self.engine, **options)

    async def settle(self, sock: wsock.Socket, **facts: object) -> None:
        with trio.fail_after(PATIENCE_S):
            while not self._hold(sock, **facts):
                await trio.lowlevel.checkpoint()
                sock.stack.turn()
        while sock.stack.turn():
            await trio.lowlevel.checkpoint()

    def _hold(
        self, sock: wsock.Socket, unread: int = 0, ended: bool = False, reset: bool = False
    ) -> bool:
        if unread and sock.ioctl(wsock.FIONREAD) < unread:
            return False
        if ended or reset:
            with std.socket(fileno=os.dup(sock.fileno())) as look:
                state = look.getsockopt(std.IPPROTO_TCP, std.TCP_INFO, 1)[0]
            done = {_CLOSED} if reset else {_CLOSE_WAIT, _LAST_ACK, _CLOSING, _CLOSED, _TIME_WAIT}
            return state in done
        return True

    @contextmanager
    def unanswered(self) -> Iterator[tuple[str, int]]:
        with ExitStack() as kept:
            listener = kept.enter_context(std.socket())
            listener.bind((self.host, 0))
            listener.listen(0)
            address = listener.getsockname()
            for _ in range(3):  # its queue is full then: the next SYN is dropped
                client = kept.enter_context(std.socket())
                client.setblocking(False)
                client.connect_ex(address)
            yield address


class Epoll(KernelProvider):
    name = engine = "epoll"
    columns = ("documented", "windows")


class Waits(KernelProvider):
    name = engine = "waits"
    columns = ("documented",)


class Virtual(Provider):
    """A virtual host that talks to itself, in virtual time."""

    name = "virtual"
    columns = ("documented", "windows")

    def __init__(self, network: LocalNetwork | None = None) -> None:
        self._network = network

    def ready(self, request: pytest.FixtureRequest) -> Provider:
        return Virtual(request.getfixturevalue("virtual_network"))

    @property
    def network(self) -> LocalNetwork:
        assert self._network is not None, "use the fixture provider, or call ready"
        return self._network

    def make_stack(self, **options: object) -> wsock.Stack:
        host = self.network.localhost
        buffers = {
            "receive_buffer": host.profile.receive_buffer,
            "send_buffer": host.profile.send_buffer,
        }
        provider = host.stack.provider
        return wsock.Stack("localhost", provider=provider, **{**buffers, **options})

    async def settle(self, sock: wsock.Socket, **facts: object) -> None:
        await self.network.settle()

    @contextmanager
    def unanswered(self) -> Iterator[tuple[str, int]]:
        with self.network.drop("tcp.port == 9"):
            yield self.host, 9

    def run(self, main: Callable[[], Awaitable[object]]) -> None:
        self.network.run_by(trio.run, main)


KERNEL: tuple[Provider, ...] = (Epoll(), Waits())
PROVIDERS: tuple[Provider, ...] = (*KERNEL, Virtual())


@dataclass
class Pair:
    """Two ends of one connection: ``near`` was accepted, ``far`` connected."""

    world: World
    near: wsock.Socket
    far: wsock.Socket

    async def settle(self, **facts: object) -> None:
        """Wait until ``facts`` hold of the near end."""
        await self.world.settle(self.near, **facts)


class World:
    """A stack, and every socket that a test made on it (closed at the end)."""

    def __init__(self, provider: Provider, **options: object) -> None:
        self.provider = provider
        self.stack = provider.make_stack(**options)
        self._kept: list[wsock.Socket] = []

    @property
    def windows(self) -> bool:
        return self.stack.windows_rules

    def keep(self, sock: wsock.Socket) -> wsock.Socket:
        self._kept.append(sock)
        return sock

    def socket(
        self, family: int = std.AF_INET, kind: int = std.SOCK_STREAM, proto: int = 0
    ) -> wsock.Socket:
        return self.keep(wsock.socket(family, kind, proto, stack=self.stack))

    def listener(self, backlog: int = 16) -> wsock.Socket:
        sock = self.socket()
        sock.bind((self.provider.host, 0))
        sock.listen(backlog)
        return sock

    def bound_datagram(self) -> wsock.Socket:
        sock = self.socket(kind=std.SOCK_DGRAM)
        sock.bind((self.provider.host, 0))
        return sock

    async def accept(self, listener: wsock.Socket) -> wsock.Socket:
        with trio.fail_after(PATIENCE_S):
            return self.keep((await listener.accept())[0])

    async def connected(self, listener: wsock.Socket) -> wsock.Socket:
        """A client that is connected to ``listener``."""
        client = self.socket()
        with trio.fail_after(PATIENCE_S):
            await client.connect(listener.getsockname())
        return client

    async def fill(self, sock: wsock.Socket, size: int = 65536) -> int:
        """Send until there is no room for good, down to the peer's buffer; how much it was."""
        sent = 0
        while more := fill(sock, size):
            sent += more
            await self.settle(sock)
        return sent

    def local_pair(self) -> Pair:
        """A pair of AF_UNIX sockets: room comes when the peer reads, and never by itself."""
        near, far = (wsock.from_stdlib_socket(s, stack=self.stack) for s in std.socketpair())
        return Pair(self, self.keep(near), self.keep(far))

    async def pair(self) -> Pair:
        listener = self.listener()
        far = await self.connected(listener)
        near = await self.accept(listener)
        listener.close()
        return Pair(self, near, far)

    async def settle(self, sock: wsock.Socket, **facts: object) -> None:
        await self.provider.settle(sock, **facts)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let everything run until ``condition()`` holds."""
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await trio.lowlevel.checkpoint()
                self.stack.turn()

    def free_port(self) -> tuple[str, int]:
        """An address where nobody listens."""
        with wsock.socket(stack=self.stack) as probe:
            probe.bind((self.provider.host, 0))
            return probe.getsockname()

    def close(self) -> None:
        for sock in self._kept:
            with suppress(wsock.WSAError):
                sock.close()
        for endpoint in list(self.stack.endpoints.values()):
            if endpoint.state == "CLOSING":
                endpoint.abort_now()


async def messages(window: wsock.Window, count: int = 1) -> list[tuple[int, int]]:
    """The next ``count`` socket messages as (event, error), waiting for them."""
    with trio.fail_after(PATIENCE_S):
        return [(m.event, m.error) for m in [await window.get() for _ in range(count)]]


def queued(window: wsock.Window) -> list[tuple[int, int]]:
    """The messages that are queued now, taken."""
    found = []
    with suppress(wsock.WSAEWOULDBLOCK):
        while True:
            message = window.get_nowait()
            found.append((message.event, message.error))
    return found


def events_in(window: wsock.Window) -> list[int]:
    """The events of the messages that are queued now, taken."""
    return [event for event, _ in queued(window)]


def fill(sock: wsock.Socket, size: int = 65536) -> int:
    """Send until there is no room; the number of bytes accepted."""
    sent = 0
    with suppress(wsock.WSAEWOULDBLOCK):
        while True:
            sent += sock.send_nowait(bytes(size))
    return sent


async def drain(sock: wsock.Socket, count: int) -> int:
    """Receive ``count`` bytes; how many came before an end."""
    got = 0
    with trio.fail_after(PATIENCE_S):
        while got < count:
            data = await sock.recv(262144)
            if not data:
                break
            got += len(data)
    return got
