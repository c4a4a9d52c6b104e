"""Interquartile mean and its interval, against scipy and against every possible resample."""

import itertools

import numpy as np
import pytest
import scipy.stats

from prefrl.runs.intervals import LEAST_SEEDS, bootstrap_interval, interquartile_mean


@pytest.mark.parametrize("n", range(1, 14))
def test_the_interquartile_mean_is_scipys_trimmed_mean(n):
    scores = np.random.default_rng(n).normal(size=(n, 5))
    assert interquartile_mean(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25))


@pytest.mark.parametrize("n", [4, 5, 10, 20])
def test_the_interval_is_scipys(n):
    scores = np.random.default_rng(n).gamma(2.0, size=n)
    low, high = bootstrap_interval([scores], np.random.default_rng(0))
    theirs = scipy.stats.bootstrap(
        (scores,), lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis), method="percentile",
        n_resamples=20_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # Percentiles of 2,000 resamples; the width itself sets what is near.
    near = 0.06 * (theirs.high - theirs.low)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=near)


def test_the_interval_of_four_seeds_is_that_of_all_their_resamples():
    scores = np.array([0.0, 1.0, 2.0, 10.0])
    every = [np.mean(sorted(drawn)[1:3]) for drawn in itertools.product(scores, repeat=4)]
    expected = np.quantile(every, [0.025, 0.975])
    assert bootstrap_interval([scores], np.random.default_rng(0)) == pytest.approx(expected)


def test_the_interval_of_two_tasks_is_that_of_all_resamples_within_them():
    tasks = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([10.0, 14.0, 18.0, 22.0])]
    within = [list(itertools.product(scores, repeat=4)) for scores in tasks]
    every = [np.mean(sorted((*a, *b))[2:6]) for a in within[0] for b in within[1]]
    expected = np.quantile(every, [0.025, 0.975])
    found = bootstrap_interval(tasks, np.random.default_rng(0))
    assert found == pytest.approx(expected, abs=0.25)
    # Drawn from both as if they were one, the share of each would vary too.
    across = bootstrap_interval([np.concatenate(tasks)], np.random.default_rng(0))
    assert np.ptp(across) > 1.5 * np.ptp(found)


def test_a_curve_is_resampled_whole():
    rng = np.random.default_rng(3)
    curves = np.repeat(rng.normal(size=(6, 1)), 7, axis=1)
    low, high = bootstrap_interval([curves], rng)
    assert low.shape == high.shape == (7,)
    assert np.ptp(low) == np.ptp(high) == 0


def test_too_few_seeds_have_no_interval():
    with pytest.raises(ValueError, match=f"at least {LEAST_SEEDS} runs"):
        bootstrap_interval([np.zeros(LEAST_SEEDS - 1)], np.random.default_rng(0))
