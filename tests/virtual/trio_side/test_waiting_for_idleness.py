"""wait_all_tasks_blocked on a virtual network: what was sent has arrived, no time has passed."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from wsock.virtual import Network

TURNS = 20


async def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        near = await trio.open_tcp_stream(*listener.socket.getsockname())
        return near, await listener.accept()


@pytest.mark.parametrize("turn", range(TURNS))
def test_what_was_sent_on_a_fast_network_has_arrived(turn: int) -> None:
    """As on a machine's loopback: the reader has it when idleness is told, every time."""
    network = Network(seed=turn)
    network.host("localhost")

    async def main() -> None:
        near, far = await pair()
        got: list[bytes] = []

        async def read() -> None:
            async for data in far:
                got.append(bytes(data))  # noqa: PERF401  (one by one, as they come)

        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(10):
                await near.send_all(b"%d" % number)
                await wait_all_tasks_blocked()
                assert got == [b"%d" % n for n in range(number + 1)]
            nursery.cancel_scope.cancel()
        assert trio.current_time() < 5

    network.run(main)


@pytest.mark.parametrize("turn", range(TURNS))
def test_no_time_passes_while_somebody_waits_for_idleness(turn: int) -> None:
    """As with Trio's autojump clock; so a deadline does not fire before the test goes on."""
    network = Network(seed=turn)
    network.host("localhost")

    async def main() -> None:
        with trio.fail_after(30):
            for _ in range(20):
                await wait_all_tasks_blocked()
        assert trio.current_time() == 0
        await trio.sleep(5)
        assert trio.current_time() == 5

    network.run(main)


@pytest.mark.parametrize("time", [0.0, 5.0])
def test_what_goes_wrong_while_the_network_moves_is_raised(time: float) -> None:
    """From attach, whether the pump moved it or the end of an instant did."""
    network = Network()
    network.host("localhost")

    def broken() -> None:
        raise KeyError("mine")

    async def main() -> None:
        await trio.sleep(1)
        network.at(network.time + time, broken)
        await trio.sleep_forever()

    with pytest.raises(KeyError, match="mine"):
        network.run(main)
