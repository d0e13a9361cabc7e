"""The login server and its client as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
SMALL = ["--argon2-memory-kib", "8", "--argon2-passes", "1"]


class Process:
    """A server process; its log lines as they come."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.port = 0
        self.log: list[dict[str, Any]] = []
        self._rest = b""

    async def event(self, name: str) -> dict[str, Any]:
        """Read the log up to the next line of that event."""
        while True:
            while b"\n" not in self._rest:
                assert self.process.stderr is not None
                data = await self.process.stderr.receive_some(65536)
                assert data, self.log
                self._rest += data
            line, _, self._rest = self._rest.partition(b"\n")
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == name:
                return self.log[-1]

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def server(folder: Path, *options: str) -> AsyncIterator[Process]:
    """A server on a free port, with a fresh database."""
    command = [sys.executable, "-m", "examples.login_server", "--port", "0", *SMALL, *options]
    command += ["--database", f"sqlite:///{folder / 'accounts.db'}"]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stderr=subprocess.PIPE)
    async with ended(process) as running:
        running.port = (await running.event("listening"))["port"]
        yield running


@asynccontextmanager
async def ended(process: trio.Process) -> AsyncIterator[Process]:
    """The process, which does not outlive the block, nor the block a minute."""
    assert process.stderr is not None
    try:
        with trio.fail_after(60):
            yield Process(process)
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
            await process.stderr.aclose()


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    data = b""
    while end not in data:
        data += await stream.receive_some() or end
    return data


async def ask_client(port: int, script: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """The login client as a process, with that script."""
    command = [sys.executable, "-m", "examples.login_server.client", "--port", str(port)]
    return await trio.run_process(
        [*command, "--script", "-", *options],
        stdin=script.encode(),
        cwd=ROOT,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
