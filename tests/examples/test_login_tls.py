"""The login server over TLS: handshakes that fail or never end, renewal, and its programs.

What it does once a client speaks TLS is in test_login_server, whose tests run both ways.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from login_clients import Encrypted, contexts, running
from login_programs import ask_client, read_until, server

from examples.login_server import client as client_program
from examples.login_server.certificates import Certificate, CertificateError
from examples.login_server.listeners import NotLoopbackError, check_address
from examples.login_server.main import main, parse_options
from wsock import TLSFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from login_clients import Running
    from login_world import World


@pytest.fixture
async def secure(world: World) -> AsyncIterator[Running]:
    async with running(world, tls=True) as run:
        yield run


# Handshakes


async def test_the_log_says_which_tls_it_was(secure: Running) -> None:
    """One line a connection, as ever."""
    client = await secure.connect()
    assert await client.ask("QUIT") == "OK bye"
    await client.stream.aclose()
    await secure.gone()
    (line,) = secure.log("connection")
    assert (line["tls"], line["reason"]) == ("TLSv1.3", "quit")


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"LOGIN bob correct-horse\n", "tls WRONG_VERSION_NUMBER"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "tls HTTP_REQUEST"),
        (b"\x16\x03\x01\xff\xff" + bytes(70_000), "tls "),
    ],
)
async def test_garbage_instead_of_a_hello_ends_that_client(
    secure: Running, garbage: bytes, reason: str
) -> None:
    """A client that forgot TLS, a browser, a record that cannot be; the log says what came."""
    client = await secure.plain()
    await client.stream.send_all(garbage)
    with suppress(trio.BrokenResourceError):
        while await client.stream.receive_some(4096):
            pass  # an alert, perhaps
    await secure.gone()
    (line,) = secure.log("connection")
    assert line["reason"].startswith(reason)
    assert (line["commands"], line["tls"]) == (0, None)
    assert await (await secure.connect()).ask("QUIT") == "OK bye"


async def test_a_client_that_stops_in_the_middle_of_the_handshake_is_closed(
    secure: Running,
) -> None:
    """After the handshake's own time-out, though bytes go on dripping; nothing is said to it."""
    client = await secure.plain()
    hello = TLSFilter(contexts()[1], server_hostname="localhost").outgoing()
    for byte in hello[:9]:
        await client.stream.send_all(bytes([byte]))
        secure.world.now += 1.0
        secure.server.sweep()
    assert secure.server.connections == 1
    secure.world.now += 1.0
    secure.server.sweep()
    assert secure.server.connections == 0
    with pytest.raises(trio.BrokenResourceError):
        await client.stream.receive_some(4096)
    assert secure.log("connection")[0]["reason"] == "handshake"


async def test_a_stop_does_not_wait_for_handshakes(secure: Running) -> None:
    """Nothing can be under way there."""
    client = await secure.plain()
    await client.stream.send_all(b"\x16\x03\x01")
    await secure.gone(1)
    secure.server.stop()
    await secure.stopped.wait()
    assert secure.log("connection")[0]["reason"] == "stop"
    assert not secure.server.was_cut


async def test_commands_that_may_have_been_cut_off_are_not_answered(secure: Running) -> None:
    """An end without close_notify: the connection is lost, and the log says so."""
    client, _ = await secure.connected()
    assert isinstance(client.stream, Encrypted)
    client.stream.tls.write(b"REGISTER ann long-enough")
    await client.stream.stream.send_all(client.stream.tls.outgoing())
    await client.stream.stream.send_eof()
    await secure.gone()
    assert secure.log("connection")[0]["reason"] == "tls UNEXPECTED_EOF_WHILE_READING"
    assert secure.world.accounts.find("ann") is None


async def test_one_connection_too_many_is_closed_without_a_word(
    make_world: Callable[..., World],
) -> None:
    """To say why would take a handshake, which is what a flood wants."""
    async with running(make_world(connections_per_peer=1), tls=True) as run:
        first, _ = await run.connected()
        refused = await run.plain()
        assert await refused.line() == ""
        assert await first.ask("QUIT") == "OK bye"


