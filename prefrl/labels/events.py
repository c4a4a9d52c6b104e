"""Labels as events: which of them count, and what changes when some are added."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from prefrl.labels.schema import LABELS, QUERIES, in_parts, insert_absent
from prefrl.types import WITHDRAWN


def stands(labels: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a row of `labels` (or of an alias) is an answer that counts.

    It does if it is the labeler's last event about the query, and not a withdrawal.
    """
    later = LABELS.alias()
    return sa.and_(
        labels.c.answer != WITHDRAWN,
        ~sa.exists().where(
            later.c.query_id == labels.c.query_id,
            later.c.labeler == labels.c.labeler,
            later.c.position > labels.c.position,
        ),
    )


STANDS = stands(LABELS)


def answered_by(labeler: str | sa.ColumnElement[str], query_id: sa.ColumnElement[str]) -> sa.Exists:
    """Whether an answer of this labeler to the query counts."""
    return sa.exists().where(LABELS.c.query_id == query_id, LABELS.c.labeler == labeler, STANDS)


def insert_labels(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add the rows whose ids are new, and count anew who has answered their queries."""
    insert_absent(connection, LABELS, rows)
    labelers = sa.select(sa.func.count()).where(LABELS.c.query_id == QUERIES.c.id, STANDS)
    for some in in_parts(dict.fromkeys(row["query_id"] for row in rows)):
        connection.execute(
            QUERIES.update()
            .where(QUERIES.c.id.in_(some))
            .values(answered_by=labelers.scalar_subquery())
        )
