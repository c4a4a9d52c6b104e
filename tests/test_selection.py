from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefrl.config import RewardConfig
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.selection import ClipPool, most_disputed, random_pairs
from prefrl.types import Clip, TaskSpaces

torch.set_num_threads(1)


def tiny_clip(number: int) -> Clip:
    return Clip(
        np.full((3, 1), number, np.float32), np.zeros(3, np.bool_), np.zeros(2, np.int64),
        np.zeros(2, np.float32), 0,
    )  # fmt: skip


CLIPS = [tiny_clip(i) for i in range(12)]


def keys(pairs: list[tuple[Clip, Clip]]) -> list[frozenset[str]]:
    return [frozenset((first.id, second.id)) for first, second in pairs]


# --- random pairs -------------------------------------------------------------------------------


@given(st.integers(2, 12), st.integers(0, 80), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_pairs_are_new_and_of_two_different_clips(n_clips, n, n_asked, seed):
    rng = np.random.default_rng(seed)
    clips = CLIPS[:n_clips]
    asked = set(keys(random_pairs(clips, n_asked, set(), rng)))
    drawn = keys(random_pairs(clips, n, asked, rng))
    assert len(drawn) == len(set(drawn)) <= n
    assert all(len(key) == 2 for key in drawn)
    assert not asked & set(drawn)


def test_a_pool_with_pairs_enough_gives_all_that_were_wanted():
    rng = np.random.default_rng(0)
    for n in (1, 10, 30):
        assert len(random_pairs(CLIPS, n, set(), rng)) == n  # of 66


def test_a_small_pool_gives_fewer_pairs_without_hanging():
    rng = np.random.default_rng(0)
    assert len(random_pairs(CLIPS[:2], 1000, set(), rng)) == 1
    assert len(random_pairs(CLIPS[:4], 1000, set(), rng)) == 6
    everything = set(keys(random_pairs(CLIPS[:4], 1000, set(), rng)))
    assert random_pairs(CLIPS[:4], 1000, everything, rng) == []
    assert random_pairs(CLIPS[:1], 3, set(), rng) == []


def test_the_last_pair_that_is_left_is_found():
    # Labels would be given up for want of pairs while there still is one.
    everything = keys(random_pairs(CLIPS[:4], 1000, set(), np.random.default_rng(0)))
    for seed in range(20):
        found = random_pairs(CLIPS[:4], 1, set(everything[1:]), np.random.default_rng(seed))
        assert keys(found) == everything[:1]


def test_no_clip_and_no_side_is_favoured():
    counts, left = dict.fromkeys((clip.id for clip in CLIPS), 0), 0
    for seed in range(300):
        for first, second in random_pairs(CLIPS, 6, set(), np.random.default_rng(seed)):
            counts[first.id] += 1
            counts[second.id] += 1
            left += first.observations[0, 0] < second.observations[0, 0]
    assert min(counts.values()) > 0.8 * 300
    assert max(counts.values()) < 1.2 * 300
    assert left / (6 * 300) == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_draws_the_same_pairs():
    draws = [keys(random_pairs(CLIPS, 8, set(), np.random.default_rng(5))) for _ in range(2)]
    assert draws[0] == draws[1]


# --- disagreement -------------------------------------------------------------------------------


class StubEnsemble:
    """Members whose reward of a clip is written down; keeps what it was asked."""

    def __init__(self, sums: dict[str, list[float]]) -> None:
        self.sums = sums
        self.calls: list[list[Clip]] = []

    def clip_rewards(self, clips: list[Clip], meanwhile: Callable[[], object]) -> np.ndarray:
        meanwhile()
        self.calls.append(list(clips))
        sums = np.array([self.sums[clip.id] for clip in clips]).T
        return np.stack([0.25 * sums, 0.75 * sums], axis=2)  # [M, N, T = 2]


def logistic(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def make_disputes() -> tuple[StubEnsemble, list[tuple[Clip, Clip]], np.ndarray]:
    """Clips that three members rate at random, all pairs of them, and the pairs' variances."""
    rng = np.random.default_rng(0)
    stub = StubEnsemble({clip.id: list(rng.normal(0, 3, 3)) for clip in CLIPS})
    pairs = [(a, b) for i, a in enumerate(CLIPS) for b in CLIPS[i + 1 :]]
    variances = [
        np.var([logistic(x - y) for x, y in zip(stub.sums[a.id], stub.sums[b.id], strict=True)])
        for a, b in pairs
    ]
    return stub, pairs, np.array(variances)


def test_disagreement_picks_exactly_the_pairs_of_largest_variance():
    stub, pairs, variances = make_disputes()
    chosen = most_disputed(pairs, 7, stub)
    assert keys(chosen) == keys([pairs[i] for i in np.argsort(-variances)[:7]])


def test_the_variance_is_of_probabilities_and_not_of_rewards():
    sure, unsure = (CLIPS[0], CLIPS[1]), (CLIPS[2], CLIPS[3])
    stub = StubEnsemble(
        {
            CLIPS[0].id: [50.0, 1000.0, 400.0],  # all are sure: nothing to learn from asking
            CLIPS[2].id: [-1.0, 1.0, 0.0],
            CLIPS[1].id: [0.0] * 3,
            CLIPS[3].id: [0.0] * 3,
        }
    )
    assert most_disputed([sure, unsure], 1, stub) == [unsure]


def test_all_candidates_are_scored_in_one_batch_each_clip_once():
    stub, pairs, _ = make_disputes()
    most_disputed(pairs, 7, stub)
    assert len(stub.calls) == 1
    assert sorted(clip.id for clip in stub.calls[0]) == sorted(clip.id for clip in CLIPS)


def test_fewer_candidates_than_wanted_are_all_taken():
    stub, pairs, _ = make_disputes()
    assert len(most_disputed(pairs[:3], 7, stub)) == 3


def test_no_candidates_are_no_pairs():
    spec = InputSpec(TaskSpaces((1,), 2, 0), ("observation",))
    ensemble = RewardEnsemble(spec, RewardConfig(), torch.device("cpu"), torch.float32)
    assert most_disputed([], 3, ensemble) == []


# --- the pool -----------------------------------------------------------------------------------


def test_the_pool_lets_the_oldest_go():
    pool = ClipPool(3)
    assert all(pool.add(clip) for clip in CLIPS[:5])
    assert pool.newest(10) == CLIPS[2:5]
    assert len(pool) == 3
    assert pool.newest(2) == CLIPS[3:5]


def test_the_pool_knows_a_clip_by_its_content():
    pool = ClipPool(3)
    assert pool.add(tiny_clip(1))
    assert not pool.add(tiny_clip(1))
    assert len(pool) == 1


def test_a_clip_that_was_let_go_may_come_again():
    pool = ClipPool(1)
    assert [pool.add(tiny_clip(number)) for number in (1, 2, 1)] == [True, True, True]
