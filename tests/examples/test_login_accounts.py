"""Accounts and tokens in the database: what is one step stays one step."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from examples.login_server.accounts import MIGRATIONS, Account, Accounts, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator


#: The URL of a database to test with besides SQLite, whose tables of the login server are dropped:
#: postgresql+psycopg://user@127.0.0.1/test
OTHER = os.environ.get("LOGIN_TEST_DATABASE", "")


@pytest.fixture(params=["sqlite", *([OTHER] if OTHER else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'folder' / 'accounts.db'}"
    engine = sa.create_engine(OTHER)
    with engine.begin() as connection:
        for table in ("login_tokens", "login_accounts", "login_schema"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
    engine.dispose()
    return OTHER


@pytest.fixture
def accounts(url: str) -> Iterator[Accounts]:
    made = Accounts(url)
    made.migrate()
    yield made
    made.close()


def account_of(accounts: Accounts, name: str = "bob") -> Account:
    """A new account with the hash "old"."""
    assert accounts.create(name, "old", now=0)
    found = accounts.find(name)
    assert found is not None
    return found


def test_a_name_is_given_once(accounts: Accounts) -> None:
    """Also to two that come at the same time: the table decides, not the look before."""
    barrier = threading.Barrier(4)
    outcomes: list[bool] = []

    def register() -> None:
        barrier.wait()
        outcomes.append(accounts.create("bob", "hash", now=0))

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_what_was_created_is_found(accounts: Accounts) -> None:
    """Under its name only."""
    account = account_of(accounts)
    assert (account.name, account.password, account.version) == ("bob", "old", 1)
    assert accounts.find("Bob") is None
    assert "old" not in repr(account)


def test_accounts_survive_the_process(url: str, accounts: Accounts) -> None:
    """A second opening of the file finds the same account and has nothing to migrate."""
    account = account_of(accounts)
    accounts.close()
    again = Accounts(url)
    assert again.migrate() == 0
    assert again.find("bob") == account
    again.close()


def test_a_token_names_its_account_until_it_expires(accounts: Accounts) -> None:
    """The second of its end it is unknown."""
    account = account_of(accounts)
    assert accounts.open_token(account, "t1", now=100, expires=200, keep=16)
    found = accounts.find_by_token("t1", now=199)
    assert found is not None
    assert found.name == "bob"
    assert accounts.find_by_token("t1", now=200) is None
    assert accounts.find_by_token("t2", now=100) is None


def test_a_token_is_ended_once(accounts: Accounts) -> None:
    """The second logout finds nothing, nor does one after the expiry."""
    account = account_of(accounts)
    accounts.open_token(account, "t1", now=0, expires=100, keep=16)
    accounts.open_token(account, "t2", now=0, expires=100, keep=16)
    assert accounts.close_token("t1", now=50)
    assert not accounts.close_token("t1", now=50)
    assert accounts.find_by_token("t1", now=50) is None
    assert not accounts.close_token("t2", now=100)


def test_an_account_keeps_its_newest_tokens(accounts: Accounts) -> None:
    """One more than allowed ends the oldest, of this account only."""
    bob, ann = account_of(accounts), account_of(accounts, "ann")
    accounts.open_token(ann, "a0", now=0, expires=1000, keep=3)
    for number in range(5):
        accounts.open_token(bob, f"t{number}", now=number, expires=1000, keep=3)
    alive = [d for d in ("t0", "t1", "t2", "t3", "t4", "a0") if accounts.find_by_token(d, 10)]
    assert alive == ["t2", "t3", "t4", "a0"]


def test_the_new_token_stays_even_if_it_is_the_only_one_allowed(accounts: Accounts) -> None:
    """Tokens of the same second do not push out the one just given."""
    account = account_of(accounts)
    for number in range(3):
        accounts.open_token(account, f"t{number}", now=7, expires=1000, keep=1)
    assert [d for d in ("t0", "t1", "t2") if accounts.find_by_token(d, 8)] == ["t2"]


def test_changing_the_password_ends_every_token_but_the_new_one(accounts: Accounts) -> None:
    """A copied token is worth nothing after PASSWD."""
    account = account_of(accounts)
    for digest in ("mine", "stolen"):
        accounts.open_token(account, digest, now=0, expires=1000, keep=16)
    assert accounts.change_password(account, "new", "mine", "fresh", now=1, expires=1000)
    alive = [d for d in ("mine", "stolen", "fresh") if accounts.find_by_token(d, 2)]
    assert alive == ["fresh"]
    found = accounts.find("bob")
    assert found is not None
    assert (found.password, found.version) == ("new", 2)


def test_of_two_password_changes_that_proved_the_same_password_one_wins(
    accounts: Accounts,
) -> None:
    """The second proved a password that is no longer the account's."""
    account = account_of(accounts)
    for digest in ("a", "b"):
        accounts.open_token(account, digest, now=0, expires=1000, keep=16)
    assert accounts.change_password(account, "first", "a", "a2", now=1, expires=1000)
    assert not accounts.change_password(account, "second", "b", "b2", now=1, expires=1000)
    found = accounts.find("bob")
    assert found is not None
    assert found.password == "first"
    assert accounts.find_by_token("b2", now=2) is None


