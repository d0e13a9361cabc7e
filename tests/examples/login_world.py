"""The login server in a test: small Argon2 parameters, a clock that moves when told, a gate."""

from __future__ import annotations

import dataclasses
import io
import threading
from typing import TYPE_CHECKING, TypeVar

import trio

from examples.login_server.accounts import Accounts
from examples.login_server.limits import Limits
from examples.login_server.log import Log
from examples.login_server.passwords import Argon2Cost, Passwords
from examples.login_server.protocol import Command, Login, Reply
from examples.login_server.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
SMALL = Argon2Cost(memory_kib=8, passes=1, lanes=1)
PEER = "192.0.2.1"


class CountingPasswords(Passwords):
    """Counts what is asked, and can be held up: ``gate`` is waited for in the thread."""

    __slots__ = ("gate", "hashed", "verified")

    def __init__(self, cost: Argon2Cost = SMALL) -> None:
        super().__init__(cost)
        self.hashed = 0
        self.verified = 0
        self.gate = threading.Event()
        self.gate.set()

    def hash(self, password: str) -> str:
        self.hashed += 1
        assert self.gate.wait(30)
        return super().hash(password)

    def verify(self, stored: str, password: str) -> bool:
        self.verified += 1
        assert self.gate.wait(30)
        return super().verify(stored, password)


class World:
    """A service over a database in memory's place, with a clock that moves when told."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.now = 1000.0
        self.log = io.StringIO()
        self.accounts = Accounts(f"sqlite:///{folder / 'accounts.db'}")
        self.accounts.migrate()
        self.passwords = CountingPasswords()
        self.limits = dataclasses.replace(Limits(), **limits)
        self.service = self.make_service(self.passwords)

    def make_service(self, passwords: Passwords) -> Service:
        return Service(
            self.accounts,
            passwords,
            self.limits,
            Log(self.log),
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    async def do(self, command: Command, peer: str = PEER) -> Reply:
        return (await self.service.execute(command, peer)).reply

    async def token(self, name: str = "bob", password: str = "correct-horse") -> str:
        reply = await self.do(Login(name, password))
        assert reply.ok
        return reply.text


async def wait_for(condition: Callable[[], bool]) -> None:
    """Let threads get to where ``condition`` holds; a test that never does ends in a time-out."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what changes it is a thread
            await trio.sleep(0.001)
