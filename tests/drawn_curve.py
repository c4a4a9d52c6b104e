"""Where a curve stands in what was drawn."""

import numpy as np

from prefrl.runs.panel import HEAD, PLOT


def row_of(canvas: np.ndarray, x: int, colour: tuple[int, int, int]) -> float:
    """The height at which a column is nearest to a colour."""
    distance = np.abs(canvas[HEAD : HEAD + PLOT, x].astype(int) - colour).sum(1)
    return float(distance.argmin())
