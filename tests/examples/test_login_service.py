"""The commands without the network: what they do, and what they do not tell."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, TypeVar

import trio
from login_world import PEER, CountingPasswords, World, wait_for

from examples.login_server.passwords import Argon2Cost, HashPool, PoolBusyError
from examples.login_server.protocol import (
    ChangePassword,
    Code,
    Login,
    Logout,
    Quit,
    Register,
    Reply,
    WhoAmI,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


T = TypeVar("T")


async def test_register_login_whoami_logout(world: World) -> None:
    """The way through; after the logout the token is worth nothing."""
    token = await world.token()
    assert await world.do(WhoAmI(token)) == Reply(Code.OK, "bob")
    assert await world.do(Logout(token)) == Reply(Code.OK)
    assert (await world.do(WhoAmI(token))).code is Code.TOKEN
    assert (await world.do(Logout(token))).code is Code.TOKEN


async def test_only_a_proved_name_is_told_to_the_connection(world: World) -> None:
    """A name tried in vain may be a password typed in the wrong place."""
    wrong = await world.service.execute(Login("bob", "wrong"), PEER)
    right = await world.service.execute(Login("BOB", "correct-horse"), PEER)
    assert (wrong.name, right.name) == (None, "bob")


async def test_a_name_is_one_in_every_spelling(world: World) -> None:
    """Registering another spelling is TAKEN; logging in with it works."""
    assert (await world.do(Register("\uff22OB", "another-pass"))).code is Code.TAKEN
    assert (await world.do(Login("Bob", "correct-horse"))).ok


async def test_names_and_passwords_that_cannot_be_are_told(world: World) -> None:
    """With codes of their own, and without a hash."""
    hashed = world.passwords.hashed
    assert (await world.do(Register("a b", "long enough"))).code is Code.NAME
    assert (await world.do(Register("ann", "short"))).code is Code.PASSWORD
    assert (await world.do(Login("\u202e", "x"))).code is Code.NAME
    assert world.passwords.hashed == hashed


async def test_unknown_name_and_wrong_password_look_and_cost_the_same(world: World) -> None:
    """The same bytes, and one Argon2 check of the same parameters each."""
    replies, checks = [], []
    for name in ("bob", "nobody"):
        before = world.passwords.verified
        replies.append((await world.do(Login(name, "wrong password"))).encode())
        checks.append(world.passwords.verified - before)
    assert replies[0] == replies[1]
    assert checks == [1, 1]
    account = world.accounts.find("bob")
    assert account is not None
    assert account.password.split("$")[:4] == world.passwords.decoy.split("$")[:4]


async def test_failures_of_unknown_names_count_like_those_of_known_ones(
    make_world: Callable[..., World],
) -> None:
    """RETRY after the same number, so back-off tells no names either."""
    world = make_world(failures_per_name=3)
    await world.do(Register("bob", "correct-horse"))
    codes = {}
    for number, name in enumerate(("bob", "nobody")):
        replies = [await world.do(Login(name, "wrong"), f"192.0.2.{number}") for _ in range(4)]
        codes[name] = [reply.code for reply in replies]
    assert codes["bob"] == codes["nobody"] == [Code.DENIED] * 3 + [Code.RETRY]


async def test_while_waiting_even_the_right_password_is_not_tried(
    make_world: Callable[..., World],
) -> None:
    """Otherwise waiting would be no obstacle; the reply says how long."""
    world = make_world(failures_per_name=1, backoff_seconds=7)
    await world.do(Register("bob", "correct-horse"))
    await world.do(Login("bob", "wrong"))
    verified = world.passwords.verified
    reply = await world.do(Login("bob", "correct-horse"))
    assert (reply.code, reply.text.split()[0]) == (Code.RETRY, "7")
    assert world.passwords.verified == verified
    world.now += 7.0
    assert (await world.do(Login("bob", "correct-horse"))).ok


async def test_registrations_of_one_peer_are_limited(make_world: Callable[..., World]) -> None:
    """So nobody fills the table or lists the names that are taken."""
    world = make_world(registrations_per_peer=2)
    codes = [(await world.do(Register(f"user{n}", "correct-horse"))).code for n in range(3)]
    assert codes == [Code.OK, Code.OK, Code.RETRY]
    assert (await world.do(Register("user2", "correct-horse"), "192.0.2.2")).ok


async def test_a_token_expires(make_world: Callable[..., World]) -> None:
    """By the clock on the wall; purge takes it out of the table."""
    world = make_world(token_seconds=60)
    await world.do(Register("bob", "correct-horse"))
    token = await world.token()
    world.now += 60.0
    assert (await world.do(WhoAmI(token))).code is Code.TOKEN
    assert await world.service.purge() == 1


def contents(folder: Path) -> bytes:
    """Every byte of every file."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_the_table_has_no_token_and_no_password(world: World, tmp_path: Path) -> None:
    """Who reads the files cannot log in."""
    token = await world.token()
    world.accounts.close()
    stored = contents(tmp_path)
    assert b"$argon2id$" in stored
    assert token.encode() not in stored
    assert b"correct-horse" not in stored


