"""The tables of a label store, and questions that any table answers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from prefrl.labels.codec import StoreError
from prefrl.types import Label, Query

SCHEMA_VERSION = 2

SCHEMA = sa.MetaData()
META = sa.Table(
    "meta",
    SCHEMA,
    sa.Column("schema_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.JSON, nullable=False),
    sa.Column("trained_position", sa.Integer, nullable=False),
)
CLIPS = sa.Table(
    "clips",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("env_step", sa.BigInteger, nullable=False),
)
SHEETS = sa.Table(
    "sheets",
    SCHEMA,
    sa.Column("clip_id", sa.ForeignKey(CLIPS.c.id), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("columns", sa.Integer, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("frames", sa.Integer, nullable=False),
    sa.Column("frames_per_second", sa.Double, nullable=False),
    sa.Column("png", sa.LargeBinary, nullable=False),
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
    sa.Column("repeat_of", sa.ForeignKey("queries.id"), index=True),
    sa.Column("asked_at", sa.Double, nullable=False),
    # How many labelers' last event is an answer; follows from `labels`, and changes with them.
    sa.Column("answered_by", sa.Integer, nullable=False, default=0),
    sa.Index("queries_by_answers", "answered_by", "position"),
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
    sa.Index("labels_by_labeler", "labeler", "position"),
)
LEASES = sa.Table(
    "leases",
    SCHEMA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("query_id", sa.ForeignKey(QUERIES.c.id), nullable=False),
    sa.Column("labeler", sa.String(256), nullable=False),
    sa.Column("session", sa.String(128), nullable=False),
    sa.Column("shown_left", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.UniqueConstraint("query_id", "labeler", "session"),
    sa.Index("leases_by_session", "session", "expires_at"),
)
INVITATIONS = sa.Table(
    "invitations",
    SCHEMA,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("token_sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("revoked_at", sa.Double),
)

QUERY_FIELDS = [QUERIES.c[name] for name in Query.__dataclass_fields__]
LABEL_FIELDS = [LABELS.c[name] for name in Label.__dataclass_fields__]


class UnknownId(StoreError):
    """What was named is not in the store."""


def create_tables(connection: sa.Connection, name: str, fingerprint: Mapping[str, Any]) -> None:
    """Turn an empty database into a label store.

    Raises:
        StoreError: There is one already.
    """
    if set(sa.inspect(connection).get_table_names()) & set(SCHEMA.tables):
        raise StoreError(f"{name}: there is a label store already")
    SCHEMA.create_all(connection)
    row = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": without_tuples(fingerprint),
        "trained_position": 0,
    }
    connection.execute(META.insert().values(row))


def check_tables(connection: sa.Connection, name: str) -> None:
    """Refuse a database that is no label store of this version.

    Raises:
        StoreError: There is none, or it has another schema version.
    """
    if META.name not in sa.inspect(connection).get_table_names():
        raise StoreError(f"{name}: this is no label store")
    version = connection.scalar(sa.select(META.c.schema_version))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{name}: expected schema version {SCHEMA_VERSION} of a label store, got {version}"
        )


def known_ids(
    connection: sa.Connection, column: sa.ColumnElement[str], ids: Iterable[str]
) -> set[str]:
    """Those of the ids that the column has."""
    return {
        id
        for some in in_parts(ids)
        for id in connection.scalars(sa.select(column).where(column.in_(some)))
    }


def refuse_unknown(
    connection: sa.Connection, name: str, table: sa.Table, ids: Iterable[str], noun: str
) -> None:
    """Refuse ids that the table lacks.

    Raises:
        UnknownId: The first of them, called by the noun.
    """
    known = known_ids(connection, table.c.id, ids)
    for id in ids:
        if id not in known:
            raise UnknownId(f"{name}: there is no {noun} {id!r}")


def insert_absent(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert the rows whose ids are new. Nobody else writes meanwhile (see `Database`)."""
    known = known_ids(connection, table.c.id, [row["id"] for row in rows])
    fresh: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] not in known:
            fresh.setdefault(row["id"], row)
    if fresh:
        connection.execute(table.insert(), list(fresh.values()))


def all_rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    """A table's rows in order of position, ready to be given new positions."""
    columns = [column for column in table.c if column.name != "position"]
    rows = connection.execute(sa.select(*columns).order_by(table.c.position))
    return [dict(row) for row in rows.mappings()]


def rows_where(
    connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]
) -> list[dict[str, Any]]:
    """A table's rows for which something holds."""
    rows = connection.execute(sa.select(table).where(condition))
    return [dict(row) for row in rows.mappings()]


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in parts that fit into one statement (SQLite: 32,766 variables) and into memory."""
    listed = list(ids)
    for start in range(0, len(listed), 500):
        yield listed[start : start + 500]


def without_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of the values after a journey through JSON: tuples are lists."""
    return dict(json.loads(json.dumps(dict(values))))
