"""The ported lessons do what their C originals do."""

from __future__ import annotations

import io
import socket as std
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

pytest.importorskip("greenback")

from examples.win32 import (
    event_server,
    lesson_client,
    lesson_server,
    message_server,
    named_pipe,
    select_server,
    thread_server,
)
from wsock import win32

if TYPE_CHECKING:
    from types import ModuleType


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody holds right now."""
    with std.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("model", [thread_server, select_server, message_server, event_server])
async def test_echo_servers(model: ModuleType) -> None:
    """Three clients at once, one of which says nothing until the others are done."""
    port = free_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(win32.start, partial(model.main, port, clients=3))
        await wait_all_tasks_blocked()  # now it waits for clients
        silent, first, second = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        with trio.fail_after(30):
            for stream, text in ((first, b"one"), (second, b"two"), (first, b"three" * 300)):
                await stream.send_all(text)
                echo = b""
                while len(echo) < len(text):
                    echo += await stream.receive_some()
                assert echo == text
            await silent.send_all(b"at last")
            assert await silent.receive_some() == b"at last"
            for stream in (first, second, silent):
                await stream.aclose()


async def test_the_first_lesson(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Client and server, with the addresses of the lesson."""
    port = free_port("127.0.0.105")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(win32.start, lesson_server.main, port)
            await wait_all_tasks_blocked()  # now it waits for a client
            assert await win32.start(lesson_client.main, port) == 0
    shown = capsys.readouterr().out
    assert f"waiting on 127.0.0.105:{port}\n" in shown
    assert "client 127.0.0.103:" in shown
    assert "sent 1000\nsent 2000\n" in shown


def test_named_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    """Two clients on one instance."""
    assert win32.run(named_pipe.main) == 0
    assert capsys.readouterr().out == "first -> FIRST\nsecond -> SECOND\n"
