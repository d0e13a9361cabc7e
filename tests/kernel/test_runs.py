"""A reactor belongs to one run: sockets and windows of a stack in several, in turn and at once."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import trio

import wsock
from tests.providers import WM_SOCKET, World
from wsock import FD_READ

if TYPE_CHECKING:
    from tests.providers import Provider

# Plain functions here make runs of their own (trio.run): pytest-trio leaves them alone.


def test_two_runs_one_after_the_other(provider: Provider) -> None:
    """Each run has its reactor: sockets of a stack work in one run, and others in the next."""
    stack = provider.make_stack()

    async def main() -> None:
        world = World(provider)
        world.stack = stack
        pair = await world.pair()
        pair.far.send_nowait(b"abc")
        assert await pair.near.recv(9) == b"abc"
        world.close()

    trio.run(main)
    trio.run(main)
    assert stack.netstat() == []


#: What a crash leaves complains when it is collected: so this is a process of its own.
CRASH = """
import socket, sys, trio, wsock
stack = wsock.Stack(engine=sys.argv[1])

async def crash():
    wsock.socket(stack=stack).connect_ex(("127.0.0.1", 9))
    stack.turn()
    def abort(_):
        raise ValueError("no abort function may raise")
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.lowlevel.wait_task_rescheduled(abort)

async def main():
    near, far = socket.socketpair()
    with far, wsock.from_stdlib_socket(near, stack=stack) as sock:
        async with wsock.Window() as window:
            sock.async_select(window, wsock.WM_USER, wsock.FD_READ)
            far.send(b"x")
            print(window.get_nowait().event == wsock.FD_READ)

try:
    trio.run(crash)
except trio.TrioInternalError as error:
    kept = error  # with the frames of the run, which therefore is not over
    trio.run(main)
"""


def test_a_run_after_one_that_crashed(provider: Provider) -> None:
    """TrioInternalError leaves a run no chance to end its reactor: the next one has its own."""
    command = [sys.executable, "-c", CRASH, provider.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True\n"


def test_two_runs_at_once(provider: Provider) -> None:
    """One stack in two threads: each looks in its own run, also when they take turns."""
    stack = provider.make_stack()
    turns = threading.Barrier(2, timeout=20)
    seen: list[bytes] = []

    async def main() -> None:
        world = World(provider)
        world.stack = stack
        pair = await world.pair()
        async with wsock.Window() as window:
            pair.near.async_select(window, WM_SOCKET, FD_READ)
            for _ in range(20):
                pair.far.send_nowait(b"x")
                assert select.select([pair.near.fileno()], [], [], 5)[0]  # blocks: no pass of Trio
                turns.wait()
                assert window.get_nowait().socket is pair.near
                seen.append(pair.near.recv_nowait(9))
        world.close()

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [b"x"] * 40


def test_a_window_of_an_earlier_run_looks_in_the_present_one(provider: Provider) -> None:
    """What get_nowait finds comes from a look in this run, not in the one that is over."""
    window = wsock.Window()
    stack = provider.make_stack()

    async def main() -> None:
        world = World(provider)
        world.stack = stack
        pair = await world.pair()
        pair.near.async_select(window, WM_SOCKET, FD_READ)
        pair.far.send_nowait(b"x")
        assert select.select([pair.near.fileno()], [], [], 5)[0]  # blocks: no pass of the loop
        message = window.get_nowait()
        assert (message.socket, message.event) == (pair.near, FD_READ)
        world.close()

    trio.run(main)
    trio.run(main)
