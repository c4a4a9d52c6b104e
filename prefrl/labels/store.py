"""The durable store of clips, queries and labels: what the reward side and labelers share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import time

import sqlalchemy as sa

from prefrl.labels.codec import StoreError, decode_clip, encode_clip
from prefrl.labels.database import Database
from prefrl.labels.events import STANDS, answered_by, insert_labels
from prefrl.labels.figures import error_rate, standing
from prefrl.labels.schema import (
    CLIPS,
    LABEL_FIELDS,
    LABELS,
    META,
    QUERIES,
    QUERY_FIELDS,
    SHEETS,
    all_rows,
    in_parts,
    insert_absent,
    known_ids,
    refuse_unknown,
    rows_where,
)
from prefrl.labels.sheets import Sheets, insert_sheets, sheet_rows
from prefrl.types import (
    ANSWERS,
    PREFERENCE_OF_ANSWER,
    WITHDRAWN,
    Answer,
    Clip,
    Label,
    Preference,
    Query,
    Withdrawn,
)

__all__ = ["Changes", "LabelStore", "StoreCounts", "StoreError"]


_N_ANSWERED = sa.select(sa.func.count(QUERIES.c.id)).where(
    QUERIES.c.repeat_of.is_(None), QUERIES.c.answered_by > 0
)


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
        answered: Those with at least one answer that counts, `incomparable` included.
        labels: Answers that count: each person's last one to a pair, unless it was taken back.
        by_answer: The same answers by kind.
    """

    queries: int
    answered: int
    labels: int
    by_answer: dict[Answer, int]


