"""Runs with everything that a trained one has, made at once: the networks are as they began."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from prefrl.compute import prepare
from prefrl.config import Config, EnvConfig, PolicyConfig, RewardConfig
from prefrl.config_file import to_dict
from prefrl.labels.store import LabelStore
from prefrl.pixels import newest_frames
from prefrl.policy.checkpoint import save_policy
from prefrl.policy.environment import fingerprint, task_spaces
from prefrl.policy.model import ImageFeatures, build_model
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.reward.checkpoint import save_reward
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.run_directory import RunDirectory, write_json
from prefrl.statistics import RunningStatistics

MakeUntrained = Callable[..., RunDirectory]


def untrained_run(path: Path, env_id: str, **changes: object) -> RunDirectory:
    """A run in an environment; changes go to `Config`, those of `env_` to its `EnvConfig`."""
    env = {k[4:]: changes.pop(k) for k in list(changes) if k.startswith("env_")}
    config = Config(
        env=EnvConfig(id=env_id, **env), policy=PolicyConfig(n_envs=1, n_steps=32, batch_size=32),
        predictor=RewardConfig(hidden=(16,)), precision="float32", device="cpu",
    )  # fmt: skip
    config = replace(config, **changes)
    run = RunDirectory.create(path)
    write_json(run.config, to_dict(config))
    placement = prepare(config)
    venv = normalise(make_vec_env(config.env, 1, 0), config, training=True)
    venv.action_space.seed(0)
    seen = [venv.reset()]
    seen += [  # for statistics of observations that are not those they begin with
        venv.step(np.array([venv.action_space.sample()]))[0] for _ in range(40)
    ]
    model = build_model(config, venv, placement)
    if isinstance(model.policy.features_extractor, ImageFeatures):
        model.policy.features_extractor.standard.set(_of_frames(np.concatenate(seen)))
    torch.manual_seed(0)
    with torch.no_grad():  # SB3 begins with policies that hardly tell one state from another
        for parameter in model.policy.action_net.parameters():
            parameter.add_(torch.randn_like(parameter))
    save_policy(run.checkpoint("last"), model, 1234)
    venv.close()
    spaces = task_spaces(config.env)
    task = fingerprint(config.env, spaces)
    LabelStore.create(run.labels, task).close()
    ensemble = RewardEnsemble(
        InputSpec.of(spaces, config.predictor), config.predictor, placement.predictor,
        placement.autocast, torch.Generator().manual_seed(1),
    )  # fmt: skip
    if ensemble.network.standard is not None:
        ensemble.network.standard.set(_of_frames(np.concatenate(seen)))
    ensemble.means = np.linspace(-0.1, 0.1, config.predictor.members)
    ensemble.deviations = np.linspace(0.5, 1.5, config.predictor.members)
    save_reward(run.checkpoint("last"), ensemble.snapshot(1, 10, 0), task, b"")
    return run


def _of_frames(images: np.ndarray) -> RunningStatistics:
    frames = newest_frames(images)
    statistics = RunningStatistics(frames.shape[1])
    statistics.update(frames)
    return statistics
