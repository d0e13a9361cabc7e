# Instructions of the server for a message: a figure that no neighbour on the machine can disturb.
#
#   python -m benchmarks.instructions [--servers message,uvloop_protocol] [--json FILE]
#
# valgrind's callgrind counts what the server executes, in user space only: what the kernel does for
# it is not in the figure, and an instruction is not a nanosecond. Each server runs twice, for few
# messages and for many; the difference is the messages' own. The client sends one message on each
# of CONNECTIONS connections, then waits for all the echoes, so the batches are the same for all.

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.cells import SERVERS, WSOCK
from benchmarks.environment import ROOT, ensure_environment
from benchmarks.report import markdown
from benchmarks.running import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS: Final = 10
FEW: Final = 100  # batches
MANY: Final = 400
SIZE: Final = 64
START_LIMIT_S: Final = 120.0  # valgrind is some fifty times slower than the machine

DEFAULT: Final = (*WSOCK[:5], "raw_epoll", "uvloop_protocol", "asyncio_protocol", "trio_socket")


class CountError(Exception):
    """The server did not run under callgrind; the text says why."""


@contextlib.contextmanager
def counted(python: Path, name: str, output: Path) -> Iterator[int]:
    """Run a server under callgrind; gives its port. It has ended, and ``output`` is whole, after.

    Raises:
      CountError: it did not start.
    """
    command = [
        *("valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", "-q"),
        *(str(python), "-m", f"benchmarks.servers.{name}", "0", "echo"),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield json.loads(first_line(process, START_LIMIT_S))["port"]
        finally:
            process.terminate()  # valgrind writes its file on the way out
            process.communicate()


def converse(port: int, batches: int) -> None:
    """Send so many batches of one message a connection, each after the echoes of the last."""
    message = bytes(SIZE)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            for _ in range(CONNECTIONS)
        ]
        for _ in range(batches):
            for client in clients:
                client.sendall(message)
            for client in clients:
                left = SIZE
                while left:
                    left -= len(client.recv(left))


def total(output: Path) -> int:
    """Return the instructions that callgrind's file counts in all.

    Raises:
      CountError: it holds no total.
    """
    text = output.read_text(encoding="utf-8") if output.exists() else ""
    found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if found is None:
        raise CountError("callgrind wrote no total")
    return int(found[1])


def instructions(python: Path, name: str, few: int = FEW, many: int = MANY) -> float:
    """Return the instructions of server ``name`` for one message.

    Raises:
      CountError, RunError: it did not run under callgrind.
    """
    totals = []
    with tempfile.TemporaryDirectory() as folder:
        for batches in (few, many):
            output = Path(folder, str(batches))
            with counted(python, name, output) as port:
                converse(port, batches)
            totals.append(total(output))
    return (totals[1] - totals[0]) / ((many - few) * CONNECTIONS)


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--servers", default=",".join(DEFAULT), help="by commas")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.servers.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"--servers {','.join(unknown)}: expected some of {', '.join(SERVERS)}")
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: instructions cannot be counted here")
    python = ensure_environment()
    counts = {name: instructions(python, name) for name in names}
    rows = [[name, f"{count:,.0f}"] for name, count in sorted(counts.items(), key=lambda x: x[1])]
    print(markdown(["server", "instructions a message, in user space"], rows))
    if options.json:
        options.json.write_text(json.dumps(counts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