async def test_a_flood_of_handshakes_that_never_end(make_world: Callable[..., World]) -> None:
    """Each is counted against its peer; when their time is over others are served."""
    world = make_world(connections_per_peer=200)
    async with running(world, tls=True) as run:
        for _ in range(200):
            await (await run.plain()).stream.send_all(b"\x16\x03\x01\x02\x00")
        await run.gone(200)
        world.now += world.limits.handshake_seconds
        run.server.sweep()
        assert run.server.connections == 0
        assert await (await run.connect()).ask("QUIT") == "OK bye"


# The certificate


class Files:
    """A certificate of localhost in files, with the authority that clients trust."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.chain, self.key = folder / "server.pem", folder / "server.key"
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.renew()

    def renew(self, authority: trustme.CA | None = None) -> None:
        made = (authority or self.authority).issue_cert("localhost", "127.0.0.1")
        self.chain.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())

    @property
    def options(self) -> list[str]:
        return ["--tls-cert", str(self.chain), "--tls-key", str(self.key)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_key_may_be_in_the_same_file(files: Files) -> None:
    """As some tools write them."""
    files.chain.write_bytes(files.key.read_bytes() + files.chain.read_bytes())
    assert Certificate(str(files.chain)).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_renewal_that_cannot_be_leaves_the_old_one(files: Files) -> None:
    """Whatever is wrong with the files; the text names them."""
    certificate = Certificate(str(files.chain), str(files.key))
    old = certificate.context
    key = files.key.read_bytes()
    for content, problem in (
        (b"", "no start line|no certificate or crl found|pem lib"),
        (b"garbage", "no start line|pem lib"),
        (trustme.CA().issue_cert("x").private_key_pem.bytes(), "key values mismatch"),
        (encrypted_key(), "encrypted"),
    ):
        files.key.write_bytes(content)
        with pytest.raises(CertificateError, match=problem) as caught:
            certificate.renew()
        assert str(files.key) in str(caught.value)
        assert certificate.context is old
    files.key.unlink()
    with pytest.raises(CertificateError, match="No such file"):
        certificate.renew()
    files.key.write_bytes(key)
    certificate.renew()
    assert certificate.context is not old


def encrypted_key() -> bytes:
    """A private key that wants a password."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


# The command lines


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls-key", "key.pem"],
        ["--tls-cert", "cert.pem", "--plaintext"],
        ["--handshake-seconds", "inf"],
    ],
)
def test_options_that_contradict_each_other_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened."""
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "error:" in capsys.readouterr().err


def test_with_tls_it_may_listen_anywhere() -> None:
    """Without, only on loopback."""
    assert parse_options(["--host", "0.0.0.0", "--tls-cert", "cert.pem"]).anywhere
    with pytest.raises(NotLoopbackError, match="TLS"):
        check_address("192.0.2.1", anywhere=False)


def test_a_server_without_its_certificate_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which file, with exit code 2, and has opened nothing."""
    database = tmp_path / "accounts.db"
    missing = str(tmp_path / "missing.pem")
    assert main(["--port", "0", "--database", f"sqlite:///{database}", "--tls-cert", missing]) == 2
    assert f"{missing}: No such file" in capsys.readouterr().err
    assert not database.exists()


@pytest.mark.parametrize("arguments", [["--ca", "x.pem"], ["--tls", "--plaintext"]])
def test_the_clients_options_are_checked_too(arguments: list[str]) -> None:
    """A trust that is not used is a mistake."""
    with pytest.raises(SystemExit):
        client_program.main(arguments)


