"""A run's learning curves, from `metrics/` alone. Written while we read."""

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

from prefrl.run_directory import RunDirectory

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
            "policy.jsonl", "rollout/true_return"),
    _Source("predicted_return", "Predicted return", "of training episodes, what the agent is given",
            "policy.jsonl", "rollout/predicted_return"),
    _Source("validation_accuracy", "Validation accuracy", "on answers it was not fitted to",
            "reward.jsonl", "reward/validation_accuracy", 100.0, "%"),
    _Source("entropy", "Entropy", "how undecided the policy still is",
            "policy.jsonl", "train/entropy_loss", -1.0),
    _Source("labels", "Labels", "answers the predictor knows",
            "reward.jsonl", "labels/answered"),
    _Source("label_rate", "Label rate", "answers an hour, between training rounds",
            "timing-reward.jsonl", "time/labels_per_s", 3600.0),
)  # fmt: skip


def curves_of(run: RunDirectory) -> list[Curve]:
    """All curves; one without points is one that the run has not begun."""
    return [
        Curve(s.name, s.title, s.note, s.unit, _points(run.metrics / s.file, s.key, s.factor))
        for s in _SOURCES
    ]


def _points(path: Path, key: str, factor: float) -> list[tuple[float, float]]:
    points = _figures(path).read()[key]
    return _thinned([(step, factor * value) for step, value in points])


class _Figures:
    """What is shown of one file of metrics; each time it is read on from where it ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._read_to = 0
        keys = [source.key for source in _SOURCES if source.file == self._path.name]
        self._points: dict[str, list[tuple[float, float]]] = {key: [] for key in keys}

    def read(self) -> dict[str, list[tuple[float, float]]]:
        """By key, `(step, value)` of all whole lines."""
        with self._lock, suppress(FileNotFoundError), self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._read_to:
                self._begin()  # the file is another one
            file.seek(self._read_to)
            for line in file:
                if line.endswith(b"\n"):  # the last one may be torn
                    self._read_to += len(line)
                    self._add(json.loads(line))
        return {key: points.copy() for key, points in self._points.items()}

    def _add(self, line: dict[str, Any]) -> None:
        for key, points in self._points.items():
            if line.get(key) is not None:
                points.append((float(line["step"]), line[key]))


_figures = lru_cache(maxsize=64)(_Figures)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS`, each the mean of neighbours; the last one ends the curve."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [(fmean(step for step, _ in g), fmean(value for _, value in g)) for g in groups]
    return [*means[:-1], points[-1]]
