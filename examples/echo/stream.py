"""Echo, streams: wsock under Trio's own interfaces.

Watch: nothing here but the first line of ``serve`` is wsock's. Whatever takes a Trio stream or
listener takes these: ``trio.serve_listeners``, ``trio.SSLStream`` (see ``tls``), h11, h2 ...
"""

from __future__ import annotations

import trio

import wsock


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Let Trio accept, and start a task for each client."""
    listeners = await wsock.open_tcp_listeners(port, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, echo, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def echo(stream: trio.abc.Stream) -> None:
    """Serve one client until it closes or is gone."""
    async with stream:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError as problem:
            print(f"client lost: {problem}")
