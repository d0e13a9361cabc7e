# The demo: a server and a client as two processes, what each of them says, and beside it the trace
# of the transport under the server (tdi).
#
# Rule 1: it is the real server and the real client, through their command lines, with a fresh
#         SQLite file and a free port; nothing is left behind.
# Rule 2: ASCII only, colour only where the terminal has it, no secret on the screen.
# Rule 3: it ends with 0 only if every reply was the expected one and both processes ended with 0.
"""``python -m examples.login_server.demo``: register, log in, fail, log out, in a few seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PACKAGE: Final = __package__
DEADLINE_S: Final = 20.0
SCRIPT: Final = """\
# register
REGISTER alice correct-horse-battery
expect OK alice
# a name is given once
REGISTER Alice another-password
expect TAKEN
# log in
LOGIN alice correct-horse-battery
WHOAMI $TOKEN
expect OK alice
# a wrong password and an unknown user get the same answer
LOGIN alice wrong-password
expect DENIED
LOGIN mallory wrong-password
expect DENIED
# a new password ends every token but the one in its reply
PASSWD $TOKEN correct-horse-battery staple-and-paper
WHOAMI $TOKEN
expect OK alice
# log out
LOGOUT $TOKEN
WHOAMI $TOKEN
expect TOKEN
QUIT
"""
#: Between two commands, so that the trace of one stands before the next.
PAUSE_S: Final = 0.1

COLOURS: Final = {"server": "\x1b[33m", "client": "\x1b[36m", "demo": "\x1b[1m", "tdi": "\x1b[2m"}
END: Final = "\x1b[0m"


class Screen:
    """Prints labelled lines, coloured if the terminal can."""

    def __init__(self) -> None:
        self._colour = (
            sys.stdout.isatty()
            and "NO_COLOR" not in os.environ
            and os.environ.get("TERM") != "dumb"
        )

    def show(self, who: str, text: str) -> None:
        """One line of one side."""
        line = f"{who:>6} | {text}".encode("ascii", "replace").decode()
        if self._colour:
            line = f"{COLOURS[who]}{line}{END}"
        print(line, flush=True)


async def lines_of(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """The lines of a process's output."""
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield rest.decode("utf-8", "replace")


def show_log(line: str, screen: Screen) -> None:
    """A log line for people; of the trace what is about the client's connection."""
    try:
        fields = json.loads(line)
    except ValueError:
        screen.show("server", line)
        return
    event = fields.pop("event")
    fields.pop("time")
    if event != "tdi":
        screen.show("server", " ".join([event, *(f"{key}={fields[key]}" for key in fields)]))
    elif "remote" in fields:
        row = [fields.get(name, "") for name in ("object", "request", "result", "detail")]
        screen.show("tdi", "{:<28} {:<24} {:<24} {}".format(*row).rstrip())


async def start_server(folder: str) -> trio.Process:
    """The server on a port the system chooses; it says which in its first log line."""
    arguments = ["--trace", "--port", "0", "--database", f"sqlite:///{folder}/accounts.db"]
    system: dict[str, Any] = {}
    if hasattr(subprocess, "CREATE_NEW_PROCESS_GROUP"):
        # Windows: CTRL_BREAK, which asks for the stop, goes to a whole group of processes.
        system["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", f"{PACKAGE}", *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **system,
    )


async def kill(process: trio.Process) -> None:
    """End it if it still runs, also when this task is cancelled."""
    if process.poll() is None:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def run_client(port: int, screen: Screen) -> int:
    """The scripted client against that port. Returns its exit code."""
    client = await trio.lowlevel.open_process(
        [
            *(sys.executable, "-m", f"{PACKAGE}.client", "--port", str(port), "--script", "-"),
            *("--pause", str(PAUSE_S)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        async with client.stdin:
            await client.stdin.send_all(SCRIPT.encode())
        async for line in lines_of(client.stdout):
            screen.show("client", line)
        return await client.wait()
    finally:
        await kill(client)


async def show_server(
    server: trio.Process, screen: Screen, *, task_status: trio.TaskStatus[int]
) -> None:
    """Show the server's log; tell the port as soon as it listens."""
    assert server.stderr is not None
    async for line in lines_of(server.stderr):
        show_log(line, screen)
        if '"event": "listening"' in line:
            task_status.started(json.loads(line)["port"])


async def play(folder: str, screen: Screen) -> int:
    """Start both, stop the server, return the exit code."""
    server = await start_server(folder)
    try:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(show_server, server, screen)
            screen.show("demo", f"the server listens on port {port}, its accounts are in {folder}")
            client_code = await run_client(port, screen)
            screen.show("demo", "SIGTERM: the server stops")
            server.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
        server_code = await server.wait()
    finally:
        await kill(server)
    screen.show("demo", f"client ended with {client_code}, server with {server_code}")
    return 0 if client_code == 0 and server_code == 0 else 1


async def demo() -> int:
    """The whole demo, under a deadline."""
    with tempfile.TemporaryDirectory(prefix="wsock-demo-") as folder:
        with trio.move_on_after(DEADLINE_S):
            return await play(folder, Screen())
    print(f"demo: not done after {DEADLINE_S:g} s", file=sys.stderr)
    return 1


def main() -> int:
    """Run the demo; returns the exit code."""
    code = 130
    try:
        code = trio.run(demo, restrict_keyboard_interrupt_to_checkpoints=True)
    except* KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
