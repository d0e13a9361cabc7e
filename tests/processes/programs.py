"""What the workers of these tests run. Each finds its function here by its name."""

from __future__ import annotations

import os
import signal
import sys

import trio

import wsock
from wsock import FD_ACCEPT, FD_CLOSE, FD_READ, WM_USER


async def echo(worker: wsock.Worker) -> None:
    """Answer each message with this process's number and the message."""

    def procedure(message: wsock.Message) -> None:
        if message.event == FD_ACCEPT:
            message.socket.accept_nowait()
        elif message.event == FD_READ:
            data = message.socket.recv_nowait(65536)
            message.socket.send_all_nowait(b"%d:%s" % (os.getpid(), data))
        else:
            message.socket.close()

    async with wsock.Window() as window:
        worker.listener.async_select(window, WM_USER, FD_ACCEPT | FD_READ | FD_CLOSE)
        await window.run(procedure, on_error=wsock.reset_client)


async def blocking_echo(worker: wsock.Worker) -> None:
    """The same with a task for each client."""

    async def serve(sock: wsock.Socket) -> None:
        with sock:
            while data := await sock.recv(65536):
                await sock.send(b"%d:%s" % (os.getpid(), data))

    async with trio.open_nursery() as nursery:
        while True:
            sock, _ = await worker.listener.accept()
            nursery.start_soon(serve, sock)


async def one_at_a_time(worker: wsock.Worker) -> None:
    """The same, but the next client is taken when this one has gone."""
    while True:
        sock, _ = await worker.listener.accept()
        with sock:
            while data := await sock.recv(65536):
                await sock.send(b"%d:%s" % (os.getpid(), data))


async def fail(worker: wsock.Worker) -> None:
    """A program with a mistake in it."""
    raise LookupError(f"worker {worker.index} is not well")


async def slow_to_start(worker: wsock.Worker, gate: str) -> None:
    """Ready once the file ``gate`` exists."""
    while not await trio.Path(gate).exists():  # noqa: ASYNC110 (nobody tells of files)
        await trio.sleep(0.01)
    worker.ready()
    await echo(worker)


async def farewell(worker: wsock.Worker) -> None:
    """Tells each client when this worker has been asked to leave, and lets it go."""
    async with trio.open_nursery() as nursery:

        async def serve(sock: wsock.Socket) -> None:
            with sock:
                await sock.send(b"hello")
                await worker.stopping.wait()
                await sock.send(b" bye")

        while True:
            sock, _ = await worker.listener.accept()
            nursery.start_soon(serve, sock)


async def closes_its_listener(worker: wsock.Worker) -> None:
    """Takes one client, and when asked to leave says that this was the last one."""
    sock, _ = await worker.listener.accept()
    with sock:
        await sock.send(b"hello")
        await worker.stopping.wait()
        worker.listener.close()
        while data := await sock.recv(100):
            await sock.send(data)


async def tells_what_is_blocked(worker: wsock.Worker) -> None:
    """Sends each client the signals that this process keeps from being delivered."""
    while True:
        sock, _ = await worker.listener.accept()
        with sock:
            await sock.send(repr(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))).encode())


async def cleans_up(worker: wsock.Worker, mark: str) -> None:
    """Writes the file ``mark`` on its way out."""
    try:
        await echo(worker)
    finally:
        with trio.CancelScope(shield=True):
            await trio.Path(mark).write_text("done", encoding="utf-8")


if __name__ == "__main__":
    port = int(sys.argv[1])
    trio.run(lambda: wsock.serve_processes(echo, ("127.0.0.1", port), workers=2))
