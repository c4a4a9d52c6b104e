import itertools
from typing import Any

import numpy as np
import pytest
from reward_side import TASK, Side, some_clips, with_label

from prefrl.link import Stopped
from prefrl.metrics import read_metrics
from prefrl.reward.checkpoint import load_reward
from prefrl.reward.loop import run_until
from prefrl.reward.schedule import NEVER
from prefrl.types import Query, RewardSnapshot

# --- the order of things ------------------------------------------------------------------------


def test_nothing_is_asked_before_the_random_policys_clips_are_there(make_side):
    side = make_side()
    side.send(some_clips(18), 72)
    assert side.turns() == 1
    assert side.loop.store.counts().queries == 0
    assert side.link.published == []


def test_the_initial_labels_are_asked_first_and_taught_before_the_first_snapshot(make_side):
    side = make_side()
    side.send(some_clips(20), 0)
    side.turns()
    assert side.loop.store.counts().queries == side.loop.store.counts().answered == 10
    assert side.loop.trainer.rounds == 1
    (snapshot,) = side.link.published
    assert (snapshot.version, snapshot.n_labels) == (1, 10)


def test_it_says_within_a_round_whether_the_policy_waits_and_after_it_that_it_does_not(make_side):
    side = make_side()
    side.send(some_clips(20), 0)
    side.turns()  # the policy has sent all it can before there is a snapshot
    assert side.policy_waited[0] is True
    assert side.policy_waited[-1] is False
    for seed, waits in ((1, False), (2, True)):
        side.policy_waited.clear()
        overdue = side.link.published[-1].pause_at_env_step
        side.send(some_clips(2, seed=seed), overdue, waits)  # it ends its rollout first
        side.turns()
        assert side.policy_waited[0] is waits
        assert side.policy_waited[-1] is False


def test_rounds_follow_as_their_labels_become_due(make_side):
    side = make_side()
    side.send(some_clips(20), 0)
    side.turns()
    first_due = side.loop.asker.schedule.first_step_with(11)
    side.send(some_clips(2, seed=1), first_due - 1)
    side.turns()
    assert side.loop.store.counts().answered == 10
    side.send(some_clips(2, seed=2), first_due)
    side.turns()
    assert side.loop.store.counts().answered == 16  # one round, and no more
    assert [s.n_labels for s in side.link.published] == [10, 16]


@pytest.mark.parametrize("random_steps", [20, 600])
def test_however_long_the_policy_acts_at_random_only_the_initial_labels_are_asked(
    make_side, random_steps
):
    side = make_side()
    side.send(some_clips(20), random_steps)
    side.turns()
    assert side.loop.store.counts().queries == 10
    (snapshot,) = side.link.published
    assert snapshot.n_labels == 10
    assert snapshot.pause_at_env_step > random_steps


def play(side: Side) -> list[tuple[int, int]]:
    """A policy that obeys its snapshots; at each step `(labels taught, labels due)`."""
    side.send(some_clips(20), 0)
    side.turns()
    seen = []
    for step in range(0, 1000, 10):
        if side.link.published[-1].pause_at_env_step <= step:
            side.send(some_clips(2, seed=2), step)  # offered again while it pauses
            side.turns()
            assert side.link.published[-1].pause_at_env_step > step, "it would wait for ever"
        side.send(some_clips(2, seed=step + 5), step)
        if step % 50 == 0:  # the reward side is slow
            side.turns()
        seen.append((side.link.published[-1].n_labels, side.loop.asker.schedule.due(step)))
    side.turns()
    return seen


@pytest.mark.parametrize("selection", ["random", "disagreement"])
@pytest.mark.parametrize("schedule", ["decay", "constant"])
def test_all_labels_are_asked_and_taught_by_the_end_of_the_schedule(make_side, selection, schedule):
    # 10 at first, 4 rounds of 6, and 4 that remain
    config = with_label(budget=38, query_selection=selection, schedule=schedule)
    side = make_side(config)
    seen = play(side)
    counts = side.loop.store.counts()
    assert counts.queries == counts.answered == 38
    assert all(labels == 38 for labels, due in seen if due == 38)
    assert [label for label, due in seen if due < 38][-1] >= 26  # rounds, not one heap at the end
    assert side.link.published[-1].pause_at_env_step == NEVER
    assert len(side.loop.store.pairs()) == 38  # never the same pair twice
    assert side.listener.warnings == []


