"""Learning curves of several configurations in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from prefrl.runs.comparison import AXES, Band, Group, band_of
from prefrl.runs.intervals import LEAST_SEEDS
from prefrl.runs.plots.canvas import THEMES, Theme, clock_unit, rows, save

NOTHING = (np.empty(0), np.empty(0))
DASHES = ("-", "--", ":")  # where there are more curves than colours


def draw_comparison(groups: Sequence[Group], folder: Path) -> list[Path]:
    """True return against steps, labels and time, as PNG and SVG in both themes."""
    # Bootstrapped once: all pictures show the same interval.
    bands = [[band_of(group, axis, np.random.default_rng(0)) for group in groups] for axis in AXES]
    longest = max(x.max(initial=0) for group in groups for x in _all_x(group, "wall_s"))
    unit, length = clock_unit(longest)

    def paint(figure: Figure, theme: Theme) -> None:
        panels = rows(figure, len(AXES))
        for axes, (axis, title), curves in zip(panels, AXES.items(), bands, strict=True):
            _paint_panel(axes, axis, groups, curves, theme, length if axis == "wall_s" else 1)
            axes.set_xlabel(f"{title} ({unit})" if axis == "wall_s" else title)
            axes.set_ylabel("true return")
            if axis == "labels":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        panels[0].set_title("True return of training episodes")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=1,
            title=_legend_title(groups), alignment="left", title_fontsize=10,
        )  # fmt: skip

    height = 8.8 + 0.25 * len(groups)
    return [
        save(folder / f"learning_curves.{suffix}", paint, height, theme)
        for suffix in ("png", "svg")
        for theme in THEMES
    ]


def _paint_panel(
    axes: Axes, axis: str, groups: Sequence[Group], bands: Sequence[Band | None], theme: Theme,
    length: float,
) -> None:  # fmt: skip
    """The curves against one axis, whose unit has this length."""
    for i, (group, over_seeds) in enumerate(zip(groups, bands, strict=True)):
        colour = theme.lines[i % len(theme.lines)]
        dash = DASHES[i // len(theme.lines) % len(DASHES)]
        axes.plot([], [], color=colour, linestyle=dash, label=_legend(group, over_seeds))
        style: dict[str, Any] = {"color": colour, "linestyle": dash}
        if over_seeds is None or over_seeds.interval is None:
            alone = over_seeds is None or len(group.curves) == 1
            own = {**style, "alpha": 1 if alone else 0.4, "linewidth": 1.5 if alone else 0.8}
            for curve in group.curves:
                x, y = curve.get(axis, NOTHING)
                axes.plot(x / length, y, **own)
        if over_seeds is not None and len(group.curves) > 1:
            x = over_seeds.x / length
            axes.plot(x, over_seeds.mean, linewidth=2, **style)
            if over_seeds.interval is not None:
                axes.fill_between(x, *over_seeds.interval, color=colour, alpha=0.2, linewidth=0)


def _all_x(group: Group, axis: str) -> list[NDArray[np.float64]]:
    return [curve.get(axis, NOTHING)[0] for curve in group.curves]


def _legend_title(groups: Sequence[Group]) -> str:
    """How several seeds are drawn, and from how many on there is an interval."""
    if all(len(group.entries) == 1 for group in groups):
        return f"An interval needs at least {LEAST_SEEDS} seeds of a configuration"
    return (
        f"Of several seeds the interquartile mean, from {LEAST_SEEDS} on with its 95% bootstrap "
        "interval"
    )


def _legend(group: Group, over_seeds: Band | None) -> str:
    seeds = len(group.entries)
    if seeds == 1:
        return f"{group.title} (1 seed)"
    apart = ", not all with values at the same steps" if over_seeds is None else ""
    return f"{group.title} ({seeds} seeds{apart})"
