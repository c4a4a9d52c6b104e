"""Curves as the geometry of small line charts; `chart.svg` draws them."""

import math
from dataclasses import dataclass

from labeler_ui.curves import Curve

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 348, 12, 160


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in pixels, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One chart, in the pixels of an SVG of `width` times `height`.

    Attributes:
        title: Above it.
        note: Below it.
        newest: The last value, None while there is none.
        summary: The curve in words, for who cannot see it.
        line: The points of the polyline; empty while there is no curve.
        end: Where the curve ends.
        x_ticks: Marks below.
        y_ticks: Marks at the left.
    """

    title: str
    note: str
    newest: str | None
    summary: str
    line: str
    end: tuple[float, float]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT


def chart_of(curve: Curve) -> Chart:
    """The chart of a curve."""
    if not curve.points:
        return Chart(curve.title, curve.note, None, "", "", (0.0, 0.0), [], [])
    steps, values = zip(*curve.points, strict=True)
    marks = round_marks(min(values), max(values))
    low, high = marks[0], marks[-1]
    last_step = max(steps) or 1.0

    def place(step: float, value: float) -> tuple[float, float]:
        x = LEFT + (RIGHT - LEFT) * step / last_step
        y = BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)
        return round(x, 1), round(y, 1)

    places = [place(step, value) for step, value in curve.points]
    first, newest = (written(value, curve.unit) for value in (values[0], values[-1]))
    return Chart(
        curve.title,
        curve.note,
        newest,
        f"{curve.title}: {first} at step {steps[0]:,.0f}, {newest} at step {steps[-1]:,.0f}",
        " ".join(f"{x},{y}" for x, y in places),
        places[-1],
        [Tick(LEFT, "0"), Tick(RIGHT, f"{shortened(last_step)} steps")],
        [Tick(place(0, mark)[1], written(mark, curve.unit)) for mark in marks],
    )


def round_marks(low: float, high: float) -> list[float]:
    """Three to six round numbers that enclose the values, equally far apart."""
    spread = high - low or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(spread / 3))
    distance = next(unit * m for m in (1, 2, 5, 10) if unit * m * 4 >= spread)
    first = math.floor(low / distance)
    last = max(math.ceil(high / distance), first + 1)
    return [mark * distance for mark in range(first, last + 1)]


def written(value: float, unit: str) -> str:
    """A value as people write it."""
    if unit == "%":
        return f"{value:.0f}%"
    if abs(value) >= 10_000:
        return shortened(value)
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def shortened(value: float) -> str:
    """`1234567` is `1.23M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")
