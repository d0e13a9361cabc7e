"""Servers with workers, their clients, and what both look at: for the tests of serve_processes."""

from __future__ import annotations

import os
import socket as std
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import programs
import trio

import wsock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HOST = "127.0.0.1"
PATIENCE_S = 30.0
LOOK_S = 0.01


@asynccontextmanager
async def serving(
    function: Callable[..., Awaitable[object]] = programs.echo,
    *addresses: tuple[str, int] | std.socket,
    **options: Any,
) -> AsyncIterator[wsock.ProcessServer]:
    """A server with two workers (or as the options say), killed at the end if it still runs."""
    addresses = addresses or ((HOST, 0),)
    options = {"workers": 2, "signals": False} | options
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            serve = partial(wsock.serve_processes, function, *addresses, **options)
            yield await nursery.start(serve)
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    """Other processes tell nobody of what they do: look until ``condition()`` holds."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(LOOK_S)


async def connected(server: wsock.ProcessServer) -> trio.SocketStream:
    return await trio.open_tcp_stream(*server.addresses[0])


async def served_by(stream: trio.SocketStream, word: bytes = b"hi") -> int:
    """Send ``word``; the process number of the worker that echoed it."""
    await stream.send_all(word)
    number, _, echoed = (await stream.receive_some(100)).partition(b":")
    assert echoed == word
    return int(number)


async def ask(server: wsock.ProcessServer) -> int:
    """One client that comes, says a word, and goes; who served it."""
    async with await connected(server) as stream:
        return await served_by(stream)


def gone(pid: int) -> bool:
    """Whether no process has this number any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    with std.socket() as probe:
        return bool(probe.connect_ex((HOST, port)))


async def ask_port(port: int) -> int:
    """As ``ask``, of a program that may not listen yet."""
    while True:
        try:
            stream = await trio.open_tcp_stream(HOST, port)
        except OSError:
            await trio.sleep(LOOK_S)
            continue
        async with stream:
            return await served_by(stream)
