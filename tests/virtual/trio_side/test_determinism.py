"""Unseeded runs with random PYTHONHASHSEED give one digest (D1); a test's seed decides races."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import trio
from deterministic_program import digests

from wsock.virtual.testing import LocalNetwork

if TYPE_CHECKING:
    import pytest

RUNS = 3


def test_all_runs_give_one_digest() -> None:
    """Trio's order of tasks is random in each; nothing of it reaches a wire."""
    found = digests(sys.executable, RUNS)
    assert len(set(found)) == 1
    assert int(found[0].split()[1]) > 1000


def race(seed: int) -> list[int]:
    """Ten tasks connect to one port in one instant; in which order they got their ports."""
    network = LocalNetwork(seed)
    ports: dict[int, int] = {}

    async def connect(number: int) -> None:
        async with await trio.open_tcp_stream("localhost", 80) as stream:
            ports[stream.socket.getsockname()[1]] = number

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, trio.aclose_forcefully, 80)
            async with trio.open_nursery() as clients:
                for number in range(10):
                    clients.start_soon(connect, number)
            nursery.cancel_scope.cancel()

    network.run(main)
    return [ports[port] for port in sorted(ports)]


def test_a_test_s_seed_decides_races_too() -> None:
    """On a network for tests Trio's order of tasks follows from the seed."""
    assert race(1) == race(1)
    assert any(race(seed) != race(1) for seed in range(2, 6))


def test_trio_is_as_random_as_before_afterwards() -> None:
    """The switch and the generator are put back."""
    from trio._core import _run

    before = (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate())
    with LocalNetwork(1)._repeatable_order():
        _run._r.random()
    assert (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()) == before


def test_a_trio_without_the_switch_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing test then says that its order is random."""
    from trio._core import _run

    monkeypatch.setattr(_run, "_r", None)
    network = LocalNetwork()

    with network._repeatable_order():
        assert network.order_is_random
    assert "no seed can fix" in network.report()
