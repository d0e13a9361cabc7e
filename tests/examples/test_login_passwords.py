"""Passwords: Argon2id with the parameters asked for, and a queue that has an end."""

from __future__ import annotations

import threading

import argon2
import pytest
import trio
import trio.testing
from login_world import wait_for

from examples.login_server.passwords import Argon2Cost, HashPool, Passwords, PoolBusyError

SMALL = Argon2Cost(memory_kib=8, passes=1, lanes=1)


def test_the_default_is_owasps() -> None:
    """Argon2id, 19 MiB, two passes, one lane."""
    assert Passwords().decoy.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_verifies_its_password_only() -> None:
    """And two hashes of one password differ."""
    passwords = Passwords(SMALL)
    stored = passwords.hash("correct horse")
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "correct horsf")
    assert stored != passwords.hash("correct horse")


def test_a_damaged_hash_is_no_wrong_password() -> None:
    """It is an error that somebody must look at."""
    with pytest.raises(argon2.exceptions.InvalidHashError):
        Passwords(SMALL).verify("not a hash", "x")


def test_hashes_with_other_parameters_are_outdated() -> None:
    """They still verify; the next login makes them anew."""
    old, new = Passwords(SMALL), Passwords(Argon2Cost(memory_kib=16, passes=1, lanes=1))
    stored = old.hash("correct horse")
    assert new.verify(stored, "correct horse")
    assert new.outdated(stored)
    assert not old.outdated(stored)


class Gate:
    """Work for a pool that lasts until opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def work(self, value: int) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._open.wait(30)
        with self._lock:
            self.running -= 1
        return value

    def open(self) -> None:
        self._open.set()


async def test_at_most_so_many_threads_and_then_a_queue_in_order() -> None:
    """Two run, the others wait and come in the order they asked."""
    gate, pool, done = Gate(), HashPool(threads=2, waiting=3, waiting_per_peer=9), list[int]()

    async def ask(number: int) -> None:
        done.append(await pool.run("peer", gate.work, number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        assert pool.calls == 5
        assert done == []
        await wait_for(lambda: gate.running == 2)
        gate.open()
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert gate.most == 2
    assert pool.calls == 0


async def test_a_full_queue_answers_at_once_and_does_nothing() -> None:
    """The caller is told; those in the queue are not touched."""
    gate, pool, done = Gate(), HashPool(threads=1, waiting=1, waiting_per_peer=9), list[int]()

    async def ask(number: int) -> None:
        done.append(await pool.run("peer", gate.work, number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(PoolBusyError):
            await pool.run("another", gate.work, 3)
        gate.open()
    assert sorted(done) == [1, 2]


async def test_one_peer_gets_a_part_of_the_queue_only() -> None:
    """A peer with many connections leaves room for others."""
    gate, pool = Gate(), HashPool(threads=1, waiting=9, waiting_per_peer=2)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(pool.run, "greedy", gate.work, 0)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(PoolBusyError):
            await pool.run("greedy", gate.work, 0)
        nursery.start_soon(pool.run, "other", gate.work, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert pool.calls == 3
        gate.open()


async def test_a_cancelled_caller_leaves_the_queue() -> None:
    """Its work never runs, its place is free again."""
    gate, pool, ran = Gate(), HashPool(threads=1, waiting=1, waiting_per_peer=9), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run, "peer", gate.work, 0)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as waiting:
                waiting.start_soon(pool.run, "peer", ran.append, 1)
                await trio.testing.wait_all_tasks_blocked()
                assert pool.calls == 2
                scope.cancel()
        assert pool.calls == 1
        gate.open()
    assert ran == []


async def test_an_exception_of_the_work_reaches_the_caller_and_frees_the_place() -> None:
    """As itself."""
    pool = HashPool(threads=1, waiting=1, waiting_per_peer=1)
    with pytest.raises(ZeroDivisionError):
        await pool.run("peer", divmod, 1, 0)
    assert pool.calls == 0
