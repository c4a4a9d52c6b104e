"""Policies in SB3's own files: written so that they need nothing of ours, and played.

Such a file holds pickles. Writing one is harmless; reading one runs whatever its maker put there.
"""

import json
import zipfile
from collections.abc import Callable
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
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import Tensor

from prefrl.config import Config, ConfigError, EnvConfig
from prefrl.policy.atari_form import is_atari, max_frames
from prefrl.policy.environment import make_env, task_spaces
from prefrl.run_directory import RunError
from prefrl.runs.evaluation import Act
from prefrl.runs.trained import Trained


class _Spaces(gym.Env[Any, Any]):
    """An environment that is never played: it tells SB3 the spaces of one."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        environment: In Python, the environment in which the file plays as the run's policy does.
        remarks: Where it does not quite.
    """

    environment: str
    remarks: list[str]


def export_sb3(trained: Trained, path: Path) -> Exported:
    """Write the policy as `PPO.load` or `A2C.load` open it where prefrl is not installed.

    What prefrl does outside the networks moves into their weights: vectors enter raw, as the first
    layers hold their normalisation too, and continuous actions come out within the environment's
    own bounds. On images the convolutions are SB3's `NatureCNN`.

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
        raise ConfigError("SB3 has no network like that of a policy with --policy.keypoints")
    if config.env.atari_actions == "reduced":
        raise ConfigError("SB3 has no wrapper for --env.atari-actions reduced")
    if isinstance(bare.action_space, spaces.Discrete) and bare.action_space.start:
        raise ConfigError(f"{config.env.id}: SB3 counts actions from 0, and this environment not")
    seen = trained.model.observation_space if is_image else bare.observation_space
    model = _plain(trained, partial(_Spaces, seen, bare.action_space), is_image)
    weights = {name: value.double() for name, value in trained.model.policy.state_dict().items()}
    if is_image:
        weights = {_natures_name(name): value for name, value in weights.items()}
    else:
        _fold_normalisation(weights, trained)
    if isinstance(bare.action_space, spaces.Box):
        _fold_bounds(weights, bare.action_space)
    model.policy.load_state_dict({name: value.float() for name, value in weights.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return Exported(
        _environment(config.env, spec, is_image), _remarks(trained, bare.observation_space)
    )


def _plain(trained: Trained, make: Callable[[], _Spaces], is_image: bool) -> OnPolicyAlgorithm:
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
    common |= {"policy_kwargs": arch}
    venv = DummyVecEnv([make] * settings.n_envs)
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


def load_sb3(path: Path) -> OnPolicyAlgorithm:
    """The PPO or A2C policy in a file. Runs what the file's maker put into it.

    Raises:
        RunError: It is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = json.loads(archive.read("data"))
        if "gae_lambda" not in names:
            raise RunError(f"{path}: of SB3's algorithms only PPO and A2C are played")
        return (PPO if "clip_range" in names else A2C).load(path, device="cpu")
    except RunError:
        raise
    except Exception as error:  # pickles fail in ways of their own
        raise RunError(f"{path} is no policy that SB3 saved: {error}") from error


def sb3_acts(model: OnPolicyAlgorithm, config: Config, deterministic: bool) -> Act:
    """How a policy of plain SB3 acts where ours sees flat vectors and acts within -1 .. 1.

    Raises:
        ConfigError: It is for other observations or actions.
    """
    task, seen, action = task_spaces(config.env), model.observation_space, model.action_space
    shape = (int(seen.n),) if isinstance(seen, spaces.Discrete) else seen.shape or ()
    fits = shape == task.observation_shape if task.is_image else (
        np.prod(shape) == np.prod(task.observation_shape)
    )  # fmt: skip
    if not fits:
        raise ConfigError(
            f"the policy was trained on observations of {list(shape)}, and those of "
            f"{config.env.id} are {list(task.observation_shape)} here"
        )
    n_actions = int(action.n) if isinstance(action, spaces.Discrete) else None
    if n_actions != task.n_actions or (not n_actions and action.shape != (task.action_size,)):
        raise ConfigError(f"the policy's actions, {action}, are not those of {config.env.id}")

    def act(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        given = (
            observations.argmax(1) if isinstance(seen, spaces.Discrete)
            else observations.reshape(len(observations), *shape)
        )  # fmt: skip
        actions, _ = model.predict(given, deterministic=deterministic)
        if isinstance(action, spaces.Box):
            scaled = 2 * (actions - action.low) / (action.high - action.low) - 1
            actions = scaled.astype(np.float32)
        return actions

    return act
