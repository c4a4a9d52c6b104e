"""Clips of a random policy that plays Pong, for fits without a run.

`pong_clips.sqlite3` is the label store of
`prefrl gather pong --labels 200 --env.image-size 56 --seed 7`.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.types import PREFERENCE_OF_ANSWER, Clip, Preference, Query

STORE = Path(__file__).with_name("pong_clips.sqlite3")
TRAINING_CLIPS = 160  # of 239; pairs of the others are for measuring


def stored_clips() -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and others."""
    with (
        tempfile.TemporaryDirectory() as folder,  # opening a store may write to it
        LabelStore.open(Path(shutil.copy(STORE, folder))) as store,
    ):
        clips = store.newest_clips(1000)
    return clips[:TRAINING_CLIPS], clips[TRAINING_CLIPS:]


def compared(clips: Sequence[Clip], n: int, seed: int = 0) -> list[Preference]:
    """Different pairs of these clips, with the oracle's answers."""
    rng = np.random.default_rng(seed)
    oracle = Oracle(rng)
    every = [(a, b) for i, a in enumerate(clips) for b in clips[:i]]
    answered = []
    for index in rng.permutation(len(every))[:n]:
        left, right = every[index]
        query = Query(left.id, right.id)
        answer = oracle.answer(query, left, right).answer
        answered.append(Preference(query.id, left, right, PREFERENCE_OF_ANSWER[answer]))
    return answered


def better_by(clip_sums: Sequence[np.ndarray], preferences: Sequence[Preference]) -> np.ndarray:
    """By how much the better clip of each pair is predicted to be better, `[M, P]`.

    Args:
        clip_sums: `[M, P]` of the left and of the right clips.
        preferences: The pairs, none of them a tie.
    """
    left, right = clip_sums
    signs: np.ndarray = np.sign([preference.mu - 0.5 for preference in preferences])
    return (left - right) * signs
