"""The reward ensemble on disk: tensors and JSON, nothing that runs when it is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from prefrl.run_directory import RunError, write_bytes, write_json
from prefrl.types import RewardSnapshot

WEIGHTS, RECORD, RESUME = "reward.safetensors", "reward.json", "reward_resume.safetensors"


def save_reward(
    folder: Path, snapshot: RewardSnapshot, task: dict[str, Any], trainer_state: bytes
) -> None:
    """Write a snapshot, what task it is for, and apart from them what further training needs."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / WEIGHTS, snapshot.weights)
    write_bytes(folder / RESUME, trainer_state)
    record = {
        "version": snapshot.version,
        "n_labels": snapshot.n_labels,
        "means": snapshot.means.tolist(),
        "deviations": snapshot.deviations.tolist(),
        "pause_at_env_step": snapshot.pause_at_env_step,
        "task": task,
    }
    write_json(folder / RECORD, record)


def load_reward(folder: Path) -> tuple[RewardSnapshot, dict[str, Any]]:
    """The snapshot that was saved, and the task it is for.

    Raises:
        RunError: There is none.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        snapshot = RewardSnapshot(
            version=record["version"],
            weights=(folder / WEIGHTS).read_bytes(),
            means=np.array(record["means"], np.float64),
            deviations=np.array(record["deviations"], np.float64),
            n_labels=record["n_labels"],
            pause_at_env_step=record["pause_at_env_step"],
        )
        return snapshot, record["task"]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"no reward ensemble in {folder}: {error}") from error
