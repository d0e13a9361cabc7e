"""AsyncSocket over TLS against other people's TLS: what our own filter would not do to itself."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio

import wsock
from wsock import AsyncSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme


class Echo(AsyncSocket):
    """Echoes; on the listener: begins TLS with each client and keeps it for the test."""

    context: ssl.SSLContext
    accepted: list[Echo]

    def on_accept(self, error: int) -> None:
        client = Echo(self.window)
        self.accept(client)
        client.start_tls(self.context, server_side=True)
        self.accepted.append(client)

    def on_receive(self, error: int) -> None:
        self.send_all(self.receive())


@pytest.fixture
async def echo(server_context: ssl.SSLContext) -> AsyncIterator[Echo]:
    with trio.fail_after(60):
        async with wsock.Window() as window, trio.open_nursery() as nursery:
            listener = Echo(window)
            listener.context, listener.accepted = server_context, []
            listener.create(address="127.0.0.1")
            listener.listen()
            nursery.start_soon(window.run)
            yield listener
            nursery.cancel_scope.cancel()
            for sock in [listener, *listener.accepted]:
                sock.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_resumed(
    echo: Echo, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """By its ticket, which is no data: the second handshake is a short one, the echo the same."""
    client_context.maximum_version = version
    address = echo.socket.getsockname()

    def talk(session: ssl.SSLSession | None) -> tuple[bytes, bool | None, ssl.SSLSession | None]:
        with (
            socket.create_connection(address, timeout=30) as plain,
            client_context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
        ):
            sock.sendall(b"hello")
            return sock.recv(5), sock.session_reused, sock.session

    data, reused, session = await trio.to_thread.run_sync(talk, None)
    assert (data, reused) == (b"hello", False)
    data, reused, _ = await trio.to_thread.run_sync(talk, session)
    assert (data, reused) == (b"hello", True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_a_client_that_asks_for_renegotiation(
    echo: Echo, authority: trustme.CA, tmp_path: Path
) -> None:
    """TLS 1.2 knows it, OpenSSL 3 refuses it; that client is served or ended, others go on."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    host, port = echo.socket.getsockname()
    command = ["openssl", "s_client", "-tls1_2", "-brief", "-connect", f"{host}:{port}"]
    command += ["-CAfile", str(tmp_path / "ca.pem")]

    async def run(typed: bytes) -> bytes:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send_all(typed)
        said = await process.stdout.receive_some() if typed == b"hello\n" else b""
        await process.stdin.aclose()
        await process.wait()
        await process.stdout.aclose()
        return said

    await run(b"R\n")
    assert await run(b"hello\n") == b"hello\n"
