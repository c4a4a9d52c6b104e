"""The synthetic labeler, which compares true rewards, and how a labeler's queries are answered."""

import hashlib
import time

import numpy as np

from prefrl.labels.store import LabelStore
from prefrl.types import Answer, Clip, Label, Labeler, Query


class Oracle:
    """Prefers the clip with the larger sum of true rewards; exact ties are `equal`.

    Source: Christiano et al. 2017, section 3.1.

    Args:
        rng: Draws the mistakes, and the side on which each clip is shown.
        mistake_probability: Probability that a preference is turned round. Ties never are.
    """

    name: str = "oracle"

    def __init__(self, rng: np.random.Generator, mistake_probability: float = 0.0) -> None:
        self._rng = rng
        self._mistake_probability = mistake_probability

    def answer(self, query: Query, left: Clip, right: Clip) -> Label:
        """The label of one query.

        Raises:
            ValueError: A clip's true rewards have no sum.
        """
        mistaken = self._rng.random() < self._mistake_probability
        shown_left = query.left if self._rng.random() < 0.5 else query.right
        identity = f"{query.id}:{self.name}".encode()
        return Label(
            id=hashlib.blake2b(identity, digest_size=16).hexdigest(),
            query_id=query.id,
            labeler=self.name,
            answer=_compare(_total(left), _total(right), mistaken),
            answered_at=time.time(),
            time_to_answer_s=0.0,
            shown_left=shown_left,
            snapshot_version=query.snapshot_version,
        )


def _total(clip: Clip) -> float:
    total = float(clip.true_rewards.sum(dtype=np.float64))
    if np.isnan(total):
        raise ValueError(f"the true rewards of clip {clip.id} sum to nan: nothing to compare")
    return total


def _compare(left: float, right: float, mistaken: bool) -> Answer:
    if left == right:
        return "equal"
    return "left" if (left > right) != mistaken else "right"


def answer_pending(store: LabelStore, labeler: Labeler) -> int:
    """Put all that waits for this labeler to them; all answers are committed at once.

    Returns:
        How many queries were answered.
    """
    labels = []
    for query in store.pending(labeler.name):
        clips = store.clips((query.left, query.right))  # two at a time: images are large
        labels.append(labeler.answer(query, clips[query.left], clips[query.right]))
    if labels:
        store.add_labels(labels)
    return len(labels)
