"""The figures of a run as arrays, from `metrics/`; what makes no sense there is an error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.metrics import read_metrics
from prefrl.run_directory import RunDirectory, RunError

Line = dict[str, Any]
Series = tuple[NDArray[np.float64], NDArray[np.float64]]


def lines_of(run: RunDirectory, name: str) -> list[Line]:
    """The lines of one file of figures, `policy` or another; empty where there is none.

    Raises:
        RunError: The file is damaged.
    """
    path = run.metrics / f"{name}.jsonl"
    try:
        lines = read_metrics(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: {error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise RunError(f"{path}: expected an object in each line")
    return lines


def series(lines: Sequence[Line], y: str, x: str = "step") -> Series:
    """One figure against another, `[K]` and `[K]`, from the lines that have both."""
    points = [(line[x], line[y]) for line in lines if _is_number(line, x) and _is_number(line, y)]
    pairs = np.array(points, np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def last_of_each(points: Series) -> Series:
    """The last value at each x."""
    x, y = points
    last = np.append(x[1:] != x[:-1], True)[: len(x)]
    return x[last], y[last]


def _is_number(line: Line, key: str) -> bool:
    value = line.get(key)
    return isinstance(value, int | float) and abs(value) < 1e300
