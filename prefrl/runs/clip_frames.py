"""Clip pairs side by side as a video, each with the answers and the predictor's opinion."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from prefrl.labels.store import LabelStore
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.runs.clip_pairs import Judged, clips_of, films_of
from prefrl.runs.panel import (
    FONT,
    GROUND,
    TEXT,
    Colour,
    Curve,
    Panel,
    curves,
    resized,
    size_shown,
    to_one_scale,
)
from prefrl.types import Clip, Film

HEAD = 48  # height of the text over the pictures, in pixels
GAP = 8  # between the two, and the width of their frames
HOLD_S = 0.8  # the last pictures stay for so long
RIGHT: Colour = (110, 200, 120)
WRONG: Colour = (240, 100, 90)


def pair_frames(
    store: LabelStore, ensemble: RewardEnsemble, pairs: Sequence[Judged], fps: float
) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video of pairs, `[H, W, 3] uint8`, in their order."""
    size: tuple[int, int] | None = None
    for number, pair in enumerate(pairs, 1):
        clips = clips_of(store, (pair.left, pair.right), ensemble.spec.spaces)
        films = films_of(store, clips)
        size = size or size_shown(films[0].frames[0])
        rewards = to_one_scale(*(_rewards(clip, ensemble) for clip in clips))
        sides = [
            _side(film, Panel(shown, size[0]), size, chosen)
            for film, shown, chosen in zip(films, rewards, _chosen(pair), strict=True)
        ]
        head = _head(pair, f"{number} of {len(pairs)}", 2 * size[0] + 3 * GAP)
        frame = head
        for left, right in zip(*sides, strict=True):
            gap = np.full((len(left), GAP, 3), GROUND, np.uint8)
            frame = np.concatenate([head, np.concatenate([gap, left, gap, right, gap], axis=1)])
            yield frame
        for _ in range(round(HOLD_S * fps)):
            yield frame


def frames_per_second(store: LabelStore, pairs: Sequence[Judged]) -> float:
    """At which the clips are shown; that of the first goes for all."""
    (film,) = films_of(store, [store.clip(pairs[0].left)])
    return film.frames_per_second


def _rewards(clip: Clip, ensemble: RewardEnsemble) -> list[Curve]:
    stacked = clip.stacked()
    return curves(ensemble.predict(stacked[:-1], clip.actions, stacked[1:]), clip.true_rewards)


def _side(
    film: Film, panel: Panel, size: tuple[int, int], chosen: bool
) -> Iterator[NDArray[np.uint8]]:
    """One clip with its rewards under it; a bar over it where it is the preferred one."""
    bar = np.full((GAP, size[0], 3), RIGHT if chosen else GROUND, np.uint8)
    for t, picture in enumerate(film.frames):
        yield np.concatenate([bar, resized(picture, size), panel.draw(t)])


def _chosen(pair: Judged) -> tuple[bool, bool]:
    """Whether the labelers preferred the left clip, and the right one."""
    mu = 0.5 if pair.mu is None else pair.mu
    return mu > 0.5, mu < 0.5


def _head(pair: Judged, count: str, width: int) -> NDArray[np.uint8]:
    canvas = np.full((HEAD, width, 3), GROUND, np.uint8)
    answers = ", ".join(f"{labeler}: {answer}" for labeler, answer in pair.answers.items())
    opinion = _opinion(pair.p_left)
    colour = WRONG if pair.wrong else RIGHT if pair.decided else TEXT
    for row, (text, shade) in enumerate(
        ((f"{count}   {answers}", TEXT), (opinion + "  WRONG" * pair.wrong, colour))
    ):
        cv2.putText(canvas, text, (GAP, 18 + 20 * row), FONT, 1.0, shade, 1, cv2.LINE_AA)
    return canvas


def _opinion(p_left: NDArray[np.float64]) -> str:
    """Which clip the predictor prefers, and how surely: `[M]`, the probability of each member."""
    mean = float(p_left.mean())
    side = "neither" if mean == 0.5 else "left" if mean > 0.5 else "right"
    p = 1 - p_left if side == "right" else p_left
    return f"predicted: {side}, p = {p.mean():.2f} (members {' '.join(f'{one:.2f}' for one in p)})"
