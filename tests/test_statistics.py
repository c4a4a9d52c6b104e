import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prefrl.statistics import RunningStatistics

batches = st.lists(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.just(2)),
        elements=st.floats(-1e4, 1e4, width=32),
    ),
    min_size=1,
    max_size=6,
)


def take_in(parts: list[np.ndarray]) -> RunningStatistics:
    statistics = RunningStatistics(parts[0].shape[1])
    for part in parts:
        statistics.update(part)
    return statistics


def expected_deviation(rows: np.ndarray) -> np.ndarray:
    deviation = rows.std(0)
    return np.where(deviation > 1e-8, deviation, 1.0)


@given(batches)
def test_batch_after_batch_equals_numpy_over_all_rows(parts):
    statistics = take_in(parts)
    rows = np.concatenate(parts).astype(np.float64)
    assert statistics.count == len(rows)
    np.testing.assert_allclose(statistics.mean, rows.mean(0), atol=1e-9)
    variance = statistics.deviation**2
    np.testing.assert_allclose(variance, expected_deviation(rows) ** 2, rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_a_large_offset_loses_no_precision(sizes, seed):
    # A sum of squares in double precision would keep 4 of the 16 digits here; single, none.
    rng = np.random.default_rng(seed)
    parts = [1e6 + rng.normal(size=(size, 3)) for size in [2, *sizes]]
    statistics, rows = take_in(parts), np.concatenate(parts)
    np.testing.assert_allclose(statistics.mean, rows.mean(0), rtol=1e-14)
    np.testing.assert_allclose(statistics.deviation, rows.std(0), rtol=1e-8)


def test_single_precision_rows_are_summed_in_double_precision():
    rows = (
        np.full((100_000, 1), 1e6, np.float32) + np.arange(100_000, dtype=np.float32)[:, None] % 2
    )
    statistics = take_in(np.array_split(rows, 7))
    np.testing.assert_allclose(statistics.mean, 1e6 + 0.5, rtol=1e-13)
    np.testing.assert_allclose(statistics.deviation, 0.5, rtol=1e-9)


def test_what_never_varied_has_deviation_one():
    assert RunningStatistics(2).deviation.tolist() == [1, 1]
    statistics = take_in([np.array([[3.0, 1.0], [3.0, 5.0]])] * 3)
    assert statistics.deviation.tolist() == [1, 2]
    assert statistics.mean.tolist() == [3, 3]