class LabelStore(Database):
    """Clips, queries and append-only labels of one task: what the reward side knows of answers.

    What people on the label page ask of it is in `LabelDesk`.
    """

    def add_queries(
        self,
        queries: Sequence[Query],
        clips: Mapping[str, Clip],
        sheets: Mapping[str, Sheets] | None = None,
    ) -> None:
        """Put queries to the labelers. One that is stored already is ignored, as is its clip.

        Args:
            queries: In the order in which they shall be answered.
            clips: By id, at least those of the queries that are not stored yet.
            sheets: What people see of clips, by the clip's id. People are shown a query only if
                there are sheets of both its clips; a synthetic labeler needs none.

        Raises:
            StoreError: A query's clip, or one of `sheets`, is neither given nor stored.
        """
        sheets = sheets or {}
        with self.transaction() as connection:
            known = known_ids(connection, CLIPS.c.id, clips)
            shown = known_ids(connection, SHEETS.c.clip_id, sheets)
        data = [
            {"id": clip.id, "data": encode_clip(clip), "env_step": clip.env_step}
            for clip in clips.values()
            if clip.id not in known
        ]
        pictures = [
            row for id, made in sheets.items() if id not in shown for row in sheet_rows(id, made)
        ]
        rows = [{"id": query.id, **asdict(query), "asked_at": time()} for query in queries]
        with self.transaction(writes=True) as connection:
            insert_absent(connection, CLIPS, data)
            needed = {id: None for query in queries for id in (query.left, query.right)}
            refuse_unknown(connection, self.name, CLIPS, needed | dict.fromkeys(sheets), "clip")
            insert_sheets(connection, pictures)
            insert_absent(connection, QUERIES, rows)

    def pending(self, labeler: str | None = None, limit: int | None = None) -> list[Query]:
        """The queries that wait for this labeler, oldest first: not answered, or taken back.

        Args:
            labeler: Whose answer is missing; None: anybody's at all.
            limit: At most so many.
        """
        missing = (
            QUERIES.c.answered_by == 0 if labeler is None else ~answered_by(labeler, QUERIES.c.id)
        )
        statement = sa.select(*QUERY_FIELDS).where(missing).order_by(QUERIES.c.position)
        with self.transaction() as connection:
            return [Query(*row) for row in connection.execute(statement.limit(limit))]

    def pairs(self) -> set[frozenset[str]]:
        """The clip ids of every pair that was ever asked about, without order."""
        with self.transaction() as connection:
            rows = connection.execute(sa.select(QUERIES.c.left, QUERIES.c.right))
            return {frozenset(row) for row in rows}

    def clip_ids(self, shown: bool = False) -> list[str]:
        """The ids of all clips, or of those only of which there are pictures for people."""
        statement = sa.select(CLIPS.c.id).order_by(CLIPS.c.id)
        if shown:
            statement = statement.where(CLIPS.c.id.in_(sa.select(SHEETS.c.clip_id)))
        with self.transaction() as connection:
            return list(connection.scalars(statement))

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
        with self.transaction() as connection:
            refuse_unknown(connection, self.name, CLIPS, wanted, "clip")
            for some in in_parts(wanted):
                statement = sa.select(CLIPS.c.id, CLIPS.c.data).where(CLIPS.c.id.in_(some))
                data.update((row.id, row.data) for row in connection.execute(statement))
        return {id: self._decoded(id, data[id]) for id in wanted}

    def newest_clips(self, n: int) -> list[Clip]:
        """The n clips that ended last, the newest last."""
        statement = sa.select(CLIPS.c.id).order_by(CLIPS.c.env_step.desc(), CLIPS.c.id)
        with self.transaction() as connection:
            ids = connection.scalars(statement.limit(n)).all()
        return list(self.clips(reversed(ids)).values())

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Store answers. One whose id is stored already is ignored: sent twice is stored once.

        Raises:
            StoreError: One is about an unknown query; none of them is stored.
        """
        rows = [asdict(label) for label in labels]
        with self.transaction(writes=True) as connection:
            queries = dict.fromkeys(label.query_id for label in labels)
            refuse_unknown(connection, self.name, QUERIES, queries, "query")
            insert_labels(connection, rows)

    def labels(self) -> list[Label]:
        """Every raw event, in the order in which they were stored."""
        statement = sa.select(*LABEL_FIELDS).order_by(LABELS.c.position)
        with self.transaction() as connection:
            return [Label(*row) for row in connection.execute(statement)]

    def changes_since(self, position: int) -> Changes:
        """The preferences that labels after a position have made, changed or taken away.

        Args:
            position: Where the last call ended, 0 at first.

        Raises:
            StoreError: A clip cannot be read.
        """
        with self.transaction() as connection:
            latest = connection.scalar(sa.select(sa.func.max(LABELS.c.position))) or 0
            if latest <= position:
                return Changes(position, {})
            new = LABELS.c.position.between(position + 1, latest)
            rows = connection.execute(
                sa.select(QUERIES, LABELS.c.labeler, LABELS.c.answer, new.label("new"))
                .join_from(LABELS, QUERIES)
                .where(LABELS.c.query_id.in_(sa.select(LABELS.c.query_id).where(new)))
                .where(LABELS.c.position <= latest)
                .order_by(LABELS.c.position)
            ).all()
        # Repeats are left out here: SQLite would begin with all queries that are none.
        trains = [row for row in rows if row.repeat_of is None]
        pairs = {row.id: (row.left, row.right) for row in trains if row.new}
        answers: dict[str, dict[str, Answer | Withdrawn]] = {id: {} for id in pairs}
        for row in trains:
            answers[row.id][row.labeler] = row.answer  # a later answer replaces an earlier one
        return Changes(latest, self._preferences(pairs, answers))

    def _preferences(
        self,
        pairs: dict[str, tuple[str, str]],
        answers: dict[str, dict[str, Answer | Withdrawn]],
    ) -> dict[str, Preference | None]:
        mus = {id: _mu(by_labeler.values()) for id, by_labeler in answers.items()}
        clips = self.clips(
            clip for id, pair in pairs.items() if mus[id] is not None for clip in pair
        )
        return {
            id: None if (mu := mus[id]) is None else Preference(id, clips[left], clips[right], mu)
            for id, (left, right) in pairs.items()
        }

    def mark_trained(self, position: int) -> None:
        """Say that the labels up to a position, as `changes_since` gave it, were trained on."""
        with self.transaction(writes=True) as connection:
            connection.execute(
                META.update()
                .where(META.c.trained_position < position)
                .values(trained_position=position)
            )

    def answered(self) -> int:
        """How many queries have an answer that counts, repeats left out; as in `counts`."""
        with self.transaction() as connection:
            return connection.scalar(_N_ANSWERED) or 0

    def counts(self) -> StoreCounts:
        """How much is stored."""
        trains = QUERIES.c.repeat_of.is_(None)
        by_answer = (
            sa.select(LABELS.c.answer, sa.func.count().label("n"))
            .join_from(LABELS, QUERIES)
            .where(trains, STANDS)
            .group_by(LABELS.c.answer)
        )
        queries = sa.select(sa.func.count(QUERIES.c.id)).where(trains)
        with self.transaction() as connection:
            n_queries = connection.scalar(queries)
            n_answered = connection.scalar(_N_ANSWERED)
            rows = connection.execute(by_answer).all()
        numbers = dict.fromkeys(ANSWERS, 0)
        numbers.update((row.answer, row.n) for row in rows)
        return StoreCounts(n_queries or 0, n_answered or 0, sum(numbers.values()), numbers)

    def measured_error_rate(self, usual: float) -> float:
        """With what probability labelers answer at random; `usual` before a repeat is answered."""
        with self.transaction() as connection:
            return error_rate(standing(connection), usual)

    def copy_from(self, other: "LabelStore") -> int:
        """Take over all labels of a store of the same task, with their queries and clips.

        What nobody has answered stays behind: a new run asks about clips of its own policy.

        Returns:
            How many of its queries are answered, repeats left out.

        Raises:
            StoreError: It is of another task; nothing is copied.
        """
        other.check_fingerprint(self.fingerprint)
        # The other store may grow meanwhile: labels are read before the queries that they answer.
        with other.transaction() as theirs:
            labels = all_rows(theirs, LABELS)
        asked = {row["query_id"] for row in labels}
        with other.transaction() as theirs:
            queries = [
                row | {"answered_by": 0} for row in all_rows(theirs, QUERIES) if row["id"] in asked
            ]
        needed = dict.fromkeys(id for row in queries for id in (row["left"], row["right"]))
        with self.transaction(writes=True) as connection:
            for some in in_parts(needed):
                with other.transaction() as theirs:
                    clips = rows_where(theirs, CLIPS, CLIPS.c.id.in_(some))
                    sheets = rows_where(theirs, SHEETS, SHEETS.c.clip_id.in_(some))
                insert_absent(connection, CLIPS, clips)
                insert_sheets(connection, sheets)
            insert_absent(connection, QUERIES, queries)
            insert_labels(connection, labels)
        last = {(row["query_id"], row["labeler"]): row["answer"] for row in labels}
        answered = {query for (query, _), answer in last.items() if answer != WITHDRAWN}
        return len(answered - {row["id"] for row in queries if row["repeat_of"] is not None})

    def _decoded(self, id: str, data: bytes) -> Clip:
        try:
            return decode_clip(data)
        except StoreError as error:
            raise StoreError(f"{self.name}: clip {id}: {error}") from error


def _mu(answers: Iterable[Answer | Withdrawn]) -> float | None:
    """The mean preference of those who could compare; None if nobody could."""
    given = [mu for answer in answers if (mu := PREFERENCE_OF_ANSWER.get(answer)) is not None]
    return sum(given) / len(given) if given else None
