"""Leases: which query waits on whose screen, and who may be given which."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from prefrl.labels import lending
from prefrl.labels.codec import StoreError
from prefrl.labels.schema import LEASES, QUERIES
from prefrl.types import Answer, Query

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


def held(connection: sa.Connection, holder: Holder, now: float, n: int) -> list[Lease]:
    """The page's leases that have not expired, up to n, in the order in which they were given."""
    rows = connection.execute(lending.HELD, {**_by(holder, now), "n": n})
    return [_lease(row) for row in rows]


def find_lease(connection: sa.Connection, holder: Holder, query_id: str) -> Lease | None:
    """The page's lease of a query, expired or not; None if it never had one."""
    asked = {"by": holder.labeler, "page": holder.session, "query": query_id}
    row = connection.execute(lending.LEASE_OF_QUERY, asked).one_or_none()
    return None if row is None else _lease(row)


def find_query(connection: sa.Connection, query_id: str) -> Query:
    """The query of this id, which must be stored."""
    return Query(*connection.execute(lending.QUERY_OF_ID, {"query": query_id}).one())


def may_answer(
    connection: sa.Connection, holder: Holder, lease: Lease, overlap: int, now: float
) -> bool:
    """Whether a page that had this lease may answer: under it, or as if it were lent anew."""
    live = lease.expires_at > now
    statement = lending.UNANSWERED_BY_ME if live else lending.OPEN_TO_ME
    asked = {**_by(holder, now), "overlap": overlap, "query": lease.query.id}
    return connection.scalar(statement, asked) is not None


def renew(connection: sa.Connection, holder: Holder, now: float, expires_at: float, n: int) -> int:
    """Lend up to n queries that the page holds for longer, those that it was given first.

    Returns:
        How many there were.
    """
    asked = {**_by(holder, now), "until": expires_at, "n": n}
    return connection.execute(lending.RENEW, asked).rowcount


def grant(
    connection: sa.Connection,
    holder: Holder,
    query: Query,
    expires_at: float,
    rng: np.random.Generator,
) -> None:
    """Lend a query. A page that had it before shows the same sides again."""
    again = LEASES.update().where(
        LEASES.c.labeler == holder.labeler,
        LEASES.c.session == holder.session,
        LEASES.c.query_id == query.id,
    )
    if not connection.execute(again.values(expires_at=expires_at)).rowcount:
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
    asked = {**_by(holder, now), "overlap": overlap, "n": n}
    return [Query(*row) for row in connection.execute(lending.FRESH, asked)]


def count_lendable(connection: sa.Connection, holder: Holder, overlap: int, now: float) -> int:
    """How many queries `fresh` could give to another page of this labeler."""
    asked = {**_by(holder, now), "overlap": overlap}
    return connection.scalar(lending.N_LENDABLE, asked) or 0


def add_repeat(
    connection: sa.Connection, labeler: str, rng: np.random.Generator, now: float
) -> Query | None:
    """A new query about a pair that they answered a while ago; None where there is none.

    A pair is repeated once.
    """
    rows = connection.execute(lending.REPEATABLE, {"by": labeler}).all()
    if not rows:
        return None
    original, *fields = rows[int(rng.integers(len(rows)))]
    repeat = replace(Query(*fields), repeat_of=original)
    connection.execute(QUERIES.insert().values(id=repeat.id, **asdict(repeat), asked_at=now))
    return repeat


def _by(holder: Holder, now: float) -> dict[str, Any]:
    """Who asks, and when, as the statements want it."""
    return {"by": holder.labeler, "page": holder.session, "now": now}


def _lease(row: Sequence[Any]) -> Lease:
    shown_left, expires_at, *query = row
    return Lease(Query(*query), shown_left, expires_at)
