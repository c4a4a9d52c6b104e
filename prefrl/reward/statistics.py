"""Running mean and deviation."""

import numpy as np
from numpy.typing import NDArray


class RunningStatistics:
    """Mean and deviation of rows that arrive in batches, in float64.

    Source: Chan, Golub, LeVeque 1979, the parallel form of Welford's update: sums of squares would
    cancel where the mean is large against the deviation.

    Attributes:
        count: Rows so far.
        mean: `[D] float64`.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = np.zeros(size)
        self._squares = np.zeros(size)

    def update(self, rows: NDArray[np.generic]) -> None:
        """Take in `[B, D]` more rows."""
        batch = rows.astype(np.float64)
        mean, count = batch.mean(0), len(batch)
        delta, total = mean - self.mean, self.count + len(batch)
        self._squares += ((batch - mean) ** 2).sum(0) + delta**2 * self.count * count / total
        self.mean = self.mean + delta * count / total
        self.count = total

    @property
    def deviation(self) -> NDArray[np.float64]:
        """`[D] float64`, 1 where nothing has varied yet."""
        deviation = np.sqrt(self._squares / max(self.count, 1))
        return np.where(deviation > 1e-8, deviation, 1.0)
