import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest

from prefrl.labels.desk import IdReused, LabelDesk, LeaseExpired, NothingToWithdraw
from prefrl.labels.lending import ANSWERS_BEFORE_REPEAT
from prefrl.labels.schema import UnknownId
from prefrl.labels.sheets import make_sheets
from prefrl.labels.store import LabelStore, StoreError
from prefrl.types import WITHDRAWN, Film, Label, Query

NOW = 1e9
ANNA, BERT = ("anna", "page a"), ("bert", "page b")


def film(seed, frames=6):
    picture = np.random.default_rng(seed).integers(0, 256, (frames, 8, 8, 3), np.uint8)
    return Film(picture, 15.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.sqlite3"


@pytest.fixture
def store(path):
    with LabelStore.create(path, {}) as store:
        yield store


def fill(store, make_clip, n):
    """n queries with films, in the order in which they were asked."""
    clips = [make_clip(seed) for seed in range(2 * n)]
    queries = [Query(clips[2 * i].id, clips[2 * i + 1].id, env_step=i) for i in range(n)]
    sheets = {clip.id: make_sheets(film(seed)) for seed, clip in enumerate(clips)}
    store.add_queries(queries, {clip.id: clip for clip in clips}, sheets)
    return queries


@pytest.fixture
def ask(store, make_clip):
    return lambda n: fill(store, make_clip, n)


@pytest.fixture
def desk(store):
    return LabelDesk(store, np.random.default_rng(0), repeat_share=0.0)


def lend(desk, page, n=1, now=NOW):
    return desk.lease(*page, n, 120.0, now)


def label(lease, page, shown="left", id=None):
    return Label(
        id=id or f"{page}-{lease.query.id}",
        query_id=lease.query.id,
        labeler=page[0],
        answer=lease.as_stored(shown),
        answered_at=NOW,
        time_to_answer_s=1.5,
        shown_left=lease.shown_left,
    )


def test_the_sheets_of_a_clip_are_those_of_its_film(store, desk, ask):
    queries = ask(2)
    assert desk.sheets(queries[0].left) == make_sheets(film(0))
    assert desk.sheets(queries[1].right) == make_sheets(film(3))


def test_a_film_of_several_sheets_comes_back_in_order(store, desk, ask):
    query = ask(1)[0]
    with store.transaction(writes=True) as connection:
        connection.exec_driver_sql("DELETE FROM sheets")
    long = Film(np.random.default_rng(0).integers(0, 9, (12, 2100, 400, 3), np.uint8), 15.0)
    store.add_queries([query], {}, {query.left: make_sheets(long)})
    assert len(desk.sheets(query.left).pngs) == 2
    assert desk.sheets(query.left) == make_sheets(long)


def test_a_clip_without_pictures_is_named(desk):
    with pytest.raises(UnknownId, match="no pictures of a clip 'nothing'"):
        desk.sheets("nothing")


def test_a_film_is_stored_once_and_only_of_a_clip_that_is_there(store, desk, ask):
    query = ask(1)[0]
    store.add_queries([query], {}, {query.left: make_sheets(film(99))})
    assert desk.sheets(query.left) == make_sheets(film(0))
    with pytest.raises(StoreError, match="there is no clip 'nothing'"):
        store.add_queries([query], {}, {"nothing": make_sheets(film(0))})


def test_a_query_of_which_a_film_is_missing_is_lent_to_nobody(store, desk, make_clip):
    left, right = make_clip(1), make_clip(2)
    query = Query(left.id, right.id)
    store.add_queries([query], {left.id: left, right.id: right}, {left.id: make_sheets(film(1))})
    assert (lend(desk, ANNA), desk.ready(NOW)) == ([], 0)
    assert store.pending("anna") == [query]
    store.add_queries([query], {}, {right.id: make_sheets(film(2))})
    assert [lease.query for lease in lend(desk, ANNA)] == [query]


def test_two_people_are_given_different_queries_oldest_first(desk, ask):
    queries = ask(5)
    assert [lease.query for lease in lend(desk, ANNA, 2)] == queries[:2]
    assert [lease.query for lease in lend(desk, BERT, 2)] == queries[2:4]
    assert (desk.ready(NOW), desk.ready(NOW + 121)) == (1, 5)


def test_a_page_that_waits_for_pairs_writes_nothing(path, desk, ask):
    ask(1)
    (lease,) = lend(desk, ANNA)
    before = path.read_bytes()  # each commit is counted in it
    assert lend(desk, BERT) == []
    assert path.read_bytes() == before
    assert lend(desk, ANNA, now=NOW + 60)[0].expires_at == lease.expires_at + 60
    assert path.read_bytes() != before


def test_an_overlap_lets_so_many_people_have_a_query_and_no_more(store, ask):
    queries = ask(1)
    desk = LabelDesk(store, np.random.default_rng(0), overlap=2)
    anna, bert = lend(desk, ANNA)[0], lend(desk, BERT)[0]
    assert anna.query == bert.query == queries[0]
    desk.answer(label(anna, ANNA), ANNA[1], NOW)
    assert lend(desk, ("cleo", "page c")) == []
    assert lend(desk, ("cleo", "page c"), now=NOW + 121)[0].query == queries[0]


def test_a_pair_is_shown_both_ways_round(desk, ask):
    ask(200)
    leases = lend(desk, ANNA, 200)
    as_stored = sum(lease.shown_left == lease.query.left for lease in leases)
    assert as_stored / 200 == pytest.approx(0.5, abs=0.1)
    mirrored = next(lease for lease in leases if lease.shown_left == lease.query.right)
    assert mirrored.shown_right == mirrored.query.left
    answers = ("left", "right", "equal", "incomparable")
    assert [mirrored.as_stored(a) for a in answers] == ["right", "left", "equal", "incomparable"]


def test_an_answer_is_stored_with_all_that_it_came_with(store, desk, ask):
    ask(1)
    lease = lend(desk, ANNA)[0]
    given = label(lease, ANNA, "right")
    result = desk.answer(given, ANNA[1], NOW + 1)
    assert (result.label, result.repeated) == (given, False)
    assert store.labels() == [given]


def test_an_answer_sent_again_long_after_is_stored_once_and_confirmed(store, desk, ask):
    ask(1)
    given = label(lend(desk, ANNA)[0], ANNA)
    desk.answer(given, ANNA[1], NOW)
    again = desk.answer(given, "a page opened later", NOW + 1e6)
    assert (again.label, again.repeated) == (given, True)
    assert store.labels() == [given]


def test_an_id_that_says_something_else_the_second_time_is_refused(store, desk, ask):
    ask(2)
    first, second = lend(desk, ANNA, 2)
    desk.answer(label(first, ANNA, id="same"), ANNA[1], NOW)
    others = {
        "query_id": label(second, ANNA, id="same"),
        "answer": label(first, ANNA, "right", id="same"),
        "labeler": replace(label(first, ANNA, id="same"), labeler="bert"),
    }
    for name, other in others.items():
        with pytest.raises(IdReused, match=f"another {name}"):
            desk.answer(other, ANNA[1], NOW)
    with pytest.raises(IdReused):
        desk.withdraw("same", first.query.id, *ANNA, 120.0, NOW)
    assert len(store.labels()) == 1


def test_an_answer_of_a_page_that_never_had_the_query_is_refused(store, desk, ask):
    ask(1)
    given = label(lend(desk, ANNA)[0], ANNA)
    for labeler, session in (("anna", "another page"), BERT):
        with pytest.raises(LeaseExpired, match="not given to this page"):
            desk.answer(replace(given, labeler=labeler), session, NOW)
    with pytest.raises(UnknownId, match="there is no query 'nothing'"):
        desk.answer(replace(given, query_id="nothing"), ANNA[1], NOW)
    assert store.labels() == []


def test_an_answer_about_other_sides_than_were_shown_is_refused(desk, ask):
    ask(1)
    lease = lend(desk, ANNA)[0]
    with pytest.raises(LeaseExpired):
        desk.answer(replace(label(lease, ANNA), shown_left=lease.shown_right), ANNA[1], NOW)


def test_a_late_answer_counts_unless_somebody_else_has_the_query(store, desk, ask):
    ask(2)
    first, second = lend(desk, ANNA, 2)
    late = NOW + 121
    desk.answer(label(first, ANNA), ANNA[1], late)
    lend(desk, BERT, now=late)
    with pytest.raises(LeaseExpired, match="no longer"):
        desk.answer(label(second, ANNA), ANNA[1], late)
    assert len(store.labels()) == 1


def test_an_answer_after_another_labelers_is_refused(store, desk, ask):
    ask(1)
    lease = lend(desk, ANNA)[0]
    later = lend(desk, BERT, now=NOW + 121)[0]
    desk.answer(label(later, BERT), BERT[1], NOW + 122)
    with pytest.raises(LeaseExpired):
        desk.answer(label(lease, ANNA), ANNA[1], NOW + 1000)
    assert [stored.labeler for stored in store.labels()] == ["bert"]


def test_a_closed_page_gives_its_queries_back_and_a_skipped_one_alone(desk, ask):
    queries = ask(3)
    lend(desk, ANNA, 2)
    assert desk.release(*ANNA, NOW, query_id=queries[0].id) == 1
    assert lend(desk, BERT)[0].query == queries[0]
    assert desk.release(*ANNA, NOW) == 1
    assert [lease.query for lease in lend(desk, BERT, 3)] == queries


def test_undo_tells_whether_the_answer_had_been_trained_on(store, desk, ask):
    ask(2)
    first, second = lend(desk, ANNA, 2)
    desk.answer(label(first, ANNA), ANNA[1], NOW)
    store.mark_trained(store.changes_since(0).position)
    desk.answer(label(second, ANNA), ANNA[1], NOW)
    assert desk.withdraw("undo 1", first.query.id, *ANNA, 120.0, NOW).trained
    assert not desk.withdraw("undo 2", second.query.id, *ANNA, 120.0, NOW).trained


def test_what_was_trained_never_goes_back(store, desk, ask):
    ask(1)
    lease = lend(desk, ANNA)[0]
    desk.answer(label(lease, ANNA), ANNA[1], NOW)
    store.mark_trained(1)
    store.mark_trained(0)
    assert desk.withdraw("undo", lease.query.id, *ANNA, 120.0, NOW).trained


def test_an_answer_that_is_taken_back_counts_no_more_until_given_again(store, desk, ask):
    ask(1)
    lease = lend(desk, ANNA)[0]
    desk.answer(label(lease, ANNA, id="1"), ANNA[1], NOW)
    position = store.changes_since(0).position
    undone = desk.withdraw("2", lease.query.id, *ANNA, 120.0, NOW)
    assert undone.lease == replace(lease, expires_at=NOW + 120.0)
    assert lend(desk, BERT) == []
    assert store.changes_since(position).preferences == {lease.query.id: None}
    assert (store.counts().answered, store.pending("anna")) == (0, [lease.query])
    desk.answer(label(lease, ANNA, "right", id="3"), ANNA[1], NOW)
    assert store.counts().answered == 1
    assert [event.answer for event in store.labels()][1] == WITHDRAWN
    assert store.changes_since(0).preferences[lease.query.id].mu in {0.0, 1.0}


def test_ten_answers_can_be_taken_back_one_after_the_other(store, desk, ask):
    queries = ask(10)
    for lease in lend(desk, ANNA, 10):
        desk.answer(label(lease, ANNA), ANNA[1], NOW)
    for query in reversed(queries):
        desk.withdraw(f"undo {query.id}", query.id, *ANNA, 120.0, NOW)
    assert store.counts().answered == 0
    assert [lease.query for lease in lend(desk, ANNA, 10)] == queries


def test_who_has_not_answered_cannot_take_back(desk, ask):
    queries = ask(1)
    lease = lend(desk, ANNA)[0]
    desk.answer(label(lease, ANNA), ANNA[1], NOW)
    with pytest.raises(NothingToWithdraw, match="bert has not answered"):
        desk.withdraw("undo", queries[0].id, *BERT, 120.0, NOW)
    desk.withdraw("undo", queries[0].id, *ANNA, 120.0, NOW)
    with pytest.raises(NothingToWithdraw, match="already"):
        desk.withdraw("undo once more", queries[0].id, *ANNA, 120.0, NOW)


def answer_all(desk, page, n, now=NOW):
    """Answers n queries one after the other; the queries."""
    asked = []
    for _ in range(n):
        (lease,) = lend(desk, page, now=now)
        desk.answer(label(lease, page, id=f"{page}{lease.query.id}"), page[1], now)
        asked.append(lease.query)
    return asked


def test_some_pairs_are_shown_again_a_while_later_half_of_them_mirrored(make_clip):
    with LabelStore.create("sqlite://", {}) as store:
        fill(store, make_clip, 400)
        desk = LabelDesk(store, np.random.default_rng(0), repeat_share=0.2)
        asked = answer_all(desk, ANNA, 400)
        left = {event.query_id: event.shown_left for event in store.labels()}
    places = {query.id: i for i, query in enumerate(asked)}
    repeats = [(i, query) for i, query in enumerate(asked) if query.repeat_of]
    assert len(repeats) / 400 == pytest.approx(0.2, abs=0.06)
    assert min(i - places[query.repeat_of] for i, query in repeats) > ANSWERS_BEFORE_REPEAT
    assert len({query.repeat_of for _, query in repeats}) == len(repeats)
    mirrored = [left[query.id] != left[query.repeat_of] for _, query in repeats]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.2)


