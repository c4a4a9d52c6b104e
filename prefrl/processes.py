"""What each process of a run does, from its first line to its last.

The only place that knows both loops. Targets are top-level functions, as `spawn` needs, and import
torch inside: the launcher imports this module and must start at once.
"""

import contextlib
import math
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, TypeVar

from prefrl.assignment import Assignment, PageAssignment
from prefrl.types import ClipPair, RewardSnapshot

if TYPE_CHECKING:
    from prefrl.reward.loop import RewardLoop

T = TypeVar("T")
REPORT_EVERY_S = 0.2
NICENESS = 5
PAIRS_AT_ONCE = 8
HAND_OVER_S = 1.0
IDLE_S = 0.03  # how long a reward loop with nothing to do rests


@dataclass(frozen=True)
class Wires:
    """What connects a process to the others.

    Attributes:
        to_launcher: Messages `(kind, content)`: progress, warning, finished, failed.
        stop: Set by the launcher: everyone saves and ends.
        learned: Set by the policy when it has taken its last step.
        pairs: The policy's clips, for the reward side.
        snapshots: The reward side's snapshots, for the policy.
    """

    to_launcher: Connection
    stop: Event
    learned: Event
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
        # Who hears nobody any more is about to be told to stop, and has to save before it does.
        with contextlib.suppress(BrokenPipeError):
            self._to_launcher.send(message)


class QueueToReward:
    """The policy's end of the link between two processes."""

    def __init__(self, wires: Wires) -> None:
        self._pairs, self._snapshots = wires.pairs, wires.snapshots

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


class QueueToPolicy:
    """The reward side's end of the link between two processes."""

    def __init__(self, wires: Wires) -> None:
        self._pairs, self._snapshots = wires.pairs, wires.snapshots

    def receive(self) -> list[ClipPair]:
        """Take some of the pairs that have arrived: films take time, and a stop shall be soon."""
        return drain(self._pairs, most=PAIRS_AT_ONCE)

    def publish(self, snapshot: RewardSnapshot) -> None:
        """Send the snapshot; the policy takes the newest."""
        self._snapshots.put(snapshot)


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

    def receive(self) -> list[ClipPair]:
        """All pairs since the last turn."""
        pairs, self._pairs = self._pairs, []
        return pairs

    def publish(self, snapshot: RewardSnapshot) -> None:
        """Keep the newest snapshot."""
        self._snapshot = snapshot

    def latest_snapshot(self) -> RewardSnapshot | None:
        """Let the reward side do all it can, then take its snapshot."""
        from prefrl.reward.trainer import Stopped

        assert self.reward_loop is not None
        try:
            while self.reward_loop.turn():
                pass
        except Stopped:
            return None
        snapshot, self._snapshot = self._snapshot, None
        return snapshot


def drain(queue: "Queue[T]", most: float = math.inf) -> list[T]:
    """What is in a queue, without waiting; at most so much."""
    items: list[T] = []
    with contextlib.suppress(Empty):
        while len(items) < most:
            items.append(queue.get_nowait())
    return items


# --- the processes ------------------------------------------------------------------------------


def policy_process(assignment: Assignment, wires: Wires) -> None:
    """Train the policy, with the reward side in another process or on the true reward."""
    if assignment.config.label.labeler == "human":
        # The page goes first; not the reward side, which may hold a lock that the page waits for.
        os.nice(NICENESS)
    _guarded(wires, lambda: _train_policy(assignment, wires, QueueToReward(wires)))


def reward_process(assignment: Assignment, wires: Wires) -> None:
    """Fit rewards until the policy has learned."""

    def work() -> dict[str, Any]:
        from prefrl.reward.loop import run_until

        def stopped() -> bool:
            return wires.stop.is_set() or wires.learned.is_set()

        def more_clips_come() -> bool:
            return not wires.learned.is_set()

        loop = _reward_loop(assignment, wires, QueueToPolicy(wires), stopped)
        try:
            run_until(loop, stopped, lambda: time.sleep(IDLE_S))
        except BaseException:
            loop.leave_queries()
            raise
        loop.leave_queries(more_clips_come)
        wires.snapshots.cancel_join_thread()  # nobody may be left to read the last one
        return _reward_summary(loop)

    _guarded(wires, work)


def inline_process(assignment: Assignment, wires: Wires) -> None:
    """Both loops in one process."""

    def work() -> dict[str, Any]:
        link = InlineLink()
        link.reward_loop = _reward_loop(assignment, wires, link, wires.stop.is_set)
        summary = _train_policy(assignment, wires, link)
        return {**_reward_summary(link.reward_loop), **summary}

    _guarded(wires, work)


def film_process(assignment: Assignment, wires: Wires) -> None:
    """Film checkpoints as they appear, at the lowest priority, until the policy has learned."""

    def work() -> dict[str, Any]:
        from prefrl.run_directory import RunDirectory
        from prefrl.runs.filming import film_checkpoints

        reporter, run = PipeReporter(wires.to_launcher), RunDirectory(assignment.run_path)
        film_checkpoints(assignment.config, run, reporter, wires.learned.is_set, wires.stop.is_set)
        return {}

    _guarded(wires, work)


