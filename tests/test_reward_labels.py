"""Where the reward side learns nothing from labels, or has nothing left to ask."""

import dataclasses

import numpy as np
import pytest
from reward_side import CONFIG, LENGTH, some_clips, with_label

from prefrl.reward.schedule import NEVER
from prefrl.types import Clip, Label, Query


class LabelsByName:
    """Answers `answer` to everything."""

    name = "stubborn"

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def answer(self, query: Query, left: Clip, right: Clip) -> Label:
        return Label(f"{query.id}:x", query.id, self.name, self._answer, 1.0, 0.0, query.left)


# --- labels that teach nothing ------------------------------------------------------------------


def test_it_warns_where_nearly_all_initial_labels_are_ties(make_side):
    side = make_side()
    side.send(some_clips(20, rewards=0.5), 0)
    side.turns()
    assert len(side.listener.warnings) == 1
    assert "100% of the initial labels are ties" in side.listener.warnings[0]


def test_it_does_not_warn_where_half_are_ties(make_side):
    side = make_side()
    clips = some_clips(20)
    dull = [dataclasses.replace(c, true_rewards=np.ones(LENGTH, np.float32)) for c in clips[:14]]
    side.send([*dull, *clips[14:]], 0)
    side.turns()
    ties = side.loop.store.counts().by_answer["equal"]
    assert 2 <= ties < 9
    assert side.listener.warnings == []


def test_a_budget_of_incomparable_answers_alone_is_an_error_and_no_wait_for_ever(make_side):
    side = make_side(labeler=LabelsByName("incomparable"))
    side.send(some_clips(20), 0)
    with pytest.raises(RuntimeError, match="all 40 answers were 'incomparable'"):
        side.turns()
    assert side.link.published == []


def test_where_many_initial_answers_are_incomparable_more_are_asked_for(make_side):
    class Squeamish(LabelsByName):
        """Can compare every third pair."""

        n = 0

        def answer(self, query, left, right):
            self.n += 1
            self._answer = "incomparable" if self.n % 3 else "left"
            return super().answer(query, left, right)

    side = make_side(labeler=Squeamish("left"))
    side.send(some_clips(20), 0)
    side.turns()
    (snapshot,) = side.link.published
    assert snapshot.n_labels == 34  # 10 at first, then rounds of 6 until 10 could be compared
    assert len(side.loop.ring) == 11
    assert len(side.listener.warnings) == 1
    assert "only 3 of the initial answers say" in side.listener.warnings[0]


def test_repeats_do_not_train(make_side):
    side = make_side()
    side.send(some_clips(20), 0)
    side.turns()
    before = side.loop.ring.preferences
    query = side.loop.store.labels()[0].query_id
    first = next(p for p in before if p.query_id == query)
    repeat = Query(first.left.id, first.right.id, repeat_of=query)
    side.loop.store.add_queries([repeat], {})
    assert side.turns() == 0
    assert len(side.loop.store.labels()) == 11  # it was answered
    assert [p.query_id for p in side.loop.ring.preferences] == [p.query_id for p in before]
    assert side.loop.trainer.rounds == len(side.link.published) == 1
    assert side.link.published[0].n_labels == 10


def test_the_measured_error_rate_follows_the_repeats(make_side):
    config = dataclasses.replace(
        CONFIG, predictor=dataclasses.replace(CONFIG.predictor, error_rate="measured")
    )
    side = make_side(config)
    side.send(some_clips(20), 0)
    side.turns()
    before = side.loop.trainer.error_rate
    assert before == pytest.approx(0.1)
    for label in side.loop.store.labels():
        query = next(p for p in side.loop.ring.preferences if p.query_id == label.query_id)
        again = Query(query.left.id, query.right.id, repeat_of=label.query_id)
        other = {"left": "right", "right": "left"}[label.answer]
        side.loop.store.add_queries([again], {})
        side.loop.store.add_labels([dataclasses.replace(
            label, id=f"{label.id}:again", query_id=again.id, answer=other)])  # fmt: skip
    side.send(some_clips(2, seed=9), 400)
    side.turns()
    assert side.loop.trainer.error_rate > 2 * before


# --- nothing left to ask ------------------------------------------------------------------------


def test_a_policy_that_gives_one_clip_only_is_an_error(make_side):
    side = make_side()
    side.send(some_clips(1) * 20, 80)
    with pytest.raises(RuntimeError, match="nothing to compare"):
        side.turns()


def test_a_clip_that_came_twice_stops_nothing(make_side):
    side = make_side()
    clips = some_clips(19)
    side.send([*clips, clips[0]], 0)  # all that the random policy was told to send
    side.turns()
    assert side.loop.store.counts().answered == 10
    assert len(side.link.published) == 1


@pytest.mark.parametrize("selection", ["random", "disagreement"])
def test_labels_for_which_no_pair_is_left_are_given_up_and_said_so(make_side, selection):
    # Five clips make the ten initial pairs, and not one more.
    config = with_label(query_selection=selection, pool_size=5)
    side = make_side(config)
    side.send([*some_clips(5), *some_clips(1)], 0)
    side.turns()
    assert side.loop.store.counts().answered == 10
    side.send(some_clips(2), 800)
    for _ in range(10):  # a turn that gives up a round is followed by a rest
        side.turns()
    assert side.loop.store.counts().answered == 10
    assert any("no new pair of clips was left" in warning for warning in side.listener.warnings)
    assert side.link.published[-1].pause_at_env_step == NEVER  # or the policy waited for ever


def test_a_pool_too_small_for_the_initial_labels_still_teaches_before_the_first_snapshot(make_side):
    # Four clips make six pairs; ten are wanted at first.
    side = make_side(with_label(pool_size=4))
    side.send(some_clips(4), 0)
    for _ in range(3):
        side.turns()
    assert side.loop.store.counts().answered == 6
    assert side.loop.trainer.rounds > 0
    assert side.link.published[0].n_labels == 6
    assert side.link.published[0].means.any()  # those of a fitted ensemble
    assert any("4 labels were not asked for" in warning for warning in side.listener.warnings)
