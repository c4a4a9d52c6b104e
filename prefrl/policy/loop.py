"""The policy side: act at random until there is a reward to learn from, then learn.

Owns the environments, the SB3 model and the recorder. What it knows of rewards, it knows from the
latest snapshot.
"""

import math
import time
from collections.abc import Callable
from functools import cached_property

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from prefrl.compute import Placement
from prefrl.config import Config
from prefrl.cores import SecondCore
from prefrl.link import PolicyLink, Reporter
from prefrl.metrics import Metrics
from prefrl.policy.atari import AtariVecEnv
from prefrl.policy.between_rollouts import BetweenRollouts, ToMetrics
from prefrl.policy.checkpoint import save_policy
from prefrl.policy.films import FILM_SHARE
from prefrl.policy.model import build_model
from prefrl.policy.recorder import ClipRecorder
from prefrl.policy.reward_in_force import PredictorOf, RewardInForce
from prefrl.policy.vec_env import (
    clip_rewards,
    hide_ends,
    make_vec_env,
    normalise,
    training_seed,
)
from prefrl.run_directory import RunDirectory
from prefrl.run_status import WAITING
from prefrl.types import ClipPair, clips_for

# How long a stopped run goes on acting at random, so that people have clips to compare after it.
LAST_CLIPS_S = 2.0


class PolicyLoop:
    """A training run's policy, from the first random step to the last update.

    Args:
        config: Of the run.
        run: Where checkpoints go.
        link: To the reward side.
        predictor_of: Builds a predictor from a snapshot.
        random_clips: Clips that the reward side wants from a random policy before it can start.
        placement: Where the networks live.
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
        placement: Placement,
        metrics: Metrics,
        reporter: Reporter,
        stopped: Callable[[], bool],
    ) -> None:
        self.config, self.run = config, run
        self.random_clips, self.stopped = random_clips, stopped
        self.metrics, self.reporter = metrics, reporter
        self.recorder = make_recorder(config, link.offer)
        self.stopwatch = self.recorder.stopwatch
        self.venv = normalise(self.recorder, config, training=True)
        self.reward = RewardInForce(link, predictor_of, self.recorder, reporter, stopped)
        self._placement, self._link = placement, link
        self.random_steps = 0
        self.learning_started_at: float | None = None
        self._stop_seen_at = math.inf

    def learn(self) -> None:
        """Run to the last step, or until stopped, and save the policy as `last`."""
        if self.config.reward == "learned":
            self.random_steps = act_at_random(
                self.venv, self.recorder, self.random_clips, self._first_snapshot_or_end,
                np.random.default_rng((self.config.seed, 2)),
            )  # fmt: skip
            self.recorder.episodes.clear()  # they are not the policy's
        rollout = self.config.policy.n_steps * self.config.policy.n_envs
        whole_rollouts = (self.config.total_timesteps - self.recorder.env_steps) // rollout
        if whole_rollouts <= 0:
            self.reporter.warn(
                "the steps were used up before there was a reward: nothing was learned"
            )
        elif not self.stopped():
            self.learning_started_at = time.perf_counter()
            if self.recorder.studio is not None:
                self.recorder.studio.share = FILM_SHARE  # all until now: every clip was wanted
            to_learn = whole_rollouts * rollout
            games = self.venv.unwrapped
            players = games.threads if isinstance(games, AtariVecEnv) else ()
            second_core = SecondCore(self._link.core_is_free, players)
            self.model.learn(to_learn, callback=self._between_rollouts(second_core))
            second_core.leave()  # as saved policies do: they are evaluated to the same numbers
            self.learning_ended_at = time.perf_counter()
        self.save("last")

    def _between_rollouts(self, second_core: SecondCore) -> BetweenRollouts:
        return BetweenRollouts(
            self.config, self.reward, self.recorder, self.random_steps, self.metrics,
            self.reporter, self.save, self.stopped, second_core,
        )  # fmt: skip

    def save(self, name: str) -> None:
        """Write the policy as a checkpoint."""
        with self.stopwatch("save"):
            save_policy(self.run.checkpoint(name), self.model, self.recorder.env_steps)

    @cached_property
    def model(self) -> OnPolicyAlgorithm:
        """SB3's algorithm; built when first asked for, so that the first step need not wait."""
        model = build_model(self.config, self.venv, self._placement)
        model.set_logger(Logger(None, [ToMetrics(self.metrics, self.recorder)]))
        return model

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps a second since the policy began to learn."""
        if self.learning_started_at is None:
            return None
        seconds = self.learning_ended_at - self.learning_started_at
        return (self.recorder.env_steps - self.random_steps) / seconds

    def _first_snapshot_or_end(self) -> bool:
        """Look for the first snapshot, and say how it goes; whether acting at random is over."""
        self.reward.take_latest()
        gathered = 2 * self.recorder.pairs_sent >= self.random_clips
        doing = WAITING if gathered else "acting at random"
        if gathered:
            _ = self.model  # built while the first labels are waited for
        self.reporter.progress({"env_steps": self.recorder.env_steps, "policy": doing})
        out_of_budget = self.recorder.env_steps >= self.config.total_timesteps
        return self.reward.snapshot is not None or out_of_budget or self._may_stop_at_random()

    def _may_stop_at_random(self) -> bool:
        """Whether to stop before there is a reward: at once, but where people label not before
        there are clips for what they may answer after the run.
        """
        if not self.stopped():
            return False
        self._stop_seen_at = min(self._stop_seen_at, time.monotonic())
        too_late = time.monotonic() - self._stop_seen_at > LAST_CLIPS_S
        wanted = min(clips_for(self.config.label.budget), self.random_clips)
        enough = 2 * self.recorder.pairs_sent >= wanted
        return self.recorder.studio is None or enough or too_late


def make_recorder(config: Config, offer: Callable[[ClipPair], bool]) -> ClipRecorder:
    """The training environments, up to the recorder, which offers pairs of clips."""
    films = config.label.labeler == "human" and config.reward == "learned"
    venv = make_vec_env(config.env, config.policy.n_envs, training_seed(config, 5), films=films)
    return ClipRecorder(
        hide_ends(clip_rewards(venv, config.env), config.env),
        clip_length=config.env.clip_length,
        clip_fraction=0.0 if config.reward == "true" else config.policy.clip_fraction,
        pass_rewards=config.reward == "true",
        offer=offer,
        rng=np.random.default_rng((config.seed, 3)),
        films=films,
    )


def act_at_random(
    venv: VecEnv,
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