async def test_passwd_ends_all_tokens_and_the_old_password(world: World) -> None:
    """The reply has the one token that is left."""
    mine, stolen = await world.token(), await world.token()
    reply = await world.do(ChangePassword(mine, "correct-horse", "better-battery"))
    assert reply.ok
    for old in (mine, stolen):
        assert (await world.do(WhoAmI(old))).code is Code.TOKEN
    assert await world.do(WhoAmI(reply.text)) == Reply(Code.OK, "bob")
    assert (await world.do(Login("bob", "correct-horse"))).code is Code.DENIED
    assert (await world.do(Login("bob", "better-battery"))).ok


async def test_passwd_wants_token_and_old_password(world: World) -> None:
    """Neither alone is enough, and a weak new one is refused."""
    token = await world.token()
    change = ChangePassword(token, "correct-horse", "better-battery")
    for wrong, code in (
        (dataclasses.replace(change, token="x"), Code.TOKEN),
        (dataclasses.replace(change, old="wrong"), Code.DENIED),
        (dataclasses.replace(change, new="short"), Code.PASSWORD),
    ):
        assert (await world.do(wrong)).code is code
    assert (await world.do(Login("bob", "correct-horse"))).ok


async def test_a_stolen_token_is_no_guessing_machine(make_world: Callable[..., World]) -> None:
    """PASSWD counts wrong old passwords as LOGIN does."""
    world = make_world(failures_per_name=3)
    await world.do(Register("bob", "correct-horse"))
    token = await world.token()
    codes = [
        (await world.do(ChangePassword(token, "guess", "better-battery"), "198.51.100.1")).code
        for _ in range(4)
    ]
    assert codes == [Code.DENIED] * 3 + [Code.RETRY]


async def test_two_passwd_at_once_one_wins(world: World) -> None:
    """Both proved the old password; the loser's new one is not set, and it is told so."""
    tokens = [await world.token(), await world.token()]
    replies: list[Reply] = []

    async def change(token: str, new: str) -> None:
        replies.append(await world.do(ChangePassword(token, "correct-horse", new)))

    world.passwords.gate.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(change, tokens[0], "new-password-0")
        nursery.start_soon(change, tokens[1], "new-password-1")
        await wait_for(lambda: world.passwords.verified == 4)
        world.passwords.gate.set()
    assert sorted(reply.code for reply in replies) == [Code.DENIED, Code.OK]
    logins = [await world.do(Login("bob", f"new-password-{n}")) for n in range(2)]
    assert sorted(reply.code for reply in logins) == [Code.DENIED, Code.OK]


async def test_a_full_queue_is_busy_and_costs_nothing(make_world: Callable[..., World]) -> None:
    """Not counted as a failure, nothing done; those in the queue get their answers."""
    world = make_world(hash_threads=1, hash_waiting=1, failures_per_peer=3)
    await world.do(Register("bob", "correct-horse"))
    replies: list[Reply] = []

    async def login() -> None:
        replies.append(await world.do(Login("bob", "correct-horse")))

    world.passwords.gate.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(login)
        nursery.start_soon(login)
        await wait_for(lambda: world.service.pool.calls == 2)
        for _ in range(20):
            assert (await world.do(Login("bob", "correct-horse"))).code is Code.BUSY
            assert (await world.do(Register("ann", "correct-horse"))).code is Code.BUSY
        world.passwords.gate.set()
    assert [reply.ok for reply in replies] == [True, True]
    assert (await world.do(Register("ann", "correct-horse"))).ok


