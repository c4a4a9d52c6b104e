"""What the label page asks of the store: pairs are lent, answered, taken back; people invited."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import sqlalchemy as sa

from prefrl.labels import figures, leases, lending, people
from prefrl.labels.codec import StoreError
from prefrl.labels.database import Database
from prefrl.labels.events import insert_labels
from prefrl.labels.figures import LabelerFigures
from prefrl.labels.leases import Holder, Lease, LeaseExpired
from prefrl.labels.schema import LABEL_FIELDS, LABELS, META, QUERIES, UnknownId, refuse_unknown
from prefrl.labels.sheets import Sheets, read_sheets
from prefrl.types import WITHDRAWN, Label

__all__ = [
    "AnswerResult",
    "IdReused",
    "LabelDesk",
    "Lease",
    "LeaseExpired",
    "NothingToWithdraw",
    "Withdrawal",
]


class IdReused(StoreError):
    """A label's id already belongs to a label that says something else."""


class NothingToWithdraw(StoreError):
    """The labeler has no answer to this query that counts."""


@dataclass(frozen=True)
class AnswerResult:
    """What became of an answer.

    Attributes:
        label: As it is stored.
        repeated: It had been stored before this call.
    """

    label: Label
    repeated: bool


@dataclass(frozen=True)
class Withdrawal:
    """What became of an answer that was taken back.

    Attributes:
        lease: The query, lent to the page again. None where a call is repeated from another page.
        trained: The answer had been trained on.
        repeated: It had been taken back before this call.
    """

    lease: Lease | None
    trained: bool
    repeated: bool


