import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from prefrl.config import Config, LabelConfig, PolicyConfig, RewardConfig
from prefrl.labels.desk import LabelDesk
from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.metrics import Metrics, read_metrics
from prefrl.reward.checkpoint import load_reward
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loop import RewardLoop, run_until
from prefrl.reward.schedule import NEVER
from prefrl.reward.trainer import Stopped, Trainer
from prefrl.run_directory import RunDirectory
from prefrl.types import Answer, Clip, ClipPair, Film, Label, Query, RewardSnapshot, TaskSpaces

torch.set_num_threads(1)

LENGTH, D = 4, 3
FILM = Film(np.zeros((LENGTH + 1, 2, 2, 3), np.uint8), 15.0)
SPACES = TaskSpaces((D,), 4, 0)
TASK = {"environment": "none"}

CONFIG = Config(
    policy=PolicyConfig(n_envs=1),
    predictor=RewardConfig(pretrain_epochs=2, round_epochs=1, hidden=(8, 8)),
    label=LabelConfig(budget=40, initial_fraction=0.25, round_labels=6, schedule_end=0.8),
    total_timesteps=1000,
)


class FakeLink:
    """What the policy would send, and what it would get."""

    def __init__(self) -> None:
        self.waiting: list[ClipPair] = []
        self.published: list[RewardSnapshot] = []

    def receive(self) -> list[ClipPair]:
        pairs, self.waiting = self.waiting, []
        return pairs

    def publish(self, snapshot: RewardSnapshot) -> None:
        self.published.append(snapshot)


class Listener:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def progress(self, values: Mapping[str, float | str]) -> None:
        assert all(isinstance(value, float | int | str) for value in values.values())

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class LabelsByName:
    """Answers `answer` to everything."""

    name = "stubborn"

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def answer(self, query: Query, left: Clip, right: Clip) -> Label:
        return Label(f"{query.id}:x", query.id, self.name, self._answer, 1.0, 0.0, query.left)


@dataclasses.dataclass
class Side:
    """A reward side and all that it was given."""

    loop: RewardLoop
    link: FakeLink
    listener: Listener

    def turns(self) -> int:
        """Turn until there is nothing to do; how often there was."""
        for n in range(200):
            if not self.loop.turn():
                return n
        raise AssertionError("it never rests")

    def send(self, clips: list[Clip], env_step: int) -> None:
        """As the policy does, two by two; with films where people label."""
        films = (FILM, FILM) if self.loop.labeler is None else None
        for first, second in zip(clips[::2], clips[1::2], strict=True):
            self.link.waiting.append(ClipPair(first, second, env_step, films))

    def answers(self, n: int, answer: Answer = "left") -> None:
        """Somebody answers so many queries, the oldest first."""
        desk = LabelDesk(self.loop.store, np.random.default_rng(0), repeat_share=0.0)
        for _ in range(n):
            now = time.time()
            self.loop.turn()  # puts the next pair before them
            (lease,) = desk.lease("anna", "page", 1, 60.0, now)
            label = Label(
                f"{lease.query.id}:anna", lease.query.id, "anna", answer, now, 1.0, lease.shown_left
            )
            desk.answer(label, "page", now)


MakeSide = Callable[..., Side]


@pytest.fixture
def make_side(tmp_path) -> Iterator[MakeSide]:
    """Builds reward sides; those of the same name share a run's directory and label store."""
    sides: list[Side] = []

    def make(config: Config = CONFIG, name: str = "run", labeler: Any = None) -> Side:
        if labeler is None and config.label.labeler == "oracle":
            labeler = Oracle(np.random.default_rng(0))
        run = RunDirectory(tmp_path / name)
        if not run.labels.exists():
            run.path.mkdir()
            LabelStore.create(run.labels, TASK).close()
        generator = torch.Generator().manual_seed(0)
        ensemble = RewardEnsemble(
            InputSpec(SPACES, ("observation", "action")), config.predictor, torch.device("cpu"),
            torch.float32, generator,
        )  # fmt: skip
        link, listener = FakeLink(), Listener()
        loop = RewardLoop(
            config, run, TASK, LabelStore.open(run.labels),
            labeler, Trainer(ensemble, config.predictor, 0), link, Metrics(run, "reward"), listener,
        )  # fmt: skip
        sides.append(Side(loop, link, listener))
        return sides[-1]

    yield make
    for side in sides:
        side.loop.metrics.close()
        side.loop.store.close()


def some_clips(n: int, seed: int = 0, rewards: float | None = None) -> list[Clip]:
    rng = np.random.default_rng(seed)
    return [
        Clip(
            rng.normal(size=(LENGTH + 1, D)).astype(np.float32),
            np.zeros(LENGTH + 1, np.bool_),
            rng.integers(0, 4, LENGTH),
            rng.normal(size=LENGTH).astype(np.float32) if rewards is None
            else np.full(LENGTH, rewards, np.float32),
            seed * 1000 + i,
        )
        for i in range(n)
    ]  # fmt: skip


def with_label(**settings: Any) -> Config:
    return dataclasses.replace(CONFIG, label=dataclasses.replace(CONFIG.label, **settings))


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


# --- people -------------------------------------------------------------------------------------


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


def test_a_stop_before_there_are_clips_leaves_nothing_and_does_not_fail(people):
    side = people()
    side.loop.leave_queries()
    assert side.loop.desk.unanswered() == 0


def test_people_who_have_answered_all_that_can_be_asked_are_not_waited_for(people):
    side = people(pool_size=5)  # ten pairs, and not one more
    side.send([*some_clips(5), *some_clips(1)], 800)
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


def test_a_round_that_is_stopped_ends_the_loop_and_publishes_nothing(make_side, monkeypatch):
    side = make_side()
    side.send(some_clips(20), 0)

    def stop(ring: Any, epochs: int) -> None:
        raise Stopped

    monkeypatch.setattr(side.loop.trainer, "fit", stop)
    run_until(side.loop, lambda: False, lambda: pytest.fail("it should have ended"))
    assert side.link.published == []
