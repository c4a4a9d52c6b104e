import numpy as np
import pytest

from prefrl.labels.oracle import Oracle, answer_pending
from prefrl.labels.store import LabelStore
from prefrl.labels.teachers import Teacher
from prefrl.types import Label, Query


def ask(oracle, left, right):
    return oracle.answer(Query(left.id, right.id, snapshot_version=4), left, right)


@pytest.fixture
def better(make_clip):
    return make_clip(1, rewards=[0.0, 2.0, 0.0])


@pytest.fixture
def worse(make_clip):
    return make_clip(2, rewards=[1.0, 0.0, 0.0])


def test_the_larger_sum_of_true_rewards_wins(better, worse):
    oracle = Oracle(np.random.default_rng(0))
    assert ask(oracle, better, worse).answer == "left"
    assert ask(oracle, worse, better).answer == "right"


def test_ties_are_equal_and_go_to_no_side(make_clip):
    oracle = Oracle(np.random.default_rng(0), Teacher(mistake_probability=0.9))
    one, other = make_clip(1, rewards=[1.0, 0.0]), make_clip(2, rewards=[0.0, 1.0])
    assert {ask(oracle, one, other).answer for _ in range(50)} == {"equal"}
    assert {ask(oracle, other, one).answer for _ in range(50)} == {"equal"}


def test_rewards_are_summed_in_double_precision(make_clip):
    # In single precision 2^25 + 1 is 2^25, and the clips would tie.
    oracle = Oracle(np.random.default_rng(0))
    more = make_clip(1, rewards=[2.0**25, 1.0])
    assert ask(oracle, more, make_clip(2, rewards=[2.0**25, 0.0])).answer == "left"


def test_mistakes_are_made_exactly_once_at_their_rate(better, worse):
    # Applied twice, 0.3 would show as 0.42, or as 0.09.
    oracle, n = Oracle(np.random.default_rng(0), Teacher(mistake_probability=0.3)), 4000
    wrong = sum(ask(oracle, better, worse).answer == "right" for _ in range(n))
    assert wrong / n == pytest.approx(0.3, abs=0.03)


def test_without_a_mistake_rate_there_are_no_mistakes(better, worse):
    oracle = Oracle(np.random.default_rng(0))
    assert {ask(oracle, better, worse).answer for _ in range(500)} == {"left"}


def test_the_preferred_clip_stands_on_both_sides(better, worse):
    oracle, n = Oracle(np.random.default_rng(0)), 1000
    shown = [ask(oracle, better, worse).shown_left for _ in range(n)]
    assert set(shown) == {better.id, worse.id}
    assert shown.count(better.id) / n == pytest.approx(0.5, abs=0.06)


def test_the_same_seed_gives_the_same_answers(better, worse):
    def answers():
        oracle = Oracle(np.random.default_rng(7), Teacher(mistake_probability=0.5))
        labels = [ask(oracle, better, worse) for _ in range(50)]
        return [(label.id, label.answer, label.shown_left) for label in labels]

    assert answers() == answers()


def test_a_label_names_its_query_its_labeler_and_the_snapshot(better, worse):
    label = ask(Oracle(np.random.default_rng(0)), better, worse)
    assert label.query_id == Query(better.id, worse.id).id
    assert (label.labeler, label.snapshot_version, label.time_to_answer_s) == ("oracle", 4, 0.0)
    assert label.answered_at > 1.7e9


def test_a_reward_that_is_no_number_is_refused(make_clip, worse):
    with pytest.raises(ValueError, match="sum to nan"):
        ask(Oracle(np.random.default_rng(0)), make_clip(1, rewards=[float("nan")]), worse)


def test_everything_pending_is_answered_once(tmp_path, better, worse):
    oracle = Oracle(np.random.default_rng(0))
    queries = [Query(better.id, worse.id), Query(worse.id, better.id)]
    with LabelStore.create(tmp_path / "labels.sqlite3", {}) as store:
        assert answer_pending(store, oracle) == 0
        store.add_queries(queries, {clip.id: clip for clip in (better, worse)})
        assert answer_pending(store, oracle) == 2
        assert answer_pending(store, oracle) == 0
        assert [label.answer for label in store.labels()] == ["left", "right"]


@pytest.mark.parametrize("answer", ["right", "incomparable"])
def test_what_a_person_has_answered_is_left_to_them(tmp_path, better, worse, answer):
    queries = [Query(better.id, worse.id), Query(worse.id, better.id)]
    with LabelStore.create(tmp_path / "labels.sqlite3", {}) as store:
        store.add_queries(queries, {clip.id: clip for clip in (better, worse)})
        store.add_labels([Label("l", queries[0].id, "owner", answer, 1e9, 1.5, better.id)])
        assert answer_pending(store, Oracle(np.random.default_rng(0))) == 1
        assert [(label.query_id, label.labeler) for label in store.labels()] == [
            (queries[0].id, "owner"), (queries[1].id, "oracle"),
        ]  # fmt: skip
