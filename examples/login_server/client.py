# The client: wsock's blocking mode, which blocks this task only.
#
# Rule 1: a password is never shown, stored or put on a command line (others could read it there).
#         Prompts read it without echo; what is printed of a command is ``shown`` below.
# Rule 2: a script ends with an error as soon as a reply is not the one it expects.
"""``python -m examples.login_server.client``: talk to the login server.

Without ``--script`` it prompts for a command and its fields. A script has a command a line, as
they are sent, with ``$TOKEN`` for the latest token; ``expect CODE`` says how the reply to the line
before has to begin (without it: ``OK``); a line with ``#`` is a comment, and is printed.
"""

from __future__ import annotations

import argparse
import getpass
import socket as stdlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import trio

import wsock

from .protocol import COMMANDS, DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SECRETS: Final = frozenset({"password", "old", "new", "token"})
MAX_REPLY: Final = 4096


class ServerGoneError(Exception):
    """The server closed the connection instead of answering."""


class LoginClient:
    """One connection to the server: a line out, a line in."""

    def __init__(self, sock: wsock.Socket) -> None:
        self._socket = sock
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


async def run_script(client: LoginClient, steps: Iterable[Step], out: TextIO) -> bool:
    """Run the steps. False as soon as a reply is not the expected one; ERR may be left out."""
    token = ""
    for step in steps:
        if step.line.startswith("#"):
            print(step.line, file=out, flush=True)
            continue
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
    address = (await wsock.resolve(options.host, options.port, type=stdlib.SOCK_STREAM))[0]
    family = stdlib.AF_INET6 if ":" in address[0] else stdlib.AF_INET
    with wsock.socket(family) as sock:
        await sock.connect(address)
        client = LoginClient(sock)
        return await (prompt(client, out) if steps is None else run_script(client, steps, out))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; returns 0, or 1 if a reply was not the expected one."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.client")
    parser.add_argument("--host", default="127.0.0.1", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="(%(default)s)")
    parser.add_argument("--script", help="file of commands; -: standard input")
    options = parser.parse_args(arguments)
    try:
        return 0 if trio.run(talk, options, sys.stdout) else 1
    except (OSError, ValueError, ServerGoneError) as problem:
        print(f"login client: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
