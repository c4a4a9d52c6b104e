"""The reward side: receive clips, ask about pairs of them, fit the ensemble to the answers.

Owns the clip pool, the ring of preferences and the optimiser. What it knows of answers, it knows
from the store.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from prefrl.compute import give_back_freed_memory
from prefrl.config import LEAST_INITIAL_LABELS, Config
from prefrl.labels.desk import LabelDesk
from prefrl.labels.oracle import answer_pending
from prefrl.labels.sheets import make_sheets
from prefrl.labels.store import LabelStore
from prefrl.link import Reporter, RewardLink, Stopped
from prefrl.metrics import Metrics, Stopwatch, correlation, peak_memory, process_memory
from prefrl.reward.asking import Asker, PolicyState
from prefrl.reward.checkpoint import SavedReward, save_reward
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.schedule import NEVER
from prefrl.reward.selection import ClipPool
from prefrl.reward.trainer import USUAL_ERROR_RATE, Trainer
from prefrl.run_directory import RunDirectory
from prefrl.run_status import FITTING
from prefrl.types import Labeler, RewardSnapshot

# Clips for people are few, because they are filmed: a larger pool would be of policies long gone.
FILMED_POOL = 300
# For the clips that a policy sends which was stopped at its beginning: it acts two seconds longer.
LAST_CLIPS_WAIT_S = 3.0
# Clips that come within a round keep tensors' freed memory from being used again: the moving dot's
# round of 500 labels, from pixels, took 9 GB.
GIVE_BACK_EVERY_S = 5.0
NEARLY_ALL = 0.9  # from this share of ties on, initial labels teach next to nothing


class RewardLoop:
    """One `turn()` after the other, until the run ends.

    Args:
        config: Of the run.
        run: Where checkpoints go.
        task: The task's fingerprint, kept with the weights.
        store: Where queries and labels live.
        labeler: Who answers at once; None where people do, in their own time.
        trainer: Fits the ensemble; may come with an ensemble that was fitted before.
        link: To the policy.
        metrics: Where figures go.
        reporter: Who is told how far we are.
        policy_waits: Told within whatever takes long whether the policy waits, whose core is free
            then; and that it does not, as soon as that is done.
    """

    def __init__(
        self,
        config: Config,
        run: RunDirectory,
        task: dict[str, Any],
        store: LabelStore,
        labeler: Labeler | None,
        trainer: Trainer,
        link: RewardLink,
        metrics: Metrics,
        reporter: Reporter,
        policy_waits: Callable[[bool], None] = lambda waits: None,
    ) -> None:
        self.config, self.run, self.task = config, run, task
        self.store, self.labeler, self.trainer = store, labeler, trainer
        self.link, self.metrics, self.reporter = link, metrics, reporter
        self._policy_waits = policy_waits
        pool_size = config.label.pool_size
        self.pool = ClipPool(pool_size if labeler else min(pool_size, FILMED_POOL))
        self.desk = None
        if labeler is None:  # it is only looked at here, so nothing is drawn
            self.desk = LabelDesk(store, np.random.default_rng(0), overlap=config.label.overlap)
        self.asker = Asker(
            config, store, self.pool, trainer.ensemble, self.desk, reporter, self._while_choosing
        )
        self.ring = PreferenceRing(config.predictor.ring, config.predictor.members)
        self.stopwatch = Stopwatch()
        self.env_step = self.version = self.clips_received = 0
        self.answered = store.answered()
        self.validation_accuracy = float("nan")
        self._said_too_little = False
        self._most_waiting = 0.0  # pairs found in the queue at once, since the last round
        self._last_count = (self.answered, time.perf_counter())
        self._given_back_at = 0.0
        self._pause = NEVER  # where the policy waits for the next snapshot
        self._says_it_waits = False
        self._position = 0  # in the store's sequence of answers
        self._fresh = 0  # answered queries that no round has seen

    def turn(self) -> bool:
        """Do what can be done now. False when there was nothing to do."""
        with self.stopwatch("receive"):
            received = self._receive()
        with self.stopwatch("ask"):
            asked = self._ask()
        with self.stopwatch("label"):
            if self.labeler is not None:
                answer_pending(self.store, self.labeler)
            self._collect()
        trains = self._round_is_full()
        if trains:
            self._train()
        return received or asked or trains

    def _round_is_full(self) -> bool:
        """Whether there are new answers enough to learn from, or no more to come for now."""
        if not self._fresh or not self._initial_labels_are_there():
            return False
        if self._knows_too_little() and self.asker.left > 0:
            return False
        all_answered = self.answered >= self.asker.asked
        return all_answered or self._fresh >= self.config.label.round_labels

    def _initial_labels_are_there(self) -> bool:
        return self.answered + self.asker.given_up >= self.config.initial_labels

    def _knows_too_little(self) -> bool:
        """Whether so many initial answers were 'incomparable' that there is next to nothing to fit.

        Asked for in vain, or not read from the store yet, are other reasons for a small ring.
        """
        return (
            self.version == 0
            and self._position > 0
            and self._initial_labels_are_there()
            and len(self.ring) + self.asker.given_up < LEAST_INITIAL_LABELS
        )

    def _receive(self) -> bool:
        self._most_waiting = float(np.maximum(self._most_waiting, self.link.waiting()))
        pairs = self.link.receive()
        for pair in pairs:
            self.env_step, self._says_it_waits = max(self.env_step, pair.env_step), pair.waits
            sheets = (None, None) if pair.films is None else map(make_sheets, pair.films)
            clips = [
                clip
                for clip, seen in zip((pair.first, pair.second), sheets, strict=True)
                if self.pool.add(clip, seen)
            ]
            self.clips_received += 2  # those that came before too: the policy counts them
            if clips:
                self.trainer.observe(clips)
        return bool(pairs)

    def _ask(self) -> bool:
        before, more = self.asker.given_up, self._knows_too_little()
        if more and self.asker.left > 0 and not self._said_too_little:
            self._said_too_little = True
            self.reporter.warn(
                f"only {len(self.ring)} of the initial answers say which clip is better or that "
                f"both are equal: until {LEAST_INITIAL_LABELS} do, more pairs are asked"
            )
        asked = self.asker.ask(self._policy_state(), self.version, more=more)
        if self.asker.given_up > before and self.trainer.rounds:
            self._publish()  # the policy may go on
        return asked

    def _while_choosing(self) -> None:
        """Predicting for many candidates takes seconds."""
        self.link.leave_core(False)
        self._policy_waits(self._policy_state().waits)
        self.trainer.go_on_or_stop()

    def _policy_state(self) -> PolicyState:
        if self.version == 0:
            waits = self.clips_received >= self.asker.first_clips
        else:
            # What it said was before the newest snapshot, which may have let it go on.
            waits = self._says_it_waits and self.env_step >= self._pause
        return PolicyState(self.env_step, self.clips_received, waits)

    def _collect(self) -> None:
        """Take in what the store has learnt since we last looked."""
        changes = self.store.changes_since(self._position)
        if changes.position == self._position:
            return
        self._position = changes.position
        self.answered = self.store.answered()
        self.reporter.progress({"labels": self.answered})
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
        self.link.leave_core(False)
        if not self.ring:
            raise RuntimeError(
                f"all {self.answered} answers were 'incomparable': there is nothing to learn from"
            )
        if first:
            self._warn_of_ties()
        self.reporter.progress({"reward": FITTING})
        with self.stopwatch("train"):
            if self.config.predictor.error_rate == "measured":
                self.trainer.error_rate = self.store.measured_error_rate(USUAL_ERROR_RATE)
            measured = self.trainer.fit(self.ring, epochs, self._look_around)
        with self.stopwatch("publish"):
            measured |= self._normalise()
            self.validation_accuracy = measured["reward/validation_accuracy"]
            self.store.mark_trained(self._position)
            self._publish()
        give_back_freed_memory()
        # Together: a figure alone may wait for the next words, and those come a round later.
        self.reporter.progress(
            {"reward": "looking for answers", "validation_accuracy": self.validation_accuracy}
        )
        self._log(measured)

    def _look_around(self) -> None:
        """While a round is trained: take in clips, so that the queue keeps none of long ago, and
        put pairs before people, whose last ones the round may outlast.
        """
        self.trainer.go_on_or_stop()
        self._receive()
        self._policy_waits(self._policy_state().waits)
        if time.monotonic() - self._given_back_at > GIVE_BACK_EVERY_S:
            give_back_freed_memory()
            self._given_back_at = time.monotonic()
        if self.desk is not None:
            # It waits for the snapshot that is being made: nothing is to be given up yet. And
            # while weights move, their batch-norm statistics are behind: nobody disputes.
            policy = replace(self._policy_state(), waits=False)
            self.asker.ask(policy, self.version, more=False, at_random=True)

    def _normalise(self) -> dict[str, float]:
        """Normalise the ensemble over recent clips; how well it follows the true reward there."""
        clips = self.pool.newest(self.config.predictor.normalise_over_clips)
        rewards = self.trainer.ensemble.normalise_over(clips, self._look_around)
        true = np.stack([clip.true_rewards for clip in clips])
        return {
            "reward/correlation_step": correlation(rewards.mean(0), true),
            "reward/correlation_clip": correlation(rewards.mean(0).sum(1), true.sum(1)),
            "reward/member_disagreement": float(rewards.std(0).mean()),
        }

    def _publish(self) -> None:
        if self.version == 0:
            self.asker.schedule = self.asker.schedule.starting_at(self.env_step)
        self.version += 1
        settled = self.answered + self.asker.given_up
        waits = self.config.label.wait and settled >= self.config.initial_labels
        pause = self.asker.schedule.pause_step(settled, self.config.label.round_labels)
        self._pause = pause if waits else NEVER
        snapshot = self.trainer.ensemble.snapshot(self.version, self.answered, self._pause)
        self.save(snapshot)
        self.link.publish(snapshot)
        self._policy_waits(False)

    def leave_core(self) -> None:
        """There is nothing to do. Where people label their page needs the core."""
        self._policy_waits(False)
        self.link.leave_core(self.labeler is not None)

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
        self.metrics.write(
            {
                **measured,
                "labels/answered": self.answered,
                "labels/due": self.asker.schedule.due(self.env_step),
                "labels/tie_share": float(np.mean(self.ring.mu == 0.5)),
                "reward/clips_in_pool": len(self.pool),
                "reward/snapshot_version": self.version,
            },
            self.env_step,
        )
        self.metrics.write_timing(
            {
                **{f"time/{name}_s": s for name, s in self.stopwatch.seconds().items()},
                "time/labels_per_s": self._label_rate(self.answered),
                "queue/pairs": self._most_waiting,
                "memory/resident_bytes": process_memory(),
                "memory/peak_bytes": peak_memory(),
            },
            self.env_step,
        )
        self._most_waiting = 0.0

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
            sheets = self.desk.find_sheets(clip.id) if self.desk is not None else None
            if self.pool.add(clip, sheets):
                self.trainer.observe([clip])

    def leave_queries(self, more_clips_come: Callable[[], bool] = lambda: False) -> None:
        """At the end: leave people something to answer, for the rest of the budget.

        Args:
            more_clips_come: Whether the policy may still send some.
        """
        if self.desk is None:
            return
        until = time.monotonic() + LAST_CLIPS_WAIT_S
        while self.asker.lacks_clips and time.monotonic() < until:
            come = more_clips_come()  # asked first, or a last one could come in between
            if not self._receive():
                if not come:
                    break
                time.sleep(0.01)
        self.asker.ask_for_the_rest(self.env_step, self.version)


def run_until(loop: RewardLoop, stopped: Callable[[], bool], rest: Callable[[], None]) -> None:
    """Turn after turn; rest when there is nothing to do, and leave the core to the policy."""
    try:
        while not stopped():
            if not loop.turn():
                loop.leave_core()
                with loop.stopwatch("rest"):
                    rest()
    except Stopped:
        pass
