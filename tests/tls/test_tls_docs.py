"""docs/tls.md keeps its word: its listings run, verbatim."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import wsock

if TYPE_CHECKING:
    import ssl

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text("utf-8")


@pytest.fixture
def page(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> dict[str, Any]:
    """The names that the listings make, in their order; only the contexts are the test's."""
    found: dict[str, Any] = {}
    for listing in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(listing, "tls.md", "exec"), found)
    found["SecureEcho"].context = server_context
    found["SecureCaller"].context = client_context
    return found


async def test_the_server_and_the_client(page: dict[str, Any]) -> None:
    """hello comes back."""
    async with wsock.Window() as home, wsock.Window() as window, trio.open_nursery() as nursery:
        echo, caller = page["SecureEcho"](home), page["SecureCaller"](window)
        echo.create(address="127.0.0.1")
        echo.listen()
        nursery.start_soon(home.run)
        caller.create()
        caller.connect(echo.socket.getsockname())
        with trio.fail_after(10):
            assert await window.run() == 0
        assert caller.answer == b"hello"
        echo.close()
        while any(row["state"] == "CONNECTED" for row in wsock.netstat()):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_the_filter(page: dict[str, Any], server_context: ssl.SSLContext) -> None:
    """The client over two functions: here those of a blocking socket, in a thread."""
    import socket

    near, far = socket.socketpair()

    async def answer() -> None:
        stream = trio.SSLStream(
            wsock.SocketStream(wsock.from_stdlib_socket(near)), server_context, server_side=True
        )
        async with stream:
            async for data in stream:
                await stream.send_all(data.upper())

    with far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            context = page["SecureCaller"].context
            ask = partial(page["ask"], context, far.sendall, partial(far.recv, 65536), b"hello")
            assert await trio.to_thread.run_sync(ask) == b"HELLO"
