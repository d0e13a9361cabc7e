# Accounts and tokens in a database, through SQLAlchemy Core.
#
# Rule 1: plain functions that may wait for the disk. The server calls them in threads only.
# Rule 2: what must not come apart is one transaction, and a transaction that decides by what it
#         read locks the account's row first (SQLite: the whole file, by BEGIN IMMEDIATE).
# Rule 3: ``version`` counts an account's passwords. A token is given, and a password replaced,
#         only for the version that was proved; a login that overlaps a PASSWD loses, instead of
#         getting a token for a password that is no longer good.
# Rule 4: what an exception says never has the parameters of a statement (hide_parameters).
"""The tables of accounts and tokens."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.pool import ConnectionPoolEntry

DatabaseError: Final = sa.exc.SQLAlchemyError  # what every method below may raise

_METADATA: Final = sa.MetaData()
_SCHEMA: Final = sa.Table(
    "login_schema",
    _METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)
_ACCOUNTS: Final = sa.Table(
    "login_accounts",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("password", sa.String(255), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
_TOKENS: Final = sa.Table(
    "login_tokens",
    _METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("account", sa.ForeignKey(_ACCOUNTS.c.id), nullable=False, index=True),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
)


def _create(connection: sa.Connection) -> None:
    _METADATA.create_all(connection, tables=[_ACCOUNTS, _TOKENS])


# One step per schema version, never changed once released; a new version is a new step.
MIGRATIONS: Final[tuple[Callable[[sa.Connection], None], ...]] = (_create,)


class SchemaError(RuntimeError):
    """The database was made by a newer version of this program."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as one look at the table found it."""

    id: int
    name: str
    password: str = field(repr=False)
    version: int


