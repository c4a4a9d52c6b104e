"""The pieces of training on their own: labels from a random policy, an ensemble from labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from prefrl.assignment import Assignment
from prefrl.compute import Placement, prepare
from prefrl.config import Config
from prefrl.labels.oracle import Oracle, answer_pending
from prefrl.labels.sheets import Sheets, make_sheets
from prefrl.labels.store import LabelStore
from prefrl.labels.teachers import Teacher
from prefrl.link import Reporter, Stopped
from prefrl.metrics import Metrics, correlation
from prefrl.policy.loop import act_at_random, make_recorder
from prefrl.reward.checkpoint import save_reward
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.schedule import NEVER
from prefrl.reward.selection import random_pairs
from prefrl.reward.trainer import Trainer
from prefrl.run_directory import RunDirectory
from prefrl.types import Clip, ClipPair, Labeler, Query, TaskSpaces


def make_labeler(config: Config) -> Labeler | None:
    """Who answers at once in this run; None where people do, in their own time."""
    label = config.label
    if label.labeler == "human":
        return None
    teacher = Teacher(
        rationality=label.rationality,
        myopia=label.myopia,
        mistake_probability=label.mistake_probability,
        skip_threshold=label.skip_threshold,
        equal_threshold=label.equal_threshold,
    )
    return Oracle(np.random.default_rng((config.seed, 4)), teacher)


def make_trainer(
    config: Config,
    spaces: TaskSpaces,
    placement: Placement,
    stopped: Callable[[], bool],
) -> Trainer:
    """A freshly initialised ensemble and its trainer."""
    generator = torch.Generator().manual_seed(config.seed)
    spec = InputSpec.of(spaces, config.predictor)
    ensemble = RewardEnsemble(
        spec, config.predictor, placement.predictor, placement.autocast, generator
    )
    return Trainer(ensemble, config.predictor, config.seed, stopped)


class _Basket:
    """Keeps clips, and what people see of them."""

    def __init__(self) -> None:
        self.clips: dict[str, Clip] = {}
        self.sheets: dict[str, Sheets] = {}

    def offer(self, pair: ClipPair) -> bool:
        self.clips |= {clip.id: clip for clip in (pair.first, pair.second)}
        if pair.films is not None:
            for clip, film in zip((pair.first, pair.second), pair.films, strict=True):
                self.sheets[clip.id] = make_sheets(film)
        return True


def gather(
    assignment: Assignment, reporter: Reporter, stopped: Callable[[], bool]
) -> dict[str, Any]:
    """Act at random, ask about pairs of the clips, store the answers (an oracle's at once)."""
    config, run, basket = assignment.config, RunDirectory(assignment.run_path), _Basket()
    recorder = make_recorder(config, basket.offer)
    wanted = assignment.random_clips

    def finished() -> bool:
        reporter.progress({"env_steps": recorder.env_steps})
        return 2 * recorder.pairs_sent >= wanted or stopped()

    steps = act_at_random(
        recorder, recorder, wanted, finished, np.random.default_rng((config.seed, 2))
    )
    recorder.close()
    with LabelStore.open(run.labels) as store:
        if not stopped():
            rng = np.random.default_rng((config.seed, 1))
            clips = list(basket.clips.values())
            pairs = random_pairs(clips, config.label.budget, set(), rng) if len(clips) > 1 else []
            asked = {clip.id: clip for pair in pairs for clip in pair}
            sheets = {id: basket.sheets[id] for id in asked if id in basket.sheets}
            store.add_queries([Query(a.id, b.id, steps) for a, b in pairs], asked, sheets)
            if (labeler := make_labeler(config)) is not None:
                answer_pending(store, labeler)
            if len(pairs) < config.label.budget:
                reporter.warn(f"only {len(pairs)} different pairs of clips could be made")
        labels = store.answered()
    return {"stopped": stopped(), "labels": labels, "env_steps": steps, "random_steps": steps}


def pretrain(
    assignment: Assignment, reporter: Reporter, stopped: Callable[[], bool]
) -> dict[str, Any]:
    """Fit an ensemble to the labels in the run's store, and save it as a run's reward."""
    config, run = assignment.config, RunDirectory(assignment.run_path)
    placement = prepare(config)
    reporter.progress({"device": str(placement)})
    trainer = make_trainer(config, assignment.spaces, placement, stopped)
    ring = PreferenceRing(config.predictor.ring, config.predictor.members)
    with LabelStore.open(run.labels) as store, Metrics(run, "reward") as metrics:
        for query_id, preference in store.changes_since(0).preferences.items():
            ring.set(query_id, preference)
        clips = store.newest_clips(config.label.pool_size)
        for clip in clips:  # of images all at once would take gigabytes
            trainer.observe([clip])
        try:
            measured = trainer.fit(ring, config.predictor.pretrain_epochs)
            recent = clips[-config.predictor.normalise_over_clips :]
            rewards = trainer.ensemble.normalise_over(recent, trainer.go_on_or_stop)
        except Stopped:
            return {"stopped": True, "labels": len(ring)}
        true = np.stack([clip.true_rewards for clip in clips[-rewards.shape[1] :]])
        predicted = rewards.mean(0)
        measured["reward/correlation_step"] = correlation(predicted, true)
        measured["reward/correlation_clip"] = correlation(predicted.sum(1), true.sum(1))
        metrics.write(measured, 0)
    snapshot = trainer.ensemble.snapshot(1, len(ring), NEVER)
    save_reward(run.checkpoint("last"), snapshot, dict(assignment.task), trainer.state())
    return {
        "stopped": False,
        "labels": len(ring),
        "snapshots": 1,
        "validation_accuracy": measured["reward/validation_accuracy"],
    }
