"""The commands of the pages run: those that end by themselves, and the servers with their client.

What would make environments (make, pip) is looked up instead: its goals and extras exist.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from tests.pages import ROOT, Page, every_page
from wsock._cli import cli

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 120
WITH_A_SERVER = (
    "python -m examples.echo message 7000",
    "python -m examples.echo.client 7000",
    "wsock tdimon -m examples.echo message 7000",
)
OF_TDIMON = [one for one in Page("docs/tdimon.md").commands if one not in WITH_A_SERVER]
COMMANDS = [
    command
    for command in dict.fromkeys(command for page in every_page() for command in page.commands)
    if command not in WITH_A_SERVER and command not in OF_TDIMON
]

#: The scripts that the pages name: a pair in one process, and a server with its client.
SCRIPTS = {
    "echo.py": """
import trio, wsock

async def main():
    with wsock.create_server(("127.0.0.1", 0)) as listener, wsock.socket() as near:
        await near.connect(listener.getsockname())
        far, peer = await listener.accept()
        with far:
            await near.send(bytes(2000))
            print(len(await far.recv(4096)), "bytes")

trio.run(main)
""",
    "server.py": """
import sys, trio

async def serve(stream):
    async for data in stream:
        await stream.send_all(data)

trio.run(trio.serve_tcp, serve, int((*sys.argv[1:], 7000)[0]))
""",
    "client.py": """
import trio

async def main():
    async with await trio.open_tcp_stream("server", 7000) as stream:
        await stream.send_all(b"hello")
        print(await stream.receive_some())

trio.run(main)
""",
}


#: What the text names in passing; those are not run, but what they name exists.
IN_THE_TEXT = [
    (page.name, command)
    for page in every_page()
    for command in re.findall(r"`wsock ([a-z][^`|]*)[^`]*`", page.prose)
]


def words(command: str) -> list[str]:
    """The command with this interpreter."""
    found = shlex.split(command)
    if found[0] == "wsock":
        return [sys.executable, "-m", *found]
    assert found[0] == "python", command
    return [sys.executable, *found[1:]]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}


def run(command: str, folder: Path) -> str:
    """Run it to its end; it succeeds. What it prints."""
    ended = subprocess.run(
        words(command),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, (command, ended.stdout[-1000:], ended.stderr[-2000:])
    return ended.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("page", "command"), IN_THE_TEXT)
def test_a_command_that_the_text_names(page: str, command: str) -> None:
    """It is one of ours, with the options and the sub-command that it is given there."""
    del page
    context = click.Context(cli)
    name, *rest = shlex.split(command)
    found = cli.get_command(context, name)
    assert found is not None
    if isinstance(found, click.Group) and rest and re.fullmatch("[a-z]+", rest[0]):
        found = found.get_command(context, rest.pop(0))
    elif isinstance(found, click.Group) and rest:
        found = found.get_command(context, "run")
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts} | {"--host"}
    assert known.issuperset(word for word in rest if re.match(r"-\w|--\w", word))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:50])
def test_a_command_that_ends_by_itself(command: str, folder: Path) -> None:
    """With exit code 0, in a folder that has nothing but the scripts of the pages."""
    first = command.split()[0]
    if first == "make":
        goals = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert command.split()[1] in goals
    elif first == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (name, extra) = re.fullmatch(r'pip install "?(\w+)(?:\[(\w+)\])?"?', command).groups()
        assert name == project["name"]
        assert extra is None or extra in project["optional-dependencies"]
    elif command.startswith("python -m benchmarks"):  # minutes, and other packages
        program, *options = shlex.split(command)[2:]
        shown = run(f"python -m {program} --help", folder)
        assert all(one in shown for one in options if one.startswith("--"))
    else:
        assert run(command, folder)


def test_the_story_of_the_monitors_page(folder: Path) -> None:
    """Watch a script, save, show, draw, compare: in the order of the page, in one folder."""
    for command in OF_TDIMON:
        if "diff" in command:
            for name in ("monday", "tuesday"):
                (folder / f"{name}.jsonl").write_bytes((folder / "run.jsonl").read_bytes())
        printed = run(command, folder)
        if "--profile tdimon-2003" in command:
            assert "TDI_CONNECT" in printed
    assert (folder / "run.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("command", [one for one in WITH_A_SERVER if ".client" not in one], ids=str)
def test_a_server_and_its_client(command: str, folder: Path) -> None:
    """Only the port is another: any free one. Ctrl-C ends the server."""
    with subprocess.Popen(
        words(command.replace("7000", "0")),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stderr is not None
            while not (listening := re.search(r"port (\d+)", line := server.stderr.readline())):
                assert line, "the server ended before it listened"
            client = f"python -m examples.echo.client {listening[1]} hello"
            assert run(client, folder) == "hello\n"
            server.send_signal(signal.SIGINT)
            printed, _ = server.communicate(timeout=PATIENCE_S)
        finally:
            server.kill()
    assert ("TDI_ACCEPT" in printed) == ("tdimon" in command)
