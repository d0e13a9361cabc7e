# What each layer costs: one recv_nowait and one send_nowait of 64 bytes, from the bottom up.
#
#   python -m benchmarks.micro [--json FILE]
#
# The lowest object is a stub that answers at once, so that the price of a layer is seen and not
# drowned by 5 us of system call; the system's own call stands in the table beside it. Each figure
# is the smallest of many repeats: what disturbs only ever adds.

from __future__ import annotations

import argparse
import json
import socket as std
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

import wsock
from benchmarks.report import markdown
from wsock import FD_CLOSE, FD_READ, WM_USER
from wsock._message_loop import serve_batch
from wsock.kernel.stream import KernelStream

if TYPE_CHECKING:
    from collections.abc import Callable

DATA: Final = bytes(64)
READ_BYTES: Final = 65536
BATCH: Final = 50

Step = tuple[str, float]


class StubStream(KernelStream):
    """A stream file whose system calls answer from a table, in 0.04 us."""

    __slots__ = ("recv", "send")  # in place of the C type's methods


def seconds(statement: Callable[[], object], calls: int = 2000, repeats: int = 60) -> float:
    """The smallest time of one call, in seconds."""
    return min(timeit.repeat(statement, number=calls, repeat=repeats)) / calls


def connected_pair() -> tuple[wsock.Socket, std.socket]:
    """A wsock socket and the system's socket that it is connected to."""
    near, far = std.socketpair()
    near.setblocking(False)
    return wsock.from_stdlib_socket(near), far


def stubbed(sock: wsock.Socket) -> Any:  # noqa: ANN401 (any layer's object)
    """Put the stub below a socket; returns its endpoint."""
    endpoint: Any = sock._endpoint
    real = endpoint.file
    stub: Any = StubStream(real.provider, real.family, real.type, real.proto)
    stub.recv = {READ_BYTES: DATA}.get
    stub.send = {DATA: len(DATA)}.get
    stub.connection = endpoint.connection
    endpoint.file = endpoint.connection.file = stub
    real.abandon()
    return endpoint


def system_step() -> Step:
    """The system's calls alone: send to oneself through a pair, receive it."""
    near, far = std.socketpair()
    with near, far:

        def both() -> None:
            near.send(DATA)
            far.recv(READ_BYTES)

        return "the system's send and recv", seconds(both)


def ladder(sock: wsock.Socket, endpoint: Any) -> list[Step]:  # noqa: ANN401
    """recv and send through ever more layers, above the stub."""
    file, connection = endpoint.file, endpoint.connection

    def nothing() -> None:
        pass

    def stub() -> None:
        file.recv(READ_BYTES, 0)
        file.send(DATA, 0)

    def kernel() -> None:
        file.recv(READ_BYTES, 0)
        file.transmit(DATA, 0)

    def tdi() -> None:
        connection.read(READ_BYTES)
        connection.send(DATA, 0)

    def afd() -> None:
        endpoint.recv(READ_BYTES)
        endpoint.send(DATA)

    def socket() -> None:
        sock.recv_nowait(READ_BYTES)
        sock.send_nowait(DATA)

    steps = {"nothing": nothing, "stub in place of the system": stub, "+ kernel file": kernel}
    steps |= {"+ tdi connection": tdi, "+ afd endpoint": afd, "+ Socket": socket}
    return [(name, seconds(step)) for name, step in steps.items()]


def notification_steps(sock: wsock.Socket, endpoint: Any) -> list[Step]:  # noqa: ANN401
    """From the reactor's call to a message in the queue, and from there to a procedure."""
    window = wsock.Window()
    sock.async_select(window, WM_USER, FD_READ | FD_CLOSE)
    queue = window.queue
    ready = 5  # EPOLLIN | EPOLLOUT: what the reactor usually sees

    def post() -> None:
        for _ in range(BATCH):
            endpoint.file.ready(ready)
            endpoint.armed |= FD_READ

    def post_and_serve() -> None:
        post()
        serve_batch(queue, procedure, None)

    def procedure(message: wsock.Message) -> None:
        pass

    def post_and_drop() -> None:
        post()
        queue._messages.clear()

    posting = seconds(post_and_drop, 50) / BATCH
    serving = seconds(post_and_serve, 50) / BATCH - posting
    window.close()
    return [("readiness to posted message", posting), ("queue to procedure", serving)]


async def get_step() -> Step:
    """`await window.get()` of a message that waits already: mostly the checkpoint."""
    window = wsock.Window()
    smallest = float("inf")
    for _ in range(20):
        for _ in range(BATCH):
            window.post(WM_USER)
        began = trio.current_time()
        for _ in range(BATCH):
            await window.get()
        smallest = min(smallest, (trio.current_time() - began) / BATCH)
    return "await window.get()", smallest


async def measure() -> list[Step]:
    """All steps, in seconds."""
    sock, far = connected_pair()
    with far:
        endpoint = stubbed(sock)
        steps = [*ladder(sock, endpoint), *notification_steps(sock, endpoint), await get_step()]
        sock.close()
    return [system_step(), *steps]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    steps = trio.run(measure)
    print(markdown(["one recv and one send", "us"], [[n, f"{s * 1e6:.3f}"] for n, s in steps]))
    if options.json:
        options.json.write_text(json.dumps(dict(steps), indent=1))


if __name__ == "__main__":
    main()