def test_a_repeat_goes_to_nobody_who_has_not_answered_the_original(store, ask):
    ask(20)
    desk = LabelDesk(store, np.random.default_rng(0), overlap=2, repeat_share=1.0)
    answer_all(desk, ANNA, 12)
    (lease,) = lend(desk, ANNA)
    assert lease.query.repeat_of is not None
    later = NOW + 121
    assert not any(lease.query.repeat_of for lease in lend(desk, BERT, 20, later))
    assert lease.query in [again.query for again in lend(desk, ANNA, 20, later)]


def test_a_repeat_made_for_another_waits_for_ten_answers_of_one_s_own(store, ask):
    queries = ask(12)
    desk = LabelDesk(store, np.random.default_rng(0), overlap=2, repeat_share=1.0)
    repeat = answer_all(desk, ANNA, 12)[-1]
    assert repeat.repeat_of == queries[0].id
    quiet = LabelDesk(store, np.random.default_rng(0), overlap=2, repeat_share=0.0)
    cleo = ("cleo", "page c")
    lend(quiet, cleo, 12)
    quiet.release(*cleo, NOW, query_id=queries[0].id)
    assert answer_all(quiet, BERT, 2) == [queries[0], queries[11]]
    assert lend(quiet, BERT) == []
    assert answer_all(quiet, BERT, 11, NOW + 121)[-1] == repeat


