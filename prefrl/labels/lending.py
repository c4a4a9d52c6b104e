"""What may be lent to whom, as conditions and statements with parameters.

They are built once, here: SQLAlchemy takes longer to put one together than SQLite to answer it, and
of twenty people at once each waits for that time of the others.
"""

import sqlalchemy as sa

from prefrl.labels.events import STANDS, answered_by, stands
from prefrl.labels.schema import LABELS, LEASES, QUERIES, QUERY_FIELDS, SHEETS

# A pair comes back as a repeat when this many other answers lie between: too many to remember.
ANSWERS_BEFORE_REPEAT = 10

# Who asks, from which page, when; how many people are to answer a query; which query; how many.
_LABELER, _SESSION = sa.bindparam("by", type_=sa.String), sa.bindparam("page", type_=sa.String)
_NOW, _OVERLAP = sa.bindparam("now", type_=sa.Double), sa.bindparam("overlap", type_=sa.Integer)
_QUERY, _N = sa.bindparam("query", type_=sa.String), sa.bindparam("n", type_=sa.Integer)

# A lease of the page that asks.
_MINE = sa.and_(LEASES.c.labeler == _LABELER, LEASES.c.session == _SESSION)
# A lease of the query that has not expired.
_LIVE = sa.and_(LEASES.c.query_id == QUERIES.c.id, LEASES.c.expires_at > _NOW)

_ANSWERED_BY_ME = answered_by(_LABELER, QUERIES.c.id)

# A query still wants an answer from this page if they have not answered it, none of their other
# pages shows it, and fewer than `overlap` others have answered it or are looking at it.
_OTHERS_LOOKING = (
    sa.select(sa.func.count(LEASES.c.labeler.distinct()))
    .where(_LIVE, LEASES.c.labeler != _LABELER)
    .scalar_subquery()
)
_ON_ANOTHER_PAGE = sa.exists().where(
    _LIVE, LEASES.c.labeler == _LABELER, LEASES.c.session != _SESSION
)
_OPEN_TO_ME = sa.and_(
    QUERIES.c.answered_by < _OVERLAP,  # implied by the next line, but an index knows it
    QUERIES.c.answered_by + _OTHERS_LOOKING < _OVERLAP,
    ~_ON_ANOTHER_PAGE,
    ~_ANSWERED_BY_ME,
)

# People can be shown a query if there are sheets of both its clips.
_HAS_PICTURES = sa.and_(
    *(sa.exists().where(SHEETS.c.clip_id == clip) for clip in (QUERIES.c.left, QUERIES.c.right))
)

# A label is an answer they gave before their last `ANSWERS_BEFORE_REPEAT` others.
_LAST = LABELS.alias("last")
_ANSWERED_LONG_AGO = sa.and_(
    LABELS.c.labeler == _LABELER,
    STANDS,
    LABELS.c.position
    <= sa.select(_LAST.c.position)
    .where(_LAST.c.labeler == _LABELER, stands(_LAST))
    .order_by(_LAST.c.position.desc())
    .offset(ANSWERS_BEFORE_REPEAT)
    .limit(1)
    .scalar_subquery(),
)

# A query can be given to this page if it is open to it and can be shown. A repeat goes only to
# those who answered the original, a while ago.
_LENDABLE = sa.and_(
    _OPEN_TO_ME,
    sa.or_(
        QUERIES.c.repeat_of.is_(None),
        sa.exists().where(LABELS.c.query_id == QUERIES.c.repeat_of, _ANSWERED_LONG_AGO),
    ),
    _HAS_PICTURES,
)

# Nobody has answered a query, and people could be shown it.
_UNANSWERED = sa.and_(QUERIES.c.answered_by == 0, QUERIES.c.repeat_of.is_(None), _HAS_PICTURES)

_LEASE_FIELDS = LEASES.c.shown_left, LEASES.c.expires_at, *QUERY_FIELDS
_HELD = sa.and_(_MINE, LEASES.c.expires_at > _NOW, ~answered_by(_LABELER, LEASES.c.query_id))
HELD = (
    sa.select(*_LEASE_FIELDS)
    .join_from(LEASES, QUERIES)
    .where(_HELD)
    .order_by(LEASES.c.position)
    .limit(_N)
)
_FIRST_HELD = sa.select(LEASES.c.position).where(_HELD).order_by(LEASES.c.position).limit(_N)
RENEW = (
    LEASES.update()
    .where(LEASES.c.position.in_(_FIRST_HELD.scalar_subquery()))
    .values(expires_at=sa.bindparam("until", type_=sa.Double))
)
LEASE_OF_QUERY = (
    sa.select(*_LEASE_FIELDS).join_from(LEASES, QUERIES).where(_MINE, LEASES.c.query_id == _QUERY)
)
QUERY_OF_ID = sa.select(*QUERY_FIELDS).where(QUERIES.c.id == _QUERY)
UNANSWERED_BY_ME = sa.select(QUERIES.c.id).where(QUERIES.c.id == _QUERY, ~_ANSWERED_BY_ME)
OPEN_TO_ME = sa.select(QUERIES.c.id).where(QUERIES.c.id == _QUERY, _OPEN_TO_ME)
FRESH = (
    sa.select(*QUERY_FIELDS)
    .where(_LENDABLE, ~sa.exists().where(_MINE, _LIVE))
    .order_by(QUERIES.c.position)
    .limit(_N)
)
_AGAIN = QUERIES.alias("again")
REPEATABLE = (
    sa.select(QUERIES.c.id, *QUERY_FIELDS)
    .join_from(LABELS, QUERIES)
    .where(_ANSWERED_LONG_AGO, QUERIES.c.repeat_of.is_(None))
    .where(~sa.exists().where(_AGAIN.c.repeat_of == QUERIES.c.id))
    .order_by(QUERIES.c.position)
)
N_LENDABLE = sa.select(sa.func.count(QUERIES.c.id)).where(_LENDABLE)
N_UNANSWERED = sa.select(sa.func.count(QUERIES.c.id)).where(_UNANSWERED)
N_UNTOUCHED = N_UNANSWERED.where(~sa.exists().where(_LIVE))
