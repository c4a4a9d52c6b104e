"""How the processes of a run are connected: to each other, and to whoever started them."""

import contextlib
import ctypes
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import RawValue
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, TypeVar

from prefrl.link import Stopped
from prefrl.types import ClipPair, RewardSnapshot

if TYPE_CHECKING:
    from prefrl.reward.loop import RewardLoop

T = TypeVar("T")
REPORT_EVERY_S = 0.2
PAIRS_AT_ONCE = 8


class Flag:
    """Set in one process and seen in all.

    No `multiprocessing.Event`: that takes a lock even to be looked at, and whoever is killed in
    that moment holds it for ever.
    """

    def __init__(self) -> None:
        self._value = RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        """From now on it is set."""
        self._value.value = True

    def clear(self) -> None:
        """From now on it is not."""
        self._value.value = False

    def is_set(self) -> bool:
        """Whether it is."""
        return bool(self._value.value)


@dataclass(frozen=True)
class Wires:
    """What connects a process to the others.

    Attributes:
        to_launcher: Messages `(kind, content)`: progress, warning, finished, failed.
        stop: Set by the launcher: everyone saves and ends.
        learned: Set by the policy when it takes no more steps.
        core_is_free: Set while the reward side leaves its core to the policy.
        pairs: The policy's clips, for the reward side.
        snapshots: The reward side's snapshots, for the policy.
    """

    to_launcher: Connection
    stop: Flag
    learned: Flag
    core_is_free: Flag
    pairs: "Queue[ClipPair]"
    snapshots: "Queue[RewardSnapshot]"


class PipeReporter:
    """Reports to the launcher."""

    def __init__(self, to_launcher: Connection) -> None:
        self._to_launcher = to_launcher
        self._figures: dict[str, Any] = {}
        self._said: dict[str, str] = {}
        self._sent_at = 0.0

    def progress(self, values: Mapping[str, Any]) -> None:
        """Figures for the live display, sent together a few times a second; new words at once."""
        said = {key: value for key, value in values.items() if isinstance(value, str)}
        news = any(self._said.get(key) != value for key, value in said.items())
        self._said |= said
        self._figures |= values
        if news or time.monotonic() - self._sent_at >= REPORT_EVERY_S:
            self._tell(("progress", self._figures))
            self._figures, self._sent_at = {}, time.monotonic()

    def warn(self, text: str) -> None:
        """One line that a person should read."""
        self._tell(("warning", text))

    def _tell(self, message: tuple[str, Any]) -> None:
        # The launcher is gone: this process will be stopped, and must still save.
        with contextlib.suppress(BrokenPipeError):
            self._to_launcher.send(message)


class QueueToReward:
    """The policy's end of the link between two processes."""

    def __init__(self, wires: Wires) -> None:
        self._pairs, self._snapshots = wires.pairs, wires.snapshots
        self._core_is_free = wires.core_is_free

    def offer(self, pair: ClipPair) -> bool:
        """Put the pair into the queue unless that is full."""
        try:
            self._pairs.put_nowait(pair)
        except Full:
            return False
        return True

    def latest_snapshot(self) -> RewardSnapshot | None:
        """Take everything that has arrived, keep the newest."""
        arrived = drain(self._snapshots)
        return arrived[-1] if arrived else None

    def core_is_free(self) -> bool:
        """As the reward side last said."""
        return self._core_is_free.is_set()


class QueueToPolicy:
    """The reward side's end of the link between two processes."""

    def __init__(self, wires: Wires) -> None:
        self._pairs, self._snapshots = wires.pairs, wires.snapshots
        self._core_is_free = wires.core_is_free

    def waiting(self) -> float:
        """Pairs in the queue."""
        try:
            return self._pairs.qsize()
        except NotImplementedError:  # macOS counts no semaphores
            return math.nan

    def receive(self) -> list[ClipPair]:
        """Take some of the pairs that have arrived: films take time, and a stop shall be soon."""
        return drain(self._pairs, most=PAIRS_AT_ONCE)

    def publish(self, snapshot: RewardSnapshot) -> None:
        """Send the snapshot; the policy takes the newest."""
        self._snapshots.put(snapshot)

    def leave_core(self, free: bool) -> None:
        """Let the policy see it between its rollouts."""
        if free:
            self._core_is_free.set()
        else:
            self._core_is_free.clear()


class InlineLink:
    """Both ends in one process, in lock step: whenever the policy asks, the reward side has run."""

    def __init__(self) -> None:
        self.reward_loop: RewardLoop | None = None
        self._pairs: list[ClipPair] = []
        self._snapshot: RewardSnapshot | None = None

    def offer(self, pair: ClipPair) -> bool:
        """Keep the pair for the reward side's next turn."""
        self._pairs.append(pair)
        return True

    def waiting(self) -> float:
        """Pairs since the last turn."""
        return len(self._pairs)

    def receive(self) -> list[ClipPair]:
        """All pairs since the last turn."""
        pairs, self._pairs = self._pairs, []
        return pairs

    def publish(self, snapshot: RewardSnapshot) -> None:
        """Keep the newest snapshot."""
        self._snapshot = snapshot

    def leave_core(self, free: bool) -> None:
        """There is one, which both have in turn."""

    def latest_snapshot(self) -> RewardSnapshot | None:
        """Let the reward side do all it can, then take its snapshot."""
        assert self.reward_loop is not None
        try:
            while self.reward_loop.turn():
                pass
        except Stopped:
            return None
        snapshot, self._snapshot = self._snapshot, None
        return snapshot

    def core_is_free(self) -> bool:
        """Never: on one core sums have one order."""
        return False


def drain(queue: "Queue[T]", most: float = math.inf) -> list[T]:
    """What is in a queue, without waiting; at most so much."""
    items: list[T] = []
    with contextlib.suppress(Empty):
        while len(items) < most:
            items.append(queue.get_nowait())
    return items
