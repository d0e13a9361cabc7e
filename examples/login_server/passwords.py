# Passwords: Argon2id, in a few threads, with a queue that has an end.
#
# Rule 1: a hash is 19 MiB and tens of milliseconds, and anybody may ask for one. So at most
#         ``threads`` run, at most ``waiting`` wait (of one peer fewer), and who comes then is told
#         at once (PoolBusyError -> BUSY). Nothing is counted, stored or half done for him.
# Rule 2: a password is checked against *something* also when there is no such account, so that
#         the time of the answer does not tell names. ``decoy`` is that something.
# Rule 3: a task that is cancelled while it waits leaves the queue; one whose thread runs waits for
#         the thread (Trio's rule), so the memory bound holds whatever clients do.
#
# Sources: RFC 9106; OWASP Password Storage Cheat Sheet (19 MiB, t=2, p=1).
"""Hashing and checking passwords, and the bounded pool of threads that does it."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import argon2
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """Argon2id's parameters. The defaults are OWASP's."""

    memory_kib: int = 19 * 1024
    passes: int = 2
    lanes: int = 1


class Passwords:
    """Argon2id with one set of parameters. Plain functions that take a CPU: call in a thread."""

    __slots__ = ("_hasher", "decoy")

    def __init__(self, cost: Argon2Cost | None = None) -> None:
        cost = Argon2Cost() if cost is None else cost
        self._hasher = argon2.PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self.decoy = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """A new hash with a random salt, in the PHC string form."""
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """Whether ``password`` has the hash ``stored``.

        Raises:
          argon2.exceptions.InvalidHashError: ``stored`` is no Argon2 hash: the table is damaged.
        """
        try:
            return self._hasher.verify(stored, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with other parameters and should be made anew."""
        return self._hasher.check_needs_rehash(stored)


class PoolBusyError(Exception):
    """The queue is full. Nothing was done; the client may come again."""


class HashPool:
    """Runs functions in at most ``threads`` threads; at most ``waiting`` more calls queue up."""

    __slots__ = ("_calls", "_limiter", "_most", "_most_per_peer", "_per_peer")

    def __init__(self, *, threads: int, waiting: int, waiting_per_peer: int) -> None:
        self._limiter = trio.CapacityLimiter(threads)
        self._most = threads + waiting
        self._most_per_peer = waiting_per_peer
        self._calls = 0
        self._per_peer: Counter[str] = Counter()

    @property
    def calls(self) -> int:
        """How many calls run or wait."""
        return self._calls

    async def run(self, peer: str, fn: Callable[..., T], *args: object) -> T:
        """Call ``fn(*args)`` in a thread. First come, first served.

        Args:
          peer: for whom; one peer gets only a part of the queue, so others find room.
          fn: a plain function.
          args: its arguments.

        Returns:
          What ``fn`` returned.

        Raises:
          PoolBusyError: all threads and all places in the queue are taken; ``fn`` did not run.
          Exception: whatever ``fn`` raised.
        """
        if self._calls >= self._most or self._per_peer[peer] >= self._most_per_peer:
            raise PoolBusyError
        self._calls += 1
        self._per_peer[peer] += 1
        try:
            return await trio.to_thread.run_sync(fn, *args, limiter=self._limiter)
        finally:
            self._calls -= 1
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]
