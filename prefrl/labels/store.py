"""The durable store of clips, queries and labels: what the reward side and labelers share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Any, Self

import sqlalchemy as sa

from prefrl.labels.codec import StoreError, decode_clip, encode_clip
from prefrl.labels.schema import (
    CLIPS,
    LABELS,
    META,
    QUERIES,
    all_rows,
    check_tables,
    connect,
    create_tables,
    in_parts,
    known_ids,
    refuse_unknown,
    transaction,
    without_tuples,
)
from prefrl.types import ANSWERS, PREFERENCE_OF_ANSWER, Answer, Clip, Label, Preference, Query

__all__ = ["Changes", "LabelStore", "StoreCounts", "StoreError"]

_QUERY_FIELDS = [QUERIES.c[name] for name in Query.__dataclass_fields__]
_LABEL_FIELDS = [LABELS.c[name] for name in Label.__dataclass_fields__]


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
        store = cls(*connect(where))
        with store._closed_on_error(), store._transaction() as connection:
            create_tables(connection, store._name, fingerprint)
        return store

    @classmethod
    def open(cls, where: str | Path) -> Self:
        """The store that was created there.

        Raises:
            StoreError: There is none, or it has another schema version.
        """
        engine, name = connect(where)
        path = engine.url.database
        if engine.dialect.name == "sqlite" and not (path and Path(path).is_file()):
            raise StoreError(f"{name}: there is no such file")
        store = cls(engine, name)
        with store._closed_on_error(), store._transaction() as connection:
            check_tables(connection, name)
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The task whose clips are stored."""
        with self._transaction() as connection:
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
            known = known_ids(connection, CLIPS, clips)
        data = [
            {"id": clip.id, "data": encode_clip(clip), "env_step": clip.env_step}
            for clip in clips.values()
            if clip.id not in known
        ]
        rows = [{"id": query.id, **asdict(query), "asked_at": time()} for query in queries]
        with self._transaction(writes=True) as connection:
            _insert_absent(connection, CLIPS, data)
            needed = {id: None for query in queries for id in (query.left, query.right)}
            refuse_unknown(connection, self._name, CLIPS, needed, "clip")
            _insert_absent(connection, QUERIES, rows)

    def pending(self, labeler: str, limit: int | None = None) -> list[Query]:
        """The queries that this labeler has not answered, oldest first."""
        answered = sa.exists().where(LABELS.c.query_id == QUERIES.c.id, LABELS.c.labeler == labeler)
        statement = sa.select(*_QUERY_FIELDS).where(~answered).order_by(QUERIES.c.position)
        with self._transaction() as connection:
            return [Query(*row) for row in connection.execute(statement.limit(limit))]

    def pairs(self) -> set[frozenset[str]]:
        """The clip ids of every pair that was ever asked about, without order."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(QUERIES.c.left, QUERIES.c.right))
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
            refuse_unknown(connection, self._name, CLIPS, wanted, "clip")
            for some in in_parts(wanted):
                statement = sa.select(CLIPS.c.id, CLIPS.c.data).where(CLIPS.c.id.in_(some))
                data.update((row.id, row.data) for row in connection.execute(statement))
        return {id: self._decoded(id, data[id]) for id in wanted}

    def newest_clips(self, n: int) -> list[Clip]:
        """The n clips that ended last, the newest last."""
        statement = sa.select(CLIPS.c.id).order_by(CLIPS.c.env_step.desc(), CLIPS.c.id)
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
            refuse_unknown(connection, self._name, QUERIES, queries, "query")
            _insert_absent(connection, LABELS, rows)

    def labels(self) -> list[Label]:
        """Every raw answer, in the order in which they were stored."""
        statement = sa.select(*_LABEL_FIELDS).order_by(LABELS.c.position)
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
            latest = connection.scalar(sa.select(sa.func.max(LABELS.c.position))) or 0
            if latest <= position:
                return Changes(position, {})
            new = LABELS.c.position.between(position + 1, latest)
            rows = connection.execute(
                sa.select(QUERIES, LABELS.c.labeler, LABELS.c.answer, new.label("new"))
                .join_from(LABELS, QUERIES)
                .where(LABELS.c.query_id.in_(sa.select(LABELS.c.query_id).where(new)))
                .where(QUERIES.c.repeat_of.is_(None), LABELS.c.position <= latest)
                .order_by(LABELS.c.position)
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
        trains = QUERIES.c.repeat_of.is_(None)
        labels = sa.select().join_from(LABELS, QUERIES).where(trains)
        answered = labels.add_columns(sa.func.count(LABELS.c.query_id.distinct()))
        by_answer = labels.add_columns(LABELS.c.answer, sa.func.count().label("n"))
        with self._transaction() as connection:
            n_queries = connection.scalar(sa.select(sa.func.count(QUERIES.c.id)).where(trains))
            n_answered = connection.scalar(answered)
            rows = connection.execute(by_answer.group_by(LABELS.c.answer)).all()
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
            labels = all_rows(theirs, LABELS)
        with other._transaction() as theirs:
            queries = all_rows(theirs, QUERIES)
        needed = dict.fromkeys(id for row in queries for id in (row["left"], row["right"]))
        with self._transaction(writes=True) as connection:
            for some in in_parts(needed):
                with other._transaction() as theirs:
                    data = theirs.execute(sa.select(CLIPS).where(CLIPS.c.id.in_(some)))
                    clips = [dict(row) for row in data.mappings()]
                _insert_absent(connection, CLIPS, clips)
            _insert_absent(connection, QUERIES, queries)
            _insert_absent(connection, LABELS, labels)
        repeats = {row["id"] for row in queries if row["repeat_of"] is not None}
        return len({row["query_id"] for row in labels} - repeats)

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _transaction(self, writes: bool = False) -> AbstractContextManager[sa.Connection]:
        return transaction(self._engine, self._name, writes)

    def _decoded(self, id: str, data: bytes) -> Clip:
        try:
            return decode_clip(data)
        except StoreError as error:
            raise StoreError(f"{self._name}: clip {id}: {error}") from error


def _mu(answers: Iterable[Answer]) -> float | None:
    """The mean preference of those who could compare; None if nobody could."""
    given = [PREFERENCE_OF_ANSWER[answer] for answer in answers if answer in PREFERENCE_OF_ANSWER]
    return sum(given) / len(given) if given else None


def _insert_absent(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]
) -> None:
    """Insert the rows whose ids are new. Nobody else writes meanwhile (see `transaction`)."""
    known = known_ids(connection, table, [row["id"] for row in rows])
    fresh: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] not in known:
            fresh.setdefault(row["id"], row)
    if fresh:
        connection.execute(table.insert(), list(fresh.values()))
