import sqlite3
import threading
from dataclasses import replace

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from prefrl.labels import schema
from prefrl.labels.store import LabelStore, StoreError
from prefrl.types import WITHDRAWN, Label, Query

TASK = {"env": "moving-dot", "observation_shape": [4, 84, 84]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.sqlite3"


@pytest.fixture
def store(path):
    with LabelStore.create(path, TASK) as store:
        yield store


@pytest.fixture
def clips(make_clip):
    return [make_clip(seed, env_step=seed) for seed in range(6)]


def fill(store, clips):
    """Three queries over six clips."""
    queries = [Query(clips[i].id, clips[i + 1].id, env_step=i) for i in (0, 2, 4)]
    store.add_queries(queries, {clip.id: clip for clip in clips})
    return queries


def label(query, answer="left", labeler="anna", id=None):
    return Label(
        id=id or f"{query.id}-{labeler}-{answer}",
        query_id=query.id,
        labeler=labeler,
        answer=answer,
        answered_at=1.5e9,
        time_to_answer_s=2.25,
        shown_left=query.right,
        snapshot_version=3,
    )


def test_queries_clips_and_labels_are_read_back_as_they_were_stored(store, clips):
    queries = fill(store, clips)
    given = label(queries[0])
    store.add_labels([given])
    assert store.pending("bert") == queries
    assert store.labels() == [given]
    for clip in clips:
        back = store.clip(clip.id)
        assert (back.id, back.env_step) == (clip.id, clip.env_step)


def test_all_of_it_is_there_after_reopening(path, store, clips):
    queries = fill(store, clips)
    store.add_labels([label(queries[0])])
    store.close()
    with LabelStore.open(path) as again:
        assert again.fingerprint == TASK
        assert again.pending("anna") == queries[1:]
        assert again.counts().answered == 1
        assert again.pairs() == {frozenset((q.left, q.right)) for q in queries}


def test_clips_and_queries_are_stored_once(store, clips):
    queries = fill(store, clips)
    fill(store, clips)
    store.add_queries([queries[0], queries[0]], {})
    assert store.pending("anna") == queries
    assert len(store.newest_clips(100)) == len(clips)


def test_a_query_without_its_clip_is_refused_and_nothing_is_stored(store, clips):
    first = Query(clips[0].id, clips[1].id)
    with pytest.raises(StoreError, match=f"there is no clip '{clips[2].id}'"):
        store.add_queries(
            [first, Query(clips[0].id, clips[2].id)], {clip.id: clip for clip in clips[:2]}
        )
    assert store.pending("anna") == []
    assert store.newest_clips(10) == []


def test_pending_is_per_labeler_oldest_first_and_can_be_limited(store, clips):
    queries = fill(store, clips)
    store.add_labels([label(queries[0], labeler="anna")])
    assert store.pending("anna", limit=1) == queries[1:2]
    assert store.pending("bert", limit=2) == queries[:2]


def test_newest_clips_come_in_the_order_in_which_they_ended(store, clips):
    fill(store, clips)
    assert [clip.env_step for clip in store.newest_clips(3)] == [3, 4, 5]


def test_an_answer_sent_twice_is_stored_once(store, clips):
    query = fill(store, clips)[0]
    store.add_labels([label(query, "left", id="same")])
    store.add_labels([label(query, "right", id="same"), label(query, "right", id="same")])
    assert [stored.answer for stored in store.labels()] == ["left"]


def test_an_answer_to_an_unknown_query_is_refused_with_all_others_of_the_call(store, clips):
    query = fill(store, clips)[0]
    unknown = Query("no", "such")
    with pytest.raises(StoreError, match=f"there is no query '{unknown.id}'"):
        store.add_labels([label(query), label(unknown)])
    assert store.labels() == []


def test_a_clip_that_is_missing_or_damaged_is_named(path, store, clips):
    fill(store, clips)
    with pytest.raises(StoreError, match="there is no clip 'nothing'"):
        store.clip("nothing")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE clips SET data = ? WHERE id = ?", (b"rubbish", clips[0].id))
    connection.close()
    with pytest.raises(StoreError, match=f"clip {clips[0].id}: .*not a readable clip"):
        store.clips([clips[1].id, clips[0].id])


@pytest.mark.parametrize(("answer", "mu"), [("left", 1.0), ("right", 0.0), ("equal", 0.5)])
def test_an_answer_becomes_a_preference(store, clips, answer, mu):
    query = fill(store, clips)[0]
    store.add_labels([label(query, answer)])
    (preference,) = store.changes_since(0).preferences.values()
    assert preference.mu == mu
    assert preference.query_id == query.id
    assert (preference.left.id, preference.right.id) == (query.left, query.right)


def test_each_label_is_reported_once_in_order(store, clips):
    queries = fill(store, clips)
    store.add_labels([label(queries[2]), label(queries[0])])
    first = store.changes_since(0)
    assert list(first.preferences) == [queries[2].id, queries[0].id]
    assert store.changes_since(first.position).preferences == {}
    store.add_labels([label(queries[1])])
    second = store.changes_since(first.position)
    assert list(second.preferences) == [queries[1].id]
    assert list(store.changes_since(0).preferences) == [queries[i].id for i in (2, 0, 1)]


def test_a_later_answer_of_the_same_labeler_replaces_the_earlier(store, clips):
    query = fill(store, clips)[0]
    store.add_labels([label(query, "left")])
    before = store.changes_since(0)
    store.add_labels([label(query, "right")])
    after = store.changes_since(before.position)
    assert before.preferences[query.id].mu == 1.0
    assert after.preferences[query.id].mu == 0.0
    assert len(store.labels()) == 2


def test_a_preference_is_taken_away_by_incomparable(store, clips):
    query = fill(store, clips)[0]
    store.add_labels([label(query, "left")])
    position = store.changes_since(0).position
    store.add_labels([label(query, "incomparable")])
    assert store.changes_since(position).preferences == {query.id: None}
    assert store.counts().answered == 1


def test_mu_is_the_mean_over_labelers_who_could_compare(store, clips):
    query = fill(store, clips)[0]
    answers = {"anna": "left", "bert": "left", "cleo": "equal", "dora": "incomparable"}
    store.add_labels([label(query, answer, who) for who, answer in answers.items()])
    position = store.changes_since(0).position
    assert store.changes_since(0).preferences[query.id].mu == pytest.approx(2.5 / 3)
    store.add_labels([label(query, "right", "anna")])
    assert store.changes_since(position).preferences[query.id].mu == pytest.approx(0.5)


def test_repeats_are_answered_but_never_train_nor_count(store, clips):
    query = fill(store, clips)[0]
    repeat = Query(query.left, query.right, repeat_of=query.id)
    store.add_queries([repeat], {})
    assert repeat in store.pending("anna")
    store.add_labels([label(repeat)])
    changes = store.changes_since(0)
    assert changes.preferences == {}
    assert changes.position > 0
    counts = store.counts()
    assert (counts.queries, counts.answered, counts.labels) == (3, 0, 0)


def test_counts_by_answer(store, clips):
    queries = fill(store, clips)
    store.add_labels([label(queries[0], "left"), label(queries[1], "equal")])
    store.add_labels([label(queries[0], "equal", "bert")])
    counts = store.counts()
    assert (counts.queries, counts.answered, counts.labels) == (3, 2, 3)
    assert counts.by_answer == {"left": 1, "right": 0, "equal": 2, "incomparable": 0}


def test_counts_leave_out_what_was_taken_back_or_answered_anew(store, clips):
    queries = fill(store, clips)
    store.add_labels([label(queries[0], "left"), label(queries[1], "equal")])
    store.add_labels([label(queries[0], "right"), label(queries[1], WITHDRAWN)])
    counts = store.counts()
    assert (counts.queries, counts.answered, counts.labels) == (3, 1, 1)
    assert counts.by_answer == {"left": 0, "right": 1, "equal": 0, "incomparable": 0}


def test_a_copy_holds_what_was_answered_and_copying_twice_adds_nothing(tmp_path, store, clips):
    queries = fill(store, clips)
    store.add_queries([Query(queries[0].left, queries[0].right, repeat_of=queries[0].id)], {})
    store.add_labels([label(query) for query in (queries[1], queries[0])])
    store.add_labels([label(query) for query in store.pending("anna") if query.repeat_of])
    with LabelStore.create(tmp_path / "copy.sqlite3", TASK) as copy:
        assert copy.copy_from(store) == 2
        assert copy.copy_from(store) == 2
        assert copy.labels() == store.labels()
        answered = {label.query_id for label in store.labels()}
        wanted = [query for query in store.pending("bert") if query.id in answered]
        assert copy.pending("bert") == wanted
        assert len(wanted) == len(store.pending("bert")) - 1  # nobody has answered the third
        assert copy.counts() == replace(store.counts(), queries=2)
        mus, copied = (
            [(p.query_id, p.mu) for p in s.changes_since(0).preferences.values() if p]
            for s in (store, copy)
        )
        assert mus == copied


def test_labels_of_another_task_are_refused_by_the_first_key_that_differs(tmp_path, store, clips):
    fill(store, clips)
    store.check_fingerprint({**TASK, "observation_shape": (4, 84, 84)})
    message = r"observation_shape is \[4, 84, 84\] there and \[3\] here"
    with pytest.raises(StoreError, match=message):
        store.check_fingerprint({**TASK, "observation_shape": [3]})
    with LabelStore.create(tmp_path / "other.sqlite3", {**TASK, "env": "pong"}) as other:
        with pytest.raises(StoreError, match="env is 'moving-dot' there and 'pong' here"):
            other.copy_from(store)
        assert other.newest_clips(1) == []


def test_what_is_no_store_is_refused_in_one_line(tmp_path):
    (tmp_path / "text").write_text("no database at all, but long enough to look at" * 50)
    sqlite3.connect(tmp_path / "empty").close()
    (tmp_path / "empty").touch()
    reasons = {"missing": "no such file", "text": "not a database", "empty": "no label store"}
    for name, reason in reasons.items():
        with pytest.raises(StoreError, match=reason) as caught:
            LabelStore.open(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
    assert not (tmp_path / "missing").exists()


def test_another_schema_version_is_refused(path, store):
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET schema_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="expected schema version 2 of a label store, got 99"):
        LabelStore.open(path)


def test_a_store_is_never_created_over_another(path, store):
    with pytest.raises(StoreError, match="there is a label store already"):
        LabelStore.create(path, {})
    assert store.fingerprint == TASK


def test_a_url_opens_the_same_store_as_its_path(path, store, clips):
    fill(store, clips)
    with LabelStore.open(f"sqlite:///{path}") as by_url:
        assert by_url.pending("anna") == store.pending("anna")


def test_the_schema_can_be_written_for_postgresql():
    dialect = postgresql.dialect()
    for table in schema.SCHEMA.sorted_tables:
        assert table.name in str(CreateTable(table).compile(dialect=dialect))


def test_every_connection_is_durable_and_without_a_write_ahead_log(path, store):
    with store._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "delete", "synchronous": 3, "foreign_keys": 1}