def gather_process(assignment: Assignment, wires: Wires) -> None:
    """Collect labels on clips of a random policy, and fit nothing."""

    def work() -> dict[str, Any]:
        from prefrl.runs.pieces import gather

        return gather(assignment, PipeReporter(wires.to_launcher), wires.stop.is_set)

    _guarded(wires, work)


def pretrain_process(assignment: Assignment, wires: Wires) -> None:
    """Fit an ensemble to labels that are there."""

    def work() -> dict[str, Any]:
        from prefrl.runs.pieces import pretrain

        return pretrain(assignment, PipeReporter(wires.to_launcher), wires.stop.is_set)

    _guarded(wires, work)


def page_process(assignment: PageAssignment) -> None:
    """Serve the label page until the launcher ends it. Nothing is lost then: see `LabelDesk`."""
    from labeler_ui.server import serve

    def end_with_parent() -> None:
        _wait_for_parent()
        os._exit(0)  # the server's threads would go on

    threading.Thread(target=end_with_parent, daemon=True).start()
    serve(assignment.run_path, assignment.listening, assignment.host, **assignment.settings)


def _guarded(wires: Wires, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work; tell the launcher how it went; end when the launcher is gone."""
    threading.Thread(target=_stop_with_parent, args=(wires.stop,), daemon=True).start()
    try:
        wires.to_launcher.send(("finished", work()))
    except BaseException:
        wires.to_launcher.send(("failed", traceback.format_exc()))
        raise SystemExit(1) from None


def _stop_with_parent(stop: Event) -> None:
    _wait_for_parent()
    stop.set()


def _wait_for_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])


def _train_policy(assignment: Assignment, wires: Wires, link: Any) -> dict[str, Any]:
    """Learn, then evaluate; the policy's part of `result.json`."""
    from prefrl.compute import placed, prepare
    from prefrl.metrics import Metrics, peak_memory
    from prefrl.policy.loop import PolicyLoop
    from prefrl.reward.ensemble import predictor_of
    from prefrl.reward.inputs import InputSpec
    from prefrl.run_directory import RunDirectory

    config, reporter = assignment.config, PipeReporter(wires.to_launcher)
    device, autocast = prepare(config)
    reporter.progress({"device": placed(config, device)})
    run = RunDirectory(assignment.run_path)
    with Metrics(run, "policy") as metrics:
        loop = PolicyLoop(
            config, run, link,
            partial(
                predictor_of, spec=InputSpec(assignment.spaces, config.predictor.inputs),
                config=config.predictor, device=device, autocast=autocast,
            ),
            assignment.random_clips, device, autocast, metrics, reporter, wires.stop.is_set,
        )  # fmt: skip
        loop.learn()
        stopped = wires.stop.is_set()
        if stopped:
            _hand_over(wires.pairs)
        wires.learned.set()
        wires.pairs.cancel_join_thread()  # what is still under way has no reader any more
        figures = {}
        if not stopped:
            from prefrl.runs.finish import finish  # a second's import that no start waits for

            figures = finish(loop, run, reporter)
    used = loop.snapshot.n_labels if loop.snapshot else 0
    return {
        **figures,
        "env_steps": loop.recorder.env_steps,
        "random_steps": loop.random_steps,
        "steps_per_s": loop.steps_per_s,
        "labels_unused": max(0, config.label.budget - used) if config.reward == "learned" else 0,
        "clips_dropped": loop.recorder.clips_dropped,
        "peak_memory_bytes": {"policy": peak_memory()},
    }


def _hand_over(pairs: "Queue[ClipPair]") -> None:
    """Let what was sent be written, as long as somebody reads it: people are left its clips."""
    pairs.close()
    writing = threading.Thread(target=pairs.join_thread, daemon=True)
    writing.start()
    writing.join(HAND_OVER_S)


def _reward_loop(
    assignment: Assignment, wires: Wires, link: Any, stopped: Callable[[], bool]
) -> "RewardLoop":
    from prefrl.compute import prepare
    from prefrl.labels.store import LabelStore
    from prefrl.metrics import Metrics
    from prefrl.reward.checkpoint import load_reward
    from prefrl.reward.loop import RewardLoop
    from prefrl.run_directory import RunDirectory
    from prefrl.runs.pieces import make_labeler, make_trainer

    config = assignment.config
    run = RunDirectory(assignment.run_path)
    device, autocast = prepare(config)
    loop = RewardLoop(
        config, run, dict(assignment.task), LabelStore.open(run.labels), make_labeler(config),
        make_trainer(config, assignment.spaces, device, autocast, stopped), link,
        Metrics(run, "reward"), PipeReporter(wires.to_launcher),
    )  # fmt: skip
    loop.start_with_stored_clips()
    if assignment.reward_from is not None:
        loop.start_from(load_reward(assignment.reward_from))
    return loop


def _reward_summary(loop: "RewardLoop") -> dict[str, Any]:
    """The reward side's part of `result.json`."""
    from prefrl.metrics import peak_memory

    loop.metrics.close()
    counts = loop.store.counts()
    loop.store.close()
    return {
        "labels": counts.answered,
        "snapshots": loop.version,
        "validation_accuracy": loop.validation_accuracy,
        "peak_memory_bytes": {"reward": peak_memory()},
    }
