"""Which pairs of clips are worth a labeler's time."""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from prefrl.labels.sheets import Sheets
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.types import Clip

Pair = tuple[Clip, Clip]


class ClipPool:
    """The newest clips, from which queries are made. The oldest make room.

    Args:
        size: The most clips in it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._clips: dict[str, Clip] = {}
        self._sheets: dict[str, Sheets] = {}

    def __len__(self) -> int:
        return len(self._clips)

    def add(self, clip: Clip, sheets: Sheets | None = None) -> bool:
        """Take in a clip, and what people see of it. False if one of the same content is there."""
        if clip.id in self._clips:
            return False
        self._clips[clip.id] = clip
        if sheets is not None:
            self._sheets[clip.id] = sheets
        while len(self._clips) > self._size:
            oldest = next(iter(self._clips))
            del self._clips[oldest]
            self._sheets.pop(oldest, None)
        return True

    def clips(self) -> list[Clip]:
        """All clips, oldest first."""
        return list(self._clips.values())

    def newest(self, n: int) -> list[Clip]:
        """The last n clips received, oldest first."""
        return self.clips()[-n:]

    def sheets_of(self, ids: Iterable[str]) -> dict[str, Sheets]:
        """What people see of these clips, by id; those that nobody can see are left out."""
        return {id: self._sheets[id] for id in ids if id in self._sheets}


def random_pairs(
    clips: Sequence[Clip], n: int, asked: set[frozenset[str]], rng: np.random.Generator
) -> list[Pair]:
    """Up to n different pairs of different clips, none of which was asked before.

    Fewer come back when a small pool is nearly used up.
    """
    pairs: dict[frozenset[str], Pair] = {}
    for _ in range(4):  # a few draws find almost all that is left
        missing = n - len(pairs)
        for i, j in rng.integers(len(clips), size=(2 * missing, 2)).tolist():
            key = frozenset((clips[i].id, clips[j].id))
            if len(key) == 2 and key not in asked and len(pairs) < n:
                pairs.setdefault(key, (clips[i], clips[j]))
    if len(pairs) < n:  # the pool is nearly used up: look through all that is left
        known = asked | pairs.keys()
        left = [
            pair
            for pair in itertools.combinations(clips, 2)
            if pair[0].id != pair[1].id and frozenset((pair[0].id, pair[1].id)) not in known
        ]
        chosen = rng.permutation(len(left))[: n - len(pairs)]
        return [*pairs.values(), *(left[i] for i in chosen)]
    return list(pairs.values())


def most_disputed(
    pairs: Sequence[Pair],
    n: int,
    ensemble: RewardEnsemble,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Pair]:
    """The n pairs whose predicted preference varies most over the members.

    Source: paper, section 2.2.4.

    Args:
        pairs: To choose among.
        n: How many.
        ensemble: Whose members dispute.
        meanwhile: As in its `clip_rewards`.
    """
    if not pairs:
        return []
    clips = {clip.id: clip for pair in pairs for clip in pair}
    sums = ensemble.clip_rewards(list(clips.values()), meanwhile).sum(2)
    column = {clip_id: i for i, clip_id in enumerate(clips)}
    left = sums[:, [column[first.id] for first, _ in pairs]]
    right = sums[:, [column[second.id] for _, second in pairs]]
    p_left = 0.5 * (1 + np.tanh((left - right) / 2))  # the logistic function, without overflow
    order = np.argsort(-p_left.var(0), kind="stable")
    return [pairs[i] for i in order[:n]]
