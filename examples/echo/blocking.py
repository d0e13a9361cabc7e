"""Echo, blocking: a task per client, and calls that wait.

Watch: the code reads from top to bottom, as with threads, and ``recv`` blocks only the task that
calls it. Back-pressure comes by itself: who waits in ``send_all`` does not read.
"""

from __future__ import annotations

import trio

import wsock


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Accept clients for ever, a task each."""
    async with trio.open_nursery() as nursery:
        with wsock.create_server(("127.0.0.1", port)) as listener:
            task_status.started(listener.getsockname()[1])
            while True:
                sock, _ = await listener.accept()
                nursery.start_soon(echo, sock)


async def echo(sock: wsock.Socket) -> None:
    """Serve one client until it closes or is gone."""
    with sock:
        try:
            while data := await sock.recv(65536):
                await sock.send_all(data)
        except ConnectionError as problem:
            print(f"client lost: {problem}")
