"""Learning curves of several configurations in one picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefrl.runs.comparison import AXES, Band, Group, band
from prefrl.runs.plots.canvas import THEMES, Theme, rows, save

DASHES = ("-", "--", ":")  # where there are more curves than colours


def draw_comparison(groups: Sequence[Group], folder: Path) -> list[Path]:
    """True return against steps, labels and time, as PNG and SVG in both themes."""
    # Bootstrapped once: all pictures show the same interval.
    bands = [[_band(group, axis) for group in groups] for axis in AXES]

    def paint(figure: Figure, theme: Theme) -> None:
        panels = rows(figure, len(AXES))
        for axes, (axis, unit), curves in zip(panels, AXES.items(), bands, strict=True):
            _paint_panel(axes, axis, groups, curves, theme)
            axes.set_xlabel(unit)
            axes.set_ylabel("true return")
        panels[0].set_title("True return of training episodes")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=1)

    height = 8.5 + 0.25 * len(groups)
    return [
        save(folder / f"learning_curves.{suffix}", paint, height, theme)
        for suffix in ("png", "svg")
        for theme in THEMES
    ]


def _band(group: Group, axis: str) -> Band | None:
    curves = [curve[axis] for curve in group.curves if axis in curve]
    return band(curves, np.random.default_rng(0)) if len(curves) == len(group.curves) else None


def _paint_panel(
    axes: Axes, axis: str, groups: Sequence[Group], bands: Sequence[Band | None], theme: Theme
) -> None:
    for i, (group, over_seeds) in enumerate(zip(groups, bands, strict=True)):
        colour = theme.lines[i % len(theme.lines)]
        dash = DASHES[i // len(theme.lines) % len(DASHES)]
        axes.plot([], [], color=colour, linestyle=dash, label=_legend(group))
        if over_seeds is None or over_seeds.interval is None:
            for curve in group.curves:
                if axis in curve:
                    alone = over_seeds is None or len(group.curves) == 1
                    axes.plot(*curve[axis], color=colour, linestyle=dash, alpha=1 if alone else 0.4,
                              linewidth=1.5 if alone else 0.8)  # fmt: skip
        if over_seeds is not None and len(group.curves) > 1:
            axes.plot(over_seeds.x, over_seeds.mean, color=colour, linestyle=dash, linewidth=2)
            if over_seeds.interval is not None:
                axes.fill_between(over_seeds.x, *over_seeds.interval, color=colour, alpha=0.2,
                                  linewidth=0)  # fmt: skip


def _legend(group: Group) -> str:
    if group.note:
        return f"{group.title} ({group.note})"
    seeds = len(group.entries)
    return f"{group.title} ({seeds} seeds: interquartile mean, 95% bootstrap interval)"
