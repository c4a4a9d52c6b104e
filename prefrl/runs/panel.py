"""The rewards of an episode drawn under its picture, in step with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from prefrl.runs.replay import Replay

LEAST_WIDTH = 320
STEP_WIDTH = 2.0  # pixels a step at least; of longer episodes a stretch is shown
HEAD, PLOT, GAP = 20, 60, 4  # heights, in pixels
CURVE = HEAD + PLOT + GAP
AXIS_LINE, FOOT = 16, 36  # heights of what is below all curves: the axis, and the axis with steps
MARGIN = 44  # width of what is left of the curves: their axis
EDGE = 6  # pixels between texts and the edge
SMALL = 0.8  # of the font, for the numbers at the axes
FONT = cv2.FONT_HERSHEY_PLAIN  # the only one that is legible as small as this
SUBPIXEL = 4  # bits of a coordinate after the point

Colour = tuple[int, int, int]
GROUND: Colour = (17, 19, 24)
AXIS: Colour = (72, 76, 84)
TEXT: Colour = (170, 174, 182)
NUMBER: Colour = (128, 132, 140)
PREDICTED: Colour = (110, 170, 250)
MEMBER: Colour = (58, 96, 150)
BAND: Colour = (30, 46, 72)
TRUE: Colour = (245, 160, 80)


@dataclass(frozen=True, eq=False)
class Curve:
    """A reward step by step.

    Attributes:
        name: As it is shown.
        lines: `[N, L]`: one for each member of the ensemble, or the one true reward.
        colour: Of their mean.
        low: What the lower edge stands for.
        high: What the upper edge stands for.
    """

    name: str
    lines: NDArray[np.float64]
    colour: Colour
    low: float
    high: float

    @property
    def mean(self) -> NDArray[np.float64]:
        """`[L]`."""
        mean: NDArray[np.float64] = self.lines.mean(0)
        return mean


def curves(
    predicted: NDArray[np.floating] | None, true: NDArray[np.floating], name: str = "predicted"
) -> list[Curve]:
    """The predicted reward `[M, L]` by that name, where there is one, and the true one `[L]`."""
    named = [("true", true[None], TRUE)]
    if predicted is not None:
        named.insert(0, (name, predicted, PREDICTED))
    return [
        Curve(name, lines.astype(np.float64), colour, min(0, lines.min()), max(0, lines.max()))
        for name, lines, colour in named
    ]


def to_one_scale(first: list[Curve], second: list[Curve]) -> tuple[list[Curve], list[Curve]]:
    """Curves of two clips, drawn so that they can be compared."""
    pairs = [
        [replace(c, low=min(a.low, b.low), high=max(a.high, b.high)) for c in (a, b)]
        for a, b in zip(first, second, strict=True)
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


class Panel:
    """Draws curves, one under the other, as they are after any number of steps.

    Args:
        shown: What is drawn; all of the same L steps.
        width: In pixels.
        title: Stands beside the number of the step.
    """

    def __init__(self, shown: list[Curve], width: int, title: str = "") -> None:
        self._curves, self._width, self._title = shown, width, title
        self._steps, self._across = shown[0].lines.shape[1], width - MARGIN
        self._scale = max(STEP_WIDTH, self._across / self._steps)  # pixels a step
        self._sums = [np.concatenate([[0.0], curve.mean.cumsum()]) for curve in shown]
        self._in_window = min(self._steps, round(self._across / self._scale))
        self.height = CURVE * len(shown) + FOOT

    def draw(self, t: int) -> NDArray[np.uint8]:
        """The panel after t steps, `[height, width, 3] uint8`.

        The reward of step t - 1, the newest, is at the upright line; what is yet to come is dim.
        """
        canvas = np.full((self.height, self._width, 3), GROUND, np.uint8)
        in_window = self._across / self._scale
        first = float(np.clip(t - in_window / 2, 0, self._steps - in_window))
        self._foot(canvas[-FOOT:], int(first), t)
        for row, (curve, sums) in enumerate(zip(self._curves, self._sums, strict=True)):
            part = canvas[row * CURVE : (row + 1) * CURVE]
            self._head(part, curve, t, sums[t])
            plot = part[HEAD : HEAD + PLOT]
            _write(plot[:, :MARGIN], _short(curve.high), 12, NUMBER, SMALL, align=1)
            _write(plot[:, :MARGIN], _short(curve.low), PLOT - 3, NUMBER, SMALL, align=1)
            self._plot(plot[:, MARGIN:], curve, first, t)
        return canvas

    def _head(self, canvas: NDArray[np.uint8], curve: Curve, t: int, total: float) -> None:
        newest = f"{curve.mean[t - 1]:+.3g}" if t else ""
        _write(canvas, f"{curve.name} {newest}", HEAD - 6, curve.colour)
        _write(canvas, f"sum {total:+.4g}", HEAD - 6, curve.colour, align=1)

    def _foot(self, canvas: NDArray[np.uint8], first: int, t: int) -> None:
        """Which steps are to be seen, and which one this is."""
        axis, y = canvas[:, MARGIN - EDGE :], AXIS_LINE - 4
        _write(axis, f"{first + 1:,}", y, NUMBER, SMALL)
        _write(axis, f"{first + self._in_window:,}", y, NUMBER, SMALL, align=1)
        if self._in_window < self._steps:
            _write(axis, f"{self._in_window:,} steps shown", y, NUMBER, SMALL, align=0.5)
        _write(canvas, f"step {t:,} of {self._steps:,}", FOOT - 6, TEXT)
        _write(canvas, self._title, FOOT - 6, TEXT, align=1)

    def _plot(self, canvas: NDArray[np.uint8], curve: Curve, first: float, t: int) -> None:
        per_unit = (PLOT - 5) / ((curve.high - curve.low) or 1.0)
        begin = int(first)
        end = min(self._steps, int(first + self._across / self._scale) + 2)
        x = (np.arange(begin, end) - first + 0.5) * self._scale

        def points(values: NDArray[np.float64]) -> NDArray[np.int32]:
            y = 2 + (curve.high - values[begin:end]) * per_unit
            fixed: NDArray[np.float64] = np.round(np.stack([x, y], axis=1) * 2**SUBPIXEL)
            return fixed.astype(np.int32)

        zero = round(2 + curve.high * per_unit)
        cv2.line(canvas, (0, zero), (self._across, zero), AXIS)
        if len(curve.lines) > 1:
            upper, lower = points(curve.lines.max(0)), points(curve.lines.min(0))
            around = np.concatenate([upper, lower[::-1]])
            cv2.fillPoly(canvas, [around], BAND, cv2.LINE_AA, SUBPIXEL)
            lines = [points(line) for line in curve.lines]
            cv2.polylines(canvas, lines, False, MEMBER, 1, cv2.LINE_AA, SUBPIXEL)
        cv2.polylines(canvas, [points(curve.mean)], False, curve.colour, 1, cv2.LINE_AA, SUBPIXEL)
        now = max(0, min(self._across - 1, round((t - first - 0.5) * self._scale)))
        canvas[:, now + 1 :] //= 2
        canvas[:, now + 1 :] += np.array(GROUND, np.uint8) // 2
        canvas[:, now] = TEXT


def _write(
    canvas: NDArray[np.uint8], text: str, y: int, colour: Colour, scale: float = 1.0,
    align: float = 0.0,
) -> None:  # fmt: skip
    """One line on a height: at the left, or so far to the right (0 to 1) as there is room."""
    room = canvas.shape[1] - 2 * EDGE - cv2.getTextSize(text, FONT, scale, 1)[0][0]
    at = (EDGE + round(align * room), y)
    cv2.putText(canvas, text, at, FONT, scale, colour, 1, cv2.LINE_AA)


def _short(value: float) -> str:
    """A number for which there is room beside the curves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


