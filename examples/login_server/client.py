# The client: wsock's blocking mode, which blocks this task only; over TLS Trio's streams.
#
# Rule 1: a password is never shown, stored or put on a command line (others could read it there).
#         Prompts read it without echo; what is printed of a command is ``shown`` below.
# Rule 2: without TLS it talks to loopback addresses only, unless --plaintext says otherwise; with
#         TLS the server's certificate has to be good for the name that was asked for.
# Rule 3: a script ends with an error as soon as a reply is not the one it expects.
"""``python -m examples.login_server.client``: talk to the login server.

Without ``--script`` it prompts for a command and its fields. A script has a command a line, as
they are sent, with ``$TOKEN`` for the latest token; ``expect CODE`` says how the reply to the line
before has to begin (without it: ``OK``); a line with ``#`` is a comment, and is printed.
"""

from __future__ import annotations

import argparse
import getpass
import socket as stdlib
import ssl
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TextIO

import trio

import wsock

from .listeners import check_address
from .protocol import COMMANDS, DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

SECRETS: Final = frozenset({"password", "old", "new", "token"})
MAX_REPLY: Final = 4096


class ServerGoneError(Exception):
    """The server closed the connection instead of answering."""


class Connected(Protocol):
    """What the client needs of a connection: a ``wsock.Socket``, or a SecureSocket."""

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""

    async def recv(self, max_bytes: int) -> bytes:
        """What has arrived; ``b""`` at the end."""


class SecureSocket:
    """The same two calls over TLS."""

    def __init__(self, stream: trio.SSLStream[wsock.SocketStream]) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def recv(self, max_bytes: int) -> bytes:
        """What has arrived; ``b""`` when the server has said its end."""
        return bytes(await self._stream.receive_some(max_bytes))


class LoginClient:
    """One connection to the server: a line out, a line in."""

    def __init__(self, connected: Connected) -> None:
        self._socket = connected
        self._received = b""

    async def ask(self, line: str) -> str:
        """Send one command and return its reply, without the line feed.

        Raises:
          ServerGoneError: the connection ended before a whole line had come.
        """
        await self._socket.send_all(line.encode() + b"\n")
        while b"\n" not in self._received:
            data = await self._socket.recv(MAX_REPLY)
            if not data or len(self._received) > MAX_REPLY:
                raise ServerGoneError("the server closed the connection")
            self._received += data
        reply, _, self._received = self._received.partition(b"\n")
        return reply.decode()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script, and how its reply must begin (a comment has none)."""

    line: str
    expected: str


def read_script(lines: Iterable[str]) -> Iterator[Step]:
    """The steps of a script. Raises ValueError for an ``expect`` that has nothing before it."""
    command = ""
    for text in lines:
        line = text.strip()
        if not line:
            continue
        word, _, rest = line.partition(" ")
        if word == "expect":
            if not command:
                raise ValueError("expect: there is no command before it")
            yield Step(command, rest.strip())
            command = ""
        else:
            if command:
                yield Step(command, "OK")
            command = ""
            if line.startswith("#"):
                yield Step(line, "")
            else:
                command = line
    if command:
        yield Step(command, "OK")


def shown(line: str) -> str:
    """The command as it may be seen: stars for whatever is secret, or may be."""
    word, *fields = line.split(" ")
    _, names = COMMANDS.get(word.upper(), (None, ()))
    visible = [
        field if number < len(names) and names[number] not in SECRETS else "********"
        for number, field in enumerate(fields)
    ]
    return " ".join([word, *visible])


def shown_reply(line: str, reply: str) -> str:
    """The reply as it may be seen: of a token the first characters."""
    token = _token(line, reply)
    return f"OK {token[:6]}..." if token else reply


async def run_script(
    client: LoginClient, steps: Iterable[Step], out: TextIO, pause: float = 0.0
) -> bool:
    """Run the steps. False as soon as a reply is not the expected one; ERR may be left out."""
    token = ""
    for step in steps:
        if step.line.startswith("#"):
            print(step.line, file=out, flush=True)
            continue
        await trio.sleep(pause)
        line = step.line.replace("$TOKEN", token)
        print(f"> {shown(line)}", file=out, flush=True)
        reply = await client.ask(line)
        print(f"< {shown_reply(line, reply)}", file=out, flush=True)
        if not _begins(reply, step.expected):
            print(f"! expected {step.expected}", file=out, flush=True)
            return False
        token = _token(line, reply) or token
    return True


def _begins(reply: str, expected: str) -> bool:
    """Whether the reply's words begin with the expected ones; ``ERR`` may be left out."""
    words, wanted = reply.split(" "), expected.split()
    return wanted in (words[: len(wanted)], words[1 : 1 + len(wanted)] if words[0] == "ERR" else [])


