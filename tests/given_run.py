"""What is left of a run whose labels and reward another begins with."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.labels.store import LabelStore
from prefrl.policy.environment import fingerprint, task_spaces
from prefrl.reward.checkpoint import save_reward
from prefrl.run_directory import RunDirectory, write_json
from prefrl.types import RewardSnapshot


def stored_run(path: Path, config: Config) -> RunDirectory:
    """What is left of a run whose labels and rewards others may want to use."""
    run = RunDirectory.create(path)
    write_json(run.config, to_dict(config))
    task = fingerprint(config.env, task_spaces(config.env))
    LabelStore.create(run.labels, task).close()
    weights = safetensors.numpy.save({"weight": np.zeros(1, np.float32)})
    snapshot = RewardSnapshot(1, weights, np.zeros(1), np.ones(1), 0, 0)
    save_reward(run.checkpoint("last"), snapshot, task, b"")
    return run
