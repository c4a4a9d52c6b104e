"""Policies that SB3 saved, played as ours are.

Such files hold pickles: reading one runs whatever its maker put there.
"""

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from prefrl.config import Config, ConfigError
from prefrl.policy.environment import task_spaces
from prefrl.run_directory import RunError
from prefrl.runs.evaluation import Act


@dataclass(frozen=True)
class Sb3Policy:
    """What SB3 saved.

    Attributes:
        model: PPO or A2C.
        statistics: By which it has observations normalised; None where it takes them as they are.
    """

    model: OnPolicyAlgorithm
    statistics: VecNormalize | None


def load_sb3(path: Path, statistics: Path | None = None) -> Sb3Policy:
    """The policy in a file, and what `VecNormalize` saved in another, if it has observations so.

    Runs what their maker put into them.

    Raises:
        RunError: They are no such files.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = json.loads(archive.read("data"))
        if "gae_lambda" not in names:
            raise RunError(f"{path}: of SB3's algorithms only PPO and A2C are played")
        model = (PPO if "clip_range" in names else A2C).load(path, device="cpu")
    except RunError:
        raise
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # pickles fail in ways of their own
        raise RunError(f"{path} is no policy that SB3 saved: {error}") from error
    return Sb3Policy(model, None if statistics is None else _load_statistics(statistics))


def _load_statistics(path: Path) -> VecNormalize:
    try:
        statistics = pickle.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise RunError(f"{path} is nothing that VecNormalize saved: {error}") from error
    if not isinstance(statistics, VecNormalize):
        raise RunError(f"{path} is nothing that VecNormalize saved")
    return statistics


def sb3_acts(policy: Sb3Policy, config: Config, deterministic: bool) -> Act:
    """How a policy of plain SB3 acts where ours sees flat vectors and acts within -1 .. 1.

    Raises:
        ConfigError: It is for other observations or actions.
    """
    model, statistics = policy.model, policy.statistics
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
    if statistics is not None and statistics.observation_space.shape != shape:
        raise ConfigError(f"the statistics are not of the policy's {list(shape)} numbers")
    if task.is_image and seen.dtype != np.uint8 and statistics is None:
        raise ConfigError(
            "the policy takes normalised images: name the file that VecNormalize saved, with "
            "--sb3-statistics"
        )
    n_actions = int(action.n) if isinstance(action, spaces.Discrete) else None
    if n_actions != task.n_actions or (not n_actions and action.shape != (task.action_size,)):
        raise ConfigError(f"the policy's actions, {action}, are not those of {config.env.id}")

    def act(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        given: NDArray[Any] = (
            observations.argmax(1) if isinstance(seen, spaces.Discrete)
            else observations.reshape(len(observations), *shape)
        )  # fmt: skip
        if statistics is not None:
            given = cast(NDArray[Any], statistics.normalize_obs(given))
        actions, _ = model.predict(given, deterministic=deterministic)
        if isinstance(action, spaces.Box):
            scaled = 2 * (actions - action.low) / (action.high - action.low) - 1
            actions = scaled.astype(np.float32)
        return actions

    return act