def _token(line: str, reply: str) -> str:
    """The token that this reply brings, or nothing."""
    word, _, value = reply.partition(" ")
    return value if word == "OK" and line.split(" ")[0].upper() in {"LOGIN", "PASSWD"} else ""


async def prompt(
    client: LoginClient,
    out: TextIO,
    read_line: Callable[[str], str] = input,
    read_secret: Callable[[str], str] = getpass.getpass,
) -> bool:
    """Ask the person for commands until QUIT or the end of input. The token is remembered."""
    token = ""
    print("commands: " + " ".join(word.lower() for word in COMMANDS), file=out)
    while True:
        try:
            word = (await _in_thread(read_line, "command: ")).strip().upper()
            if word not in COMMANDS:
                print("there is no such command", file=out)
                continue
            fields = [word]
            for name in COMMANDS[word][1]:
                if name == "token" and token:
                    fields.append(token)
                else:
                    read = read_secret if name in SECRETS else read_line
                    fields.append((await _in_thread(read, f"{name}: ")).strip())
        except EOFError:
            return True
        if any(not field or " " in field for field in fields):
            print("a field is empty or has a space in it", file=out)
            continue
        line = " ".join(fields)
        reply = await client.ask(line)
        print(shown_reply(line, reply), file=out)
        if word == "QUIT":
            return True
        token = _token(line, reply) or token


async def _in_thread(read: Callable[[str], str], text: str) -> str:
    return await trio.to_thread.run_sync(read, text, abandon_on_cancel=True)


async def talk(options: argparse.Namespace, out: TextIO) -> bool:
    """Connect and run the script or the prompts."""
    steps = None
    if options.script == "-":
        steps = list(read_script(sys.stdin))
    elif options.script:
        steps = list(read_script((await trio.Path(options.script).read_text("utf-8")).splitlines()))
    async with connected(options) as connection:
        client = LoginClient(connection)
        if steps is None:
            return await prompt(client, out)
        return await run_script(client, steps, out, options.pause)


@asynccontextmanager
async def connected(options: argparse.Namespace) -> AsyncIterator[Connected]:
    """A connection to the server, encrypted if that is wanted; closed afterwards.

    Raises:
      NotLoopbackError: passwords would be readable on the way. ssl.SSLError: TLS has failed.
    """
    address = (await wsock.resolve(options.host, options.port, type=stdlib.SOCK_STREAM))[0]
    check_address(address[0], anywhere=options.tls or options.plaintext)
    family = stdlib.AF_INET6 if ":" in address[0] else stdlib.AF_INET
    with wsock.socket(family) as sock:
        if not options.tls:
            await sock.connect(address)
            yield sock
            return
        try:
            context = ssl.create_default_context(cafile=options.ca)
        except OSError as problem:
            raise ValueError(f"--ca {options.ca}: {problem}") from None
        await sock.connect(address)
        stream = trio.SSLStream(
            wsock.SocketStream(sock), context, server_hostname=options.server_name or options.host
        )
        async with stream:
            await stream.do_handshake()
            yield SecureSocket(stream)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; returns 0, or 1 if a reply was not the expected one."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.client")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="(%(default)s)")
    parser.add_argument("--script", help="file of commands; -: standard input")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds before each command of a script"
    )
    parser.add_argument("--tls", action="store_true", help="encrypt, and verify the server")
    parser.add_argument("--ca", help="PEM file of authorities to trust; else the system's")
    parser.add_argument("--server-name", help="whose certificate it has to be; else --host")
    parser.add_argument(
        "--plaintext", action="store_true", help="send passwords readably, beyond loopback too"
    )
    options = parser.parse_args(arguments)
    if not options.tls and (options.ca or options.server_name):
        parser.error("--ca and --server-name go with --tls")
    if options.tls and options.plaintext:
        parser.error("--plaintext and --tls exclude each other")
    try:
        return 0 if trio.run(talk, options, sys.stdout) else 1
    except (OSError, ValueError, ServerGoneError, trio.BrokenResourceError) as problem:
        print(f"login client: {problem.__cause__ or problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
