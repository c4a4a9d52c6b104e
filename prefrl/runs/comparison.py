"""Several runs side by side: seeds of one configuration become one curve."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.run_directory import RunDirectory, RunError, read_object
from prefrl.runs.archive import Entry, entry_of, names_of, seconds_since_epoch, text
from prefrl.runs.differences import differing, settings_of, sources_of
from prefrl.runs.intervals import LEAST_SEEDS, bootstrap_interval, interquartile_mean
from prefrl.runs.series import Series, last_of_each, lines_of, series
from prefrl.runs.tables import fact

AXES = {
    "env_steps": "environment steps",
    "labels": "labels",
    "wall_s": "wall time, waits included, mean over seeds",
}
GRID = 200  # points of a curve over seeds: more than a picture of it can show
MOST_IN_A_TITLE = 3  # settings by which a curve is named


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, of one code and with one beginning, which differ in their seed.

    Attributes:
        title: What sets this configuration apart from the others.
        own: The settings that do, where they are too many for a title.
        entries: The runs.
        curves: True return of training episodes against each of `AXES`, in the same order.
    """

    title: str
    own: dict[str, Any]
    entries: list[Entry]
    curves: list[dict[str, Series]]

    @property
    def note(self) -> str:
        """Why its curve has no interval; empty where there are seeds enough for one."""
        return _note(len(self.entries))


@dataclass(frozen=True)
class Band:
    """A curve over seeds.

    Attributes:
        x: `[K]`, where all seeds have values.
        mean: `[K]` interquartile means.
        interval: Lower and upper end, `[K]` each; None for too few seeds.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    interval: tuple[NDArray[np.float64], NDArray[np.float64]] | None


def group_runs(runs: Sequence[RunDirectory]) -> list[Group]:
    """The runs by configuration, in the order given.

    Raises:
        RunError: Two runs have configuration and seed in common: they are one sample, not two.
    """
    configs: dict[str, dict[str, Any]] = {}
    by_config: dict[str, list[tuple[RunDirectory, Entry]]] = {}
    for run, name in zip(runs, names_of(runs), strict=True):
        origin = read_object(run.provenance)
        config = settings_of(read_object(run.config), origin) | sources_of(origin)
        config.pop("seed", None)
        member = (run, replace(entry_of(run), name=name))
        key = json.dumps(config, sort_keys=True)
        configs.setdefault(key, config)
        by_config.setdefault(key, []).append(member)
    members = [[entry for _, entry in found] for found in by_config.values()]
    settings = differing(list(configs.values()))
    told = 0 < len(settings) <= MOST_IN_A_TITLE
    groups = []
    for i, (entries, found) in enumerate(zip(members, by_config.values(), strict=True)):
        _refuse_repeats(entries)
        own = {key: values[i] for key, values in settings.items()}
        title = _title_by_settings(own) if told else _title_by_name(entries)
        curves = [curves_of(run) for run, _ in found]
        groups.append(Group(title, {} if told else own, entries, curves))
    return groups


def curves_of(run: RunDirectory) -> dict[str, Series]:
    """True return of training episodes against each of `AXES`; labels only where there are any.

    Raises:
        RunError: The figures are damaged.
    """
    policy, timing = lines_of(run, "policy"), lines_of(run, "timing-policy")
    steps, returns = series(policy, "rollout/true_return")
    clock_steps, clock = series(timing, "wall_clock_s")
    curves = {"env_steps": (steps, returns)}
    labels = series(policy, "rollout/true_return", "policy/snapshot_labels")
    if labels[0].size:
        curves["labels"] = last_of_each(labels)  # many rollouts have the same number of labels
    started = seconds_since_epoch(read_object(run.provenance).get("started_at"))
    if clock.size:
        began = clock[0] if started is None else started
        curves["wall_s"] = (np.interp(steps, clock_steps, clock) - began, returns)
    return curves


def band(curves: Sequence[Series], rng: np.random.Generator) -> Band | None:
    """One curve for several seeds, over the stretch that all of them have; None without one."""
    if not curves or any(not x.size for x, _ in curves):
        return None
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    if first >= last:
        return None
    grid = np.linspace(first, last, GRID)
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    interval = bootstrap_interval([values], rng) if len(curves) >= LEAST_SEEDS else None
    return Band(grid, interquartile_mean(values), interval)


def band_of(group: Group, axis: str, rng: np.random.Generator) -> Band | None:
    """A group's curve over seeds against one of `AXES`; None if a seed lacks it.

    Seeds take different times to the same step: a return stands at the mean of these times.
    """
    if any(axis not in curve for curve in group.curves):
        return None
    if axis != "wall_s":
        return band([curve[axis] for curve in group.curves], rng)
    found = band([curve["env_steps"] for curve in group.curves], rng)
    if found is None:
        return None
    times = [
        np.interp(found.x, curve["env_steps"][0], curve["wall_s"][0]) for curve in group.curves
    ]
    return replace(found, x=np.mean(times, axis=0))


def final_return(group: Group, rng: np.random.Generator) -> dict[str, Any]:
    """The evaluations at the ends of a group's runs, as `compare --json` prints them."""
    found = [entry.true_return for entry in group.entries if entry.status == "finished"]
    scores = np.array([value for value in found if value is not None], np.float64)
    interval = bootstrap_interval([scores], rng) if len(scores) >= LEAST_SEEDS else None
    return {
        "seeds": len(scores),
        "interquartile_mean": float(interquartile_mean(scores)) if scores.size else None,
        "interval": None if interval is None else [float(end) for end in interval],
        "note": _note(len(scores), "finished "),
    }


def interval_note(finals: Sequence[Mapping[str, Any]]) -> str:
    """Why some of the `final_return`s have no interval; empty where all have one."""
    if all(final["interval"] for final in finals):
        return ""
    return f"An interval needs at least {LEAST_SEEDS} finished seeds of a configuration."


def _note(seeds: int, which: str = "") -> str:
    """Why so many seeds have no interval; empty where they have one."""
    if seeds >= LEAST_SEEDS:
        return ""
    there = f"1 {which}seed" if seeds == 1 else f"{seeds} {which}seeds"
    return f"{there}: no interval, which needs at least {LEAST_SEEDS}"


def _refuse_repeats(entries: Iterable[Entry]) -> None:
    seen: dict[int | None, Entry] = {}
    for entry in entries:
        if entry.seed in seen:
            raise RunError(
                f"{seen[entry.seed].name} and {entry.name} have configuration and seed in common: "
                "they count as one, leave one of them out"
            )
        seen[entry.seed] = entry


def _title_by_name(entries: Sequence[Entry]) -> str:
    return entries[0].name + (f" and {len(entries) - 1} more" if entries[1:] else "")


def _title_by_settings(own: Mapping[str, Any]) -> str:
    """By the last part of their names, if these tell them apart."""
    short = {key: key.split(".")[-1] for key in own}
    if len(set(short.values())) < len(short):
        short = {key: key for key in own}
    return ", ".join(f"{text(short[key])} {fact(value)}" for key, value in own.items())
