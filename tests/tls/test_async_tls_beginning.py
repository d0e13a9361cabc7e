"""AsyncSocket over TLS: how it begins, and what it has no meaning for."""

from __future__ import annotations

import socket as std
from functools import partial
from typing import TYPE_CHECKING

import pytest
from async_ends import Far, Near, served

import wsock
from wsock import (
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    AsyncSocket,
)

if TYPE_CHECKING:
    import ssl

    from tests.providers import Pair, World

MIB = 1 << 20


# Beginning


async def test_both_ends_may_be_async_sockets(
    world: World,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """A server begins in on_accept, a client in on_connect."""

    accepted: list[AsyncSocket] = []

    class Echo(AsyncSocket):
        def on_accept(self, error: int) -> None:
            accepted.append(self.accept())
            accepted[0].start_tls(server_context, server_side=True)

        def on_receive(self, error: int) -> None:
            self.send(self.receive())

    class Caller(Near):
        def on_connect(self, error: int) -> None:
            self.start_tls(client_context, server_hostname="127.0.0.1")

        def on_send(self, error: int) -> None:
            self.send(b"hello")

    echo, caller = Echo(window), Caller(window)
    echo.create(0, address="127.0.0.1", stack=world.stack)
    echo.listen()
    caller.create(stack=world.stack)
    async with served(window):
        caller.connect(echo.socket.getsockname())
        await world.until(lambda: caller.got)
        caller.close()
        await world.until(lambda: accepted[0].socket.closed)  # by on_close
        echo.close()
    assert caller.got == b"hello"
    assert caller.tls is not None
    assert caller.tls.ssl_object.getpeercert()


async def test_starttls_after_a_plain_beginning(
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """The plain reply goes out first, TLS follows behind it."""

    class Mail(Near):
        def on_receive(self, error: int) -> None:
            if self.tls is None:
                assert self.receive() == b"STARTTLS\n"
                self.send(b"220 go ahead\n")
                self.start_tls(server_context, server_side=True)
            else:
                super().on_receive(error)

    near, far = Mail(window), Far(pair.far, client_context)
    near.attach(pair.near)
    async with served(window):
        await pair.far.send_all(b"STARTTLS\n")
        assert await pair.far.recv(99) == b"220 go ahead\n"
        await far.handshake()
        await far.send(b"secret")
        await pair.world.until(lambda: near.got)
    assert near.got == b"secret"


async def test_a_command_slipped_in_before_tls_is_not_taken_for_plaintext(
    pair: Pair, window: wsock.Window, server_context: ssl.SSLContext
) -> None:
    """Bytes that were there before the handshake are part of it, and so it fails."""
    near = Near(window)
    near.attach(pair.near, 0)
    await pair.far.send_all(b"RCPT TO:<mallory>\n")
    await pair.settle(unread=18)
    near.select(FD_READ | FD_CLOSE)
    near.start_tls(server_context, server_side=True)
    async with served(window):
        await pair.world.until(lambda: near.log and near.log[-1][0] == "close")
    assert near.got == b""


async def test_when_it_cannot_begin(
    world: World,
    pair: Pair,
    window: wsock.Window,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """Each wrong moment has its own error, and leaves the socket as it was."""
    near = Near(window)
    with pytest.raises(wsock.WSAENOTSOCK):
        near.start_tls(server_context, server_side=True)
    near.create(stack=world.stack)
    with pytest.raises(wsock.WSAENOTCONN):
        near.start_tls(server_context, server_side=True)
    near.close()
    with pytest.raises(wsock.WSAENOTSOCK):
        near.start_tls(server_context, server_side=True)
    near.create(type=std.SOCK_DGRAM, address="127.0.0.1", stack=world.stack)
    with pytest.raises(wsock.WSAEOPNOTSUPP):
        near.start_tls(server_context, server_side=True)
    near.close()
    near.attach(pair.near)
    with pytest.raises(ValueError, match="server_hostname"):
        near.start_tls(client_context)
    assert near.tls is None
    near.start_tls(server_context, server_side=True)
    with pytest.raises(wsock.WSAEALREADY):
        near.start_tls(server_context, server_side=True)


async def test_what_tls_has_no_meaning_for(ends: tuple[Near, Far]) -> None:
    """Urgent data, and giving the socket to somebody without the keys."""
    near, _ = ends
    for call in (
        lambda: near.receive(1, std.MSG_OOB),
        lambda: near.send(b"x", std.MSG_OOB),
    ):
        with pytest.raises(wsock.WSAEOPNOTSUPP, match="over TLS"):
            call()
    with pytest.raises(wsock.WSAEINVAL, match="speaks TLS"):
        near.detach()
    near.close()
    assert near.detach().closed


async def test_the_socket_itself_speaks_plaintext_too(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """Who holds the Socket cannot send past the encryption, nor take a record from its middle."""
    near, far = ends
    sock = near.socket
    near.select(FD_WRITE | FD_CLOSE)
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        assert sock.send_all_nowait(bytearray(b"one ")) == 4
        assert sock.sendto_nowait(memoryview(b"two"), None) == 3
        assert sock.send_nowait(b"") == 0
        assert await far.receive(7) == b"one two"
        await far.send(b"answer")
        await world.until(lambda: sock.ioctl(wsock.FIONREAD) == 6)
        buffer = bytearray(4)
        assert sock.recv_into_nowait(buffer) == 4
        assert (bytes(buffer), sock.recvfrom_nowait(9)) == (b"answ", (b"er", None))
        rows = {row.event: row for row in sock.notifications()}
        assert rows[FD_CLOSE].selected
        assert not rows[FD_READ].selected
        assert sock.state == "CONNECTED"
        sock.close()
        await far.pull_all()
    assert far.tls.state == "PEER_CLOSED"


async def test_its_calls_that_wait_are_refused(ends: tuple[Near, Far]) -> None:
    """They would move ciphertext; the text names what is there for tasks that wait."""
    sock = ends[0].socket
    for call in (
        partial(sock.recv, 9),
        partial(sock.recv_into, bytearray(9)),
        partial(sock.recvfrom, 9),
        partial(sock.send, b"x"),
        partial(sock.send_all, b"x"),
        partial(sock.sendto, b"x", None),
    ):
        with pytest.raises(wsock.WSAEOPNOTSUPP, match=r"trio\.SSLStream"):
            await call()
    with pytest.raises(wsock.WSAEOPNOTSUPP):
        sock.event_select(wsock.Event(), FD_READ)
    with pytest.raises(wsock.WSAEINVAL, match="speaks TLS"):
        sock.detach()


async def test_the_end_of_receiving(
    world: World, ends: tuple[Near, Far], window: wsock.Window
) -> None:
    """After SD_RECEIVE nothing is received; sending goes on."""
    near, far = ends
    async with served(window):
        await far.handshake()
        await world.until(lambda: near.log)
        near.shutdown(wsock.SD_RECEIVE)
        with pytest.raises(wsock.WSAESHUTDOWN):
            near.receive()
        near.send_to(b"still here", None)
        assert await far.receive(10) == b"still here"
