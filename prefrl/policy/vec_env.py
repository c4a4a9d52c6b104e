"""The stack of vectorised environments, from the bare ones up to what SB3 sees.

    bare environments -> frame stack -> clipped rewards -> hidden ends -> clip recorder
        -> normalised vectors, or images' moments

Each layer has one job; the recorder's is in `recorder.py`.
"""

import functools

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.config import Config, EnvConfig
from prefrl.keypoints import MOMENTS, frame_moments
from prefrl.policy.atari import AtariVecEnv
from prefrl.policy.atari_form import is_atari, max_frames
from prefrl.policy.atari_layers import in_form
from prefrl.policy.camera import make_filmed_env
from prefrl.policy.environment import check_registered, make_env


def make_vec_env(config: EnvConfig, n_envs: int, seed: int, films: bool = False) -> VecEnv:
    """Environments whose ends show: `[n, K, H, W] uint8` or `[n, D] float32`, true rewards.

    Args:
        config: Of each.
        n_envs: How many.
        seed: Of all of them together.
        films: For a recorder that films: they answer `picture` and `last_picture`.

    Raises:
        ConfigError: As `make_env`.
    """
    if is_atari(config.id) and config.atari_backend == "native":
        check_registered(config)
        venv: VecEnv = AtariVecEnv(
            config.id, n_envs, seed=seed, image_size=config.image_size,
            frame_skip=config.atari_frame_skip, noop_max=config.atari_noop_max,
            max_frames=max_frames(config), films=films,
            repeat_action_probability=config.atari_repeat_action_probability,
            full_action_space=config.atari_actions == "full",
        )  # fmt: skip
    else:
        make = make_filmed_env if films else make_env
        venv = DummyVecEnv([functools.partial(make, config)] * n_envs)
    venv.seed(seed)
    if is_atari(config.id):
        venv = in_form(venv, config)
    if len(venv.observation_space.shape or ()) == 3:
        return VecFrameStack(venv, config.frame_stack, channels_order="first")
    return venv


class ClippedRewards(VecEnvWrapper):
    """The sign of each reward; `infos[i]["withheld"]` has what was taken from it.

    Source: paper, appendix A.2, as in Mnih et al. 2015.
    """

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        signs = np.sign(rewards)
        for i in np.flatnonzero(signs != rewards):
            infos[i]["withheld"] = float(rewards[i] - signs[i])
        return observations, signs, dones, infos


class HiddenEnds(VecEnvWrapper):
    """Ends that are no time limit do not reach the agent: the next episode goes on from there.

    `infos[i]["hidden_end"]` tells the layers above, that keep count of episodes, and
    `infos[i]["withheld"]` what was taken from the reward. A time limit still shows; SB3 bootstraps
    the value there. Source: paper, section 3.1 and appendix A.

    Args:
        venv: The environments.
        penalty: Subtracted from the true reward of an episode's last step.
    """

    def __init__(self, venv: VecEnv, penalty: float) -> None:
        super().__init__(venv)
        self._penalty = penalty

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        dones, rewards = dones.copy(), rewards.astype(np.float32)
        for i in np.flatnonzero(dones):
            if not infos[i].get("TimeLimit.truncated", False):
                dones[i] = False
                infos[i]["hidden_end"] = True
                infos[i]["withheld"] = infos[i].get("withheld", 0.0) + self._penalty
                rewards[i] -= self._penalty
        return observations, rewards, dones, infos


def clip_rewards(venv: VecEnv, config: EnvConfig) -> VecEnv:
    """The environments with the rewards that the oracle compares."""
    return ClippedRewards(venv) if config.clip_rewards else venv


def hide_ends(venv: VecEnv, config: EnvConfig) -> VecEnv:
    """The environments as `--terminations` wants them."""
    return venv if config.terminations == "keep" else HiddenEnds(venv, config.end_penalty)


def training_seed(config: Config, stream: int) -> int:
    """A seed for the run's training environments and their policy.

    Not the run's seed itself: environment i of seed s would be environment i - 1 of seed s + 1.
    """
    return int(np.random.default_rng((config.seed, stream)).integers(2**30))


class FrameMoments(VecEnvWrapper):
    """Of images only what keypoints need, `[n, K, 3, 13] float32`.

    Here, because an extractor would compute it again in each of PPO's epochs.
    """

    def __init__(self, venv: VecEnv) -> None:
        frames = (venv.observation_space.shape or ())[0]
        super().__init__(venv, spaces.Box(-np.inf, np.inf, (frames, *MOMENTS), np.float32))

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        return self.normalize_obs(self.venv.reset())

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            last = infos[i]["terminal_observation"]
            infos[i]["terminal_observation"] = self.normalize_obs(last)
        return self.normalize_obs(observations), rewards, dones, infos

    def normalize_obs(self, observations: VecEnvObs) -> NDArray[np.float32]:
        """Under the name that SB3's `VecNormalize` has for it."""
        assert isinstance(observations, np.ndarray)
        return frame_moments(observations)


def normalise(venv: VecEnv, config: Config, training: bool) -> VecEnv:
    """What the policy sees, and the rewards of the baseline.

    SB3's own normalisation: of vectors always, of rewards only where they are the true ones. So the
    baseline's come at a scale that does not hang on the task, as the learned ones do. Images stay
    as they are, or become the moments that keypoints are computed from.

    # Differs from the paper: its baseline in Atari has clipped rewards as they are.
    """
    is_image = len(venv.observation_space.shape or ()) == 3
    normalised = VecNormalize(
        venv,
        training=training,
        norm_obs=not is_image,
        norm_reward=training and config.reward == "true",
        gamma=config.policy.gamma,
    )
    return FrameMoments(normalised) if is_image and config.policy.keypoints else normalised
