"""What each process of a run does, from its first line to its last.

Builds both loops. Targets are top-level functions, as `spawn` needs, and import
torch inside: the launcher imports this module and must start at once.
"""

import os
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.queues import Queue
from typing import TYPE_CHECKING, Any

from prefrl.assignment import Assignment, PageAssignment
from prefrl.types import ClipPair
from prefrl.wires import Flag, InlineLink, PipeReporter, QueueToPolicy, QueueToReward, Wires

if TYPE_CHECKING:
    from prefrl.reward.loop import RewardLoop

NICENESS = 5
HAND_OVER_S = 1.0
IDLE_S = 0.03  # how long a reward loop with nothing to do rests


def policy_process(assignment: Assignment, wires: Wires) -> None:
    """Train the policy, with the reward side in another process or on the true reward."""
    config = assignment.config
    if config.reward == "learned" and config.label.labeler == "human":
        # The page goes before the policy. The reward side keeps its priority: it may hold the
        # store's lock, for which the page waits.
        os.nice(NICENESS)
    if config.reward == "true":
        wires.core_is_free.set()  # there is no reward side
    _guarded(wires, lambda: _train_policy(assignment, wires, QueueToReward(wires)))


def reward_process(assignment: Assignment, wires: Wires) -> None:
    """Fit rewards until the policy has learned."""

    def work() -> dict[str, Any]:
        from prefrl.reward.loop import run_until

        def stopped() -> bool:
            return wires.stop.is_set() or wires.learned.is_set()

        def more_clips_come() -> bool:
            return not wires.learned.is_set()

        loop = _reward_loop(
            assignment, wires, QueueToPolicy(wires), stopped, _take_its_core(assignment)
        )
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


def _stop_with_parent(stop: Flag) -> None:
    _wait_for_parent()
    stop.set()


def _wait_for_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])


def _train_policy(assignment: Assignment, wires: Wires, link: Any) -> dict[str, Any]:
    """Learn, then evaluate; the policy's part of `result.json`."""
    from prefrl.compute import prepare
    from prefrl.metrics import Metrics, peak_memory
    from prefrl.policy.loop import PolicyLoop
    from prefrl.reward.ensemble import predictor_of
    from prefrl.reward.inputs import InputSpec
    from prefrl.run_directory import RunDirectory

    config, reporter = assignment.config, PipeReporter(wires.to_launcher)
    placement = prepare(config)
    reporter.progress({"device": str(placement)})
    run = RunDirectory(assignment.run_path)
    with Metrics(run, "policy") as metrics:
        loop = PolicyLoop(
            config, run, link,
            partial(
                predictor_of, spec=InputSpec.of(assignment.spaces, config.predictor),
                config=config.predictor, device=placement.predictor, autocast=placement.autocast,
            ),
            assignment.random_clips, placement, metrics, reporter, wires.stop.is_set,
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
    snapshot = loop.reward.snapshot
    used = snapshot.n_labels if snapshot else 0
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
    """Give what was sent a second to be read: people are left its clips."""
    pairs.close()
    writing = threading.Thread(target=pairs.join_thread, daemon=True)
    writing.start()
    writing.join(HAND_OVER_S)


def _take_its_core(assignment: Assignment) -> Callable[[bool], None]:
    """What the reward process does while the policy waits for it.

    Not where people label: the page needs that core. Nor inline, where sums have one order.
    """
    from prefrl.cores import SecondCore

    people = assignment.config.label.labeler == "human"
    core = SecondCore(lambda: not people)
    return lambda policy_waits: core.take() if policy_waits else core.leave()


def _reward_loop(
    assignment: Assignment,
    wires: Wires,
    link: Any,
    stopped: Callable[[], bool],
    policy_waits: Callable[[bool], None] = lambda waits: None,
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
    loop = RewardLoop(
        config, run, dict(assignment.task), LabelStore.open(run.labels), make_labeler(config),
        make_trainer(config, assignment.spaces, prepare(config), stopped), link,
        Metrics(run, "reward"), PipeReporter(wires.to_launcher), policy_waits,
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
