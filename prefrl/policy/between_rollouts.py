"""Before and after each of SB3's rollouts: a newer reward is swapped in, figures go out."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from prefrl.config import Config
from prefrl.cores import SecondCore
from prefrl.link import Reporter
from prefrl.metrics import Metrics, correlation, entering, peak_memory, process_memory
from prefrl.pixels import newest_frames
from prefrl.policy.model import ImageFeatures, policy_inputs
from prefrl.policy.recorder import ClipRecorder, Step
from prefrl.policy.reward_in_force import RewardInForce
from prefrl.policy.substitution import predict_rollout, substitute
from prefrl.statistics import RunningStatistics

RECENT_EPISODES = 20  # the training return shown is the mean over so many
# Steps at least between two looks at what is going on, which give the figures and the averages of
# pixels: A2C's rollouts are short, and the paper's run has 600,000 of them.
LOOK_EVERY = 500
LOOKED_AT = 256  # steps of a rollout: what enters the policy, and what pixels are on average
SAVE_EVERY_S = 30  # what a killed run loses of its policy at most, but for the rollout under way


def ent_coef(config: Config, done: float) -> float:
    """Weight of the entropy bonus when so much of the run's steps is done (0 to 1).

    It stays while labels are asked for: clips of a policy that has stopped exploring are alike, and
    comparing them tells little. Then it falls. Differs from the paper: there it is constant.
    """
    first, last, asking = (
        config.policy.ent_coef,
        config.policy.ent_coef_end,
        config.label.schedule_end,
    )
    if done <= asking:
        return first
    return first + (last - first) * (done - asking) / (1 - asking)


class BetweenRollouts(BaseCallback):
    """What happens before, during and after each of SB3's rollouts.

    Args:
        config: Of the run.
        reward: What the policy learns from, unless it is the true reward.
        recorder: Of the environments.
        random_steps: That were taken before.
        metrics: Where figures go.
        reporter: Who is told how far we are.
        save: Writes the policy as a checkpoint of this name.
        stopped: Asked at each step.
        second_core: For what comes between two rollouts. In the next one the games have it.
    """

    def __init__(
        self,
        config: Config,
        reward: RewardInForce,
        recorder: ClipRecorder,
        random_steps: int,
        metrics: Metrics,
        reporter: Reporter,
        save: Callable[[str], None],
        stopped: Callable[[], bool],
        second_core: SecondCore,
    ) -> None:
        super().__init__()
        self.config, self.reward, self.recorder = config, reward, recorder
        self._random_steps, self._metrics, self._reporter = random_steps, metrics, reporter
        self._save, self._stopped, self._second_core = save, stopped, second_core
        self._returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._best = float("-inf")
        self._predicted = np.zeros(recorder.num_envs)  # return so far of the open episodes
        self._predicted_returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._looked_at: NDArray[np.generic] | None = None
        side = (recorder.observation_space.shape or ())[-2:]
        self._frames = RunningStatistics(math.prod(side))  # used on images alone
        self._trained_since: float | None = None
        self._started_at = self._saved_at = time.perf_counter()
        self._look_at = recorder.env_steps
        self._last_rate = (recorder.env_steps, time.perf_counter())
        every = config.film_every
        self._film_at = recorder.env_steps + every if every else math.inf

    def _on_rollout_start(self) -> None:
        recorder = self.recorder
        self._second_core.leave()
        if self._trained_since is not None:
            recorder.stopwatch.add("update", time.perf_counter() - self._trained_since)
        with recorder.stopwatch("pause"):
            self.reward.take_latest()
            self.reward.wait_for_overdue_labels()
        # SB3 has a schedule for the learning rate but none for the entropy bonus.
        self._ent_coef = ent_coef(self.config, recorder.env_steps / self.config.total_timesteps)
        self.model.ent_coef = self._ent_coef  # type: ignore[attr-defined]
        recorder.rollout.clear()
        self._standardise_pixels()
        self._rollout_since = time.perf_counter()

    def _on_step(self) -> bool:
        return not self._stopped()

    def _on_rollout_end(self) -> None:
        recorder = self.recorder
        recorder.stopwatch.add("rollout", time.perf_counter() - self._rollout_since)
        self._second_core.take()
        values: dict[str, float] = {}
        if self.config.reward == "learned":
            with recorder.stopwatch("predict"):
                values = self._substitute()
        if recorder.env_steps >= self._look_at:
            seen = self._looked_at = self._look()
            values |= self._episodes() | self._state(seen)
            self._metrics.write(values, recorder.env_steps)
            self._log_timing()
            self._keep_the_best()
            self._look_at = recorder.env_steps + LOOK_EVERY
        if time.perf_counter() - self._saved_at > SAVE_EVERY_S:
            self._save("last")
            self._saved_at = time.perf_counter()
        if recorder.env_steps >= self._film_at:
            self._save(str(recorder.env_steps))  # its appearing is the order to film it
            self._film_at = recorder.env_steps + self.config.film_every
        self._trained_since = time.perf_counter()

    def _substitute(self) -> dict[str, float]:
        steps, buffer = self.recorder.rollout, self.model.rollout_buffer  # type: ignore[attr-defined]
        by_member = predict_rollout(steps, self.reward.predictor)
        predicted = by_member.mean(0)
        substitute(buffer, predicted, self.locals["values"], self.locals["dones"])
        self._add_predicted(steps, predicted)
        snapshot = self.reward.snapshot
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
            "policy/snapshot_age_steps": self.recorder.env_steps - self.reward.since,
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
        values = {}
        if self._returns:
            values["rollout/true_return"] = float(np.mean(self._returns))
        if episodes:
            values["rollout/episode_length"] = float(np.mean([e.length for e in episodes]))
        return values

    def _state(self, seen: NDArray[np.generic]) -> dict[str, float]:
        return {
            "policy/clips_dropped": self.recorder.clips_dropped,
            "policy/random_steps": self._random_steps,
            "policy/ent_coef": self._ent_coef,
            **entering("policy/input", policy_inputs(self.model.policy, seen)),
        }

    def _keep_the_best(self) -> None:
        """By the true return: for people who want to see it; nothing is trained on it."""
        if len(self._returns) == RECENT_EPISODES and np.mean(self._returns) > self._best:
            self._best = float(np.mean(self._returns))
            self._save("best")

    def _look(self) -> NDArray[np.generic]:
        """At some of the rollout's observations, of all environments."""
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        steps = buffer.observations.reshape(-1, *buffer.obs_shape)
        rows = np.linspace(0, len(steps) - 1, min(len(steps), LOOKED_AT)).astype(int)
        seen: NDArray[np.generic] = steps[rows]
        return seen

    def _standardise_pixels(self) -> None:
        """By all that was looked at; here, so that a rollout is trained on as it was seen."""
        features, seen = self.model.policy.features_extractor, self._looked_at
        self._looked_at = None
        if seen is None or not isinstance(features, ImageFeatures):
            return
        if self.config.policy.standard_pixels:
            self._frames.update(newest_frames(seen))
            features.standard.set(self._frames)

    def _log_timing(self) -> None:
        step = self.recorder.env_steps
        learned = step - self._random_steps
        rate = learned / (time.perf_counter() - self._started_at)
        self._metrics.write_timing(
            {
                **{f"time/{name}_s": s for name, s in self.recorder.stopwatch.seconds().items()},
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
        self._reporter.progress(progress)

    def _recent_rate(self, step: int) -> float:
        """Steps a second since the last figures, updates included."""
        now, (before, since) = time.perf_counter(), self._last_rate
        self._last_rate = (step, now)
        return (step - before) / (now - since)


class ToMetrics(KVWriter):
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
