"""The list of runs, from the small files in their directories; imports nothing heavy.

A run directory may come from anywhere: what stands in it is shown, never run or trusted.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from prefrl.run_directory import RunDirectory, RunError, read_object
from prefrl.run_status import RunStatus, State, status_of

UNREADABLE = "config.json?"  # shown in place of an environment


@dataclass(frozen=True)
class Entry:
    """A run as a line of the list; None where nothing is known.

    Attributes:
        run: Its directory.
        name: Of that directory.
        question: What the run was to answer.
        env: The environment's id; empty where the configuration is not one of prefrl.
        seed: Of the run.
        status: `running`, `finished`, `stopped`, `failed` or `lost`.
        doing: What a running one does now.
        labels: Given so far.
        env_steps: Taken so far.
        true_return: Of the evaluation at the end, until then of the newest training episodes.
        return_of: Which of the two, `evaluation` or `training`; empty without a return.
        wall_s: Seconds it took, or has taken so far.
        started_at: When it began, as an ISO date.
    """

    run: Path
    name: str
    question: str
    env: str
    seed: int | None
    status: State
    doing: str
    labels: int | None
    env_steps: int | None
    true_return: float | None
    return_of: str
    wall_s: float | None
    started_at: str

    @property
    def shown_env(self) -> str:
        """The environment's id, or that there is none to be read."""
        return self.env or UNREADABLE

    def as_json(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {**vars(self), "run": str(self.run)}


def find_runs(folder: Path) -> Iterator[RunDirectory]:
    """All runs in a folder and below it, by name; links are not followed, runs not searched.

    Raises:
        RunError: There is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    sign = RunDirectory(folder).config.name
    for path, folders, files in os.walk(folder):
        if sign in files:
            folders.clear()
            yield RunDirectory(Path(path))
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def entry_of(run: RunDirectory) -> Entry:
    """A run's line of the list."""
    config, origin = read_object(run.config), read_object(run.provenance)
    status = status_of(run)
    environment = config.get("env")
    started_at = text(origin.get("started_at"))
    figures = status.figures if isinstance(status.figures, Mapping) else {}
    labels, steps = number_in(figures.get("labels")), number_in(figures.get("env_steps"))
    seed = number_in(config.get("seed"))
    true_return = mean_of(figures.get("true_return"))
    source = "evaluation" if isinstance(figures.get("true_return"), Mapping) else "training"
    return Entry(
        run=run.path,
        name=name_of(run),
        question=text(origin.get("note")),
        env=text(environment.get("id")) if isinstance(environment, dict) else "",
        seed=None if seed is None else int(seed),
        status=status.state if status.state in get_args(State) else "failed",
        doing=text(status.doing),
        labels=None if labels is None else int(labels),
        env_steps=None if steps is None else int(steps),
        true_return=true_return,
        return_of="" if true_return is None else source,
        wall_s=_wall_s(status, figures, started_at),
        started_at=started_at,
    )


def name_of(run: RunDirectory) -> str:
    """A run is called as its directory is."""
    return text(run.path.absolute().name or str(run.path))


def names_of(runs: Sequence[RunDirectory]) -> list[str]:
    """What several runs are called side by side.

    Those with a name in common have so many of the folders above before it as set them apart.
    """
    paths = [run.path.absolute().parts for run in runs]
    names: dict[tuple[str, ...], str] = {}
    left, depth = set(paths), 0
    while left:
        depth += 1
        often = Counter(parts[-depth:] for parts in left)
        alone = [parts for parts in left if often[parts[-depth:]] == 1]
        names |= {parts: text(str(Path(*parts[-depth:]))) for parts in alone}
        left.difference_update(alone)
    return [names[parts] for parts in paths]


def text(value: Any) -> str:
    """A text in one line and without what would steer a terminal; empty if it is none."""
    if not isinstance(value, str):
        return ""
    if value.isprintable():
        return value.strip()
    return "".join(c if c.isprintable() else " " for c in value).strip()


def seconds_since_epoch(iso_date: Any) -> float | None:
    """A date as a number, None if it is none."""
    try:
        date = datetime.fromisoformat(iso_date)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def number_in(value: Any) -> float | None:
    """A number as it is, None for all that is none or none that a run could have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e15 else None  # nan too is not below


def mean_of(returns: Any) -> float | None:
    """The mean of what an evaluation says of returns; a single number is that itself."""
    return number_in(returns.get("mean") if isinstance(returns, Mapping) else returns)


def _wall_s(status: RunStatus, figures: Mapping[str, Any], started_at: str) -> float | None:
    if status.state != "running":
        return number_in(figures.get("wall_s"))
    since = seconds_since_epoch(started_at)
    return None if since is None else max(0.0, time.time() - since)
