"""Whether preferences that are predicted with 80% are right in 80% of the cases."""

import numpy as np
from numpy.typing import NDArray

BINS = 5  # of a tenth each: a round of few labels has few pairs that are held out


def calibration(expected: NDArray[np.float64], mu: NDArray[np.float64]) -> list[list[float]]:
    """A reliability diagram of the likelier answer. Left and right are chance, so both are one.

    Args:
        expected: `[N]` predicted preference for the left clip, of pairs held out; a pair stands
            there once for each member that holds it out.
        mu: `[N]` what the labelers said of them: 1 left, 0 right, 0.5 a tie.

    Returns:
        For each tenth from 0.5 to 1: how many predictions, their mean for the clip that was
        taken to be better, and the share of answers that agreed; zeros where there are none.
    """
    likelier = np.maximum(expected, 1 - expected)
    agreed = np.where(expected >= 0.5, mu, 1 - mu)
    bin_of = np.minimum(((likelier - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins = []
    for k in range(BINS):
        inside = bin_of == k
        n = int(inside.sum())
        bins.append([n, *(float(v[inside].mean()) if n else 0.0 for v in (likelier, agreed))])
    return bins


def calibration_error(bins: list[list[float]]) -> float:
    """Expected calibration error: by how much prediction and share differ, over all pairs.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. Nan without a
    pair.
    """
    pairs = sum(n for n, _, _ in bins)
    if not pairs:
        return float("nan")
    return sum(n * abs(predicted - share) for n, predicted, share in bins) / pairs