def test_repeats_are_no_part_of_the_budget(store, ask):
    ask(20)
    desk = LabelDesk(store, np.random.default_rng(0), repeat_share=1.0)
    asked = answer_all(desk, ANNA, 15)
    counts = store.counts()
    assert (counts.queries, counts.answered) == (20, sum(not q.repeat_of for q in asked))


def test_an_invitation_is_a_token_that_stands_for_a_name_until_it_is_revoked(path, store, desk):
    desk.add_invitation("bert", "secret")
    desk.add_invitation("cleo", "other secret")
    assert (desk.labeler_of("secret"), desk.labeler_of("other secret")) == ("bert", "cleo")
    assert desk.labeler_of("guess") is None
    desk.revoke_invitation("bert")
    assert (desk.labeler_of("secret"), desk.labeler_of("other secret")) == (None, "cleo")
    assert b"secret" not in path.read_bytes()


def test_a_new_invitation_of_the_same_name_ends_the_old_and_a_revocation(desk):
    desk.add_invitation("bert", "old")
    desk.add_invitation("bert", "new")
    assert (desk.labeler_of("old"), desk.labeler_of("new")) == (None, "bert")
    desk.revoke_invitation("bert")
    desk.add_invitation("bert", "newer")
    assert desk.labeler_of("newer") == "bert"


