"""The rewards of an episode as the geometry of wide plots; a unit across is a step."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeler_ui.charts import Tick, round_marks, written

HEIGHT = 100


@dataclass(frozen=True)
class Plot:
    """A reward step by step; what step t earned stands at t + 1, where its picture is shown.

    Attributes:
        name: In the JSON.
        title: For people.
        line: The polyline of the mean over the members.
        band: The polygon from the least member to the greatest; empty for a single line.
        zero: Where 0 lies.
        low: What the lower edge stands for.
        high: What the upper edge stands for.
    """

    name: str
    title: str
    line: str
    band: str
    zero: float
    low: str
    high: str


def plots_of(predicted: NDArray[np.float32] | None, true: NDArray[np.float32]) -> list[Plot]:
    """The predicted reward `[M, L]`, where there is one, and the true one `[L]`."""
    plots = [_plot("true", "True reward", true[None])]
    if predicted is not None:
        plots.insert(0, _plot("predicted", "Predicted reward", predicted))
    return plots


def ticks_of(steps: int) -> list[Tick]:
    """Marks below the plots of an episode, at round numbers of steps."""
    marks = [mark for mark in round_marks(0, steps) if mark <= steps and mark == int(mark)]
    return [Tick(mark, f"{mark:,.0f}{' steps' * (mark == marks[-1])}") for mark in marks]


def _plot(name: str, title: str, lines: NDArray[np.float32]) -> Plot:
    low, high = min(0.0, float(lines.min())), max(0.0, float(lines.max()))
    scale = HEIGHT / ((high - low) or 1.0)

    def points(values: NDArray[np.float32]) -> list[str]:
        return [f"{x},{(high - y) * scale:.2f}" for x, y in enumerate(values.tolist(), 1)]

    around: Iterable[str] = ()
    if len(lines) > 1:
        around = [*points(lines.max(0)), *points(lines.min(0))[::-1]]
    return Plot(
        name, title, " ".join(points(lines.mean(0))), " ".join(around), round(high * scale, 2),
        written(low, ""), written(high, ""),
    )  # fmt: skip
