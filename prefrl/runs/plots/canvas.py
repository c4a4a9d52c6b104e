"""What all pictures have in common: two themes, sizes and how they are written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120
WIDTH = 8  # inches: 960 pixels, a little more than a README shows


@dataclass(frozen=True)
class Theme:
    """Colours of a picture; those of the lines can be told apart by the colour-blind.

    Attributes:
        name: Ends the file's name, except for the light one.
        background: Behind all.
        ink: Of text and axes.
        faint: Of what is there for orientation.
        lines: Of what is shown. Source: Okabe and Ito 2008, lightened for the dark theme.
    """

    name: str
    background: str
    ink: str
    faint: str
    lines: tuple[str, ...]


LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#8a8f96",
    ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#8a6d00", "#4a4a9c"),
)  # fmt: skip
DARK = Theme(
    "dark", "#0d1117", "#e6edf3", "#848d97",
    ("#56b4e9", "#ff9e4a", "#4fd1a5", "#e39ac4", "#f0e442", "#a8a8ff"),
)  # fmt: skip
THEMES = (LIGHT, DARK)

Paint = Callable[[Figure, Theme], None]


def save(path: Path, paint: Paint, height: float, theme: Theme = LIGHT) -> Path:
    """Paint a picture of a theme and write it; the suffix decides the format.

    Args:
        path: Of the light picture; the dark one's ends in `-dark`.
        paint: Puts axes and lines on an empty figure.
        height: In inches; the width is always the same.
        theme: Colours.

    Returns:
        Where it lies.
    """
    if theme is not LIGHT:
        path = path.with_stem(f"{path.stem}-{theme.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(_settings(theme)):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, theme)
        # Without a date, the same run gives the same file.
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def rows(figure: Figure, count: int, **options: Any) -> list[Axes]:
    """Axes one below the other."""
    return list(figure.subplots(count, 1, squeeze=False, **options)[:, 0])


def clock_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a time of this length is read, and its seconds."""
    if seconds < 120:
        return "s", 1
    return ("min", 60) if seconds < 7200 else ("h", 3600)


def _settings(theme: Theme) -> dict[Any, Any]:
    return {
        "figure.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.limits": (-4, 7),
        "grid.color": theme.faint,
        "grid.alpha": 0.25,
        "text.color": theme.ink,
        "text.parse_math": False,  # names of runs may hold a dollar
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "font.size": 11,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "svg.hashsalt": "prefrl",
    }
