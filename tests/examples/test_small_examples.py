"""The small programs: TLS echo, the time over UDP, the chat; and the command lines of all."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from examples.chat.__main__ import MAX_LINE
from examples.chat.__main__ import serve as serve_chat
from examples.echo import async_tls, message, tls
from examples.udp_time.__main__ import serve as serve_time
from examples.udp_time.client import QUESTION, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROOT = Path(__file__).parents[2]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RESET = struct.pack("ii", 1, 0)


@contextlib.asynccontextmanager
async def running(serve: Callable[..., Awaitable[None]]) -> AsyncIterator[int]:
    """That server; gives its port, ends it afterwards."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve, 0))
            nursery.cancel_scope.cancel()


# TLS


class SavedContext:
    """``tls.serve`` with the certificate authority kept for the client."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context, self.authority = tls.make_context(folder)
        for module in (tls, async_tls):
            monkeypatch.setattr(module, "make_context", lambda _: (self.context, self.authority))


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedContext:
    return SavedContext(tmp_path, monkeypatch)


@pytest.fixture(params=[tls.serve, async_tls.serve], ids=["tls", "async_tls"])
def serve_tls(request: pytest.FixtureRequest) -> Callable[..., Awaitable[None]]:
    """The TLS echo on Trio's streams, and the one on window messages."""
    return request.param


async def test_tls_echo_with_trios_own_client(
    saved: SavedContext, serve_tls: Callable[..., Awaitable[None]]
) -> None:
    """The certificate is checked, the bytes come back, both sides say close_notify."""
    context = ssl.create_default_context(cafile=saved.authority)
    async with running(serve_tls) as port:
        stream = await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", port, ssl_context=context, https_compatible=False
        )
        async with stream:
            await stream.send_all(b"x" * 100_000)
            received = b""
            while len(received) < 100_000:
                received += await stream.receive_some()
            assert received == b"x" * 100_000


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_tls_echo_with_openssl_s_client(
    saved: SavedContext, serve_tls: Callable[..., Awaitable[None]]
) -> None:
    """It verifies, gets its bytes back, also under new keys, and ends."""
    async with running(serve_tls) as port:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
        command += ["-CAfile", str(saved.authority), "-verify_return_error", "-brief"]
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(3):
            await process.stdin.send_all(b"hello, TLS\n")
            assert await process.stdout.receive_some() == b"hello, TLS\n"
            # A line with K has it change its keys, and ask the server to change its own.
            await process.stdin.send_all(b"K\n")
            said = b""
            while b"KEYUPDATE" not in said:
                piece = await process.stderr.receive_some()
                assert piece, said
                said += piece
        await process.stdin.aclose()
        assert await process.wait() == 0
        await process.stdout.aclose()
        await process.stderr.aclose()


async def test_tls_echo_survives_who_does_not_speak_tls(
    saved: SavedContext, serve_tls: Callable[..., Awaitable[None]]
) -> None:
    """Garbage, an end in mid-handshake, and a reset; then a proper client."""
    context = ssl.create_default_context(cafile=saved.authority)
    async with running(serve_tls) as port:
        for data in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01", b""):
            rude = await trio.open_tcp_stream("127.0.0.1", port)
            await rude.send_all(data)
            await rude.aclose()
        rude = await trio.open_tcp_stream("127.0.0.1", port)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        rude.socket.close()
        async with await trio.open_ssl_over_tcp_stream(
            "127.0.0.1", port, ssl_context=context
        ) as stream:
            await stream.send_all(b"x")
            assert await stream.receive_some() == b"x"


# UDP


async def test_the_time_comes_by_udp() -> None:
    """In UTC, in ISO 8601."""
    async with running(serve_time) as port:
        assert TIME.fullmatch(await ask("127.0.0.1", port))


async def test_the_answer_is_no_longer_than_the_question() -> None:
    """So a forged sender gets no more than he could have sent himself; empty is answered too."""
    async with running(serve_time) as port:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(("127.0.0.1", port))
            for size in (0, 1, 20, len(QUESTION)):
                await sock.send(b"?" * size)
                assert len(await sock.recv(512)) == min(size, 20)


async def test_a_question_that_is_too_long_is_dropped() -> None:
    """And the next one answered."""
    async with running(serve_time) as port:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(("127.0.0.1", port))
            await sock.send(b"?" * 513)
            await sock.send(b"?")
            assert len(await sock.recv(512)) == 1


async def test_a_port_without_server_is_known_at_once() -> None:
    """The port unreachable comes back as WSAECONNRESET."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionResetError):
        await ask("127.0.0.1", port, wait=30.0)


# Chat


class Talker:
    """One of those who chat."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def line(self) -> str:
        while b"\n" not in self._rest:
            data = await self.stream.receive_some()
            if not data:
                return ""
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def said(self, words: str) -> str:
        """Read up to the line with these words."""
        while words not in (line := await self.line()):
            assert line
        return line


@contextlib.asynccontextmanager
async def talkers(port: int, number: int) -> AsyncIterator[list[Talker]]:
    """So many, who all know that the last one is here."""
    made = [Talker(await trio.open_tcp_stream("127.0.0.1", port)) for _ in range(number)]
    try:
        for talker in made:
            await talker.said(f"with {number - 1} other")
        yield made
    finally:
        for talker in made:
            talker.stream.socket.close()


async def test_who_comes_is_announced_with_the_number_of_the_others() -> None:
    """In English: "0 others", but "1 other"."""
    async with (
        running(serve_chat) as port,
        await trio.open_tcp_stream("127.0.0.1", port) as stream,
    ):
        ann = Talker(stream)
        assert (await ann.line()).endswith("is here, with 0 others")
        async with await trio.open_tcp_stream("127.0.0.1", port):
            assert (await ann.line()).endswith("is here, with 1 other")


