"""The preferences that train: a ring of the newest, each with its fixed part in every member."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefrl.types import Preference

POISSON_CDF = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(20)])


def bootstrap_weights(query_id: str, members: int) -> NDArray[np.float32]:
    """How often a query counts in each member's training; 0 means it is held out there.

    Poisson(1) is the bootstrap's count for many labels, and it is 0 with probability 1/e: just
    the share that the paper holds out. One draw so settles both, once and for all, from the
    query's id: nothing held out is ever trained on, not after a restart either, nor when another
    person answers the same query.

    # Differs from the paper: it holds out 1/e first and then redraws |D| labels with replacement
    # each time it fits. That leaves a member 40% of the distinct labels; this leaves it 63%.

    Returns:
        `[members] float32`, whole numbers.
    """
    digests = [hashlib.blake2b(f"{query_id}:{m}".encode(), digest_size=8) for m in range(members)]
    uniform = [int.from_bytes(digest.digest(), "big") / 2**64 for digest in digests]
    # By inversion: a library's own Poisson numbers may change from version to version.
    return np.searchsorted(POISSON_CDF, uniform, side="right").astype(np.float32)


@dataclass(frozen=True)
class _Entry:
    preference: Preference
    weights: NDArray[np.float32]


class PreferenceRing:
    """The newest `size` preferences, in the order in which their queries were answered."""

    def __init__(self, size: int, members: int) -> None:
        self._size, self._members = size, members
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def set(self, query_id: str, preference: Preference | None) -> None:
        """Take in what is now known of a query; None takes it out."""
        if preference is None:
            self._entries.pop(query_id, None)
            return
        weights = bootstrap_weights(query_id, self._members)
        self._entries[query_id] = _Entry(preference, weights)
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

    @property
    def preferences(self) -> list[Preference]:
        """All, oldest first."""
        return [entry.preference for entry in self._entries.values()]

    @property
    def weights(self) -> NDArray[np.float32]:
        """`[M, N]`, in the same order."""
        return np.stack([entry.weights for entry in self._entries.values()], axis=1)

    @property
    def mu(self) -> NDArray[np.float32]:
        """`[N]`, in the same order."""
        return np.array([p.mu for p in self.preferences], np.float32)
