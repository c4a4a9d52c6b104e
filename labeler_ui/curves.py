"""A run's learning curves, from `metrics/` alone. Written while we read."""

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from prefrl.run_directory import LARGEST_METRICS, RunDirectory, RunError
from prefrl.runs.series import Line, last_of_each, series

MOST_POINTS = 240  # about one for every two pixels of a chart


@dataclass(frozen=True)
class Curve:
    """One figure against environment steps.

    Attributes:
        name: In the JSON.
        title: For people.
        note: What it is, in a few words.
        unit: Follows a value: `%` for shares, `/h` for what is counted an hour, else empty.
        points: `(env_step, value)`, at most some hundred: neighbours are averaged.
        holds: Whether a value holds until the next one; such values are not averaged.
    """

    name: str
    title: str
    note: str
    unit: str
    points: list[tuple[float, float]]
    holds: bool = False


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
    holds: bool = False


_SOURCES = (
    _Source("true_return", "True return, training", "the agent never sees it",
            "policy", "rollout/true_return"),
    _Source("predicted_return", "Predicted return, training", "what the agent is given",
            "policy", "rollout/predicted_return"),
    _Source("validation_accuracy", "Validation accuracy", "on answers it was not fitted to",
            "reward", "reward/validation_accuracy", 100.0, "%"),
    _Source("entropy", "Entropy", "how undecided the policy still is",
            "policy", "train/entropy_loss", -1.0),
    _Source("labels", "Labels", "answers the predictor knows",
            "reward", "labels/answered", holds=True),
    _Source("label_rate", "Label rate", "answers an hour, between training rounds",
            "timing-reward", "time/labels_per_s", 3600.0, "/h"),
)  # fmt: skip


def curves_of(run: RunDirectory) -> list[Curve]:
    """All curves; one without points is one that the run has not begun.

    Raises:
        RunError: The figures are damaged.
    """
    return [Curve(s.name, s.title, s.note, s.unit, _points(run, s), s.holds) for s in _SOURCES]


def _points(run: RunDirectory, source: _Source) -> list[tuple[float, float]]:
    figures = _figures(run.metrics / f"{source.file}.jsonl")
    # Two rounds may come at one step, while the policy waits for its first labels.
    steps, values = last_of_each(series(figures.read(), source.key))
    points = list(zip(steps.tolist(), (source.factor * values).tolist(), strict=True))
    return _thinned(points, source.holds)


class _Figures:
    """What is shown of one file of metrics; each time it is read on from where it ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = {"step", *(s.key for s in _SOURCES if f"{s.file}.jsonl" == path.name)}
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._read_to, self._last, self._lines = 0, b"", list[Line]()

    def read(self) -> list[Line]:
        """All whole lines, with the figures that are shown.

        Raises:
            RunError: One of them is damaged, or there are too many.
        """
        with self._lock, suppress(FileNotFoundError), self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) > LARGEST_METRICS:
                raise RunError(f"{self._path}: far too large")
            file.seek(self._read_to - len(self._last))
            if file.read(len(self._last)) != self._last:
                self._begin()  # the file is another one
            file.seek(self._read_to)
            for line in file:
                if line.endswith(b"\n"):  # the last one may be torn
                    self._lines.append(self._shown(line))
                    self._read_to, self._last = self._read_to + len(line), line
        return self._lines.copy()

    def _shown(self, line: bytes) -> Line:
        try:
            figures = json.loads(line)
            return {key: figures[key] for key in self._keys & figures.keys()}
        except (ValueError, RecursionError, AttributeError) as error:
            raise RunError(f"{self._path}: a damaged line") from error


_figures = lru_cache(maxsize=64)(_Figures)


def _thinned(points: list[tuple[float, float]], holds: bool) -> list[tuple[float, float]]:
    """At most `MOST_POINTS`, each the mean or last of neighbours; the last one ends the curve."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    if holds:
        return points[::-size][::-1]
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [(fmean(step for step, _ in g), fmean(value for _, value in g)) for g in groups]
    return [*means[:-1], points[-1]]
