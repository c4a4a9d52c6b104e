"""What the comparison of several runs shows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from labeler_ui.charts import Chart, Points, Trace, minus, overlay, shortened
from prefrl.run_directory import RunDirectory, read_object
from prefrl.runs.archive import names_of, text
from prefrl.runs.comparison import (
    AXES,
    Band,
    Group,
    band_of,
    final_return,
    group_runs,
    interval_note,
)
from prefrl.runs.differences import all_differences
from prefrl.runs.series import Series
from prefrl.runs.tables import NOTHING, duration, fact, number

STYLES = 6  # as many as the style sheet tells apart by colour
MOST_POINTS = 240
LENGTHS: dict[str, Callable[[float], str]] = {
    "env_steps": lambda x: f"{shortened(x)} steps",
    "labels": lambda x: f"{x:,.0f} labels",
    "wall_s": duration,
}


def compare_page(runs: Mapping[str, RunDirectory]) -> dict[str, Any]:
    """What `compare.html` shows.

    Args:
        runs: By their names in addresses; opened with `open_run`.

    Raises:
        RunError: A run is damaged, or two have configuration and seed in common.
    """
    groups = group_runs(list(runs.values()))
    differences = all_differences(
        [read_object(run.config) for run in runs.values()],
        [read_object(run.provenance) for run in runs.values()],
    )
    finals = [final_return(group, np.random.default_rng(0)) for group in groups]
    return {
        "names": list(zip(runs, names_of(list(runs.values())), strict=True)),
        "groups": [
            _described(group, final, style % STYLES)
            for style, (group, final) in enumerate(zip(groups, finals, strict=True))
        ],
        "interval_note": interval_note(finals),
        "charts": [_chart(axis, groups) for axis in AXES],
        "differences": {
            kind: [(text(key), [fact(value) for value in values]) for key, values in found.items()]
            for kind, found in differences.items()
        },
    }


def _described(group: Group, final: Mapping[str, Any], style: int) -> dict[str, Any]:
    ends, names = final["interval"], [entry.name for entry in group.entries]
    return {
        "title": text(group.title),
        "style": style,
        "runs": "" if names == [group.title] else ", ".join(names),
        "own": [f"{text(key)} {fact(value)}" for key, value in group.own.items()],
        "seeds": final["seeds"],
        "mean": minus(number(final["interquartile_mean"], 1)),
        "interval": minus(f"{ends[0]:,.1f} to {ends[1]:,.1f}") if ends else NOTHING,
    }


def _chart(axis: str, groups: Sequence[Group]) -> Chart:
    traces = [
        trace
        for style, group in enumerate(groups)
        for trace in _traces(group, axis, style % STYLES)
    ]
    return overlay(
        f"Against {AXES[axis]}", "true return of training episodes", traces, LENGTHS[axis],
        summary=f"True return against {AXES[axis]}: {len(groups)} configurations",
    )  # fmt: skip


def _traces(group: Group, axis: str, style: int) -> list[Trace]:
    """Below the least number of seeds each stands for itself, behind their mean."""
    over_seeds = band_of(group, axis, np.random.default_rng(0))
    alone = over_seeds is None or len(group.curves) == 1
    traces = []
    if over_seeds is None or over_seeds.interval is None:
        own = [_points(curve[axis]) for curve in group.curves if axis in curve]
        traces = [Trace(points, style, thin=not alone) for points in own]
    if over_seeds is not None and not alone:
        mean = _points((over_seeds.x, over_seeds.mean))
        traces.append(Trace(mean, style, band=_outline(over_seeds)))
    return traces


def _outline(over_seeds: Band) -> Points:
    """Along the lower end of the interval, and back along the upper one."""
    if over_seeds.interval is None:
        return ()
    low, high = over_seeds.interval
    return [*_points((over_seeds.x, low)), *_points((over_seeds.x, high))[::-1]]


def _points(curve: Series) -> list[tuple[float, float]]:
    x, y = curve
    step = -(-len(x) // MOST_POINTS) or 1
    return list(zip(x[::-step][::-1].tolist(), y[::-step][::-1].tolist(), strict=True))
