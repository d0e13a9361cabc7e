# What each layer costs: one recv_nowait and one send_nowait of 64 bytes, from the bottom up.
#
#   python -m benchmarks.micro [--fast] [-o FILE.json]     (pyperf's options)
#
# The lowest object is a stub that answers at once, so that the price of a layer is seen and not
# drowned by 5 us of system call; the system's own call stands in the table beside it. pyperf
# calibrates, runs each rung in several processes, and warns of a noisy machine. How many packets a
# second the virtual network carries: python -m benchmarks.virtual_network.

from __future__ import annotations

import socket as std
import sys
import time
from ctypes import c_ulong
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio

import wsock
from benchmarks.report import markdown
from wsock import FD_CLOSE, FD_READ, WM_USER
from wsock._message_loop import serve_until_idle
from wsock.kernel.stream import KernelStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA: Final = bytes(64)
READ_BYTES: Final = 65536
BATCH: Final = 50
#: pyperf's defaults, 20 processes, take five minutes.
PROCESSES: Final = 6


class Rung(NamedTuple):
    """One figure: ``seconds(loops)`` does it ``loops`` times, each of ``inner`` alike parts."""

    name: str
    seconds: Callable[[int], float]
    inner: int = 1


def timed(statement: Callable[[], object]) -> Callable[[int], float]:
    """How long so many calls of ``statement`` take."""

    def seconds(loops: int) -> float:
        began = time.perf_counter()
        for _ in range(loops):
            statement()
        return time.perf_counter() - began

    return seconds


class StubStream(KernelStream):
    """A stream file whose system calls answer from a table, in 0.04 us."""

    __slots__ = ("recv", "recv_into", "send")  # in place of the C type's methods


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
    stub.recv_into = lambda room, count, flags=0: len(DATA)
    stub.send = {DATA: len(DATA)}.get
    stub.connection = endpoint.connection
    endpoint.file = endpoint.connection.file = stub
    endpoint.connection.open_way()
    real.abandon()
    return endpoint


def system_rung() -> Iterator[Rung]:
    """The system's calls alone: send to oneself through a pair, receive it."""
    near, far = std.socketpair()
    with near, far:

        def both() -> None:
            near.send(DATA)
            far.recv(READ_BYTES)

        yield Rung("the system's send and recv", timed(both))


def ladder(sock: wsock.Socket, endpoint: Any) -> list[Rung]:  # noqa: ANN401
    """recv and send through ever more layers, above the stub."""
    file, connection = endpoint.file, endpoint.connection

    def nothing() -> None:
        pass

    def stub() -> None:
        file.recv(READ_BYTES, 0)
        file.send(DATA, 0)

    def tdi() -> None:
        connection.recv(READ_BYTES)
        connection.send(DATA, 0)

    def afd() -> None:
        endpoint.recv(READ_BYTES)
        endpoint.send(DATA)

    def socket() -> None:
        sock.recv_nowait(READ_BYTES)
        sock.send_nowait(DATA)

    # The kernel's file is the system's socket itself, and nobody watches: nothing lies between. The
    # connection object is on the way only of what is traced.
    steps = {"nothing": nothing, "stub in place of the system": stub}
    steps |= {"+ tdi connection, if traced": tdi, "+ afd endpoint": afd, "+ Socket": socket}
    return [Rung(name, timed(step)) for name, step in steps.items()]


def notifications(sock: wsock.Socket, endpoint: Any) -> Iterator[Rung]:  # noqa: ANN401
    """From the reactor's call to a message in the queue, and from there to a procedure."""
    window = wsock.Window()
    sock.async_select(window, WM_USER, FD_READ | FD_CLOSE)
    queue = window.queue

    def post() -> None:
        for _ in range(BATCH):
            endpoint.file.reader.on_readable()
            endpoint.armed |= FD_READ

    def post_and_serve() -> None:
        post()
        serve_until_idle(queue, procedure, None)

    def procedure(message: wsock.Message) -> None:
        pass

    def post_and_drop() -> None:
        post()
        queue._messages.clear()

    yield Rung("readiness to posted message", timed(post_and_drop), BATCH)
    yield Rung("the same, and served by a procedure", timed(post_and_serve), BATCH)
    window.close()


def window_get(loops: int) -> float:
    """`await window.get()` of a message that waits already: mostly the checkpoint."""

    async def get() -> float:
        spent = 0.0
        async with wsock.Window() as window:
            for _ in range(loops):
                for _ in range(BATCH):
                    window.post(WM_USER)
                began = time.perf_counter()
                for _ in range(BATCH):
                    await window.get()
                spent += time.perf_counter() - began
        return spent

    return trio.run(get)


def c_face(loops: int) -> float:
    """recv and send of wsock.win32, above the same stub."""
    from wsock import win32
    from wsock.win32._sockets import _with_handle

    def program() -> float:
        sock, far = connected_pair()
        with far:
            stubbed(sock)
            # As a socket that win32 made; one of the Python face is looked up anew in each call.
            handle, room, size = _with_handle(sock), bytearray(READ_BYTES), len(DATA)
            win32.ioctlsocket(handle, win32.FIONBIO, c_ulong(1))

            def both() -> None:
                win32.recv(handle, room, READ_BYTES, 0)
                win32.send(handle, DATA, size, 0)

            spent = timed(both)(loops)
            sock.close()
        return spent

    wsa = win32.WSADATA()

    def main() -> float:
        win32.WSAStartup(win32.MAKEWORD(2, 2), wsa)
        try:
            return program()
        finally:
            win32.WSACleanup()

    spent: float = win32.run(main)
    return spent


async def sockets_of_a_run(bench: Callable[[Rung], object]) -> None:
    """The rungs of one socket, which lives in a Trio run as all that serve do."""
    for rung in system_rung():
        bench(rung)
    sock, far = connected_pair()
    with far:
        endpoint = stubbed(sock)
        for rung in (*ladder(sock, endpoint), *notifications(sock, endpoint)):
            bench(rung)
        sock.close()


def climb(bench: Callable[[Rung], object]) -> None:
    """Hand every rung to ``bench``."""
    trio.run(sockets_of_a_run, bench)
    bench(Rung("await window.get()", window_get, BATCH))
    bench(Rung("recv and send of win32", c_face))


def main() -> None:
    """Measure with pyperf, print."""
    try:
        import pyperf
    except ImportError:
        sys.exit("pyperf is not installed here; `make bench` puts it into .venv-bench")
    runner = pyperf.Runner(processes=PROCESSES, program_args=("-m", "benchmarks.micro"))
    rows = []

    def bench(rung: Rung) -> None:
        found = runner.bench_time_func(rung.name, rung.seconds, inner_loops=rung.inner)
        if found is not None and not runner.args.worker:
            middle, spread = found.median() * 1e6, found.median_abs_dev() * 1e6
            rows.append([rung.name, f"{middle:.3f}", f"{spread:.3f}"])

    climb(bench)
    if rows:
        print(markdown(["one recv and one send", "us", "median deviation"], rows))


if __name__ == "__main__":
    main()
