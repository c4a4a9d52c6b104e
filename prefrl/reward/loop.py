"""The reward side: receive clips, ask about pairs of them, fit the ensemble to the answers.

Owns the clip pool, the ring of preferences and the optimiser. What it knows of answers, it knows
from the store.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from prefrl.config import Config
from prefrl.labels.oracle import answer_pending
from prefrl.labels.store import LabelStore
from prefrl.link import Reporter, RewardLink
from prefrl.metrics import Metrics, Stopwatch, correlation, peak_memory, process_memory
from prefrl.reward.checkpoint import SavedReward, save_reward
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.schedule import NEVER, LabelSchedule
from prefrl.reward.selection import ClipPool, Pair, most_disputed, random_pairs
from prefrl.reward.trainer import Stopped, Trainer
from prefrl.run_directory import RunDirectory
from prefrl.types import Labeler, Query, RewardSnapshot

NEARLY_ALL = 0.9  # from this share of ties on, initial labels teach next to nothing


class RewardLoop:
    """One `turn()` after the other, until the run ends.

    Args:
        config: Of the run.
        run: Where checkpoints go.
        task: The task's fingerprint, kept with the weights.
        store: Where queries and labels live.
        labeler: Who answers.
        trainer: Fits the ensemble; may come with an ensemble that was fitted before.
        link: To the policy.
        metrics: Where figures go.
        reporter: Who is told how far we are.
    """

    def __init__(
        self,
        config: Config,
        run: RunDirectory,
        task: dict[str, Any],
        store: LabelStore,
        labeler: Labeler,
        trainer: Trainer,
        link: RewardLink,
        metrics: Metrics,
        reporter: Reporter,
    ) -> None:
        self.config, self.run, self.task = config, run, task
        self.store, self.labeler, self.trainer = store, labeler, trainer
        self.link, self.metrics, self.reporter = link, metrics, reporter
        self.schedule = LabelSchedule.from_config(config)
        self.pool = ClipPool(config.label.pool_size)
        self.ring = PreferenceRing(config.predictor.ring, config.predictor.members)
        self.stopwatch = Stopwatch()
        self.env_step = self.version = self.clips_received = self.labels_used = 0
        self.validation_accuracy = float("nan")
        self._rng = np.random.default_rng((config.seed, 1))
        self._asked_pairs = store.pairs()
        self._asked = len(self._asked_pairs)
        self._first_clips = max(0, config.initial_clips - 2 * store.counts().answered)
        self._most_waiting = 0  # pairs found in the queue at once, since the last round
        self._last_count = (self._asked, time.perf_counter())
        self._given_up = 0  # labels due for which no pair was left to ask about
        self._position = 0  # in the store's sequence of answers
        self._fresh = 0  # answered queries that no round has seen

    def turn(self) -> bool:
        """Do what can be done now. False when there was nothing to do."""
        with self.stopwatch("receive"):
            received = self._receive()
        with self.stopwatch("ask"):
            asked = self._ask()
        with self.stopwatch("label"):
            answer_pending(self.store, self.labeler)
            self._collect()
        trained = self._fresh > 0 and self._settled >= self.config.initial_labels
        if trained:
            self._train()
        return received or asked or trained

    @property
    def _settled(self) -> int:
        return self._asked + self._given_up

    def _receive(self) -> bool:
        pairs = self.link.receive()
        self._most_waiting = max(self._most_waiting, len(pairs))
        for pair in pairs:
            self.env_step = max(self.env_step, pair.env_step)
            clips = [clip for clip in (pair.first, pair.second) if self.pool.add(clip)]
            self.clips_received += 2  # those that came before too: the policy counts them
            if clips:
                self.trainer.observe(clips)
        return bool(pairs)

    def _ask(self) -> bool:
        """Put a round's queries to the labelers when the first of their labels is due."""
        if self.schedule.due(self.env_step) <= self._asked + self._given_up:
            return False
        first_round = self._settled < self.config.initial_labels
        if first_round and self.clips_received < self._first_clips:
            return False
        missing = self.config.initial_labels - self._settled
        left = self.config.label.budget - self._asked - self._given_up
        wanted = missing if first_round else min(self.config.label.round_labels, left)
        pairs = self._choose(wanted)
        if not pairs:
            self._give_up(wanted)
            return False
        queries = [
            Query(first.id, second.id, self.env_step, self.version) for first, second in pairs
        ]
        self.store.add_queries(queries, {clip.id: clip for pair in pairs for clip in pair})
        self._asked_pairs |= {frozenset((query.left, query.right)) for query in queries}
        self._asked += len(queries)
        return True

    def _choose(self, n: int) -> list[Pair]:
        clips = self.pool.newest(len(self.pool))
        if len(clips) < 2:
            return []
        if self.config.label.query_selection == "random" or self.version == 0:
            return random_pairs(clips, n, self._asked_pairs, self._rng)
        candidates = random_pairs(
            clips, n * self.config.label.candidates, self._asked_pairs, self._rng
        )
        return most_disputed(candidates, n, self.trainer.ensemble)

    def _give_up(self, n: int) -> None:
        """Every pair in the pool was asked: go on without these labels, and say so."""
        if not self.ring:
            raise RuntimeError(
                f"{len(self.pool)} different clips came from the random policy: "
                "there is nothing to compare. A longer --env.clip-length may help."
            )
        self._given_up += n
        self.reporter.warn(f"no new pair of clips was left: {n} labels were not asked for")
        if self.trainer.rounds:
            self._publish()

    def _collect(self) -> None:
        """Take in what the store has learnt since we last looked."""
        changes = self.store.changes_since(self._position)
        self._position = changes.position
        for query_id, preference in changes.preferences.items():
            self.ring.set(query_id, preference)
        self._fresh += len(changes.preferences)

    def _train(self) -> None:
        """One round, then a snapshot for the policy."""
        first = self.trainer.rounds == 0
        epochs = (
            self.config.predictor.pretrain_epochs if first else self.config.predictor.round_epochs
        )
        self._fresh = 0
        if not self.ring:
            self.reporter.warn("every answer was 'incomparable': nothing to fit yet")
            return
        if first:
            self._warn_of_ties()
        with self.stopwatch("train"):
            measured = self.trainer.fit(self.ring, epochs)
        self.validation_accuracy = measured["reward/validation_accuracy"]
        with self.stopwatch("publish"):
            measured |= self._normalise()
            self._publish()
        self._log(measured)

    def _normalise(self) -> dict[str, float]:
        """Normalise the ensemble over recent clips; how well it follows the true reward there."""
        clips = self.pool.newest(self.config.predictor.normalise_over_clips)
        rewards = self.trainer.ensemble.normalise_over(clips)
        true = np.stack([clip.true_rewards for clip in clips])
        return {
            "reward/correlation_step": correlation(rewards.mean(0), true),
            "reward/correlation_clip": correlation(rewards.mean(0).sum(1), true.sum(1)),
            "reward/member_disagreement": float(rewards.std(0).mean()),
        }

    def _publish(self) -> None:
        self.version += 1
        self.labels_used = self.store.counts().answered
        settled = self.labels_used + self._given_up
        started = settled >= self.config.initial_labels
        pause = self.schedule.pause_step(settled, self.config.label.round_labels)
        snapshot = self.trainer.ensemble.snapshot(
            self.version, self.labels_used, pause if started else NEVER
        )
        self.save(snapshot)
        self.link.publish(snapshot)

    def save(self, snapshot: RewardSnapshot) -> None:
        """Write the ensemble as `last`."""
        save_reward(self.run.checkpoint("last"), snapshot, self.task, self.trainer.state())

    def _warn_of_ties(self) -> None:
        ties = float(np.mean(self.ring.mu == 0.5))
        if ties >= NEARLY_ALL:
            self.reporter.warn(
                f"{ties:.0%} of the initial labels are ties: the true rewards of random clips "
                "hardly differ, so little can be learned from comparing them"
            )

    def _log(self, measured: dict[str, float]) -> None:
        counts = self.store.counts()
        self.metrics.write(
            {
                **measured,
                "labels/answered": counts.answered,
                "labels/due": self.schedule.due(self.env_step),
                "labels/tie_share": float(np.mean(self.ring.mu == 0.5)),
                "reward/clips_in_pool": len(self.pool),
                "reward/snapshot_version": self.version,
            },
            self.env_step,
        )
        self.metrics.write_timing(
            {
                **{f"time/{name}_s": s for name, s in self.stopwatch.seconds().items()},
                "time/labels_per_s": self._label_rate(counts.answered),
                "queue/pairs": self._most_waiting,
                "memory/resident_bytes": process_memory(),
                "memory/peak_bytes": peak_memory(),
            },
            self.env_step,
        )
        self._most_waiting = 0
        self.reporter.progress(
            {"labels": counts.answered, "validation_accuracy": self.validation_accuracy}
        )

    def _label_rate(self, answered: int) -> float:
        """Labels a second since the last round."""
        now, (before, since) = time.perf_counter(), self._last_count
        self._last_count = (answered, now)
        return (answered - before) / (now - since)

    def start_from(self, saved: SavedReward) -> None:
        """Let the policy learn at once from an ensemble that was fitted before, and fit it on."""
        self.trainer.ensemble.load(saved.snapshot)
        self.trainer.load_state(saved.trainer_state)
        self._publish()

    def start_with_stored_clips(self) -> None:
        """Take the clips of labels that were given before into the pool."""
        for clip in self.store.newest_clips(self.config.label.pool_size):
            if self.pool.add(clip):
                self.trainer.observe([clip])


def run_until(loop: RewardLoop, stopped: Callable[[], bool], rest: Callable[[], None]) -> None:
    """Turn after turn; rest when there is nothing to do."""
    try:
        while not stopped():
            if not loop.turn():
                with loop.stopwatch("rest"):
                    rest()
    except Stopped:
        pass
