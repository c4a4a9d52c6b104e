"""Curves as the geometry of small line charts; `chart.svg` draws them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labeler_ui.curves import Curve

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 348, 12, 160

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in pixels, and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Trace:
    """A curve of several in one chart.

    Attributes:
        points: `(x, y)` in order.
        style: Curves of one style look alike.
        thin: Whether it stands back behind others of its style.
        band: Outline of the area around it; empty where there is none.
    """

    points: Points
    style: int = 0
    thin: bool = False
    band: Points = ()


@dataclass(frozen=True)
class Line:
    """A trace in pixels.

    Attributes:
        points: Of the polyline.
        end: Where it ends; None for one that stands back.
        band: Of the polygon; empty where there is none.
        style: As the trace has it.
    """

    points: str
    end: tuple[float, float] | None
    band: str
    style: int


@dataclass(frozen=True)
class Chart:
    """One chart, in the pixels of an SVG of `width` times `height`.

    Attributes:
        title: Above it.
        note: Below it.
        newest: The last value, None while there is none.
        summary: The curves in words: for who cannot see them, and instead of what is no curve.
        lines: The curves; empty while there are none.
        x_ticks: Marks below.
        y_ticks: Marks at the left.
    """

    title: str
    note: str
    newest: str | None
    summary: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT


def charts_of(curves: Sequence[Curve]) -> list[Chart]:
    """The charts of a run's curves against steps, all as far as the longest: they are compared."""
    last = max((curve.points[-1][0] for curve in curves if curve.points), default=0.0)
    return [_chart_of(curve, last) for curve in curves]


def _chart_of(curve: Curve, last: float) -> Chart:
    if not curve.points:
        return Chart(curve.title, curve.note, None, "No figures yet", [], [], [])
    first, newest = (
        f"{written(value, curve.unit)} at step {step:,.0f}"
        for step, value in (curve.points[0], curve.points[-1])
    )
    value = written(curve.points[-1][1], curve.unit)
    if len(curve.points) == 1:
        summary = f"One value so far: {newest}"
        return Chart(curve.title, curve.note, value, summary, [], [], [])
    points = _stairs(curve.points, last) if curve.holds else curve.points
    return overlay(
        curve.title, curve.note, [Trace(points)], lambda step: f"{shortened(step)} steps",
        unit=curve.unit, newest=value, summary=f"{curve.title}: {first}, {newest}", last=last,
    )  # fmt: skip


def _stairs(points: Points, end: float) -> Points:
    """The corners of values each of which holds until the next one, and the last until the end."""
    ends = [*(x for x, _ in points[1:]), end]
    held = zip(points, ends, strict=True)
    return [corner for (x, y), x_end in held for corner in ((x, y), (x_end, y))]


def overlay(
    title: str,
    note: str,
    traces: Sequence[Trace],
    length: Callable[[float], str],
    *,
    unit: str = "",
    newest: str | None = None,
    summary: str,
    last: float = 0.0,
) -> Chart:
    """Curves in one chart; those without points are left out.

    Args:
        title: Above it.
        note: Below it.
        traces: The curves; those in front last.
        length: Writes the end of the axis below.
        unit: Of the values.
        newest: The last value, where there is one curve.
        summary: The curves in words.
        last: Where the axis below ends, unless a curve goes on.
    """
    traces = [trace for trace in traces if trace.points]
    if not traces:
        return Chart(title, note, newest, "No figures yet", [], [], [])
    places = [place for trace in traces for place in (*trace.points, *trace.band)]
    marks = round_marks(min(y for _, y in places), max(y for _, y in places))
    last = max(last, *(x for x, _ in places))

    def place(x: float, y: float) -> tuple[float, float]:
        across = min(1.0, max(0.0, x / last)) if last > 0 else 0.0
        up = (y - marks[0]) / (marks[-1] - marks[0])
        return round(LEFT + (RIGHT - LEFT) * across, 1), round(BOTTOM - (BOTTOM - TOP) * up, 1)

    def joined(points: Points) -> str:
        return " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))

    return Chart(
        title, note, newest, summary,
        [
            Line(joined(trace.points), None if trace.thin else place(*trace.points[-1]),
                 joined(trace.band), trace.style)
            for trace in traces
        ],
        [Tick(LEFT, "0"), Tick(RIGHT, length(last))],
        [Tick(place(0, mark)[1], written(mark, unit)) for mark in marks],
    )  # fmt: skip


def sparkline(values: Sequence[float], width: float, height: float) -> str:
    """The points of a polyline that fills a small picture; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    across, up = width / (len(values) - 1), height / ((high - low) or 1.0)
    return " ".join(f"{i * across:.1f},{height - (y - low) * up:.1f}" for i, y in enumerate(values))


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
        return shortened(value) + unit
    return minus(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + unit


def shortened(value: float) -> str:
    """`1234567` is `1.23M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return minus(f"{value / size:.3g}{letter}")
    return minus(f"{value:.3g}")


def minus(figure: str) -> str:
    """A figure with a sign as wide as a plus: all figures on the pages have the same."""
    return figure.replace("-", "−")
