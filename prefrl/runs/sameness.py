"""Whether two inline runs gave the same numbers and labels."""

from collections.abc import Mapping
from typing import Any

from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory
from prefrl.runs.archive import name_of, text
from prefrl.runs.series import lines_of

Labels = list[tuple[str, str, str]]


def verdict(old: RunDirectory, new: RunDirectory) -> str:
    """What was compared and is the same to the last bit, or the first that is not, in words.

    Raises:
        RunError: The figures of one are damaged.
        StoreError: The labels of one are.
    """
    files, before, after = _files(old) | _files(new), _labels(old), _labels(new)
    kinds = {"numbers": bool(files), "labels": bool(before or after)}
    compared = " and ".join(kind for kind, is_there in kinds.items() if is_there)
    if not compared:
        return f"nothing could be compared: neither {name_of(old)} nor this run has any figures"
    return (
        _unlike_figures(old, new, files)
        or _unlike_labels(before, after)
        or f"the same {compared} as {name_of(old)}"
    )


def _unlike_figures(old: RunDirectory, new: RunDirectory, files: Mapping[str, None]) -> str | None:
    for name in files:
        before, after = lines_of(old, name), lines_of(new, name)
        for line, (there, here) in enumerate(zip(before, after, strict=False), start=1):
            if there != here:
                return f"{text(name)}.jsonl, line {line}: {_unlike(there, here)}"
        if len(before) != len(after):
            return f"{text(name)}.jsonl has {len(before)} lines there and {len(after)} here"
    return None


def _unlike_labels(before: Labels, after: Labels) -> str | None:
    for number, (there, here) in enumerate(zip(before, after, strict=False), start=1):
        if there[0] != here[0]:
            return f"label {number} is about another pair of clips"
        if there != here:
            return f"label {number} is {_answer(there)} there and {_answer(here)} here"
    if len(before) != len(after):
        return f"{len(before)} labels there and {len(after)} here"
    return None


def _files(run: RunDirectory) -> dict[str, None]:
    """The names of the files that hold no clocks, in order."""
    names = sorted(path.stem for path in run.metrics.glob("*.jsonl"))
    return {name: None for name in names if not name.startswith("timing-")}


def _labels(run: RunDirectory) -> Labels:
    """Query (whose id is made of its clips), labeler and answer, in the order given."""
    if not run.labels.exists():
        return []
    with LabelStore.open_to_read(run.labels) as store:
        return [(label.query_id, label.labeler, label.answer) for label in store.labels()]


def _answer(label: tuple[str, str, str]) -> str:
    _, labeler, answer = label
    return f"{answer} by {text(labeler)}"


def _unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    key = next(key for key in [*there, *here] if there.get(key) != here.get(key))
    return f"{text(key)} is {there.get(key)!r} there and {here.get(key)!r} here"
