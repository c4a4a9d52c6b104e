"""One environment in the form that the policy sees, and the shapes it has. Imports no torch."""

import importlib
import inspect
import json
import os
from typing import Any

import gymnasium as gym
import numpy as np
import prefrl_envs  # noqa: F401  registers our environments
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from prefrl.config import ConfigError, EnvConfig
from prefrl.config_file import nearest
from prefrl.policy.atari_form import check_form, is_atari, max_frames, n_actions
from prefrl.policy.wrappers import FlatVector, FromZero, GreyImage
from prefrl.recipes import RECIPES
from prefrl.types import TaskSpaces

DEFAULT_TIME_LIMIT = 1000  # decisions, in environments that have none of their own
# Without a display, pygame's SDL complains on stderr of what rgb_array does not need.
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def make_env(config: EnvConfig, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """One environment: grey `[1, H, W] uint8` images or `[D] float32` vectors.

    Raises:
        ConfigError: The id is unknown, or a space is not supported.
    """
    if is_atari(config.id):
        from prefrl.policy.atari import make_python_atari_env  # which imports torch

        check_registered(config)
        env = make_python_atari_env(
            config.id, image_size=config.image_size, frame_skip=config.atari_frame_skip,
            noop_max=config.atari_noop_max, max_frames=max_frames(config),
            repeat_action_probability=config.atari_repeat_action_probability,
            full_action_space=config.atari_actions == "full", render_mode=render_mode,
        )  # fmt: skip
        return GreyImage(env, config.image_size)
    env = _make_registered(config, render_mode)
    env = _with_supported_actions(env, config.id)
    space = env.observation_space
    if isinstance(space, spaces.Discrete):
        return FlatVector(gym.wrappers.FlattenObservation(env))
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"{config.id}: observations are {type(space).__name__}; "
            "only Box (images or vectors) and Discrete are supported"
        )
    return GreyImage(env, config.image_size) if _is_image(space) else FlatVector(env)


def task_spaces(config: EnvConfig) -> TaskSpaces:
    """The shapes of the task, found by making it once.

    Raises:
        ConfigError: As `make_env`; or its first observation cannot be used.
    """
    if is_atari(config.id):
        check_registered(config)
        side = config.image_size
        return TaskSpaces((config.frame_stack, side, side), n_actions(config), 0)
    env = make_env(config)
    observation, action = env.observation_space.shape, env.action_space
    try:
        _check_reset(env.unwrapped, config.id)
    finally:
        env.close()
    assert observation is not None
    shape = (config.frame_stack, *observation[1:]) if len(observation) == 3 else observation
    if isinstance(action, spaces.Discrete):
        return TaskSpaces(shape, int(action.n), 0)
    assert action.shape is not None
    return TaskSpaces(shape, None, int(np.prod(action.shape)))


def _check_reset(env: gym.Env[Any, Any], id: str) -> None:
    """Of an environment of one's own: deep inside, such mistakes look like somebody else's.

    Raises:
        ConfigError: It cannot be reset, or the first observation has another shape than its space
            or a number that is not finite.
    """
    try:
        seen, _ = env.reset(seed=0)
    except (TypeError, ValueError) as error:
        first_line, _, _ = str(error).partition("\n")
        raise ConfigError(f"{id}: reset(): {first_line}") from error
    shape, there = np.shape(seen), env.observation_space.shape
    if shape != there:
        raise ConfigError(
            f"{id}: reset() gives an observation of shape {shape}, its space says {there}"
        )
    if not np.isfinite(seen).all():
        raise ConfigError(f"{id}: reset() gives an observation with NaN or infinity in it")


def decision_seconds(config: EnvConfig) -> float | None:
    """Seconds of simulated time a decision takes, where the environment says (`dt`: physics)."""
    if is_atari(config.id):
        return None
    env = _make_registered(config, None)
    seconds = getattr(env.unwrapped, "dt", None)
    env.close()
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def exact_form(config: EnvConfig) -> dict[str, Any]:
    """What was really made: small differences in an environment change everything."""
    spec = check_registered(config)
    if is_atari(config.id):
        return {
            "id": config.id,
            "backend": config.atari_backend,
            "frame_skip": config.atari_frame_skip,
            "noop_max": config.atari_noop_max,
            "max_frames": max_frames(config),
            "repeat_action_probability": config.atari_repeat_action_probability,
            "actions": config.atari_actions,
            "score": config.atari_score,
            "episodes": config.atari_episodes,
            "clip_rewards": config.clip_rewards,
        }
    env = _make_registered(config, None)
    made = env.spec
    env.close()
    assert made is not None
    arguments = _defaults_of(spec) | made.kwargs
    # The text of other values has addresses in it, which differ from run to run.
    plain = (str, int, float, bool, type(None))
    return {
        "id": config.id,
        "entry_point": str(spec.entry_point),
        "arguments": {n: repr(v) for n, v in arguments.items() if isinstance(v, plain)},
        "max_episode_steps": made.max_episode_steps,
        "box_actions": "scaled to -1 .. 1",
        "clip_rewards": config.clip_rewards,
    }


