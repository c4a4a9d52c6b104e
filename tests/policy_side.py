"""A policy loop without its reward side."""

from collections.abc import Mapping

import numpy as np

from prefrl.reward.schedule import NEVER
from prefrl.types import ClipPair, RewardSnapshot


class FakeLink:
    """A reward side that has a snapshot at once, and takes all clips."""

    def __init__(self) -> None:
        self.pairs: list[ClipPair] = []
        none = np.zeros(2)
        self._snapshot: RewardSnapshot | None = RewardSnapshot(1, b"", none, none, 10, NEVER)

    def offer(self, pair: ClipPair) -> bool:
        self.pairs.append(pair)
        return True

    def latest_snapshot(self) -> RewardSnapshot | None:
        snapshot, self._snapshot = self._snapshot, None
        return snapshot

    def core_is_free(self) -> bool:
        return False


class Silent:
    def progress(self, values: Mapping[str, float | str]) -> None: ...

    def warn(self, text: str) -> None:
        raise AssertionError(text)
