import numpy as np
import pytest

from prefrl.reward.calibration import BINS, calibration, calibration_error


def test_predictions_that_come_true_as_often_as_they_say_have_no_error():
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.05, 0.95, 200_000)
    mu = (rng.random(expected.size) < expected).astype(float)
    assert calibration_error(calibration(expected, mu)) < 0.01


def test_the_error_of_one_who_is_too_sure_is_the_difference():
    rng = np.random.default_rng(0)
    mu = (rng.random(100_000) < 0.7).astype(float)
    bins = calibration(np.full(mu.size, 0.95), mu)
    assert [n for n, _, _ in bins] == [0, 0, 0, 0, mu.size]
    assert calibration_error(bins) == pytest.approx(0.25, abs=0.01)


def test_swapping_the_clips_changes_nothing():
    rng = np.random.default_rng(1)
    expected, mu = rng.random(500), rng.choice([0, 0.5, 1], 500)
    swapped = calibration(1 - expected, 1 - mu)
    assert np.array(swapped) == pytest.approx(np.array(calibration(expected, mu)))


@pytest.mark.parametrize(
    ("expected", "k"), [(0.5, 0), (0.59, 0), (0.61, 1), (0.05, 4), (1.0, BINS - 1)]
)
def test_each_prediction_falls_into_its_tenth(expected, k):
    bins = calibration(np.array([expected]), np.array([1.0]))
    assert [n for n, _, _ in bins] == [int(i == k) for i in range(BINS)]
    assert bins[k][1] == pytest.approx(max(expected, 1 - expected))
    assert bins[k][2] == (expected >= 0.5)


def test_without_pairs_there_is_no_error():
    assert np.isnan(calibration_error(calibration(np.array([]), np.array([]))))
