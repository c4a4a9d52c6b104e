"""Policies for SB3: written so that they need nothing of ours."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import Tensor

from prefrl.config import ConfigError, EnvConfig
from prefrl.pixels import LIMIT
from prefrl.policy.atari_form import is_atari, max_frames
from prefrl.policy.environment import make_env, task_spaces
from prefrl.policy.model import ImageFeatures
from prefrl.runs.trained import Trained


class _Spaces(gym.Env[Any, Any]):
    """An environment that is never played: it tells SB3 the spaces of one."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        statistics: What `VecNormalize` loads; None where the policy takes observations as they are.
        environment: In Python, the environment in which the file plays as the run's policy does.
        remarks: Where it does not quite.
    """

    statistics: Path | None
    environment: str
    remarks: list[str]


def export_sb3(trained: Trained, path: Path) -> Exported:
    """Write the policy as `PPO.load` or `A2C.load` open it where prefrl is not installed.

    What prefrl does outside the networks moves into their weights: vectors enter raw, as the first
    layers hold their normalisation too, and continuous actions come out within the environment's
    own bounds. On images the convolutions are SB3's `NatureCNN`, which has no place for an average
    of each pixel: that goes into a second file, for SB3's `VecNormalize`.

    Raises:
        ConfigError: The environment counts its actions from another number than 0, or SB3 has
            nothing like the policy's network or its actions.
    """
    config = trained.config
    env = make_env(config.env)
    bare, spec, is_image = env.unwrapped, env.spec, task_spaces(config.env).is_image
    env.close()
    assert spec is not None
    if is_image and config.policy.keypoints:
        raise ConfigError(
            "SB3 has no network like that of a policy with keypoints; one that was trained with "
            "--policy.keypoints 0 is exported"
        )
    if config.env.atari_actions == "reduced":
        raise ConfigError("SB3 has no wrapper for --env.atari-actions reduced")
    if isinstance(bare.action_space, spaces.Discrete) and bare.action_space.start:
        raise ConfigError(f"{config.env.id}: SB3 counts actions from 0, and this environment not")
    seen = trained.model.observation_space if is_image else bare.observation_space
    venv: VecEnv = DummyVecEnv([partial(_Spaces, seen, bare.action_space)] * config.policy.n_envs)
    if is_image:
        venv = _standard_pixels(trained, venv)
    model = _plain(trained, venv, is_image)
    weights = {name: value.double() for name, value in trained.model.policy.state_dict().items()}
    if is_image:
        weights = {
            _natures_name(name): value
            for name, value in weights.items()
            if ".standard." not in name
        }
    else:
        _fold_normalisation(weights, trained)
    if isinstance(bare.action_space, spaces.Box):
        _fold_bounds(weights, bare.action_space)
    model.policy.load_state_dict({name: value.float() for name, value in weights.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    environment = _environment(config.env, spec, is_image)
    statistics = None
    if isinstance(venv, VecNormalize):
        statistics = path.with_suffix(".vecnormalize.pkl")
        venv.save(str(statistics))
        environment = f"VecNormalize.load({str(statistics)!r}, VecTransposeImage({environment}))"
    return Exported(statistics, environment, _remarks(trained, bare.observation_space))


def _standard_pixels(trained: Trained, venv: VecEnv) -> VecNormalize:
    """SB3's wrapper that does what our `StandardPixels` does in front of the convolutions."""
    features = trained.model.policy.features_extractor
    assert isinstance(features, ImageFeatures)
    standard = features.standard
    wrapper = VecNormalize(venv, training=False, norm_reward=False, clip_obs=LIMIT)
    assert isinstance(wrapper.obs_rms, RunningMeanStd)
    wrapper.obs_rms.mean = np.zeros(wrapper.obs_rms.mean.shape) + standard.mean[0].numpy()
    wrapper.obs_rms.var = np.full_like(wrapper.obs_rms.mean, float(standard.deviation) ** 2)
    return wrapper


def _plain(trained: Trained, venv: VecEnv, is_image: bool) -> OnPolicyAlgorithm:
    """The same algorithm with SB3's own parts alone."""
    config, like = trained.config, trained.model
    settings = config.policy
    names = (
        "n_steps", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "use_sde",
        "sde_sample_freq",
    )  # fmt: skip
    common: dict[str, Any] = {name: getattr(like, name) for name in names}
    common |= {"learning_rate": settings.learning_rate, "device": "cpu"}
    arch = {name: getattr(like.policy, name) for name in ("net_arch", "activation_fn")}
    common |= {"policy_kwargs": arch | ({"normalize_images": False} if is_image else {})}
    policy = "CnnPolicy" if is_image else "MlpPolicy"
    if not isinstance(like, PPO):
        return A2C(policy, venv, **common)
    return PPO(
        policy, venv, **common, batch_size=like.batch_size, n_epochs=like.n_epochs,
        clip_range=settings.clip_range,
    )  # fmt: skip


