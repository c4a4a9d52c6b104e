"""What a run costs: where the time went, and memory."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefrl.run_directory import RunDirectory
from prefrl.runs.plots.canvas import Theme, clock_unit, rows, save
from prefrl.runs.series import Line, lines_of, series

INSIDE_OF = {"environment": "rollout", "record": "rollout"}  # phases that others count too
MIB = 2**20


def time_by_phase(run: RunDirectory, theme: Theme) -> Path | None:
    """Seconds of each process by phase, those inside of another taken out of it."""
    phases = {name: found for name, lines in _timing(run).items() if (found := _phases(lines))}
    if not phases:
        return None

    def paint(figure: Figure, theme: Theme) -> None:
        heights = [len(found) for found in phases.values()]
        panels = rows(figure, len(phases), height_ratios=heights, sharex=True)
        for axes, (process, found) in zip(panels, phases.items(), strict=True):
            _paint_phases(axes, process, found, theme)
        panels[-1].set_xlabel("seconds")

    height = 1.6 + 0.3 * sum(map(len, phases.values())) + 0.3 * len(phases)
    return save(run.plots / "time_by_phase.png", paint, height, theme)


def memory(run: RunDirectory, theme: Theme) -> Path | None:
    """Resident memory of each process over time."""
    found = {
        name: series(lines, "memory/resident_bytes", "wall_clock_s")
        for name, lines in _timing(run).items()
    }
    found = {name: (clock, used) for name, (clock, used) in found.items() if clock.size}
    if not found:
        return None
    began = min(clock[0] for clock, _ in found.values())
    unit, length = clock_unit(max(clock[-1] for clock, _ in found.values()) - began)

    def paint(figure: Figure, theme: Theme) -> None:
        (axes,) = rows(figure, 1)
        for (name, (clock, used)), colour in zip(found.items(), theme.lines, strict=False):
            most = f"{name}: at most {used.max() / MIB:,.0f} MiB"
            axes.plot((clock - began) / length, used / MIB, color=colour, label=most)
        axes.set_ylim(0, 1.15 * max(used.max() for _, used in found.values()) / MIB)
        axes.set_xlabel(f"time since the first figures ({unit})")
        axes.set_ylabel("resident memory (MiB)")
        axes.set_title("Memory by process")
        axes.legend(loc="lower right")

    return save(run.plots / "memory.png", paint, 3.6, theme)


def _timing(run: RunDirectory) -> dict[str, list[Line]]:
    """The clocks of each process, by its name."""
    names = sorted(path.stem for path in run.metrics.glob("timing-*.jsonl"))
    return {name.removeprefix("timing-"): lines_of(run, name) for name in names}


def _phases(lines: list[Line]) -> dict[str, float]:
    """Seconds by phase at the last line, the longest first."""
    last = lines[-1] if lines else {}
    seconds = {
        key[len("time/") : -len("_s")]: float(value)
        for key, value in last.items()
        if key.startswith("time/")
        and key.endswith("_s")
        and not key.endswith("_per_s")
        and isinstance(value, int | float)
    }
    for inner, outer in INSIDE_OF.items():
        if inner in seconds and outer in seconds:
            seconds[outer] = max(0.0, seconds[outer] - seconds[inner])
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def _paint_phases(axes: Axes, process: str, found: dict[str, float], theme: Theme) -> None:
    values, places = np.array(list(found.values())), np.arange(len(found))
    total = values.sum()
    axes.barh(places, values, color=theme.lines[0])
    for place, value in zip(places, values, strict=True):
        share = f" {value:,.2f} s, {100 * value / total:.1f}%" if total else " 0 s"
        axes.annotate(share, (value, place), va="center", fontsize=10)
    axes.set_yticks(places, [_name(phase) for phase in found])
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(False, axis="y")
    axes.set_title(f"{process} process: {total:,.1f} s measured")


def _name(phase: str) -> str:
    return "rollout, the rest" if phase == "rollout" else phase
