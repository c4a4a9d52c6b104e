"""A run's learning curves, from `metrics/` alone. Written while we read."""

from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from prefrl.run_directory import RunDirectory
from prefrl.runs.series import Line, lines_of, series

MOST_POINTS = 240  # about one for every two pixels of a chart


@dataclass(frozen=True)
class Curve:
    """One figure against environment steps.

    Attributes:
        name: In the JSON.
        title: For people.
        note: What it is, in a few words.
        unit: How a value is written: `%` for shares, else empty.
        points: `(env_step, value)`, at most some hundred: neighbours are averaged.
    """

    name: str
    title: str
    note: str
    unit: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class _Source:
    """Where a curve's figures stand: a key in a file, times a factor."""

    name: str
    title: str
    note: str
    file: str
    key: str
    factor: float = 1.0
    unit: str = ""


_SOURCES = (
    _Source("true_return", "True return", "of training episodes; the agent never sees it",
            "policy", "rollout/true_return"),
    _Source("predicted_return", "Predicted return", "of training episodes, what the agent is given",
            "policy", "rollout/predicted_return"),
    _Source("validation_accuracy", "Validation accuracy", "on answers it was not fitted to",
            "reward", "reward/validation_accuracy", 100.0, "%"),
    _Source("entropy", "Entropy", "how undecided the policy still is",
            "policy", "train/entropy_loss", -1.0),
    _Source("labels", "Labels", "answers the predictor knows",
            "reward", "labels/answered"),
    _Source("label_rate", "Label rate", "answers an hour, between training rounds",
            "timing-reward", "time/labels_per_s", 3600.0),
)  # fmt: skip


def curves_of(run: RunDirectory) -> list[Curve]:
    """All curves; one without points is one that the run has not begun.

    Raises:
        RunError: The figures are damaged.
    """
    return [Curve(s.name, s.title, s.note, s.unit, _points(run, s)) for s in _SOURCES]


def _points(run: RunDirectory, source: _Source) -> list[tuple[float, float]]:
    steps, values = series(_lines(run, source.file), source.key)
    return _thinned(list(zip(steps.tolist(), (source.factor * values).tolist(), strict=True)))


def _lines(run: RunDirectory, name: str) -> list[Line]:
    try:
        state = (run.metrics / f"{name}.jsonl").stat()
    except OSError:
        return []
    return _read(run, name, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _read(run: RunDirectory, name: str, _modified_ns: int, _size: int) -> list[Line]:
    """The lines of a file that has not changed since."""
    return lines_of(run, name)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS`, each the mean of neighbours; the last one ends the curve."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [(fmean(step for step, _ in g), fmean(value for _, value in g)) for g in groups]
    return [*means[:-1], points[-1]]