def test_who_is_not_invited_cannot_be_revoked(desk):
    with pytest.raises(UnknownId, match="nobody called 'bert' is invited"):
        desk.revoke_invitation("bert")


def test_a_copy_has_the_pictures_and_what_was_taken_back_but_neither_leases_nor_guests(
    tmp_path, store, desk, ask
):
    queries = ask(3)
    for lease in lend(desk, ANNA, 3):
        desk.answer(label(lease, ANNA), ANNA[1], NOW)
    desk.withdraw("undo", queries[1].id, *ANNA, 120.0, NOW)
    desk.add_invitation("bert", "secret")
    with LabelStore.create(tmp_path / "copy.sqlite3", {}) as copy:
        assert copy.copy_from(store) == copy.copy_from(store) == 2
        theirs = LabelDesk(copy, np.random.default_rng(0), repeat_share=0.0)
        assert theirs.sheets(queries[0].left) == desk.sheets(queries[0].left)
        assert [lease.query for lease in lend(theirs, BERT, 3)] == [queries[1]]
        assert theirs.labeler_of("secret") is None
        assert copy.counts() == store.counts()


def test_leases_outlive_the_process_that_gave_them(path, store, desk, ask):
    queries = ask(2)
    given = lend(desk, ANNA)
    store.close()
    with LabelStore.open(path) as again:
        reopened = LabelDesk(again, np.random.default_rng(1), repeat_share=0.0)
        assert [lease.query for lease in lend(reopened, BERT, 2, NOW + 1)] == queries[1:]
        assert lend(reopened, ANNA) == given


def test_many_people_at_once_lose_nothing_and_never_share_a_query(store, ask):
    ask(40)
    desk = LabelDesk(store, np.random.default_rng(0), repeat_share=0.1)
    errors = []

    def work(page):
        try:
            for i in range(8):
                lease = lend(desk, page, 2)[0]
                desk.answer(label(lease, page, id=f"{page}{i}"), page[1], NOW)
        except (StoreError, IndexError) as error:
            errors.append(error)

    people = [threading.Thread(target=work, args=((f"p{i}", f"s{i}"),)) for i in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert errors == []
    answered = [event.query_id for event in store.labels()]
    assert len(answered) == len(set(answered)) == 32


def test_a_store_of_the_first_version_is_refused_by_its_version(path, store):
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE leases")
        connection.execute("UPDATE meta SET schema_version = 1")
    connection.close()
    with pytest.raises(StoreError, match="expected schema version 2 of a label store, got 1"):
        LabelStore.open(path)