def test_the_policy_is_never_more_than_a_round_ahead(make_side):
    assert all(due <= labels + 6 for labels, due in play(make_side()))


def test_versions_count_up_and_each_snapshot_says_where_to_wait(make_side):
    side = make_side()
    play(side)
    published = side.link.published
    assert [snapshot.version for snapshot in published] == list(range(1, len(published) + 1))
    for snapshot in published:
        expected = side.loop.asker.schedule.pause_step(snapshot.n_labels, 6)
        assert snapshot.pause_at_env_step == expected
    queries = [label.snapshot_version for label in side.loop.store.labels()]
    assert queries == sorted(queries)
    assert queries[0] == 0
    assert queries[-1] > 1


def test_two_equal_runs_ask_the_same_and_learn_the_same(make_side):
    first, second = make_side(name="one"), make_side(name="two")
    for side in (first, second):
        play(side)
    answers = [[(x.query_id, x.answer) for x in s.loop.store.labels()] for s in (first, second)]
    assert answers[0] == answers[1]
    assert first.link.published[-1].weights == second.link.published[-1].weights


def test_each_snapshot_is_saved_before_it_is_sent(make_side):
    side = make_side()
    side.send(some_clips(20), 0)
    saved = []
    publish = side.link.publish

    def check(snapshot: RewardSnapshot) -> None:
        saved.append(load_reward(side.loop.run.checkpoint("last")))
        publish(snapshot)

    side.link.publish = check
    side.turns()
    ((snapshot, task),) = [(reward.snapshot, reward.task) for reward in saved]
    (sent,) = side.link.published
    assert (snapshot.version, snapshot.weights) == (sent.version, sent.weights)
    np.testing.assert_array_equal(snapshot.means, sent.means)
    np.testing.assert_array_equal(snapshot.deviations, sent.deviations)
    assert task == TASK
    assert sent.means.any()


def test_figures_of_each_round_are_written(make_side):
    side = make_side()
    play(side)
    lines = read_metrics(side.loop.run.metrics / "reward.jsonl")
    assert len(lines) == side.loop.trainer.rounds == len(side.link.published)
    assert lines[-1]["labels/answered"] == 40
    assert 34 < lines[-1]["labels/due"] <= 40
    assert lines[-1]["reward/clips_in_pool"] > 20


# --- labels that are there already --------------------------------------------------------------


def test_a_restart_does_not_ask_again_and_learns_from_what_was_answered(make_side):
    first = make_side()
    first.send(some_clips(20), 0)
    first.turns()
    queries = first.loop.store.pairs()
    again = make_side()
    again.loop.start_with_stored_clips()
    again.turns()
    assert again.loop.store.pairs() == queries
    assert again.loop.store.counts().labels == 10
    assert len(again.loop.ring) == 10
    assert again.link.published[0].n_labels == 10
    again.send(some_clips(2, seed=7), 900)
    again.turns()
    assert again.loop.store.counts().answered == 40
    assert queries < again.loop.store.pairs()


def test_a_restart_puts_every_label_on_the_side_of_the_hold_out_where_it_was(make_side):
    first = make_side()
    first.send(some_clips(20), 0)
    first.turns()
    again = make_side()
    again.loop.start_with_stored_clips()
    again.turns()
    weights = [
        dict(
            zip(
                (p.query_id for p in side.loop.ring.preferences),
                side.loop.ring.weights.T.tolist(),
                strict=True,
            )
        )
        for side in (first, again)
    ]
    assert weights[0] == weights[1]


def test_some_of_the_initial_labels_are_given_and_only_the_others_are_asked(make_side):
    early = make_side(with_label(budget=4, initial_fraction=1.0))
    early.send(some_clips(8), 0)
    early.turns()
    assert early.loop.store.counts().answered == 4
    late = make_side()
    late.loop.start_with_stored_clips()
    late.send(some_clips(12, seed=1), 0)  # what is asked of the random policy: 2 x (10 - 4)
    late.turns()
    assert late.loop.store.counts().answered == 10
    assert late.link.published[0].n_labels == 10