async def test_concurrent_guesses_stop_at_the_limit(make_world: Callable[..., World]) -> None:
    """Thirty connections that guess at once make three guesses."""
    world = make_world(failures_per_name=3)
    await world.do(Register("bob", "correct-horse"))
    before = world.passwords.verified
    codes: list[Code] = []

    async def guess() -> None:
        codes.append((await world.do(Login("bob", "guess"))).code)

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(guess)
    assert world.passwords.verified - before == 3
    assert sorted(codes) == sorted([Code.DENIED] * 3 + [Code.RETRY] * 27)


async def test_a_login_brings_an_old_hash_to_todays_parameters(world: World) -> None:
    """Once; the password stays the same."""
    newer = Argon2Cost(memory_kib=16, passes=1, lanes=1)
    world.service = world.make_service(CountingPasswords(newer))
    assert (await world.do(Login("bob", "wrong"))).code is Code.DENIED
    before = world.accounts.find("bob")
    assert (await world.do(Login("bob", "correct-horse"))).ok
    after = world.accounts.find("bob")
    assert before is not None
    assert after is not None
    assert "m=8," in before.password
    assert "m=16," in after.password
    assert (await world.do(Login("bob", "correct-horse"))).ok
    assert world.accounts.find("bob") == after


async def test_an_old_hash_stays_while_the_pool_is_busy(world: World) -> None:
    """The login itself succeeds; the next one will renew the hash."""
    newer = CountingPasswords(Argon2Cost(memory_kib=16, passes=1, lanes=1))
    world.service = world.make_service(newer)

    class BusyForNewHashes(HashPool):
        async def run(self, peer: str, fn: Callable[..., T], *args: object) -> T:
            if fn == newer.hash:
                raise PoolBusyError
            return await super().run(peer, fn, *args)

    world.service.pool = BusyForNewHashes(threads=1, waiting=1, waiting_per_peer=1)
    before = world.accounts.find("bob")
    assert (await world.do(Login("bob", "correct-horse"))).ok
    assert world.accounts.find("bob") == before


async def test_of_two_registrations_at_once_one_gets_the_name(world: World) -> None:
    """Both found it free; the table decides."""
    codes: list[Code] = []

    async def register(password: str) -> None:
        codes.append((await world.do(Register("ann", password))).code)

    world.passwords.gate.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(register, "password-one")
        nursery.start_soon(register, "password-two")
        await wait_for(lambda: world.passwords.hashed == 3)  # bob's was the first
        world.passwords.gate.set()
    assert sorted(codes) == [Code.OK, Code.TAKEN]


async def test_a_cancelled_login_waits_for_its_thread_and_leaves_no_token(world: World) -> None:
    """The client went away while its password was hashed."""
    world.passwords.gate.clear()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.do, Login("bob", "correct-horse"))
            await wait_for(lambda: world.passwords.verified == 1)
            scope.cancel()
            world.passwords.gate.set()
    assert world.service.pool.calls == 0
    assert await world.service.purge() == 0
    with world.accounts._engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM login_tokens").scalar()
    assert count == 0


async def test_a_database_that_fails_is_unavailable_and_logged(world: World) -> None:
    """The client is told without details, the log has them without parameters."""
    with world.accounts._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE login_accounts RENAME TO gone")
    assert (await world.do(Login("bob", "correct-horse"))).code is Code.UNAVAILABLE
    line = json.loads(world.log.getvalue())
    assert (line["event"], line["error"]) == ("database", "OperationalError")
    assert "correct-horse" not in world.log.getvalue()


async def test_quit_says_bye(world: World) -> None:
    """As the README says."""
    assert await world.do(Quit()) == Reply(Code.OK, "bye")