class Accounts:
    """Accounts and their tokens. All times are whole seconds since 1970; safe in any thread."""

    def __init__(
        self, url: str, migrations: Sequence[Callable[[sa.Connection], None]] = MIGRATIONS
    ) -> None:
        self._migrations = migrations
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _make_private(parsed.database)
        self._engine = sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
        if parsed.get_backend_name() == "sqlite":
            sa.event.listen(self._engine, "connect", _set_pragmas)
            sa.event.listen(self._engine, "begin", _begin_immediate)

    def migrate(self) -> int:
        """Bring the tables to this program's version. Returns how many steps that took.

        Raises:
          SchemaError: the tables are of a later version.
        """
        with self._engine.begin() as connection:
            _SCHEMA.create(connection, checkfirst=True)
            current = connection.scalar(sa.select(sa.func.max(_SCHEMA.c.version))) or 0
            if current > len(self._migrations):
                raise SchemaError(f"database version {current}, program {len(self._migrations)}")
            for number, step in enumerate(self._migrations[current:], current + 1):
                step(connection)
                connection.execute(_SCHEMA.insert().values(version=number))
        return len(self._migrations) - current

    def close(self) -> None:
        """Close the pool's connections."""
        self._engine.dispose()

    def create(self, name: str, password: str, now: int) -> bool:
        """Add an account. False: there is one of that name (also if it came at the same time)."""
        statement = _ACCOUNTS.insert().values(name=name, password=password, version=1, created=now)
        try:
            with self._engine.begin() as connection:
                connection.execute(statement)
        except sa.exc.IntegrityError:
            return False
        return True

    def find(self, name: str) -> Account | None:
        """The account of that name."""
        return self._one(_select_account().where(_ACCOUNTS.c.name == name))

    def find_by_token(self, digest: str, now: int) -> Account | None:
        """The account whose token this is, if it has not ended or expired."""
        query = _select_account().join(_TOKENS, _TOKENS.c.account == _ACCOUNTS.c.id)
        return self._one(query.where(_TOKENS.c.digest == digest, _TOKENS.c.expires > now))

    def open_token(self, account: Account, digest: str, now: int, expires: int, keep: int) -> bool:
        """Give the account a token, ending its oldest ones so that it has at most ``keep``.

        Returns:
          False, and nothing done, if the password was changed since ``account`` was read.
        """
        with self._engine.begin() as connection:
            if not _lock(connection, account):
                return False
            _add_token(connection, account.id, digest, now, expires)
            newest = (
                sa.select(_TOKENS.c.digest)
                .where(_TOKENS.c.account == account.id, _TOKENS.c.digest != digest)
                .order_by(_TOKENS.c.created.desc(), _TOKENS.c.digest)
                .limit(keep - 1)
            )
            kept = connection.scalars(newest).all()
            connection.execute(
                _TOKENS.delete().where(
                    _TOKENS.c.account == account.id, _TOKENS.c.digest.not_in([digest, *kept])
                )
            )
        return True

    def close_token(self, digest: str, now: int) -> bool:
        """End a token. False: it had ended or expired already."""
        with self._engine.begin() as connection:
            gone = connection.execute(
                _TOKENS.delete().where(_TOKENS.c.digest == digest, _TOKENS.c.expires > now)
            )
        return gone.rowcount == 1

    def change_password(
        self, account: Account, password: str, old: str, new: str, now: int, expires: int
    ) -> bool:
        """Replace the password, end every token of the account, give it a new one.

        Args:
          account: as it was when its old password was proved.
          password: the new hash.
          old: digest of the token the client showed.
          new: digest of the token it gets.
          now: the time.
          expires: when the new token ends.

        Returns:
          False, and nothing done, if the password was changed or the token ended meanwhile.
        """
        with self._engine.begin() as connection:
            if not _lock(connection, account):
                return False
            mine = _TOKENS.c.account == account.id
            live = sa.select(_TOKENS.c.digest).where(
                mine, _TOKENS.c.digest == old, _TOKENS.c.expires > now
            )
            if connection.scalar(live) is None:
                return False
            connection.execute(
                _ACCOUNTS.update()
                .where(_ACCOUNTS.c.id == account.id)
                .values(password=password, version=account.version + 1)
            )
            connection.execute(_TOKENS.delete().where(mine))
            _add_token(connection, account.id, new, now, expires)
        return True

    def replace_hash(self, account: Account, password: str) -> bool:
        """Store the same password's new hash. False: it was changed meanwhile, nothing done."""
        statement = (
            _ACCOUNTS.update()
            .where(_ACCOUNTS.c.id == account.id, _ACCOUNTS.c.password == account.password)
            .values(password=password)
        )
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def purge(self, now: int) -> int:
        """Delete expired tokens. Returns how many."""
        with self._engine.begin() as connection:
            return connection.execute(_TOKENS.delete().where(_TOKENS.c.expires <= now)).rowcount

    def _one(self, query: sa.Select[tuple[int, str, str, int]]) -> Account | None:
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Account(row.id, row.name, row.password, row.version)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """A connection for one SELECT: without BEGIN IMMEDIATE, so that readers never queue."""
        options = {"isolation_level": "AUTOCOMMIT"}
        with self._engine.connect().execution_options(**options) as connection:
            yield connection


def _select_account() -> sa.Select[tuple[int, str, str, int]]:
    return sa.select(_ACCOUNTS.c.id, _ACCOUNTS.c.name, _ACCOUNTS.c.password, _ACCOUNTS.c.version)


def _lock(connection: sa.Connection, account: Account) -> bool:
    """Hold the account's row until the transaction ends; whether it is of the same version."""
    query = sa.select(_ACCOUNTS.c.version).where(_ACCOUNTS.c.id == account.id).with_for_update()
    return connection.scalar(query) == account.version


def _add_token(
    connection: sa.Connection, account: int, digest: str, now: int, expires: int
) -> None:
    connection.execute(
        _TOKENS.insert().values(digest=digest, account=account, created=now, expires=expires)
    )


def _make_private(database: str | None) -> None:
    """Create the file readable by its owner alone; SQLite's own side files take its mode."""
    if database and database != ":memory:" and not database.startswith("file:"):
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))


def _set_pragmas(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """WAL: readers do not wait for the writer. FULL: an ``OK`` survives a power cut."""
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "busy_timeout = 5000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at once: a lock taken after a read can fail, and a retry is no answer."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
