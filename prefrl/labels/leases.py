"""Leases: which query waits on whose screen, and who may be given which."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import sqlalchemy as sa

from prefrl.labels.codec import StoreError
from prefrl.labels.events import STANDS, answered_by, stands
from prefrl.labels.schema import LABELS, LEASES, QUERIES, QUERY_FIELDS, SHEETS
from prefrl.types import Answer, Query

# A pair comes back as a repeat when this many other answers lie between: too many to remember.
ANSWERS_BEFORE_REPEAT = 10

_MIRRORED: dict[Answer, Answer] = {"left": "right", "right": "left"}


class LeaseExpired(StoreError):
    """The query is no longer this session's to answer."""


@dataclass(frozen=True)
class Holder:
    """Who looks at a query: a person, and which of their pages."""

    labeler: str
    session: str


@dataclass(frozen=True)
class Lease:
    """A query that one page may answer.

    Attributes:
        query: The query.
        shown_left: Id of the clip that stands on the left; drawn once for each page.
        expires_at: Seconds since the epoch; then others may be given the query.
    """

    query: Query
    shown_left: str
    expires_at: float

    @property
    def shown_right(self) -> str:
        """Id of the clip that stands on the right."""
        return self.query.right if self.shown_left == self.query.left else self.query.left

    def as_stored(self, shown: Answer) -> Answer:
        """An answer about the sides on the screen as one about the sides of the query."""
        return shown if self.shown_left == self.query.left else _MIRRORED.get(shown, shown)


def open_to(holder: Holder, overlap: int, now: float) -> sa.ColumnElement[bool]:
    """Whether a query still wants an answer from this page.

    It does if they have not answered it, none of their other pages shows it, and fewer than
    `overlap` others have answered it or are looking at it.
    """
    live = sa.and_(LEASES.c.query_id == QUERIES.c.id, LEASES.c.expires_at > now)
    others = (
        sa.select(sa.func.count(LEASES.c.labeler.distinct()))
        .where(live, LEASES.c.labeler != holder.labeler)
        .scalar_subquery()
    )
    elsewhere = sa.exists().where(
        live, LEASES.c.labeler == holder.labeler, LEASES.c.session != holder.session
    )
    return sa.and_(
        QUERIES.c.answered_by < overlap,  # implied by the next line, but an index knows it
        QUERIES.c.answered_by + others < overlap,
        ~elsewhere,
        ~answered_by(holder.labeler, QUERIES.c.id),
    )


def has_pictures() -> sa.ColumnElement[bool]:
    """Whether people can be shown a query: there are sheets of both its clips."""
    return sa.and_(
        *(sa.exists().where(SHEETS.c.clip_id == clip) for clip in (QUERIES.c.left, QUERIES.c.right))
    )


def lendable(holder: Holder, overlap: int, now: float) -> sa.ColumnElement[bool]:
    """Whether a query can be given to this page: open to it, with pictures of both clips.

    A repeat goes only to those who answered the original, a while ago.
    """
    original = LABELS.c.query_id == QUERIES.c.repeat_of
    theirs = sa.or_(
        QUERIES.c.repeat_of.is_(None),
        sa.exists().where(original, _answered_long_ago(holder.labeler)),
    )
    return sa.and_(open_to(holder, overlap, now), theirs, has_pictures())


def untouched(now: float) -> sa.ColumnElement[bool]:
    """Whether nobody has answered a query, no page shows it, and people could be shown it."""
    live = sa.exists().where(LEASES.c.query_id == QUERIES.c.id, LEASES.c.expires_at > now)
    return sa.and_(QUERIES.c.answered_by == 0, QUERIES.c.repeat_of.is_(None), ~live, has_pictures())


def held(
    connection: sa.Connection, holder: Holder, now: float, limit: int | None = None
) -> list[Lease]:
    """The page's leases that have not expired, in the order in which they were first given."""
    statement = (
        sa.select(LEASES.c.shown_left, LEASES.c.expires_at, *QUERY_FIELDS)
        .join_from(LEASES, QUERIES)
        .where(_of(holder), LEASES.c.expires_at > now)
        .where(~answered_by(holder.labeler, QUERIES.c.id))
        .order_by(LEASES.c.position)
        .limit(limit)
    )
    return [
        Lease(Query(*query), shown_left, expires_at)
        for shown_left, expires_at, *query in connection.execute(statement)
    ]