def test_a_login_that_overlaps_a_password_change_gets_no_token(accounts: Accounts) -> None:
    """It proved the old password."""
    proved = account_of(accounts)
    accounts.open_token(proved, "a", now=0, expires=1000, keep=16)
    accounts.change_password(proved, "new", "a", "b", now=1, expires=1000)
    assert not accounts.open_token(proved, "late", now=1, expires=1000, keep=16)
    assert accounts.find_by_token("late", now=2) is None


def test_a_password_change_with_a_token_that_ended_meanwhile_does_nothing(
    accounts: Accounts,
) -> None:
    """LOGOUT came between."""
    account = account_of(accounts)
    accounts.open_token(account, "a", now=0, expires=1000, keep=16)
    accounts.close_token("a", now=1)
    assert not accounts.change_password(account, "new", "a", "b", now=1, expires=1000)
    found = accounts.find("bob")
    assert found is not None
    assert found.password == "old"


def test_a_token_of_another_account_does_not_change_this_ones_password(
    accounts: Accounts,
) -> None:
    """Token and account must belong together."""
    bob, ann = account_of(accounts), account_of(accounts, "ann")
    accounts.open_token(ann, "a", now=0, expires=1000, keep=16)
    assert not accounts.change_password(bob, "new", "a", "b", now=1, expires=1000)


def test_a_new_hash_of_the_same_password_keeps_logins_under_way(accounts: Accounts) -> None:
    """Rehashing is no change of password: the version stays."""
    account = account_of(accounts)
    assert accounts.replace_hash(account, "stronger")
    assert not accounts.replace_hash(account, "again")
    assert accounts.open_token(account, "t", now=0, expires=1000, keep=16)


def test_purge_removes_what_has_expired(accounts: Accounts) -> None:
    """And nothing else."""
    account = account_of(accounts)
    accounts.open_token(account, "old", now=0, expires=10, keep=16)
    accounts.open_token(account, "new", now=0, expires=20, keep=16)
    assert accounts.purge(now=10) == 1
    assert accounts.find_by_token("new", now=10) is not None


def test_the_file_is_its_owners_alone_and_writes_ahead(url: str, accounts: Accounts) -> None:
    """Mode 600, its side files too; WAL with full synchronisation."""
    if url == OTHER:
        pytest.skip("SQLite's file is meant")
    account_of(accounts)
    database = sa.make_url(url).database
    assert database is not None
    folder = Path(database).parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("accounts.db", "accounts.db-wal", "accounts.db-shm"), 0o600)
    with accounts._engine.connect() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


def test_a_transaction_has_the_write_lock_from_its_beginning(url: str, accounts: Accounts) -> None:
    """One that read first, and then could not have it, would fail where it may only wait."""
    if url == OTHER:
        pytest.skip("SQLite's lock is meant")
    with accounts._engine.begin():
        other = sqlite3.connect(str(sa.make_url(url).database), timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_steps_run_once_and_in_order(url: str) -> None:
    """A newer program adds its step to an older one's tables."""
    old = Accounts(url)
    assert old.migrate() == len(MIGRATIONS)
    old.create("bob", "hash", now=0)
    old.close()

    def add_column(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE login_accounts ADD COLUMN mail TEXT")

    new = Accounts(url, [*MIGRATIONS, add_column])
    assert new.migrate() == 1
    assert new.migrate() == 0
    assert new.find("bob") is not None
    new.close()


def test_a_step_that_fails_leaves_the_tables_as_they_were(url: str) -> None:
    """Half a migration is none."""

    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (x integer)")
        raise KeyError

    broken = Accounts(url, [*MIGRATIONS, fail])
    with pytest.raises(KeyError):
        broken.migrate()
    broken.close()
    again = Accounts(url)
    assert again.migrate() == len(MIGRATIONS)
    again.close()


def test_tables_of_a_later_version_are_refused(url: str) -> None:
    """An old program does not guess what a new one meant."""
    new = Accounts(url, [*MIGRATIONS, lambda _connection: None])
    new.migrate()
    new.close()
    old = Accounts(url)
    with pytest.raises(SchemaError, match="version 2"):
        old.migrate()
    old.close()


def test_an_error_does_not_tell_a_statements_parameters(accounts: Accounts) -> None:
    """Hashes and names stay out of exceptions, and so out of logs."""
    with accounts._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE login_accounts RENAME TO elsewhere")
    with pytest.raises(sa.exc.DBAPIError) as caught:
        accounts.create("bob", "very-secret-hash", now=0)
    with accounts._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO login_accounts")
    assert "very-secret-hash" not in str(caught.value)


def test_readers_do_not_wait_for_a_writer(accounts: Accounts) -> None:
    """A transaction under way does not hold up WHOAMI."""
    account = account_of(accounts)
    with accounts._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE login_accounts SET version = 9")
        assert accounts.find("bob") == account
