"""How the two loops talk: to each other, and to whoever started them.

Two message types, one in each direction, `ClipPair` and `RewardSnapshot`; and a flag, which says
whose core is free. How they travel (between processes, or inline in one) is the business of whoever
starts the loops.
"""

from collections.abc import Mapping
from typing import Protocol

from prefrl.types import ClipPair, RewardSnapshot


class Stopped(Exception):
    """The run is ending; what was under way was left where it was."""


class PolicyLink(Protocol):
    """The policy's end. No call waits, unless both loops share a process: then the reward side
    has its turn in `latest_snapshot`.
    """

    def offer(self, pair: ClipPair) -> bool:
        """Offer a pair of clips. False when the queue is full and the pair was dropped."""
        ...

    def latest_snapshot(self) -> RewardSnapshot | None:
        """The newest snapshot since the last call, or None."""
        ...

    def core_is_free(self) -> bool:
        """Whether the reward side leaves its core to the policy now."""
        ...


class RewardLink(Protocol):
    """The reward side's end. No call ever waits."""

    def waiting(self) -> float:
        """Pairs that have arrived and were not received yet; nan where no system call tells."""
        ...

    def receive(self) -> list[ClipPair]:
        """Pairs that have arrived, the oldest first; not always all of them."""
        ...

    def publish(self, snapshot: RewardSnapshot) -> None:
        """Send a snapshot; an older one that was not fetched yet is forgotten."""
        ...

    def leave_core(self, free: bool) -> None:
        """Say whether the policy can have this side's core, until the next call."""
        ...


class Reporter(Protocol):
    """Where a loop says how far it is; for a person's eyes, nothing depends on it."""

    def progress(self, values: Mapping[str, float | str]) -> None:
        """Figures for the live display, by name."""
        ...

    def warn(self, text: str) -> None:
        """One line that a person should read."""
        ...