def test_a_query_that_was_asked_but_not_answered_is_answered_after_a_restart(make_side):
    first = make_side()
    clips = some_clips(20)
    first.loop.store.add_queries([Query(clips[0].id, clips[1].id)], {c.id: c for c in clips[:2]})
    again = make_side()
    again.turns()
    assert again.loop.store.counts().answered == 1


def test_an_ensemble_fitted_before_lets_the_policy_learn_at_once(make_side):
    first = make_side()
    first.send(some_clips(20), 0)
    first.turns()
    fitted = first.link.published[0]
    second = make_side(name="other")
    second.loop.start_from(load_reward(first.loop.run.checkpoint("last")))
    (snapshot,) = second.link.published
    assert second.loop.trainer.rounds == first.loop.trainer.rounds == 1
    assert snapshot.weights == fitted.weights
    np.testing.assert_array_equal(snapshot.means, fitted.means)
    assert snapshot.n_labels == 0
    assert snapshot.pause_at_env_step == NEVER  # it has no labels to be behind with


# --- the end ------------------------------------------------------------------------------------


def test_the_loop_rests_when_idle_and_ends_when_told(make_side):
    side, rests = make_side(), []
    run_until(side.loop, lambda: len(rests) == 3, lambda: rests.append(1))
    assert len(rests) == 3


@pytest.mark.parametrize(("labeler", "left"), [("oracle", True), ("human", False)])
def test_a_loop_that_rests_leaves_its_core_unless_people_label(make_side, labeler, left):
    side, rests = make_side(with_label(labeler=labeler)), []
    run_until(side.loop, lambda: len(rests) == 1, lambda: rests.append(side.link.core_is_left))
    assert rests == [left]


def test_a_round_takes_the_core_back_until_the_loop_rests_again(make_side, monkeypatch):
    side, seen = make_side(), []
    side.link.core_is_left = True
    fit = side.loop.trainer.fit
    monkeypatch.setattr(
        side.loop.trainer, "fit", lambda *a: seen.append(side.link.core_is_left) or fit(*a)
    )
    side.send(some_clips(20), 0)
    side.turns()
    assert seen == [False]
    assert side.link.core_is_left is False
    side.loop.leave_core()
    assert side.link.core_is_left is True


def stop_at_call(side: Side, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """The run is stopped when rewards are predicted for clips for the n-th time."""
    calls, trainer = itertools.count(1), side.loop.trainer
    predict = trainer.ensemble.clip_rewards

    def stopped(clips: Any, meanwhile: Any) -> Any:
        if next(calls) == n:
            monkeypatch.setattr(trainer, "_stopped", lambda: True)
        return predict(clips, meanwhile)

    monkeypatch.setattr(trainer.ensemble, "clip_rewards", stopped)


def test_a_stop_while_queries_are_chosen_asks_none(make_side, monkeypatch):
    side = make_side()
    side.send(some_clips(20), 0)
    side.turns()
    side.loop.leave_core()
    side.send(some_clips(2, seed=2), side.loop.asker.schedule.first_step_with(11))
    stop_at_call(side, monkeypatch, 1)
    with pytest.raises(Stopped):
        side.loop.turn()
    assert side.loop.asker.asked == side.loop.store.counts().queries == 10
    assert side.link.core_is_left is False


def test_a_stop_while_rewards_are_normalised_publishes_nothing(make_side, monkeypatch):
    side, marked = make_side(), []
    side.send(some_clips(20), 0)
    stop_at_call(side, monkeypatch, 2)  # the first measures the round
    monkeypatch.setattr(side.loop.store, "mark_trained", marked.append)
    with pytest.raises(Stopped):
        side.loop.turn()
    assert side.loop.trainer.rounds == 1
    assert side.link.published == []
    assert marked == []
    assert np.isnan(side.loop.validation_accuracy)


def test_a_round_that_is_stopped_ends_the_loop_and_publishes_nothing(make_side, monkeypatch):
    side = make_side()
    side.send(some_clips(20), 0)

    def stop(*_: Any) -> None:
        raise Stopped

    monkeypatch.setattr(side.loop.trainer, "fit", stop)
    run_until(side.loop, lambda: False, lambda: pytest.fail("it should have ended"))
    assert side.link.published == []