class LabelDesk:
    """The side of a label store that people see: never a clip's data nor its true rewards.

    A labeler may have several pages open, each with a session of its own. At any time at most
    `overlap` people have answered a query or hold a lease on it. Times are seconds since the epoch.

    Args:
        store: The store; a `LabelStore` is one.
        rng: Draws the side on which each clip is shown, and the repeats.
        overlap: How many people answer each query.
        repeat_share: Share of pairs that a labeler is given a second time, to see how consistent
            they are. Their sides are drawn anew, so half of them come mirrored.
    """

    def __init__(
        self,
        store: Database,
        rng: np.random.Generator,
        *,
        overlap: int = 1,
        repeat_share: float = 0.05,
    ) -> None:
        self._store = store
        self._rng = rng
        self._overlap = overlap
        self._repeat_share = repeat_share

    def sheets(self, clip_id: str) -> Sheets:
        """The pictures of one clip.

        Raises:
            UnknownId: None are stored.
        """
        with self._store.transaction() as connection:
            return read_sheets(connection, self._store.name, clip_id)

    def find_sheets(self, clip_id: str) -> Sheets | None:
        """The same, or None where none are stored."""
        try:
            return self.sheets(clip_id)
        except UnknownId:
            return None

    def lease(self, labeler: str, session: str, n: int, lease_s: float, now: float) -> list[Lease]:
        """Lend up to n queries to a page, for `lease_s` from now.

        What it holds already comes first and is renewed, so that a reload shows the same pair; what
        is missing is filled up with the oldest queries that can be given to it.
        """
        holder, until = Holder(labeler, session), now + lease_s
        if not self._could_lend(holder, now):  # pages that wait ask each second: writers go on
            return []
        with self._store.transaction(writes=True) as connection:
            missing = n - leases.renew(connection, holder, now, until, n)
            for query in leases.fresh(connection, holder, self._overlap, now, missing):
                repeats = self._rng.random() < self._repeat_share
                repeat = leases.add_repeat(connection, labeler, self._rng, now) if repeats else None
                leases.grant(connection, holder, repeat or query, until, self._rng)
            return leases.held(connection, holder, now, n)

    def lease_of(self, query_id: str, labeler: str, session: str) -> Lease | None:
        """The lease under which a page has, or had, a query; None if it never had it."""
        with self._store.transaction() as connection:
            return leases.find_lease(connection, Holder(labeler, session), query_id)

    def release(self, labeler: str, session: str, now: float, query_id: str | None = None) -> int:
        """Give a page's leases back, or the one of a query: it was skipped, or the page is closed.

        Returns:
            How many there were.
        """
        with self._store.transaction(writes=True) as connection:
            return leases.end(connection, now, labeler, session, query_id)

    def answer(self, label: Label, session: str, now: float) -> AnswerResult:
        """Store an answer of a page that has, or had, a lease on the query. Committed on return.

        After the lease's end the answer still counts, as long as the query would be lent to this
        page again. The same label may be sent any number of times: it is stored once.

        Args:
            label: Its `shown_left` is the lease's (see `Lease.as_stored`).
            session: Of the page.
            now: Seconds since the epoch.

        Raises:
            UnknownId: There is no such query.
            LeaseExpired: The page never had the query, another has it now, or it is answered.
            IdReused: A label of this id says something else.
        """
        holder = Holder(label.labeler, session)
        with self._store.transaction(writes=True) as connection:
            if stored := self._stored(connection, label):
                return AnswerResult(stored, repeated=True)
            lease = leases.find_lease(connection, holder, label.query_id)
            if lease is None:
                refuse_unknown(connection, self._store.name, QUERIES, [label.query_id], "query")
            if lease is None or lease.shown_left != label.shown_left:
                raise LeaseExpired(f"query {label.query_id} was not given to this page")
            if not leases.may_answer(connection, holder, lease, self._overlap, now):
                raise LeaseExpired(f"query {label.query_id} is no longer this page's to answer")
            insert_labels(connection, [asdict(label)])
            leases.end(connection, now, label.labeler, query_id=label.query_id)
        return AnswerResult(label, repeated=False)

    def withdraw(
        self, label_id: str, query_id: str, labeler: str, session: str, lease_s: float, now: float
    ) -> Withdrawal:
        """Take a labeler's answer back, as a new event, and lend the query to the page again.

        The same event may be sent any number of times: it is stored once.

        Args:
            label_id: Of the new event, made by the page.
            query_id: Whose answer is taken back.
            labeler: Who answered.
            session: Of the page.
            lease_s: How long it has the query.
            now: Seconds since the epoch.

        Raises:
            NothingToWithdraw: No answer of theirs to the query counts.
            IdReused: A label of this id says something else.
        """
        holder = Holder(labeler, session)
        with self._store.transaction(writes=True) as connection:
            last = _last_event(connection, query_id, labeler)
            if last is None:
                raise NothingToWithdraw(f"{labeler} has not answered query {query_id}")
            event = replace(
                last, id=label_id, answer=WITHDRAWN, answered_at=now, time_to_answer_s=0.0
            )
            repeated = self._stored(connection, event) is not None
            if not repeated:
                if last.answer == WITHDRAWN:
                    raise NothingToWithdraw(f"{labeler} took query {query_id} back already")
                insert_labels(connection, [asdict(event)])
                query = leases.find_query(connection, query_id)
                leases.grant(connection, holder, query, now + lease_s, self._rng)
            lease = leases.find_lease(connection, holder, query_id)
            trained = _was_trained(connection, query_id, labeler)
        return Withdrawal(lease, trained, repeated)

    def ready(self, now: float, labeler: str = "") -> int:
        """How many queries could be lent now to a labeler's next page (or to a newcomer's)."""
        with self._store.transaction() as connection:
            return leases.count_lendable(connection, Holder(labeler, ""), self._overlap, now)

    def untouched(self, now: float) -> int:
        """How many queries nobody has answered nor has on a screen: anybody could be given them."""
        with self._store.transaction() as connection:
            return connection.scalar(lending.N_UNTOUCHED, {"now": now}) or 0

    def unanswered(self) -> int:
        """How many queries nobody has answered: they are ready, or on somebody's screen."""
        with self._store.transaction() as connection:
            return connection.scalar(lending.N_UNANSWERED) or 0

    def labeler_figures(self) -> list[LabelerFigures]:
        """Every labeler in figures, by name."""
        with self._store.transaction() as connection:
            return figures.labeler_figures(figures.standing(connection))

    def agreement(self) -> float | None:
        """Krippendorff's alpha between labelers; None where nobody overlaps."""
        with self._store.transaction() as connection:
            return figures.agreement(figures.standing(connection))

    def add_invitation(self, name: str, token: str) -> None:
        """Let a token stand for a labeler's name; an earlier token of the same name ends."""
        with self._store.transaction(writes=True) as connection:
            people.invite(connection, name, token)

    def revoke_invitation(self, name: str) -> None:
        """End a labeler's invitation.

        Raises:
            UnknownId: Nobody of this name is invited.
        """
        with self._store.transaction(writes=True) as connection:
            people.revoke(connection, name)

    def labeler_of(self, token: str) -> str | None:
        """Whom a token stands for; None for one that is unknown or was revoked."""
        with self._store.transaction() as connection:
            return people.name_behind(connection, token)

    def _could_lend(self, holder: Holder, now: float) -> bool:
        """Whether there is anything to lend to a page, or to renew."""
        with self._store.transaction() as connection:
            return bool(
                leases.held(connection, holder, now, 1)
                or leases.fresh(connection, holder, self._overlap, now, 1)
            )

    def _stored(self, connection: sa.Connection, label: Label) -> Label | None:
        """The label of this id, if there is one.

        Raises:
            IdReused: It says something else.
        """
        statement = sa.select(*LABEL_FIELDS).where(LABELS.c.id == label.id)
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        stored = Label(*row)
        for name in ("query_id", "labeler", "answer"):
            if getattr(stored, name) != getattr(label, name):
                raise IdReused(f"label {label.id} is stored with another {name}")
        return stored


def _last_event(connection: sa.Connection, query_id: str, labeler: str) -> Label | None:
    """The newest of a labeler's answers and withdrawals."""
    statement = (
        sa.select(*LABEL_FIELDS)
        .where(LABELS.c.query_id == query_id, LABELS.c.labeler == labeler)
        .order_by(LABELS.c.position.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return Label(*row) if row else None


def _was_trained(connection: sa.Connection, query_id: str, labeler: str) -> bool:
    """Whether the labeler's newest answer to a query, taken back or not, was trained on."""
    newest = (
        sa.select(sa.func.max(LABELS.c.position))
        .where(LABELS.c.query_id == query_id, LABELS.c.labeler == labeler)
        .where(LABELS.c.answer != WITHDRAWN)
        .scalar_subquery()
    )
    return connection.scalar(sa.select(META.c.trained_position >= newest)) is True
