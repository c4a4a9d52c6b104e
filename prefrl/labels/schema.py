"""The tables of a label store, the connections to them, and questions that any table answers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from prefrl.labels.codec import StoreError

SCHEMA_VERSION = 1

SCHEMA = sa.MetaData()
META = sa.Table(
    "meta",
    SCHEMA,
    sa.Column("schema_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.JSON, nullable=False),
)
CLIPS = sa.Table(
    "clips",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("env_step", sa.BigInteger, nullable=False),
)
QUERIES = sa.Table(
    "queries",
    SCHEMA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("left", sa.ForeignKey(CLIPS.c.id), nullable=False),
    sa.Column("right", sa.ForeignKey(CLIPS.c.id), nullable=False),
    sa.Column("env_step", sa.BigInteger, nullable=False),
    sa.Column("snapshot_version", sa.Integer, nullable=False),
    sa.Column("repeat_of", sa.ForeignKey("queries.id")),
    sa.Column("asked_at", sa.Double, nullable=False),
)
LABELS = sa.Table(
    "labels",
    SCHEMA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(128), nullable=False, unique=True),
    sa.Column("query_id", sa.ForeignKey(QUERIES.c.id), nullable=False),
    sa.Column("labeler", sa.String(256), nullable=False),
    sa.Column("answer", sa.String(16), nullable=False),
    sa.Column("answered_at", sa.Double, nullable=False),
    sa.Column("time_to_answer_s", sa.Double, nullable=False),
    sa.Column("shown_left", sa.String(32), nullable=False),
    sa.Column("snapshot_version", sa.Integer, nullable=False),
    sa.Index("labels_by_query", "query_id", "labeler"),
)


def connect(where: str | Path) -> tuple[sa.Engine, str]:
    """The database, and its name for messages (without a password)."""
    try:
        if isinstance(where, str) and "://" in where:
            url = sa.make_url(where)
            engine = sa.create_engine(url)
        else:
            url = sa.URL.create("sqlite", database=str(where))
            engine = sa.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"no database of this kind: {first_line(error)}") from error
    if engine.dialect.name != "sqlite":
        return engine, engine.url.render_as_string()
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine, str(engine.url.database)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions too late
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = DELETE")
    # Beyond FULL: the journal's removal, which is the commit, is on disk before it returns.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def transaction(engine: sa.Engine, name: str, writes: bool = False) -> Iterator[sa.Connection]:
    """One transaction: committed at the end, nothing of it where an error was raised.

    Raises:
        StoreError: The database refuses; begins with the name.
    """
    try:
        with engine.begin() as connection:
            if writes:  # to own the one row of meta is to be the only writer, in any database
                connection.execute(META.update().values(schema_version=SCHEMA_VERSION))
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"{name}: {first_line(error)}") from error


def create_tables(connection: sa.Connection, name: str, fingerprint: Mapping[str, Any]) -> None:
    """Turn an empty database into a label store.

    Raises:
        StoreError: There is one already.
    """
    if set(sa.inspect(connection).get_table_names()) & set(SCHEMA.tables):
        raise StoreError(f"{name}: there is a label store already")
    SCHEMA.create_all(connection)
    row = {"schema_version": SCHEMA_VERSION, "fingerprint": without_tuples(fingerprint)}
    connection.execute(META.insert().values(row))


def check_tables(connection: sa.Connection, name: str) -> None:
    """Refuse a database that is no label store of this version.

    Raises:
        StoreError: There is none, or it has another schema version.
    """
    if not set(SCHEMA.tables) <= set(sa.inspect(connection).get_table_names()):
        raise StoreError(f"{name}: this is no label store")
    version = connection.scalar(sa.select(META.c.schema_version))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{name}: expected schema version {SCHEMA_VERSION} of a label store, got {version}"
        )


def known_ids(connection: sa.Connection, table: sa.Table, ids: Iterable[str]) -> set[str]:
    """Those of the ids that the table has."""
    return {
        id
        for some in in_parts(ids)
        for id in connection.scalars(sa.select(table.c.id).where(table.c.id.in_(some)))
    }


def refuse_unknown(
    connection: sa.Connection, name: str, table: sa.Table, ids: Iterable[str], noun: str
) -> None:
    """Refuse ids that the table lacks.

    Raises:
        StoreError: The first of them, called by the noun.
    """
    known = known_ids(connection, table, ids)
    for id in ids:
        if id not in known:
            raise StoreError(f"{name}: there is no {noun} {id!r}")


def all_rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    """A table's rows in order of position, ready to be given new positions."""
    columns = [column for column in table.c if column.name != "position"]
    rows = connection.execute(sa.select(*columns).order_by(table.c.position))
    return [dict(row) for row in rows.mappings()]


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in parts that fit into one statement (SQLite: 32,766 variables) and into memory."""
    listed = list(ids)
    for start in range(0, len(listed), 500):
        yield listed[start : start + 500]


def first_line(error: Exception) -> str:
    """What the database itself said, in one line."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def without_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of the values after a journey through JSON: tuples are lists."""
    return dict(json.loads(json.dumps(dict(values))))
