"""What people are asked, and when what they answer is learned from."""

import time
from dataclasses import replace

import pytest
from reward_side import MakeSide, some_clips, with_label

from prefrl.reward.schedule import NEVER


@pytest.fixture
def people(make_side, monkeypatch) -> MakeSide:
    """Builds reward sides whose labelers are people; they are looked after at every turn."""
    monkeypatch.setattr("prefrl.reward.asking.LOOK_EVERY_S", 0.0)
    return lambda **settings: make_side(with_label(labeler="human", ahead=3, **settings))


def test_people_have_always_a_few_pairs_before_them_from_the_first_clips_on(people):
    side = people()
    side.send(some_clips(4), 0)  # of 20 that the random policy sends
    side.turns()
    assert side.loop.desk.ready(time.time()) == 3
    side.send(some_clips(16, seed=1), 800)
    for answered in range(0, 21, 3):
        assert side.loop.store.counts().queries == answered + 3
        side.answers(3)
        side.turns()


def test_before_the_first_clips_come_nothing_is_asked_and_nothing_given_up(people):
    side = people()
    assert side.turns() == 0
    side.send(some_clips(2), 0)
    for _ in range(5):
        side.turns()
    assert side.listener.warnings == []  # one pair; more clips will come
    assert side.loop.desk.unanswered() == 1


def test_who_is_alone_has_pairs_though_each_should_be_answered_by_two(people):
    side = people(overlap=2)
    side.send(some_clips(20), 0)
    side.answers(10)
    side.turns()
    assert [snapshot.n_labels for snapshot in side.link.published] == [10]
    assert side.loop.desk.ready(time.time(), "anna") >= 3


def test_no_more_of_the_budget_is_asked_early_than_a_few_pairs(people):
    side = people()
    side.send(some_clips(20), 0)
    side.answers(13)
    side.turns()
    assert side.loop.store.counts().queries == 13  # 10 initial ones, and 3 ahead of time
    step = side.loop.asker.schedule.first_step_with(12)
    side.send(some_clips(2, seed=4), step)
    side.turns()
    assert side.loop.store.counts().queries == 15


def test_the_reward_side_does_not_wait_for_people(people):
    side = people()
    side.send(some_clips(20), 0)
    assert side.turns() <= 2  # and then there is nothing to do
    assert side.loop.trainer.rounds == 0


def test_people_are_given_pairs_while_a_round_is_trained(people, monkeypatch):
    side = people()
    more_epochs = replace(side.loop.config.predictor, round_epochs=3)
    side.loop.config = replace(side.loop.config, predictor=more_epochs)
    side.send(some_clips(20), 0)
    side.answers(10)
    side.turns()
    side.send(some_clips(2, seed=1), 800)  # where all labels are due
    side.answers(6)
    update, ready = side.loop.trainer._update, []

    def answered_meanwhile(*batch) -> None:
        update(*batch)
        ready.append(side.loop.desk.ready(time.time()))
        side.lease_and_answer(ready[-1])

    monkeypatch.setattr(side.loop.trainer, "_update", answered_meanwhile)
    side.loop.turn()
    assert side.loop.trainer.rounds == 2
    assert ready[1:] == [3] * (len(ready) - 1)
    assert len(ready) > 1


def test_a_round_of_answers_is_trained_on_and_not_a_part_of_one(people):
    side = people()
    side.send(some_clips(20), 800)
    side.turns()
    side.answers(9)
    side.turns()
    assert side.link.published == []
    side.answers(1)
    side.turns()
    assert [snapshot.n_labels for snapshot in side.link.published] == [10]
    for n in (3, 2, 1):
        side.answers(n)
        side.turns()
    assert [snapshot.n_labels for snapshot in side.link.published] == [10, 16]


def test_the_last_answers_are_trained_on_though_they_fill_no_round(people):
    side = people(budget=13)
    side.send(some_clips(20), 0)
    side.turns()
    for n in (10, 3):
        side.answers(n)
        side.turns()
    assert [snapshot.n_labels for snapshot in side.link.published] == [10, 13]
    assert side.link.published[-1].pause_at_env_step == NEVER


@pytest.mark.parametrize("waits", [True, False])
def test_the_policy_waits_for_people_unless_told_not_to(people, waits):
    side = people(wait=waits)
    side.send(some_clips(20), 0)
    side.turns()
    side.answers(10)
    side.turns()
    pause = side.loop.asker.schedule.pause_step(10, 6)
    assert side.link.published[-1].pause_at_env_step == (pause if waits else NEVER)


def test_it_is_known_which_answers_were_trained_on(people):
    side = people()
    side.send(some_clips(20), 0)
    side.turns()
    side.answers(10)
    side.turns()
    side.answers(1)
    side.turns()
    queries = [label.query_id for label in side.loop.store.labels()]
    undone = [
        side.loop.desk.withdraw(f"undo {query}", query, "anna", "page", 60.0, 0.0)
        for query in queries
    ]
    assert [withdrawal.trained for withdrawal in undone] == [True] * 10 + [False]


def test_a_stop_leaves_queries_with_pictures_for_the_rest_of_the_budget(people):
    side = people()
    side.send(some_clips(20), 0)
    side.turns()
    side.answers(7)
    side.loop.leave_queries()
    assert side.loop.desk.unanswered() == 40 - 7
    assert len(side.loop.store.pairs()) == 40  # all different


def test_a_stop_waits_for_the_clips_that_are_still_to_come(people):
    side = people()
    side.send(some_clips(4), 0)
    side.turns()
    coming = [some_clips(4, seed=seed) for seed in (1, 2, 3)]

    def more_come() -> bool:
        if coming:
            side.send(coming.pop(), 0)
        return bool(coming)

    side.loop.leave_queries(more_come)
    assert side.loop.desk.unanswered() == 40  # six pairs, of the first four clips alone


def test_a_stop_before_there_are_clips_leaves_nothing_and_does_not_fail(people):
    side = people()
    side.loop.leave_queries()
    assert side.loop.desk.unanswered() == 0


def test_people_who_have_answered_all_that_can_be_asked_are_not_waited_for(people):
    side = people(pool_size=5)  # ten pairs, and not one more
    side.send([*some_clips(5), *some_clips(1)], 800, waits=True)
    side.turns()
    side.answers(9)
    side.turns()
    assert side.listener.warnings == []  # one is not answered yet
    side.answers(1)
    for _ in range(40):
        side.turns()
    assert any("no new pair of clips was left" in warning for warning in side.listener.warnings)
    assert side.link.published[-1].pause_at_env_step == NEVER


def test_clips_without_pictures_are_not_put_to_people(people, make_side):
    oracle = make_side()
    oracle.send(some_clips(20), 0)
    oracle.turns()
    side = people()
    side.loop.start_with_stored_clips()
    assert len(side.loop.pool) > 10
    side.send(some_clips(4, seed=3), 0)
    side.turns()
    assert side.loop.desk.unanswered() == side.loop.desk.ready(time.time()) == 3
