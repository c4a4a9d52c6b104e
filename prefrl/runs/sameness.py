"""Whether two inline runs gave the same numbers."""

from collections.abc import Mapping
from typing import Any

from prefrl.run_directory import RunDirectory
from prefrl.runs.archive import text
from prefrl.runs.series import lines_of


def first_difference(old: RunDirectory, new: RunDirectory) -> str | None:
    """The first figure that is not the same to the last bit, in words; None if all are.

    Raises:
        RunError: The figures of one are damaged.
    """
    for name in _files(old) | _files(new):
        before, after = lines_of(old, name), lines_of(new, name)
        for line, (there, here) in enumerate(zip(before, after, strict=False), start=1):
            if there != here:
                return f"{text(name)}.jsonl, line {line}: {_unlike(there, here)}"
        if len(before) != len(after):
            return f"{text(name)}.jsonl has {len(before)} lines there and {len(after)} here"
    return None


def _files(run: RunDirectory) -> dict[str, None]:
    """The names of the files that hold no clocks, in order."""
    names = sorted(path.stem for path in run.metrics.glob("*.jsonl"))
    return {name: None for name in names if not name.startswith("timing-")}


def _unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    key = next(key for key in [*there, *here] if there.get(key) != here.get(key))
    return f"{text(key)} is {there.get(key)!r} there and {here.get(key)!r} here"
