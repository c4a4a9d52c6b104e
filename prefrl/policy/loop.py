"""The policy side: act at random until there is a reward to learn from, then learn.

Owns the environments, the SB3 model and the recorder. What it knows of rewards, it knows from the
latest snapshot.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from prefrl.config import Config
from prefrl.link import PolicyLink, Reporter
from prefrl.metrics import Metrics, correlation, peak_memory, process_memory
from prefrl.policy.checkpoint import save_policy
from prefrl.policy.films import FILM_SHARE
from prefrl.policy.model import build_model
from prefrl.policy.recorder import ClipRecorder, Step
from prefrl.policy.substitution import predict_rollout, substitute
from prefrl.policy.vec_env import hide_ends, make_vec_env, normalise
from prefrl.run_directory import RunDirectory
from prefrl.types import RewardPredictor, RewardSnapshot

RECENT_EPISODES = 20  # the training return shown is the mean over so many
SAVE_EVERY_S = 30  # what a killed run loses of its policy at most
PredictorOf = Callable[[RewardSnapshot], RewardPredictor]


class PolicyLoop:
    """A training run's policy, from the first random step to the last update.

    Args:
        config: Of the run.
        run: Where checkpoints go.
        link: To the reward side.
        predictor_of: Builds a predictor from a snapshot.
        random_clips: Clips that the reward side wants from a random policy before it can start.
        device: Where the networks live.
        autocast: Number format of convolutions.
        metrics: Where figures go.
        reporter: Who is told how far we are.
        stopped: Asked at each step.
    """

    def __init__(
        self,
        config: Config,
        run: RunDirectory,
        link: PolicyLink,
        predictor_of: PredictorOf,
        random_clips: int,
        device: torch.device,
        autocast: torch.dtype,
        metrics: Metrics,
        reporter: Reporter,
        stopped: Callable[[], bool],
    ) -> None:
        self.config, self.run, self.link, self.predictor_of = config, run, link, predictor_of
        self.random_clips, self.stopped = random_clips, stopped
        self.metrics, self.reporter = metrics, reporter
        self.recorder = make_recorder(config, link)
        self.stopwatch = self.recorder.stopwatch
        self.venv = normalise(self.recorder, config, training=True)
        self._device, self._autocast = device, autocast
        self.snapshot: RewardSnapshot | None = None
        self.snapshot_since = self.random_steps = 0
        self.learning_started_at: float | None = None
        self._predictor: RewardPredictor | None = None

    def learn(self) -> None:
        """Run to the last step, or until stopped, and save the policy as `last`."""
        if self.config.reward == "learned":
            self.random_steps = act_at_random(
                self.venv, self.recorder, self.random_clips, self._first_snapshot_or_end,
                np.random.default_rng((self.config.seed, 2)),
            )  # fmt: skip
        rollout = self.config.policy.n_steps * self.config.policy.n_envs
        whole_rollouts = (self.config.total_timesteps - self.recorder.env_steps) // rollout
        if whole_rollouts > 0 and not self.stopped():
            self.learning_started_at = time.perf_counter()
            if self.recorder.studio is not None:
                self.recorder.studio.share = FILM_SHARE  # all until now: every clip was wanted
            to_learn = whole_rollouts * rollout
            self.model.learn(to_learn, callback=_BetweenRollouts(self, to_learn))
            self.learning_ended_at = time.perf_counter()
        self.save("last")

    def save(self, name: str) -> None:
        """Write the policy as a checkpoint."""
        with self.stopwatch("save"):
            save_policy(self.run.checkpoint(name), self.model, self.recorder.env_steps)

    @cached_property
    def model(self) -> OnPolicyAlgorithm:
        """SB3's algorithm; built when first asked for, so that the first step need not wait."""
        model = build_model(self.config, self.venv, self._device, self._autocast)
        model.set_logger(Logger(None, [_ToMetrics(self.metrics, self.recorder)]))
        return model

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps a second since the policy began to learn."""
        if self.learning_started_at is None:
            return None
        seconds = self.learning_ended_at - self.learning_started_at
        return (self.recorder.env_steps - self.random_steps) / seconds

    @property
    def predictor(self) -> RewardPredictor:
        """The reward in force."""
        assert self._predictor is not None, "no snapshot has arrived"
        return self._predictor

    def take_latest_snapshot(self) -> None:
        """Swap in a newer reward, if there is one."""
        snapshot = self.link.latest_snapshot()
        if snapshot is not None:
            self.snapshot, self._predictor = snapshot, self.predictor_of(snapshot)
            self.snapshot_since = self.recorder.env_steps

    def wait_for_overdue_labels(self) -> None:
        """Pause while the reward side is more than a round behind the schedule.

        The last pair is offered again until it is taken: it tells the reward side how far we are,
        and a repeated clip is known by its content.
        """
        told = False
        while (
            self.snapshot is not None
            and self.recorder.last_pair is not None  # without a pair nobody can be told
            and self.recorder.env_steps >= self.snapshot.pause_at_env_step
            and not self.stopped()
        ):
            if not told:
                pair = replace(self.recorder.last_pair, env_step=self.recorder.env_steps)
                told = self.link.offer(pair)
            self.take_latest_snapshot()
            time.sleep(0.001)

    def _first_snapshot_or_end(self) -> bool:
        self.take_latest_snapshot()
        self.reporter.progress({"env_steps": self.recorder.env_steps})
        out_of_budget = self.recorder.env_steps >= self.config.total_timesteps
        return self.snapshot is not None or out_of_budget or self.stopped()


def make_recorder(config: Config, link: PolicyLink) -> ClipRecorder:
    """The training environments, up to the recorder."""
    # Not the run's seed itself: environment i of seed s would be environment i - 1 of seed s + 1.
    seed = int(np.random.default_rng((config.seed, 5)).integers(2**30))
    venv = make_vec_env(config.env, config.policy.n_envs, seed)
    return ClipRecorder(
        hide_ends(venv, config.env),
        clip_length=config.env.clip_length,
        clip_fraction=0.0 if config.reward == "true" else config.policy.clip_fraction,
        pass_rewards=config.reward == "true",
        offer=link.offer,
        rng=np.random.default_rng((config.seed, 3)),
    )


def act_at_random(
    venv: VecNormalize | ClipRecorder,
    recorder: ClipRecorder,
    clips: int,
    finished: Callable[[], bool],
    rng: np.random.Generator,
) -> int:
    """Act at random until so many clips were taken, then sleep until finished.

    Returns:
        The steps it took, over all environments.

    Raises:
        RuntimeError: Episodes are too short for a single clip.
    """
    before, space = recorder.env_steps, venv.action_space
    space.seed(int(rng.integers(2**31)))
    venv.reset()
    patience = 200 * recorder.clip_length * recorder.num_envs
    recorder.keep_refused = True  # a full queue must not cost random steps
    while not finished():
        if not recorder.offer_refused() or 2 * recorder.pairs_sent >= clips:
            time.sleep(0.001)
            continue
        venv.step(np.array([space.sample() for _ in range(recorder.num_envs)]))
        recorder.rollout.clear()
        if recorder.last_pair is None and recorder.env_steps - before > patience:
            raise RuntimeError(
                f"no episode was as long as a clip ({recorder.clip_length} steps): "
                "choose a smaller --env.clip-length, or --terminations hide"
            )
    recorder.keep_refused = False
    recorder.refused.clear()
    return recorder.env_steps - before


class _BetweenRollouts(BaseCallback):
    """What happens before, during and after each of SB3's rollouts."""

    def __init__(self, loop: PolicyLoop, to_learn: int) -> None:
        super().__init__()
        self._to_learn = to_learn
        self.loop, self.recorder = loop, loop.recorder
        self._returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._best = float("-inf")
        self._predicted = np.zeros(loop.recorder.num_envs)  # return so far of the open episodes
        self._predicted_returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._trained_since: float | None = None
        self._saved_at = time.perf_counter()
        self._last_rate = (loop.recorder.env_steps, time.perf_counter())

    def _on_rollout_start(self) -> None:
        loop = self.loop
        if self._trained_since is not None:
            loop.stopwatch.add("update", time.perf_counter() - self._trained_since)
        with loop.stopwatch("pause"):
            loop.take_latest_snapshot()
            loop.wait_for_overdue_labels()
        self._decay_entropy()
        self.recorder.rollout.clear()
        self._rollout_since = time.perf_counter()

    def _decay_entropy(self) -> None:
        """Explore while labels are asked for, then less and less.

        SB3 has a schedule for the learning rate but none for the entropy bonus.
        """
        config, done = self.loop.config, self.model.num_timesteps / self._to_learn
        first, last = config.policy.ent_coef, config.policy.ent_coef_end
        asking = config.label.schedule_end
        fallen = max(0.0, done - asking) / (1 - asking) if asking < 1 else 0.0
        self.model.ent_coef = first + (last - first) * fallen  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return not self.loop.stopped()

    def _on_rollout_end(self) -> None:
        loop, recorder = self.loop, self.recorder
        loop.stopwatch.add("rollout", time.perf_counter() - self._rollout_since)
        values: dict[str, float] = {}
        if loop.config.reward == "learned":
            with loop.stopwatch("predict"):
                values = self._substitute()
        values |= self._episodes()
        loop.metrics.write(values, recorder.env_steps)
        self._log_timing()
        if time.perf_counter() - self._saved_at > SAVE_EVERY_S:
            loop.save("last")
            self._saved_at = time.perf_counter()
        self._trained_since = time.perf_counter()

    def _substitute(self) -> dict[str, float]:
        steps, buffer = self.recorder.rollout, self.model.rollout_buffer  # type: ignore[attr-defined]
        by_member = predict_rollout(steps, self.loop.predictor)
        predicted = by_member.mean(0)
        substitute(buffer, predicted, self.locals["values"], self.locals["dones"])
        self._add_predicted(steps, predicted)
        snapshot = self.loop.snapshot
        assert snapshot is not None
        return {
            "rollout/predicted_return": float(np.mean(self._predicted_returns or [np.nan])),
            "rollout/predicted_reward_mean": float(predicted.mean()),
            "rollout/predicted_reward_deviation": float(predicted.std()),
            "rollout/member_disagreement": float(by_member.std(0).mean()),
            "rollout/reward_correlation": correlation(
                predicted, np.stack([step.true_rewards for step in steps])
            ),
            "policy/snapshot_version": snapshot.version,
            "policy/snapshot_labels": snapshot.n_labels,
            "policy/snapshot_age_steps": self.recorder.env_steps - self.loop.snapshot_since,
        }

    def _add_predicted(self, steps: list[Step], predicted: NDArray[np.float32]) -> None:
        for step, rewards in zip(steps, predicted, strict=True):
            self._predicted += rewards
            for i in np.flatnonzero(step.dones | step.hidden):
                self._predicted_returns.append(float(self._predicted[i]))
                self._predicted[i] = 0

    def _episodes(self) -> dict[str, float]:
        episodes, self.recorder.episodes = self.recorder.episodes, []
        self._returns.extend(episode.true_return for episode in episodes)
        entered = self.model.rollout_buffer.observations  # type: ignore[attr-defined]
        values = {
            "policy/clips_dropped": self.recorder.clips_dropped,
            "policy/random_steps": self.loop.random_steps,
            "policy/observation_min": float(entered.min()),
            "policy/observation_max": float(entered.max()),
        }
        if not self._returns:
            return values
        mean = float(np.mean(self._returns))
        if len(self._returns) == RECENT_EPISODES and mean > self._best:
            self._best = mean
            self.loop.save("best")
        if episodes:
            values["rollout/episode_length"] = float(np.mean([e.length for e in episodes]))
        return values | {"rollout/true_return": mean}

    def _log_timing(self) -> None:
        loop, step = self.loop, self.recorder.env_steps
        assert loop.learning_started_at is not None
        learned = step - loop.random_steps
        rate = learned / (time.perf_counter() - loop.learning_started_at)
        loop.metrics.write_timing(
            {
                **{f"time/{name}_s": s for name, s in loop.stopwatch.seconds().items()},
                "time/steps_per_s": rate,
                "time/recent_steps_per_s": self._recent_rate(step),
                "memory/resident_bytes": process_memory(),
                "memory/peak_bytes": peak_memory(),
            },
            step,
        )
        progress: dict[str, Any] = {"env_steps": step, "steps_per_s": rate}
        if self._returns:
            progress["true_return"] = float(np.mean(self._returns))
        if self._predicted_returns:
            progress["predicted_return"] = float(np.mean(self._predicted_returns))
        loop.reporter.progress(progress)

    def _recent_rate(self, step: int) -> float:
        """Steps a second since the last rollout, its update included."""
        now, (before, since) = time.perf_counter(), self._last_rate
        self._last_rate = (step, now)
        return (step - before) / (now - since)


class _ToMetrics(KVWriter):
    """SB3's own figures (entropy, losses, KL) written where all others are."""

    def __init__(self, metrics: Metrics, recorder: ClipRecorder) -> None:
        self._metrics, self._recorder = metrics, recorder

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        """Take what SB3 logged; its clocks are ours already."""
        values = {
            name: float(value)
            for name, value in key_values.items()
            if not name.startswith("time/") and isinstance(value, int | float | np.number)
        }
        if values:
            self._metrics.write(values, self._recorder.env_steps)

    def close(self) -> None:
        """Nothing is held."""
