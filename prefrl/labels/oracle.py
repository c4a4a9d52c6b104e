"""The synthetic labeler, which compares true rewards, and how a labeler's queries are answered."""

import hashlib
import time

import numpy as np

from prefrl.labels.store import LabelStore
from prefrl.labels.teachers import Teacher, total
from prefrl.types import Clip, Label, Labeler, Query


class Oracle:
    """Compares the true rewards of clips, as a teacher does.

    The default teacher prefers the clip with the larger sum; exact ties are `equal`.
    Source: Christiano et al. 2017, section 3.1.

    Args:
        rng: Draws the teacher's answers, and the side on which each clip is shown.
        teacher: Who judges.
    """

    name: str = "oracle"

    def __init__(self, rng: np.random.Generator, teacher: Teacher | None = None) -> None:
        self._rng = rng
        self._teacher = teacher or Teacher()

    def answer(self, query: Query, left: Clip, right: Clip) -> Label:
        """The label of one query.

        Raises:
            ValueError: A clip's true rewards have no sum.
        """
        for clip in (left, right):
            if np.isnan(total(clip.true_rewards)):
                raise ValueError(
                    f"the true rewards of clip {clip.id} sum to nan: nothing to compare"
                )
        answer = self._teacher.judge(left.true_rewards, right.true_rewards, self._rng)
        shown_left = query.left if self._rng.random() < 0.5 else query.right
        identity = f"{query.id}:{self.name}".encode()
        return Label(
            id=hashlib.blake2b(identity, digest_size=16).hexdigest(),
            query_id=query.id,
            labeler=self.name,
            answer=answer,
            answered_at=time.time(),
            time_to_answer_s=0.0,
            shown_left=shown_left,
            snapshot_version=query.snapshot_version,
        )


def answer_pending(store: LabelStore, labeler: Labeler) -> int:
    """Put all that nobody has answered to this labeler; all answers are committed at once.

    What people have answered is theirs.

    Returns:
        How many queries were answered.
    """
    labels = []
    for query in store.pending():
        clips = store.clips((query.left, query.right))  # two at a time: images are large
        labels.append(labeler.answer(query, clips[query.left], clips[query.right]))
    if labels:
        store.add_labels(labels)
    return len(labels)