async def test_what_one_says_the_others_see() -> None:
    """Not the one who said it; without what could move a terminal's cursor."""
    async with running(serve_chat) as port, talkers(port, 3) as (ann, bob, eve):
        await ann.stream.send_all(b"hello\nsecond\x1b[2J line\n")
        for other in (bob, eve):
            assert (await other.line()).endswith(": hello")
            assert (await other.line()).endswith(": second?[2J line")
        await bob.stream.send_all(b"hi\n")
        assert (await ann.line()).endswith(": hi")


async def test_who_leaves_is_announced() -> None:
    """By the end of his side, or lost by a reset."""
    async with running(serve_chat) as port, talkers(port, 3) as (ann, bob, eve):
        await bob.stream.send_eof()
        assert (await ann.line()).endswith("has left")
        eve.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        eve.stream.socket.close()
        assert re.search("has left|is lost", await ann.line())


async def test_who_never_ends_his_line_is_put_out() -> None:
    """He is closed, the others are told."""
    async with running(serve_chat) as port, talkers(port, 2) as (ann, bob):
        await bob.stream.send_all(b"x" * (MAX_LINE + 1))
        assert (await ann.line()).endswith("talks too much")
        assert await bob.line() == ""


async def test_who_does_not_listen_is_put_out_and_the_rest_talk_on() -> None:
    """As soon as a megabyte waits for him."""

    async def talk() -> None:
        while True:
            await ann.stream.send_all((b"y" * 400 + b"\n") * 100)

    async with (
        running(serve_chat) as port,
        talkers(port, 3) as (ann, bob, _deaf),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(talk)
        await bob.said("does not listen")
        nursery.cancel_scope.cancel()


# The command lines


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        *(
            (f"examples.echo {model}", "echo")
            for model in (
                ["blocking", "polling", "select", "message", "event", "async_socket", "stream"]
            )
        ),
        ("examples.udp_time", "udp_time"),
        ("examples.chat", "chat"),
    ],
)
async def test_every_program_starts_and_says_where(module: str, kind: str) -> None:
    """Port 0 takes a free one; Ctrl-C ends it without a traceback."""
    name, *arguments = module.split()
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", name, *arguments, "0"], cwd=ROOT, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        with trio.fail_after(30):
            line = b""
            while b"\n" not in line:
                line += await process.stderr.receive_some() or b"\n"
            await use(kind, int(line.split()[-1]))
            process.send_signal(signal.SIGINT)
            assert b"".join([data async for data in process.stderr]) == b""
            assert await process.wait() == 0
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
            await process.stderr.aclose()


IN_USE = ["examples.echo message", "examples.udp_time", "examples.chat"]
if sys.platform != "win32":  # there serve_processes refuses before it asks for the port
    IN_USE.append("examples.several_cores")


@pytest.mark.parametrize("module", IN_USE)
def test_a_port_that_is_in_use_is_said_in_one_line(module: str) -> None:
    """And no traceback."""
    with contextlib.ExitStack() as taken:
        listener = taken.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        datagrams = taken.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", port))
        command = [sys.executable, "-m", *module.split(), str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"(the )?port (\d+ )?is in use\n", done.stderr)


@pytest.mark.parametrize("module", [*IN_USE, "examples.echo stream"])
@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_cannot_be_is_refused_as_an_argument(module: str, port: str) -> None:
    """The usage and one line, exit code 2; also where the resolver would take it modulo 65536."""
    command = [sys.executable, "-m", *module.split(), "--", port]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: there is no port {port}: 0 to 65535\n")


def test_the_echo_client_says_in_one_line_that_nobody_listens() -> None:
    """Nor a traceback."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and does not listen
        command = [sys.executable, "-m", "examples.echo.client", str(sock.getsockname()[1]), "x"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("WSAECONNREFUSED")
    assert done.stderr.count("\n") == 1


async def test_ctrl_c_ends_the_echo_client_that_waits_for_its_input() -> None:
    """Nobody needs to press Enter first."""
    async with running(message.serve) as port:
        client = await trio.lowlevel.open_process(
            [sys.executable, "-m", "examples.echo.client", str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        try:
            await client.stdin.send_all(b"hello\n")
            assert await client.stdout.receive_some() == b"hello\n"
            client.send_signal(signal.SIGINT)
            assert await client.wait() == 1
            assert await client.stderr.receive_some() == b"stopped\n"
        finally:
            client.kill()
            for pipe in (client.stdin, client.stdout, client.stderr):
                await pipe.aclose()


async def use(kind: str, port: int) -> None:
    """Run the client that belongs to it, if it has one."""
    client = [sys.executable, "-m", f"examples.{kind}.client", str(port), *(["one", "two"])]
    if kind == "echo":
        done = await trio.run_process(client, cwd=ROOT, capture_stdout=True)
        assert done.stdout.split() == [b"one", b"two"]
    elif kind == "udp_time":
        done = await trio.run_process(client[:-2], cwd=ROOT, capture_stdout=True)
        assert TIME.fullmatch(done.stdout.decode().strip())


def test_examples_are_small() -> None:
    """One idea each, and readable in one sitting."""
    for folder, longest in (("echo", 60), ("udp_time", 60), ("chat", 100)):
        for path in (ROOT / "examples" / folder).glob("*.py"):
            assert len(path.read_text("utf-8").splitlines()) <= longest, path
