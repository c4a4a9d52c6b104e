"""Before and after each of SB3's rollouts: a newer reward is swapped in, figures go out."""

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from prefrl.config import Config
from prefrl.metrics import Metrics, correlation, peak_memory, process_memory
from prefrl.policy.recorder import ClipRecorder, Step
from prefrl.policy.substitution import predict_rollout, substitute

if TYPE_CHECKING:
    from prefrl.policy.loop import PolicyLoop

RECENT_EPISODES = 20  # the training return shown is the mean over so many
LOG_EVERY = 500  # steps at least: A2C's rollouts are short, and the paper's run has 600,000 of them
SAVE_EVERY_S = 30  # what a killed run loses of its policy at most


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
    """What happens before, during and after each of SB3's rollouts."""

    def __init__(self, loop: "PolicyLoop") -> None:
        super().__init__()
        self.loop, self.recorder = loop, loop.recorder
        self._returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._best = float("-inf")
        self._predicted = np.zeros(loop.recorder.num_envs)  # return so far of the open episodes
        self._predicted_returns: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._trained_since: float | None = None
        self._saved_at = time.perf_counter()
        self._log_at = loop.recorder.env_steps
        self._last_rate = (loop.recorder.env_steps, time.perf_counter())
        every = loop.config.film_every
        self._film_at = loop.recorder.env_steps + every if every else math.inf

    def _on_rollout_start(self) -> None:
        loop = self.loop
        if self._trained_since is not None:
            loop.stopwatch.add("update", time.perf_counter() - self._trained_since)
        with loop.stopwatch("pause"):
            loop.take_latest_snapshot()
            loop.wait_for_overdue_labels()
        # SB3 has a schedule for the learning rate but none for the entropy bonus.
        self._ent_coef = ent_coef(
            loop.config, self.recorder.env_steps / loop.config.total_timesteps
        )
        self.model.ent_coef = self._ent_coef  # type: ignore[attr-defined]
        self.recorder.rollout.clear()
        self._rollout_since = time.perf_counter()

    def _on_step(self) -> bool:
        return not self.loop.stopped()

    def _on_rollout_end(self) -> None:
        loop, recorder = self.loop, self.recorder
        loop.stopwatch.add("rollout", time.perf_counter() - self._rollout_since)
        values: dict[str, float] = {}
        if loop.config.reward == "learned":
            with loop.stopwatch("predict"):
                values = self._substitute()
        if recorder.env_steps >= self._log_at:
            loop.metrics.write(values | self._episodes(), recorder.env_steps)
            self._log_timing()
            self._log_at = recorder.env_steps + LOG_EVERY
        if time.perf_counter() - self._saved_at > SAVE_EVERY_S:
            loop.save("last")
            self._saved_at = time.perf_counter()
        if recorder.env_steps >= self._film_at:
            loop.save(str(recorder.env_steps))  # its appearing is the order to film it
            self._film_at = recorder.env_steps + loop.config.film_every
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
            "policy/ent_coef": self._ent_coef,
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
