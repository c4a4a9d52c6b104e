"""Stretches of a replay as clips: where the ensemble disagrees, and what is asked about them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefrl.labels.sheets import make_sheets
from prefrl.labels.store import LabelStore, StoreError
from prefrl.types import Clip, Film, Query


@dataclass(frozen=True)
class Asked:
    """A query that was made of a stretch.

    Attributes:
        query: It, as it is stored.
        for_people: Whether there are pictures of both its clips, so that people can be asked.
    """

    query: Query
    for_people: bool


def cut(trajectory: Clip, start: int, length: int, env_step: int) -> Clip:
    """Some of a trajectory's steps as a clip.

    Args:
        trajectory: A whole episode.
        start: The first step, from 0.
        length: How many steps.
        env_step: How far the policy had come that played.

    Raises:
        ValueError: The trajectory has no such steps.
    """
    if not 0 <= start <= len(trajectory) - length:
        raise ValueError(f"{length} steps from {start} on: the episode has {len(trajectory)}")
    seen = slice(start, start + length + trajectory.frame_stack)
    done = slice(start, start + length)
    return Clip(
        trajectory.observations[seen], trajectory.starts[seen], trajectory.actions[done],
        trajectory.true_rewards[done], env_step,
    )  # fmt: skip


def peaks(values: NDArray[np.floating], most: int, apart: int) -> list[int]:
    """Where the highest values are, the highest first: `most` of them, so many steps apart.

    Args:
        values: `[L]`.
        most: How many.
        apart: The least distance between two.
    """
    found: list[int] = []
    for i in np.argsort(-values, kind="stable"):
        if len(found) == most:
            break
        if all(abs(int(i) - other) >= apart for other in found):
            found.append(int(i))
    return found


def ask(
    store: LabelStore, clip: Clip, film: Film, env_step: int, rng: np.random.Generator
) -> Asked:
    """Put a clip into the queue, beside a stored one that is drawn at random.

    One that people can be shown is preferred: where an oracle answers, no pictures are kept.

    Args:
        store: Of the run.
        clip: Half of the query.
        film: What people see of it.
        env_step: How far the policy had come.
        rng: Draws the other half, and the side.

    Raises:
        StoreError: There is no other clip.
    """
    shown = [id for id in store.clip_ids(shown=True) if id != clip.id]
    others = shown or [id for id in store.clip_ids() if id != clip.id]
    if not others:
        raise StoreError(f"{store.name}: there is no clip to compare with")
    pair = [clip.id, others[rng.integers(len(others))]]
    left, right = rng.permutation(pair).tolist()
    query = Query(left, right, env_step)
    store.add_queries([query], {clip.id: clip}, {clip.id: make_sheets(film)})
    return Asked(query, for_people=bool(shown))
