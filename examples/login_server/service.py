# What the commands do: accounts, passwords, tokens and limits put together.
#
#   server        sockets, messages           who sends and who waits
#   session       order, limits of one client
# > service       REGISTER, LOGIN, ...         THIS FILE: a command in, an Answer out
#   accounts, passwords, tokens, limits        the parts
#
# Rule 1: nothing here knows a socket. ``execute`` may be cancelled at any await; then nothing was
#         done, or (in its last database call) all of it.
# Rule 2: an unknown name and a wrong password take the same path: one SELECT, one Argon2 check,
#         the same counting, the same words.
# Rule 3: order of the checks: form (free), back-off (free), queue (free), hash. So the cheap
#         answers stay cheap under attack.
"""The login service without the network."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, assert_never

import trio

from .accounts import Account, DatabaseError
from .limits import Backoff, LoginGuard
from .names import NotAllowedError, check_new_password, clean_name, clean_password
from .passwords import HashPool, PoolBusyError
from .protocol import ChangePassword, Code, Login, Logout, Quit, Register, Reply, WhoAmI
from .tokens import digest, new_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from .accounts import Accounts
    from .limits import Limits
    from .log import Log
    from .passwords import Passwords
    from .protocol import Command

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to: the reply, and whose login it proved, if any."""

    reply: Reply
    name: str | None = None


_BUSY = Answer(Reply(Code.BUSY, "too many logins at the moment, try again"))
_DENIED = Answer(Reply(Code.DENIED, "wrong name or password"))
_NO_TOKEN = Answer(Reply(Code.TOKEN, "the token is unknown or has ended"))
_TAKEN = Answer(Reply(Code.TAKEN, "the name is taken"))
_UNAVAILABLE = Answer(Reply(Code.UNAVAILABLE, "the accounts cannot be reached, try again"))