def _natures_name(name: str) -> str:
    """What SB3's `NatureCNN` calls a weight of our `ImageFeatures`."""
    return name.replace(".convolutions.", ".cnn.").replace(".dense.", ".linear.")


def _fold_normalisation(weights: dict[str, Tensor], trained: Trained) -> None:
    """Let the first layers take raw vectors: W (x - m) / s = (W / s) x - (W / s) m."""
    mean, deviation = map(torch.from_numpy, _statistics(trained))
    first = ["mlp_extractor.policy_net.0", "mlp_extractor.value_net.0"]
    if not trained.config.policy.net_arch:
        first = ["action_net", "value_net"]
    for layer in first:
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"] / deviation
        weights[f"{layer}.bias"] -= weights[f"{layer}.weight"] @ mean


def _fold_bounds(weights: dict[str, Tensor], space: spaces.Box) -> None:
    """Let actions come out within the environment's bounds, not within -1 .. 1."""
    low, high = (torch.from_numpy(b.ravel().astype(np.float64)) for b in (space.low, space.high))
    half = (high - low) / 2
    weights["action_net.weight"] *= half[:, None]
    weights["action_net.bias"] = weights["action_net.bias"] * half + (low + high) / 2
    weights["log_std"] = weights["log_std"] + half.log()


def _statistics(trained: Trained) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation by which SB3 normalises vectors."""
    venv = trained.model.get_env()
    assert isinstance(venv, VecNormalize)
    assert isinstance(venv.obs_rms, RunningMeanStd)
    return venv.obs_rms.mean, np.sqrt(venv.obs_rms.var + venv.epsilon)


def _environment(env: EnvConfig, spec: EnvSpec, is_image: bool) -> str:
    """In Python, what makes the environment as it was made here."""
    if is_atari(env.id):
        return (
            f'VecFrameStack(make_atari_env("{env.id}", env_kwargs=dict(frameskip=1, '
            f"repeat_action_probability={env.atari_repeat_action_probability}, "
            f"full_action_space={env.atari_actions == 'full'}, "
            f"max_num_frames_per_episode={max_frames(env)}), wrapper_kwargs=dict("
            f"terminal_on_life_loss={env.atari_episodes == 'life'}, clip_reward=False, "
            f"frame_skip={env.atari_frame_skip}, noop_max={env.atari_noop_max}, "
            f"screen_size={env.image_size})), {env.frame_stack})"
        )
    names = [argument.partition("=")[0] for argument in env.arguments]
    given = {name: spec.kwargs[name] for name in names}
    arguments = "".join(
        f", {name}={value!r}"
        for name, value in {"max_episode_steps": spec.max_episode_steps, **given}.items()
    )
    made = f'gymnasium.make("{env.id}"{arguments})'
    if not is_image:
        return made
    small = f"WarpFrame({made}, {env.image_size}, {env.image_size})"
    return f"VecFrameStack(DummyVecEnv([lambda: {small}]), {env.frame_stack})"


def _remarks(trained: Trained, observed: spaces.Space[Any]) -> list[str]:
    remarks = []
    if is_atari(trained.config.env.id):
        remarks.append("`import ale_py; gymnasium.register_envs(ale_py)` registers the environment")
    modules = list(trained.config.env.import_modules)
    modules += ["prefrl_envs"] if trained.config.env.id.startswith("prefrl/") else []
    remarks += [f"`import {module}` registers the environment" for module in modules]
    if trained.config.env.atari_score != "shown":
        remarks.append(
            f"trained with the score {trained.config.env.atari_score}, which SB3's wrappers show: "
            "games may differ"
        )
    if trained.config.env.atari_episodes == "rally":
        remarks.append("trained on rallies; SB3's episodes are whole games")
    if trained.config.policy.use_sde:
        remarks.append("evaluate_policy draws no new exploration noise: use deterministic=True")
    venv = trained.model.get_env()
    assert isinstance(venv, VecNormalize)
    if not venv.norm_obs:
        if trained.config.precision == "bfloat16":
            remarks.append("trained in bfloat16; SB3 computes in float32, so games may differ")
        return remarks
    if isinstance(observed, spaces.Box):
        mean, deviation = _statistics(trained)
        bounds = np.stack([observed.low.ravel(), observed.high.ravel()])
        if (np.abs(bounds - mean) / deviation > venv.clip_obs).any():
            remarks.append(
                f"equal as long as no observation is {venv.clip_obs:g} deviations from its mean: "
                "beyond that prefrl cuts it off, and this file does not"
            )
    return remarks
