"""What stands idle costs nothing: a message's work is the same beside a crowd and armed timers."""

from __future__ import annotations

import pytest

from tests.benchmarks.counting import executed

# Counts the lines executed while 40 messages are echoed one by one, beside so many idle
# connections (each with an armed FD_READ) or so many timers that are not due.
COUNT = """
import gc, socket, sys
import trio, wsock
from wsock import FD_CLOSE, FD_READ, WM_USER
gc.disable()
kind, amount = sys.argv[1], int(sys.argv[2])
def pair():
    near, far = socket.socketpair()
    near.setblocking(False)
    return wsock.from_stdlib_socket(near), far
def procedure(message):
    if message.message == WM_USER:
        message.socket.send_nowait(message.socket.recv_nowait(100))
async def main():
    async with wsock.Window() as window, trio.open_nursery() as nursery:
        crowd = [pair() for _ in range(amount if kind == "connections" else 0)]
        for near, far in crowd:
            near.async_select(window, WM_USER, FD_READ | FD_CLOSE)
        for number in range(amount if kind == "timers" else 0):
            window.set_timer(number + 1, 3600.0)
        sock, far = pair()
        far.setblocking(False)
        peer = trio.socket.from_stdlib_socket(far)
        sock.async_select(window, WM_USER, FD_READ | FD_CLOSE)
        nursery.start_soon(window.run, procedure)
        for turn in range(60):
            if turn == 20:
                sys.settrace(counting("line"))
            await peer.send(b"hello")
            await peer.recv(100)
        sys.settrace(None)
        nursery.cancel_scope.cancel()
    for near, far in crowd:
        near.close()
        far.close()
    sock.close()
trio.run(main)
"""


def lines(kind: str, amount: int) -> int:
    """The least of three counts: a wake-up that comes in two halves executes more."""
    return min(executed(COUNT, kind, str(amount)) for _ in range(3))


@pytest.mark.parametrize("kind", ["connections", "timers"])
def test_a_message_costs_the_same_beside_a_thousand_idle(kind: str) -> None:
    """To within a line in ten: not one more for each of them and tick."""
    alone, beside = lines(kind, 1), lines(kind, 1000)
    assert alone > 1_000
    assert beside < alone * 1.1
