"""The database of a label store: connections, transactions, and the task that it belongs to."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from prefrl.labels.codec import StoreError
from prefrl.labels.schema import (
    META,
    SCHEMA_VERSION,
    check_tables,
    create_tables,
    without_tuples,
)


class Database:
    """A label store's tables, in one SQLite file or in another database.

    What a commit promises: when a method that adds returns, what it added is on disk and survives
    the death of any process and, on a disk that keeps its own promises, a loss of power. Each such
    call is one transaction: all of it is stored, or nothing. Several processes and threads may hold
    a store open at once, each through an object that its own process opened; a file must lie on a
    local disk. Writers queue for up to 30 s, so labels become visible in the order of their
    positions and a reader that looks from its last position on misses none.

    SQLite keeps a rollback journal. Its write-ahead log is avoided: until SQLite 3.51.3 two
    connections that write could corrupt it (https://sqlite.org/wal.html#walresetbug).

    Attributes:
        name: The database in messages, without a password.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self.name = name

    @classmethod
    def create(cls, where: str | Path, fingerprint: Mapping[str, Any]) -> Self:
        """A new store.

        Args:
            where: A path, or the URL of a database as SQLAlchemy writes it.
            fingerprint: Names the task whose clips are stored; JSON values.

        Raises:
            StoreError: There is a store already, or it cannot be written.
        """
        store = cls(*_connect(where))
        with store._closed_on_error(), store.transaction() as connection:
            create_tables(connection, store.name, fingerprint)
        return store

    @classmethod
    def open(cls, where: str | Path) -> Self:
        """The store that was created there.

        Raises:
            StoreError: There is none, or it has another schema version.
        """
        engine, name = _connect(where)
        path = engine.url.database
        if engine.dialect.name == "sqlite" and not (path and Path(path).is_file()):
            raise StoreError(f"{name}: there is no such file")
        return cls._checked(engine, name)

    @classmethod
    def open_to_read(cls, path: Path) -> Self:
        """The store in a file, opened so that nothing in it can be changed.

        Raises:
            StoreError: There is none, or it has another schema version; or a process died while
                it wrote, and whoever opens it to write has to mend it first.
        """
        query = {"mode": "ro", "uri": "true"}
        url = sa.URL.create("sqlite", database=path.absolute().as_uri(), query=query)
        engine = sa.create_engine(url)
        _prepare_sqlite(engine)
        return cls._checked(engine, str(path))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self, writes: bool = False) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, nothing of it where an error was raised.

        Raises:
            StoreError: The database refuses; begins with its name.
        """
        # One thread at a time, readers too: SQLite would let whoever commits sleep, up to 25 ms at
        # a time, until nobody reads.
        try:
            with self._turn, self._engine.begin() as connection:
                if writes:  # to own the one row of meta is to be the only writer, in any database
                    connection.execute(META.update().values(schema_version=SCHEMA_VERSION))
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{self.name}: {_first_line(error)}") from error

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The task whose clips are stored."""
        with self.transaction() as connection:
            return dict(connection.scalars(sa.select(META.c.fingerprint)).one())

    def check_fingerprint(self, other: Mapping[str, Any]) -> None:
        """Refuse to be used for another task.

        Raises:
            StoreError: The first key that differs, with both values.
        """
        mine, theirs = self.fingerprint, without_tuples(other)
        for key in mine | theirs:
            if mine.get(key) != theirs.get(key):
                raise StoreError(
                    f"{self.name}: these labels are of another task: "
                    f"{key} is {mine.get(key)!r} there and {theirs.get(key)!r} here"
                )

    @classmethod
    def _checked(cls, engine: sa.Engine, name: str) -> Self:
        store = cls(engine, name)
        with store._closed_on_error(), store.transaction() as connection:
            check_tables(connection, name)
        return store

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def _connect(where: str | Path) -> tuple[sa.Engine, str]:
    """The database, and its name for messages (without a password)."""
    try:
        if isinstance(where, str) and "://" in where:
            url = sa.make_url(where)
            engine = sa.create_engine(url)
        else:
            url = sa.URL.create("sqlite", database=str(where))
            engine = sa.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"no database of this kind: {_first_line(error)}") from error
    if engine.dialect.name != "sqlite":
        return engine, engine.url.render_as_string()
    _prepare_sqlite(engine)
    return engine, str(engine.url.database)


def _prepare_sqlite(engine: sa.Engine) -> None:
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions too late
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = DELETE")
    # Beyond FULL: the journal's removal, which is the commit, is on disk before it returns.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")


def _first_line(error: Exception) -> str:
    """What the database itself said, in one line."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
