"""The durable store of clips, queries and labels: what the reward side and labelers share."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from prefrl.labels.codec import StoreError, decode_clip, encode_clip
from prefrl.types import ANSWERS, PREFERENCE_OF_ANSWER, Answer, Clip, Label, Preference, Query

__all__ = ["Changes", "LabelStore", "StoreCounts", "StoreError"]

SCHEMA_VERSION = 1

_SCHEMA = sa.MetaData()
_META = sa.Table(
    "meta",
    _SCHEMA,
    sa.Column("schema_version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.JSON, nullable=False),
)
_CLIPS = sa.Table(
    "clips",
    _SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("env_step", sa.BigInteger, nullable=False),
)
_QUERIES = sa.Table(
    "queries",
    _SCHEMA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("left", sa.ForeignKey(_CLIPS.c.id), nullable=False),
    sa.Column("right", sa.ForeignKey(_CLIPS.c.id), nullable=False),
    sa.Column("env_step", sa.BigInteger, nullable=False),
    sa.Column("snapshot_version", sa.Integer, nullable=False),
    sa.Column("repeat_of", sa.ForeignKey("queries.id")),
    sa.Column("asked_at", sa.Double, nullable=False),
)
_LABELS = sa.Table(
    "labels",
    _SCHEMA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(128), nullable=False, unique=True),
    sa.Column("query_id", sa.ForeignKey(_QUERIES.c.id), nullable=False),
    sa.Column("labeler", sa.String(256), nullable=False),
    sa.Column("answer", sa.String(16), nullable=False),
    sa.Column("answered_at", sa.Double, nullable=False),
    sa.Column("time_to_answer_s", sa.Double, nullable=False),
    sa.Column("shown_left", sa.String(32), nullable=False),
    sa.Column("snapshot_version", sa.Integer, nullable=False),
    sa.Index("labels_by_query", "query_id", "labeler"),
)
_QUERY_FIELDS = [_QUERIES.c[name] for name in Query.__dataclass_fields__]
_LABEL_FIELDS = [_LABELS.c[name] for name in Label.__dataclass_fields__]


@dataclass(frozen=True)
class Changes:
    """What the store has learnt since a position in its sequence of labels.

    Attributes:
        position: From here on the next call looks.
        preferences: By query id, in the order of the first new label; None where no answer that
            counts says which clip is better.
    """

    position: int
    preferences: dict[str, Preference | None]


@dataclass(frozen=True)
class StoreCounts:
    """How much the store holds, queries that are repeats left out.

    Attributes:
        queries: Pairs asked about.
        answered: Those with at least one label, `incomparable` included.
        labels: Raw labels, superseded ones included.
        by_answer: The same labels by answer.
    """

    queries: int
    answered: int
    labels: int
    by_answer: dict[Answer, int]


class LabelStore:
    """Clips, queries and append-only labels of one task, in one SQLite file or database.

    What a commit promises: when a method that adds returns, what it added is on disk and survives
    the death of any process and, on a disk that keeps its own promises, a loss of power. Each such
    call is one transaction: all of it is stored, or nothing. Several processes and threads may hold
    a store open at once, each through a `LabelStore` that its own process opened; a file must lie
    on a local disk. Writers queue for up to 30 s, so labels become visible in the order of their
    positions and a reader that looks from its last position on misses none.

    SQLite keeps a rollback journal. Its write-ahead log is avoided: until SQLite 3.51.3 two
    connections that write could corrupt it (https://sqlite.org/wal.html#walresetbug).
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine = engine
        self._name = name

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
        with store._closed_on_error(), store._transaction() as connection:
            if set(sa.inspect(connection).get_table_names()) & set(_SCHEMA.tables):
                raise StoreError(f"{store._name}: there is a label store already")
            _SCHEMA.create_all(connection)
            row = {"schema_version": SCHEMA_VERSION, "fingerprint": _as_json(fingerprint)}
            connection.execute(_META.insert().values(row))
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
        store = cls(engine, name)
        with store._closed_on_error(), store._transaction() as connection:
            if not set(_SCHEMA.tables) <= set(sa.inspect(connection).get_table_names()):
                raise StoreError(f"{name}: this is no label store")
            version = connection.scalar(sa.select(_META.c.schema_version))
            if version != SCHEMA_VERSION:
                raise StoreError(
                    f"{name}: expected schema version {SCHEMA_VERSION} of a label store, "
                    f"got {version}"
                )
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The task whose clips are stored."""
        with self._transaction() as connection:
            return dict(connection.scalars(sa.select(_META.c.fingerprint)).one())

    def check_fingerprint(self, other: Mapping[str, Any]) -> None:
        """Refuse to be used for another task.

        Raises:
            StoreError: The first key that differs, with both values.
        """
        mine, theirs = self.fingerprint, _as_json(other)
        for key in mine | theirs:
            if mine.get(key) != theirs.get(key):
                raise StoreError(
                    f"{self._name}: these labels are of another task: "
                    f"{key} is {mine.get(key)!r} there and {theirs.get(key)!r} here"
                )

    def add_queries(self, queries: Sequence[Query], clips: Mapping[str, Clip]) -> None:
        """Put queries to the labelers. One that is stored already is ignored, as is its clip.

        Args:
            queries: In the order in which they shall be answered.
            clips: By id, at least those of the queries that are not stored yet.

        Raises:
            StoreError: A query's clip is neither given nor stored.
        """
        with self._transaction() as connection:
            known = _known(connection, _CLIPS, clips)
        data = [
            {"id": clip.id, "data": encode_clip(clip), "env_step": clip.env_step}
            for clip in clips.values()
            if clip.id not in known
        ]
        rows = [{"id": query.id, **asdict(query), "asked_at": time()} for query in queries]
        with self._transaction(writes=True) as connection:
            _insert_absent(connection, _CLIPS, data)
            needed = {id: None for query in queries for id in (query.left, query.right)}
            self._refuse_unknown(connection, _CLIPS, needed, "clip")
            _insert_absent(connection, _QUERIES, rows)

    def pending(self, labeler: str, limit: int | None = None) -> list[Query]:
        """The queries that this labeler has not answered, oldest first."""
        answered = sa.exists().where(
            _LABELS.c.query_id == _QUERIES.c.id, _LABELS.c.labeler == labeler
        )
        statement = sa.select(*_QUERY_FIELDS).where(~answered).order_by(_QUERIES.c.position)
        with self._transaction() as connection:
            return [Query(*row) for row in connection.execute(statement.limit(limit))]

    def pairs(self) -> set[frozenset[str]]:
        """The clip ids of every pair that was ever asked about, without order."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_QUERIES.c.left, _QUERIES.c.right))
            return {frozenset(row) for row in rows}

    def clip(self, id: str) -> Clip:
        """One clip, decoded anew.

        Raises:
            StoreError: It is not stored, or cannot be read.
        """
        return self.clips([id])[id]

    def clips(self, ids: Iterable[str]) -> dict[str, Clip]:
        """Clips by id, decoded anew.

        Raises:
            StoreError: One is not stored, or cannot be read.
        """
        wanted = dict.fromkeys(ids)
        data: dict[str, bytes] = {}
        with self._transaction() as connection:
            self._refuse_unknown(connection, _CLIPS, wanted, "clip")
            for some in _in_parts(wanted):
                statement = sa.select(_CLIPS.c.id, _CLIPS.c.data).where(_CLIPS.c.id.in_(some))
                data.update((row.id, row.data) for row in connection.execute(statement))
        return {id: self._decoded(id, data[id]) for id in wanted}

    def newest_clips(self, n: int) -> list[Clip]:
        """The n clips that ended last, the newest last."""
        statement = sa.select(_CLIPS.c.id).order_by(_CLIPS.c.env_step.desc(), _CLIPS.c.id)
        with self._transaction() as connection:
            ids = connection.scalars(statement.limit(n)).all()
        return list(self.clips(reversed(ids)).values())

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Store answers. One whose id is stored already is ignored: sent twice is stored once.

        Raises:
            StoreError: One is about an unknown query; none of them is stored.
        """
        rows = [asdict(label) for label in labels]
        with self._transaction(writes=True) as connection:
            queries = dict.fromkeys(label.query_id for label in labels)
            self._refuse_unknown(connection, _QUERIES, queries, "query")
            _insert_absent(connection, _LABELS, rows)

    def labels(self) -> list[Label]:
        """Every raw answer, in the order in which they were stored."""
        statement = sa.select(*_LABEL_FIELDS).order_by(_LABELS.c.position)
        with self._transaction() as connection:
            return [Label(*row) for row in connection.execute(statement)]

    def changes_since(self, position: int) -> Changes:
        """The preferences that labels after a position have made, changed or taken away.

        Args:
            position: Where the last call ended, 0 at first.

        Raises:
            StoreError: A clip cannot be read.
        """
        with self._transaction() as connection:
            latest = connection.scalar(sa.select(sa.func.max(_LABELS.c.position))) or 0
            if latest <= position:
                return Changes(position, {})
            new = _LABELS.c.position.between(position + 1, latest)
            rows = connection.execute(
                sa.select(_QUERIES, _LABELS.c.labeler, _LABELS.c.answer, new.label("new"))
                .join_from(_LABELS, _QUERIES)
                .where(_LABELS.c.query_id.in_(sa.select(_LABELS.c.query_id).where(new)))
                .where(_QUERIES.c.repeat_of.is_(None), _LABELS.c.position <= latest)
                .order_by(_LABELS.c.position)
            ).all()
        pairs = {row.id: (row.left, row.right) for row in rows if row.new}
        answers: dict[str, dict[str, Answer]] = {id: {} for id in pairs}
        for row in rows:
            answers[row.id][row.labeler] = row.answer  # a later answer replaces an earlier one
        return Changes(latest, self._preferences(pairs, answers))

    def _preferences(
        self, pairs: dict[str, tuple[str, str]], answers: dict[str, dict[str, Answer]]
    ) -> dict[str, Preference | None]:
        mus = {id: _mu(by_labeler.values()) for id, by_labeler in answers.items()}
        clips = self.clips(
            clip for id, pair in pairs.items() if mus[id] is not None for clip in pair
        )
        return {
            id: None if (mu := mus[id]) is None else Preference(id, clips[left], clips[right], mu)
            for id, (left, right) in pairs.items()
        }

    def counts(self) -> StoreCounts:
        """How much is stored."""
        trains = _QUERIES.c.repeat_of.is_(None)
        labels = sa.select().join_from(_LABELS, _QUERIES).where(trains)
        answered = labels.add_columns(sa.func.count(_LABELS.c.query_id.distinct()))
        by_answer = labels.add_columns(_LABELS.c.answer, sa.func.count().label("n"))
        with self._transaction() as connection:
            n_queries = connection.scalar(sa.select(sa.func.count(_QUERIES.c.id)).where(trains))
            n_answered = connection.scalar(answered)
            rows = connection.execute(by_answer.group_by(_LABELS.c.answer)).all()
        numbers = dict.fromkeys(ANSWERS, 0)
        numbers.update((row.answer, row.n) for row in rows)
        return StoreCounts(n_queries or 0, n_answered or 0, sum(numbers.values()), numbers)

    def copy_from(self, other: "LabelStore") -> int:
        """Take over all clips, queries and labels of another store of the same task.

        Returns:
            How many of its queries are answered, repeats left out.

        Raises:
            StoreError: It is of another task; nothing is copied.
        """
        other.check_fingerprint(self.fingerprint)
        # The other store may grow meanwhile: labels are read before the queries that they answer.
        with other._transaction() as theirs:
            labels = _rows(theirs, _LABELS)
        with other._transaction() as theirs:
            queries = _rows(theirs, _QUERIES)
        needed = dict.fromkeys(id for row in queries for id in (row["left"], row["right"]))
        with self._transaction(writes=True) as connection:
            for some in _in_parts(needed):
                with other._transaction() as theirs:
                    data = theirs.execute(sa.select(_CLIPS).where(_CLIPS.c.id.in_(some)))
                    clips = [dict(row) for row in data.mappings()]
                _insert_absent(connection, _CLIPS, clips)
            _insert_absent(connection, _QUERIES, queries)
            _insert_absent(connection, _LABELS, labels)
        repeats = {row["id"] for row in queries if row["repeat_of"] is not None}
        return len({row["query_id"] for row in labels} - repeats)

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _transaction(self, writes: bool = False) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, nothing of it where an error was raised."""
        try:
            with self._engine.begin() as connection:
                if writes:  # to own the one row of meta is to be the only writer, in any database
                    connection.execute(_META.update().values(schema_version=SCHEMA_VERSION))
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{self._name}: {_first_line(error)}") from error

    def _refuse_unknown(
        self, connection: sa.Connection, table: sa.Table, ids: dict[str, None], noun: str
    ) -> None:
        known = _known(connection, table, ids)
        for id in ids:
            if id not in known:
                raise StoreError(f"{self._name}: there is no {noun} {id!r}")

    def _decoded(self, id: str, data: bytes) -> Clip:
        try:
            return decode_clip(data)
        except StoreError as error:
            raise StoreError(f"{self._name}: clip {id}: {error}") from error


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


def _mu(answers: Iterable[Answer]) -> float | None:
    """The mean preference of those who could compare; None if nobody could."""
    given = [PREFERENCE_OF_ANSWER[answer] for answer in answers if answer in PREFERENCE_OF_ANSWER]
    return sum(given) / len(given) if given else None


def _known(connection: sa.Connection, table: sa.Table, ids: Iterable[str]) -> set[str]:
    return {
        id
        for some in _in_parts(ids)
        for id in connection.scalars(sa.select(table.c.id).where(table.c.id.in_(some)))
    }


def _insert_absent(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert the rows whose ids are new. Nobody else writes meanwhile (see `_transaction`)."""
    known = _known(connection, table, [row["id"] for row in rows])
    fresh: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] not in known:
            fresh.setdefault(row["id"], row)
    if fresh:
        connection.execute(table.insert(), list(fresh.values()))


def _rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    """A table's rows in order of position, ready to be given new positions."""
    columns = [column for column in table.c if column.name != "position"]
    rows = connection.execute(sa.select(*columns).order_by(table.c.position))
    return [dict(row) for row in rows.mappings()]


def _in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in parts that fit into one statement (SQLite: 32,766 variables) and into memory."""
    listed = list(ids)
    for start in range(0, len(listed), 500):
        yield listed[start : start + 500]


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of the values after a journey through JSON: tuples are lists."""
    return dict(json.loads(json.dumps(dict(values))))


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