def test_the_client_sends_no_password_readably_beyond_loopback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Unless it is told to."""
    assert client_program.main(["--host", "192.0.2.1", "--script", os.devnull]) == 1
    assert "192.0.2.1 is not loopback" in capsys.readouterr().err


# The programs


async def test_the_client_talks_to_the_server_over_tls(tmp_path: Path, files: Files) -> None:
    """With a script, as before; it verifies whom it talks to, and says why it does not."""
    script = "REGISTER bob correct-horse\nLOGIN bob correct-horse\nWHOAMI $TOKEN\nQUIT\n"
    async with server(tmp_path, *files.options) as run:
        done = await ask_client(run.port, script, "--tls", "--ca", str(files.ca))
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.endswith(b"< OK bye\n")
        for options, problem in (
            (["--tls"], b"certificate verify failed"),
            (["--tls", "--ca", str(files.ca), "--server-name", "bank.example"], b"bank.example"),
            (["--tls", "--ca", str(tmp_path / "none.pem")], b"none.pem"),
            ([], b"closed the connection"),
        ):
            done = await ask_client(run.port, "QUIT\n", *options)
            assert (done.returncode, done.stdout.count(b"<")) == (1, 0)
            assert problem in done.stderr or b"WSAECONN" in done.stderr
            assert b"Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_s_client_is_a_client(tmp_path: Path, files: Files) -> None:
    """In TLS 1.2 and 1.3; the end of its input is a close_notify, and what came before counts."""
    async with server(tmp_path, *files.options) as run:
        for number, version in enumerate(("-tls1_2", "-tls1_3")):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{run.port}", version]
            command += ["-quiet", "-verify_return_error", "-CAfile", str(files.ca)]
            done = await trio.run_process(
                command,
                stdin=f"REGISTER bob{number} correct-horse\nQUIT\n".encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            assert done.stdout == f"OK bob{number}\nOK bye\n".encode(), done.stderr
        assert (await run.event("connection"))["tls"] == "TLSv1.2"
        assert (await run.event("connection"))["tls"] == "TLSv1.3"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
async def test_sighup_renews_the_certificate(tmp_path: Path, files: Files) -> None:
    """New connections get the new one, the others go on; a bad one is logged and not taken."""

    async def connect(authority: trustme.CA) -> trio.SSLStream[trio.SocketStream]:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        plain = await run.connect()
        opened.callback(plain.socket.close)
        stream = trio.SSLStream(plain, context, server_hostname="localhost")
        await stream.do_handshake()
        return stream

    async def serial(stream: trio.SSLStream[trio.SocketStream]) -> str:
        await stream.send_all(b"WHOAMI x\n")
        assert (await read_until(stream, b"\n")).startswith(b"ERR TOKEN")
        return str(stream.getpeercert()["serialNumber"])

    with ExitStack() as opened:
        async with server(tmp_path, *files.options) as run:
            first = await connect(files.authority)
            old = await serial(first)

            files.chain.write_bytes(b"half a certif")
            run.process.send_signal(signal.SIGHUP)
            line = await run.event("certificate")
            assert (line["renewed"], str(files.chain) in line["text"]) == (False, True)
            assert await serial(await connect(files.authority)) == old

            another = trustme.CA()
            files.renew(another)
            run.process.send_signal(signal.SIGHUP)
            assert (await run.event("certificate"))["renewed"] is True
            assert await serial(await connect(another)) != old
            assert await serial(first) == old
            with pytest.raises(trio.BrokenResourceError):
                await connect(files.authority)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
async def test_sighup_does_not_end_a_server_without_tls(tmp_path: Path) -> None:
    """It has nothing to renew, says so, and goes on."""
    async with server(tmp_path) as run:
        run.process.send_signal(signal.SIGHUP)
        assert (await run.event("certificate"))["renewed"] is False
        stream = await run.connect()
        await stream.send_all(b"QUIT\n")
        assert await read_until(stream, b"\n") == b"OK bye\n"
        await stream.aclose()


async def test_sigterm_in_the_middle_of_a_handshake(tmp_path: Path, files: Files) -> None:
    """The server does not wait for it, and ends with 0."""
    async with server(tmp_path, *files.options) as run, await run.connect() as stream:
        await stream.send_all(b"\x16\x03\x01")
        # Who connected before was accepted before.
        assert (await ask_client(run.port, "QUIT\n", "--tls", "--ca", str(files.ca))).stdout
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() == 0
        assert (await run.event("connection"))["reason"] == "quit"
        assert (await run.event("connection"))["reason"] == "stop"