def find_lease(connection: sa.Connection, holder: Holder, query_id: str) -> Lease | None:
    """The page's lease of a query, expired or not; None if it never had one."""
    statement = (
        sa.select(LEASES.c.shown_left, LEASES.c.expires_at, *QUERY_FIELDS)
        .join_from(LEASES, QUERIES)
        .where(_of(holder), LEASES.c.query_id == query_id)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    shown_left, expires_at, *query = row
    return Lease(Query(*query), shown_left, expires_at)


def find_query(connection: sa.Connection, query_id: str) -> Query:
    """The query of this id, which must be stored."""
    statement = sa.select(*QUERY_FIELDS).where(QUERIES.c.id == query_id)
    return Query(*connection.execute(statement).one())


def grant(
    connection: sa.Connection,
    holder: Holder,
    query: Query,
    expires_at: float,
    rng: np.random.Generator,
) -> None:
    """Lend a query, or lend it for longer. A page that had it before shows the same sides again."""
    kept = connection.execute(
        LEASES.update()
        .where(_of(holder), LEASES.c.query_id == query.id)
        .values(expires_at=expires_at)
    )
    if not kept.rowcount:
        row = {
            **asdict(holder),
            "query_id": query.id,
            "shown_left": query.left if rng.random() < 0.5 else query.right,
            "expires_at": expires_at,
        }
        connection.execute(LEASES.insert().values(row))


def end(
    connection: sa.Connection,
    now: float,
    labeler: str,
    session: str | None = None,
    query_id: str | None = None,
) -> int:
    """Let leases of a labeler expire now; those of one page or of one query, if it is given.

    Returns:
        How many there were.
    """
    chosen = [LEASES.c.labeler == labeler, LEASES.c.expires_at > now]
    chosen += [] if session is None else [LEASES.c.session == session]
    chosen += [] if query_id is None else [LEASES.c.query_id == query_id]
    return connection.execute(LEASES.update().where(*chosen).values(expires_at=now)).rowcount


def fresh(
    connection: sa.Connection, holder: Holder, overlap: int, now: float, n: int
) -> list[Query]:
    """Up to n queries that can be given to this page and are not on it, oldest first."""
    on_it = sa.exists().where(
        _of(holder), LEASES.c.query_id == QUERIES.c.id, LEASES.c.expires_at > now
    )
    statement = (
        sa.select(*QUERY_FIELDS)
        .where(lendable(holder, overlap, now), ~on_it)
        .order_by(QUERIES.c.position)
        .limit(n)
    )
    return [Query(*row) for row in connection.execute(statement)]


def add_repeat(
    connection: sa.Connection, labeler: str, rng: np.random.Generator, now: float
) -> Query | None:
    """A new query about a pair that they answered a while ago; None where there is none.

    A pair is repeated once.
    """
    again = QUERIES.alias("again")
    rows = connection.execute(
        sa.select(QUERIES.c.id, *QUERY_FIELDS)
        .join_from(LABELS, QUERIES)
        .where(_answered_long_ago(labeler), QUERIES.c.repeat_of.is_(None))
        .where(~sa.exists().where(again.c.repeat_of == QUERIES.c.id))
        .order_by(QUERIES.c.position)
    ).all()
    if not rows:
        return None
    original, *fields = rows[int(rng.integers(len(rows)))]
    repeat = replace(Query(*fields), repeat_of=original)
    connection.execute(QUERIES.insert().values(id=repeat.id, **asdict(repeat), asked_at=now))
    return repeat


def _answered_long_ago(labeler: str) -> sa.ColumnElement[bool]:
    """Whether a label is an answer they gave before their last `ANSWERS_BEFORE_REPEAT` others."""
    last = LABELS.alias("last")
    since = (
        sa.select(last.c.position)
        .where(last.c.labeler == labeler, stands(last))
        .order_by(last.c.position.desc())
        .offset(ANSWERS_BEFORE_REPEAT)
        .limit(1)
        .scalar_subquery()
    )
    return sa.and_(LABELS.c.labeler == labeler, STANDS, LABELS.c.position <= since)


def _of(holder: Holder) -> sa.ColumnElement[bool]:
    return sa.and_(LEASES.c.labeler == holder.labeler, LEASES.c.session == holder.session)