def _defaults_of(spec: EnvSpec) -> dict[str, Any]:
    """What the maker of an environment passes where nothing is said."""
    maker: Any = spec.entry_point
    try:
        signature = inspect.signature(load_env_creator(maker) if isinstance(maker, str) else maker)
    except (TypeError, ValueError):  # it tells nobody, as some that are not written in Python
        return {}
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def fingerprint(config: EnvConfig, task: TaskSpaces) -> dict[str, Any]:
    """What labels and reward ensembles must agree in to be of use to each other."""
    atari = {}
    if is_atari(config.id):
        atari = {
            "frame_skip": config.atari_frame_skip,
            "actions": config.atari_actions,
            "score": config.atari_score,
        }
    return atari | {
        "environment": config.id,
        "arguments": list(config.arguments),
        "observation_shape": list(task.observation_shape),
        "n_actions": task.n_actions,
        "action_size": task.action_size,
        "clip_length": config.clip_length,
    }


def check_registered(config: EnvConfig) -> gym.envs.registration.EnvSpec:
    """The environment's registration, after importing the modules that make it.

    Raises:
        ConfigError: A module cannot be imported, the id is unknown, or an Atari game has not the
            form that is wanted.
    """
    for module in config.import_modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"--env-import {module}: {error}") from error
    try:
        spec = gym.spec(config.id)
    except (gym.error.Error, ModuleNotFoundError) as error:
        near = nearest(config.id, [*RECIPES, *gym.registry])
        raise ConfigError(
            f"unknown environment {config.id!r}{near}; --env-import MODULE registers your own"
        ) from error
    if is_atari(config.id):
        check_form(config)
    return spec


def _make_registered(config: EnvConfig, render_mode: str | None) -> gym.Env[Any, Any]:
    spec = check_registered(config)
    try:
        return gym.make(
            spec,
            max_episode_steps=config.time_limit or spec.max_episode_steps or DEFAULT_TIME_LIMIT,
            disable_env_checker=True,  # it would warn again and again while training
            **({"render_mode": render_mode} if render_mode else {}),
            **_arguments(config),
        )
    except gym.error.Error as error:
        raise ConfigError(f"{config.id}: {error}") from error
    except (TypeError, ValueError) as error:
        if not config.arguments:
            raise
        raise ConfigError(f"{config.id} with {' '.join(config.arguments)}: {error}") from error


def _arguments(config: EnvConfig) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for pair in config.arguments:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"env.arguments: expected NAME=VALUE, got {pair!r}")
        try:
            arguments[name] = json.loads(text)
        except ValueError:
            arguments[name] = text
    return arguments


def _with_supported_actions(env: gym.Env[Any, Any], name: str) -> gym.Env[Any, Any]:
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return FromZero(env, space) if space.start else env
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"{name}: actions are {type(space).__name__}; only Box and Discrete are supported"
        )
    if not np.issubdtype(space.dtype, np.floating):
        raise ConfigError(
            f"{name}: Box actions are {space.dtype}; only floating point is supported"
        )
    if not space.is_bounded():
        raise ConfigError(f"{name}: Box actions need finite bounds")
    if not (space.low < space.high).all():
        raise ConfigError(f"{name}: Box actions need a lower bound below the upper one")
    # Differs from the paper: SB3's policy begins with a deviation of 1, and bounds should fit that.
    return gym.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))


def _is_image(space: spaces.Box) -> bool:
    """8-bit, two or three dimensions: grey, or with a channel axis at either end."""
    if space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return len(space.shape) == 2 or space.shape[0] in (1, 3, 4) or space.shape[2] in (1, 3, 4)
