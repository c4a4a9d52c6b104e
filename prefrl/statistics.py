"""Running mean and deviation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RunningStatistics:
    """Mean and deviation of rows that arrive in batches, in float64.

    Source: Chan, Golub, LeVeque 1979, the parallel form of Welford's update: sums of squares would
    cancel where the mean is large against the deviation.

    Attributes:
        count: Rows so far.
        mean: `[D] float64`.
        squares: `[D] float64`, the sum of squared distances from the mean.
    """

    def __init__(self, size: int) -> None:
        self.count = np.zeros((), np.int64)
        self.mean = np.zeros(size)
        self.squares = np.zeros(size)

    def update(self, rows: NDArray[np.generic]) -> None:
        """Take in `[B, D]` more rows."""
        batch = rows.astype(np.float64)
        mean, count = batch.mean(0), len(batch)
        delta, total = mean - self.mean, self.count + len(batch)
        self.squares += ((batch - mean) ** 2).sum(0) + delta**2 * self.count * count / total
        self.mean = self.mean + delta * count / total
        self.count = np.asarray(total)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on from here, by attribute."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    @property
    def deviation(self) -> NDArray[np.float64]:
        """`[D] float64`, 1 where nothing has varied yet."""
        deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        return np.where(deviation > 1e-8, deviation, 1.0)