class Service:
    """Executes commands. One for all connections; any number of tasks may be in ``execute``."""

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        limits: Limits,
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._limits = limits
        self._log = log
        self._wall = wall
        self._guard = LoginGuard(limits, clock)
        self._registrations = Backoff(
            free=limits.registrations_per_peer,
            first=limits.backoff_peer_seconds,
            longest=limits.forget_seconds,
            forget=limits.forget_seconds,
            max_keys=limits.tracked_keys,
            clock=clock,
        )
        self.pool = HashPool(
            threads=limits.hash_threads,
            waiting=limits.hash_waiting,
            waiting_per_peer=limits.hash_waiting_per_peer,
        )
        self._database = trio.CapacityLimiter(limits.database_threads)

    async def execute(self, command: Command, peer: str) -> Answer:
        """Do what ``command`` says for the peer ``peer`` (a ``limits.peer_key``).

        Returns:
          The answer. Failures of the client, of the database and a full queue are answers too.

        Raises:
          Exception: something nobody expected; the caller logs it and resets that one client.
        """
        try:
            match command:
                case Register():
                    return await self._register(command, peer)
                case Login():
                    return await self._login(command, peer)
                case WhoAmI():
                    return await self._who_am_i(command)
                case Logout():
                    return await self._logout(command)
                case ChangePassword():
                    return await self._change_password(command, peer)
                case Quit():
                    return Answer(Reply(Code.OK, "bye"))
                case _:
                    assert_never(command)
        except PoolBusyError:
            return _BUSY
        except DatabaseError as error:
            self._log.failure("database", error)
            return _UNAVAILABLE

    async def purge(self) -> int:
        """Delete expired tokens; returns how many. For a task that does so now and then."""
        return await self._in_database(self._accounts.purge, self._now())

    async def _register(self, command: Register, peer: str) -> Answer:
        try:
            name = clean_name(command.name)
        except NotAllowedError as problem:
            return Answer(Reply(Code.NAME, str(problem)))
        password = clean_password(command.password)
        try:
            check_new_password(password, name)
        except NotAllowedError as problem:
            return Answer(Reply(Code.PASSWORD, str(problem)))
        if wait := self._registrations.wait(peer):
            return _retry(wait)
        self._registrations.begin(peer)
        if await self._in_database(self._accounts.find, name) is not None:
            return _TAKEN
        try:
            hashed = await self.pool.run(peer, self._passwords.hash, password)
        except PoolBusyError:
            self._registrations.forgive(peer)
            raise
        if not await self._in_database(self._accounts.create, name, hashed, self._now()):
            return _TAKEN
        return Answer(Reply(Code.OK, name))

    async def _login(self, command: Login, peer: str) -> Answer:
        try:
            name = clean_name(command.name)
        except NotAllowedError as problem:
            return Answer(Reply(Code.NAME, str(problem)))
        if wait := self._guard.wait(peer, name):
            return _retry(wait)
        password = clean_password(command.password)
        account = await self._prove(name, password, peer)
        if account is None:
            return _DENIED
        await self._rehash(account, password, peer)
        token = new_token()
        now = self._now()
        given = await self._in_database(
            self._accounts.open_token,
            account,
            digest(token),
            now,
            self._expiry(now),
            self._limits.tokens_per_account,
        )
        # Not given: the password was changed in this moment, so this one is wrong by now.
        return Answer(Reply(Code.OK, token), name) if given else _DENIED

    async def _who_am_i(self, command: WhoAmI) -> Answer:
        account = await self._find_by_token(command.token)
        if account is None:
            return _NO_TOKEN
        return Answer(Reply(Code.OK, account.name), account.name)

    async def _logout(self, command: Logout) -> Answer:
        ended = await self._in_database(
            self._accounts.close_token, digest(command.token), self._now()
        )
        return Answer(Reply(Code.OK)) if ended else _NO_TOKEN

    async def _change_password(self, command: ChangePassword, peer: str) -> Answer:
        account = await self._find_by_token(command.token)
        if account is None:
            return _NO_TOKEN
        password = clean_password(command.new)
        try:
            check_new_password(password, account.name)
        except NotAllowedError as problem:
            return Answer(Reply(Code.PASSWORD, str(problem)))
        if wait := self._guard.wait(peer, account.name):  # a stolen token is no guessing machine
            return _retry(wait)
        proved = await self._prove(account.name, clean_password(command.old), peer)
        if proved is None:
            return _DENIED
        hashed = await self.pool.run(peer, self._passwords.hash, password)
        token = new_token()
        now = self._now()
        changed = await self._in_database(
            self._accounts.change_password,
            proved,
            hashed,
            digest(command.token),
            digest(token),
            now,
            self._expiry(now),
        )
        return Answer(Reply(Code.OK, token), account.name) if changed else _DENIED

    async def _prove(self, name: str, password: str, peer: str) -> Account | None:
        """The account, if that is its password. Counts the attempt, and forgives a right one."""
        self._guard.begin(peer, name)
        try:
            account = await self._in_database(self._accounts.find, name)
            stored = self._passwords.decoy if account is None else account.password
            right = await self.pool.run(peer, self._passwords.verify, stored, password)
        except (PoolBusyError, DatabaseError):
            self._guard.forgive(peer, name)
            raise
        if account is None or not right:
            return None
        self._guard.succeeded(peer, name)
        return account

    async def _rehash(self, account: Account, password: str, peer: str) -> None:
        """Bring an old hash to today's parameters. Not now is no failure: the next login will."""
        if not self._passwords.outdated(account.password):
            return
        try:
            hashed = await self.pool.run(peer, self._passwords.hash, password)
        except PoolBusyError:
            return
        await self._in_database(self._accounts.replace_hash, account, hashed)

    async def _find_by_token(self, token: str) -> Account | None:
        return await self._in_database(self._accounts.find_by_token, digest(token), self._now())

    async def _in_database(self, fn: Callable[..., T], *args: object) -> T:
        return await trio.to_thread.run_sync(fn, *args, limiter=self._database)

    def _now(self) -> int:
        return int(self._wall())

    def _expiry(self, now: int) -> int:
        return now + math.ceil(self._limits.token_seconds)


def _retry(wait: float) -> Answer:
    return Answer(Reply(Code.RETRY, f"{math.ceil(wait)} seconds from now"))