def size_shown(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Width and height at which a picture is shown: not small, and even, as yuv420p needs."""
    scale = max(1, -(-LEAST_WIDTH // picture.shape[1]))
    height, width = (side * scale // 2 * 2 for side in picture.shape[:2])
    return width, height


def resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture at that width and height, its pixels sharp."""
    large = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(large, np.uint8)


def plain_frames(replay: Replay) -> Iterator[NDArray[np.uint8]]:
    """The same without the rewards, for everybody's eyes: the environment's pictures alone."""
    size = size_shown(replay.episodes[0].picture(0))
    for episode in replay.episodes:
        for t in range(len(episode.pictures)):
            yield resized(episode.picture(t), size)


def replay_frames(replay: Replay) -> Iterator[NDArray[np.uint8]]:
    """The frames of a replay's video, `[H, W, 3] uint8`: L + 1 of an episode of L steps."""
    size = size_shown(replay.episodes[0].picture(0))
    name = "predicted" if replay.is_last else "last ensemble"
    several = len(replay.episodes) > 1
    for number, episode in enumerate(replay.episodes, 1):
        title = f"episode {number} of {len(replay.episodes)}" if several else ""
        panel = Panel(curves(episode.predicted, episode.true, name), size[0], title)
        for t in range(len(episode.pictures)):
            yield np.concatenate([resized(episode.picture(t), size), panel.draw(t)])
