"""The clip pairs of a run as they were answered, and what the predictor makes of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from prefrl.labels.figures import Standing, standing
from prefrl.labels.schema import UnknownId
from prefrl.labels.sheets import read_sheets, sheet_frames
from prefrl.labels.store import LabelStore, StoreError
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.loss import preference_probability
from prefrl.reward.trainer import USUAL_ERROR_RATE
from prefrl.types import PREFERENCE_OF_ANSWER, Answer, Clip, Film, TaskSpaces

CLIPS_AT_ONCE = 16  # decoded together: those of strangers can be as large as the codec allows
VECTOR_RATE = 15.0  # frames a second where no film says so
CHART = (240, 320)  # height and width of the picture of a vector


@dataclass(frozen=True)
class Judged:
    """A pair with its answers and the predictor's opinion.

    Attributes:
        left: Id of the left clip.
        right: Id of the other.
        answers: By labeler.
        mu: The labelers' preference for the left one, None where nobody could compare.
        p_left: `[M]`, each member's probability that a labeler prefers the left one.
    """

    left: str
    right: str
    answers: dict[str, Answer]
    mu: float | None
    p_left: NDArray[np.float64]

    @property
    def error(self) -> float:
        """How far the prediction is from the answer; -1 where there is nothing to predict."""
        return -1.0 if self.mu is None else abs(float(self.p_left.mean()) - self.mu)

    @property
    def decided(self) -> bool:
        """Whether the labelers prefer one of the clips."""
        return self.mu not in (None, 0.5)

    @property
    def wrong(self) -> bool:
        """Whether the predictor prefers the other clip."""
        return self.mu is not None and (float(self.p_left.mean()) - 0.5) * (self.mu - 0.5) < 0


def judged_pairs(store: LabelStore, ensemble: RewardEnsemble) -> list[Judged]:
    """All pairs that were answered, repeats left out.

    Those that the predictor gets wrong come first, and of each kind those predicted worst.

    Raises:
        StoreError: A clip cannot be read, or is none of the ensemble's task.
    """
    with store.transaction() as connection:
        answers = [answer for answer in standing(connection) if answer.repeat_of is None]
    by_query: dict[str, list[Standing]] = defaultdict(list)
    for answer in answers:
        by_query[answer.query_id].append(answer)
    if not by_query:
        return []
    spaces = ensemble.spec.spaces
    ids = list(dict.fromkeys(id for answer in answers for id in (answer.left, answer.right)))
    sums = np.concatenate(
        [
            ensemble.clip_rewards(clips_of(store, ids[i : i + CLIPS_AT_ONCE], spaces)).sum(2)
            for i in range(0, len(ids), CLIPS_AT_ONCE)
        ],
        axis=1,
    )
    columns = {id: sums[:, i] for i, id in enumerate(ids)}
    rate = ensemble.config.error_rate
    rate = store.measured_error_rate(USUAL_ERROR_RATE) if rate == "measured" else rate
    judged = []
    for given in by_query.values():
        left, right = given[0].left, given[0].right
        pair = torch.from_numpy(np.stack([columns[left], columns[right]], axis=1))[:, :, None]
        p_left = preference_probability(pair, rate)[:, 0].numpy()
        said = [PREFERENCE_OF_ANSWER[a.answer] for a in given if a.answer in PREFERENCE_OF_ANSWER]
        mu = float(np.mean(said)) if said else None
        judged.append(Judged(left, right, {a.labeler: a.answer for a in given}, mu, p_left))
    return sorted(judged, key=lambda pair: (not pair.wrong, -pair.error))


def clips_of(store: LabelStore, ids: Sequence[str], spaces: TaskSpaces) -> list[Clip]:
    """Stored clips, after a look at whether a predictor of the task can take them.

    Raises:
        StoreError: One cannot be read, or is of another task.
    """
    clips = store.clips(ids)
    length = store.fingerprint.get("clip_length")
    for id, clip in clips.items():
        if not _is_of(clip, spaces) or len(clip) != length:
            raise StoreError(f"{store.name}: clip {id} is not one of this run's task")
    return [clips[id] for id in ids]


def _is_of(clip: Clip, spaces: TaskSpaces) -> bool:
    """Whether the observations and actions of a clip are those of a task, and are finite."""
    observation = clip.observations.shape[1:]
    if clip.is_image:
        observation = (clip.frame_stack, *observation)
    if spaces.n_actions is None:
        known = clip.actions.shape[1:] == (spaces.action_size,)
    else:
        known = clip.actions.ndim == 1 and bool(
            ((clip.actions >= 0) & (clip.actions < spaces.n_actions)).all()
        )
    numbers = (clip.observations, clip.actions, clip.true_rewards)
    return (
        known
        and observation == spaces.observation_shape
        and all(bool(np.isfinite(array).all()) for array in numbers)
    )


def films_of(store: LabelStore, clips: Sequence[Clip]) -> list[Film]:
    """What there is to see of some clips: what people saw, else what the policy saw.

    Raises:
        StoreError: The pictures are damaged, or those of another clip.
    """
    vectors = np.concatenate([clip.observations for clip in clips])
    films = []
    for clip in clips:
        try:
            with store.transaction() as connection:
                sheets = read_sheets(connection, store.name, clip.id)
        except UnknownId:
            frames = _grey(clip) if clip.is_image else _charts(clip, vectors)
            films.append(Film(frames, VECTOR_RATE))
            continue
        if sheets.frames != len(clip) + 1:
            raise StoreError(
                f"{store.name}: {sheets.frames} pictures of a clip of {len(clip)} steps"
            )
        films.append(Film(sheet_frames(sheets), sheets.frames_per_second))
    return films


def _grey(clip: Clip) -> NDArray[np.uint8]:
    """The newest frame of each stack, as RGB."""
    newest = clip.observations[clip.frame_stack - 1 :]
    return np.repeat(newest[..., None], 3, axis=3).astype(np.uint8)


def _charts(clip: Clip, among: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Each number of a vector as a curve up to each step, on the scale of some `[N, D]`.

    On top, in their colours, stand the places of these numbers in the vector, counted from 0.
    """
    height, width = CHART
    low, high = among.min(0), among.max(0)
    scaled = (clip.observations - low) / np.where(high > low, high - low, 1.0)
    x = np.linspace(8, width - 8, len(scaled))
    canvases = np.full((len(scaled), height, width, 3), 24, np.uint8)
    for t, canvas in enumerate(canvases):
        for number, curve in enumerate(scaled.T):
            y = height - 8 - curve * (height - 36)
            points = np.stack([x, y], axis=1).astype(np.int32)
            hue = np.array([[[180 * number // scaled.shape[1], 130, 230]]], np.uint8)
            colour = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
            cv2.polylines(canvas, [points[: t + 1]], False, colour, 2, cv2.LINE_AA)
            cv2.circle(canvas, points[t].tolist(), 4, colour, -1, cv2.LINE_AA)
            place = (8 + int(number * min(26, (width - 16) / scaled.shape[1])), 16)
            cv2.putText(
                canvas, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA
            )
    return canvases
