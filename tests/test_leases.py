"""Lending, answering, taking back: any order of it, by two people on three pages."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from prefrl.labels.desk import LabelDesk, LeaseExpired, NothingToWithdraw
from prefrl.labels.sheets import make_sheets
from prefrl.labels.store import LabelStore
from prefrl.types import ANSWERS, PREFERENCE_OF_ANSWER, WITHDRAWN, Clip, Film, Label, Query

LEASE_S = 60.0
PAGES = [("anna", "phone"), ("anna", "desk"), ("bert", "desk of bert")]
N_QUERIES = 4


def clip(seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        observations=rng.normal(size=(3, 1)).astype(np.float32),
        starts=np.zeros(3, np.bool_),
        actions=np.zeros(2, np.int64),
        true_rewards=np.zeros(2, np.float32),
        env_step=seed,
    )


CLIPS = {one.id: one for one in map(clip, range(2 * (N_QUERIES + 1)))}
SHEETS = make_sheets(Film(np.zeros((3, 2, 2, 3), np.uint8), 15.0))
IDS = list(CLIPS)
QUERIES = [Query(IDS[2 * i], IDS[2 * i + 1]) for i in range(N_QUERIES)]
UNSEEN = Query(IDS[-2], IDS[-1])


@dataclass
class Model:
    """What must hold, in the simplest form that could be right."""

    overlap: int
    now: float = 1e9
    expires: dict[tuple[str, str, str], float] = field(default_factory=dict)
    events: list[Label] = field(default_factory=list)
    trained: int = 0

    def last(self, query: str, labeler: str) -> Label | None:
        theirs = [e for e in self.events if (e.query_id, e.labeler) == (query, labeler)]
        return theirs[-1] if theirs else None

    def stands(self, query: str, labeler: str) -> bool:
        last = self.last(query, labeler)
        return last is not None and last.answer != WITHDRAWN

    def holders(self, query: str) -> list[tuple[str, str]]:
        return [
            (labeler, session)
            for (id, labeler, session), until in self.expires.items()
            if id == query and until > self.now
        ]

    def claims(self, query: str) -> set[str]:
        """Who has answered the query, or looks at it."""
        answered = {labeler for labeler, _ in PAGES if self.stands(query, labeler)}
        return answered | {labeler for labeler, _ in self.holders(query)}

    def may_answer(self, query: str, labeler: str, session: str) -> bool:
        if self.stands(query, labeler):
            return False
        holders = self.holders(query)
        if (labeler, session) in holders:
            return True
        return (
            labeler not in {who for who, _ in holders}
            and len(self.claims(query) - {labeler}) < self.overlap
        )

    def held(self, labeler: str, session: str) -> list[str]:
        return [
            query
            for query, who, where in self.expires
            if (who, where) == (labeler, session) and (who, where) in self.holders(query)
        ]


class Leases(RuleBasedStateMachine):
    overlap = 1

    def __init__(self) -> None:
        super().__init__()
        self.store = LabelStore.create("sqlite://", {})
        sheets = {id: SHEETS for query in QUERIES for id in (query.left, query.right)}
        self.store.add_queries([UNSEEN, *QUERIES], CLIPS, sheets)
        self.desk = LabelDesk(
            self.store, np.random.default_rng(0), overlap=self.overlap, repeat_share=0.0
        )
        self.model = Model(self.overlap)
        self.sent: list[tuple[Label, str]] = []
        self.shown: dict[tuple[str, str, str], str] = {}

    def teardown(self) -> None:
        self.store.close()

    def new_id(self) -> str:
        return f"event {len(self.sent)}"

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 2, LEASE_S, LEASE_S + 1]))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule(page=st.sampled_from(PAGES), n=st.integers(1, N_QUERIES + 1))
    def lease(self, page: tuple[str, str], n: int) -> None:
        model, until = self.model, self.model.now + LEASE_S
        given = model.held(*page)[:n]
        for query in QUERIES:
            if len(given) < n and query.id not in model.held(*page):
                given += [query.id] if model.may_answer(query.id, *page) else []
        ready = self.desk.ready(model.now, page[0])
        free = [q for q in QUERIES if model.may_answer(q.id, page[0], "a page that is new")]
        assert ready == len(free)
        for query_id in given:
            model.expires[query_id, *page] = until
        leases = self.desk.lease(*page, n, LEASE_S, model.now)
        assert [lease.query.id for lease in leases] == model.held(*page)[:n]
        assert set(given) == {lease.query.id for lease in leases}
        for lease in leases:
            assert lease.expires_at == until
            assert {lease.shown_left, lease.shown_right} == {lease.query.left, lease.query.right}
            # Once shown on a page, a pair keeps its sides there.
            before = self.shown.setdefault((lease.query.id, *page), lease.shown_left)
            assert lease.shown_left == before

    @rule(page=st.sampled_from(PAGES), query=st.sampled_from([None, *QUERIES]))
    def release(self, page: tuple[str, str], query: Query | None) -> None:
        held = [id for id in self.model.held(*page) if query is None or id == query.id]
        for id in held:
            self.model.expires[id, *page] = self.model.now
        n = self.desk.release(*page, self.model.now, query.id if query else None)
        assert n == len(held)

    @precondition(lambda self: self.shown)
    @rule(data=st.data(), shown=st.sampled_from(ANSWERS))
    def answer(self, data: st.DataObject, shown: str) -> None:
        query_id, labeler, session = data.draw(st.sampled_from(list(self.shown)))
        lease = self.desk.lease_of(query_id, labeler, session)
        label = Label(
            self.new_id(), query_id, labeler, lease.as_stored(shown), self.model.now, 1.5,
            lease.shown_left,
        )  # fmt: skip
        self.sent.append((label, session))
        self.deliver(label, session)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        label, session = data.draw(st.sampled_from(self.sent))
        if label.answer == WITHDRAWN:
            self.take_back(label, session)
        else:
            self.deliver(label, session)

    def deliver(self, label: Label, session: str) -> None:
        model = self.model
        if label in model.events:
            result = self.desk.answer(label, session, model.now)
            assert (result.label, result.repeated) == (label, True)
        elif model.may_answer(label.query_id, label.labeler, session):
            result = self.desk.answer(label, session, model.now)
            assert (result.label, result.repeated) == (label, False)
            model.events.append(label)
            for holder in model.holders(label.query_id):
                if holder[0] == label.labeler:
                    model.expires[label.query_id, *holder] = model.now
        else:
            with pytest.raises(LeaseExpired):
                self.desk.answer(label, session, model.now)

    @rule(page=st.sampled_from(PAGES), query=st.sampled_from(QUERIES))
    def withdraw(self, page: tuple[str, str], query: Query) -> None:
        event = Label(self.new_id(), query.id, page[0], WITHDRAWN, self.model.now, 0.0, "")
        if self.model.last(query.id, page[0]) is None:
            with pytest.raises(NothingToWithdraw, match="has not answered"):
                self.desk.withdraw(event.id, query.id, *page, LEASE_S, self.model.now)
            return
        self.sent.append((event, page[1]))
        self.take_back(event, page[1])

    def take_back(self, event: Label, session: str) -> None:
        model, page = self.model, (event.labeler, session)
        arguments = (event.id, event.query_id, *page, LEASE_S, model.now)
        stored = event.id in {other.id for other in model.events}
        if not stored and not model.stands(event.query_id, event.labeler):
            with pytest.raises(NothingToWithdraw, match="already"):
                self.desk.withdraw(*arguments)
            return
        result = self.desk.withdraw(*arguments)
        assert result.repeated == stored
        assert result.trained == self.was_trained(event.query_id, event.labeler)
        assert result.lease is not None
        if not stored:
            model.events.append(event)
            model.expires[event.query_id, *page] = model.now + LEASE_S
            self.shown.setdefault((event.query_id, *page), result.lease.shown_left)
        assert result.lease.expires_at == model.expires[event.query_id, *page]

    def was_trained(self, query_id: str, labeler: str) -> bool:
        answers = [
            i + 1
            for i, e in enumerate(self.model.events)
            if (e.query_id, e.labeler) == (query_id, labeler) and e.answer != WITHDRAWN
        ]
        return bool(answers) and answers[-1] <= self.model.trained

    @rule()
    def train(self) -> None:
        changes = self.store.changes_since(self.model.trained)
        self.store.mark_trained(changes.position)
        self.model.trained = len(self.model.events)
        assert changes.position == self.model.trained

    @invariant()
    def each_event_is_stored_once_in_order(self) -> None:
        stored = [(label.id, label.answer) for label in self.store.labels()]
        assert stored == [(event.id, event.answer) for event in self.model.events]

    @invariant()
    def no_query_is_over_its_overlap(self) -> None:
        for query in QUERIES:
            assert len(self.model.claims(query.id)) <= self.overlap

    @invariant()
    def what_counts_is_the_last_event_of_each_labeler(self) -> None:
        standing = {
            query.id: [
                self.model.last(query.id, who).answer
                for who in ("anna", "bert")
                if self.model.stands(query.id, who)
            ]
            for query in QUERIES
        }
        assert self.store.counts().answered == sum(map(bool, standing.values()))
        preferences = self.store.changes_since(0).preferences
        for id, answers in standing.items():
            mus = [PREFERENCE_OF_ANSWER[a] for a in answers if a in PREFERENCE_OF_ANSWER]
            found = preferences.get(id)
            assert (found.mu if found else None) == (sum(mus) / len(mus) if mus else None)

    @invariant()
    def what_a_labeler_has_not_answered_or_took_back_is_pending(self) -> None:
        for labeler, _ in PAGES:
            pending = [query for query in QUERIES if not self.model.stands(query.id, labeler)]
            assert self.store.pending(labeler) == [UNSEEN, *pending]

    @invariant()
    def pages_hold_what_they_were_lent(self) -> None:
        for labeler, session in PAGES:
            held = self.model.held(labeler, session)
            for query in QUERIES:
                lease = self.desk.lease_of(query.id, labeler, session)
                live = lease is not None and lease.expires_at > self.model.now
                assert live == (query.id in held)


class LeasesForTwo(Leases):
    overlap = 2


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestLeasesForTwo = LeasesForTwo.TestCase
TestLeasesForTwo.settings = TestLeases.settings