ANSWER_AND_DIE = """
import os, signal, sys
import numpy as np
from prefrl.labels.oracle import Oracle, answer_pending
from prefrl.labels.store import LabelStore
store = LabelStore.open(sys.argv[1])
answer_pending(store, Oracle(np.random.default_rng(0)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_answers_survive_a_process_killed_right_after_adding_them(path, store, clips, run_python):
    fill(store, clips)
    died = run_python(ANSWER_AND_DIE, path)
    assert died.returncode == -9, died.stderr
    assert store.counts().answered == 3
    assert store.pending("oracle") == []


DIE_INSIDE = """
import os, signal, sys
from prefrl.labels import events, store as module
from prefrl.types import Label
store = module.LabelStore.open(sys.argv[1])
insert = events.insert_absent
def insert_and_die(*arguments):
    insert(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
events.insert_absent = insert_and_die
store.add_labels([Label("x", sys.argv[2], "anna", "left", 0.0, 0.0, "")])
"""


def test_a_process_killed_inside_a_transaction_leaves_nothing_and_no_lock(
    path, store, clips, run_python
):
    query = fill(store, clips)[0]
    died = run_python(DIE_INSIDE, path, query.id)
    assert died.returncode == -9, died.stderr
    assert store.labels() == []
    store.add_labels([label(query)])
    assert len(store.labels()) == 1


WRITE = """
import sys
from prefrl.labels.store import LabelStore
from prefrl.types import Label
path, labeler = sys.argv[1:]
with LabelStore.open(path) as store:
    for round in range(20):
        store.add_labels([
            Label(f"{labeler}-{round}-{query.id}", query.id, labeler, "left", 0.0, 0.0, query.left)
            for query in store.pending("nobody")
        ])
"""


def test_two_processes_and_a_reader_at_once_lose_nothing(path, store, clips, run_python):
    n = len(fill(store, clips))
    died = []
    writers = [
        threading.Thread(target=lambda who=who: died.append(run_python(WRITE, path, who)))
        for who in ("anna", "bert")
    ]
    for writer in writers:
        writer.start()
    position = 0
    while any(writer.is_alive() for writer in writers):
        changes = store.changes_since(position)
        assert changes.position >= position
        position = changes.position
    for writer in writers:
        writer.join()
    assert [done.returncode for done in died] == [0, 0], died
    ids = [stored.id for stored in store.labels()]
    assert len(ids) == len(set(ids)) == 2 * 20 * n
    assert store.changes_since(0).position == len(ids)


def test_threads_can_share_a_store(store, clips):
    queries = fill(store, clips)
    errors = []

    def answer(who):
        try:
            for i in range(10):
                store.add_labels(
                    [label(query, labeler=who, id=f"{who}{i}{query.id}") for query in queries]
                )
                store.counts()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=answer, args=(f"person{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.labels()) == 4 * 10 * len(queries)
    assert store.counts().labels == 4 * len(queries)
