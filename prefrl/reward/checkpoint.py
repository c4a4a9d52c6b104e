"""The reward ensemble on disk: tensors and JSON, nothing that runs when it is read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from prefrl.run_directory import RunError, write_bytes, write_json
from prefrl.types import RewardSnapshot

WEIGHTS, RECORD, RESUME = "reward.safetensors", "reward.json", "reward_resume.safetensors"
FORMAT = 2  # of the tensors' names; 1 had no averages of pixels


def save_reward(
    folder: Path, snapshot: RewardSnapshot, task: dict[str, Any], trainer_state: bytes
) -> None:
    """Write a snapshot, what task it is for, and apart from them what further training needs."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = safetensors.numpy.load(snapshot.weights)
    tensors["means"] = snapshot.means
    tensors["deviations"] = snapshot.deviations
    # One file, so that weights and their normalisation are never of two rounds.
    write_bytes(folder / WEIGHTS, safetensors.numpy.save(tensors))
    write_bytes(folder / RESUME, trainer_state)
    record = {
        "format": FORMAT,
        "version": snapshot.version,
        "n_labels": snapshot.n_labels,
        "pause_at_env_step": snapshot.pause_at_env_step,
        "task": task,
    }
    write_json(folder / RECORD, record)


@dataclass(frozen=True)
class SavedReward:
    """A reward ensemble as read from disk.

    Attributes:
        snapshot: Weights and normalisation.
        task: The fingerprint of the task it is for.
        trainer_state: What further training needs.
    """

    snapshot: RewardSnapshot
    task: dict[str, Any]
    trainer_state: bytes


def load_reward(folder: Path) -> SavedReward:
    """The ensemble that was saved in a folder.

    Raises:
        RunError: There is none that can be read.
    """
    if not (folder / RECORD).exists():
        raise RunError(
            f"no reward ensemble in {folder}: the run learned none, or ended before its first fit"
        )
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if dict(record).get("format", 1) != FORMAT:
            raise ValueError("another version of prefrl saved it, whose networks were others")
        tensors = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
        means, deviations = tensors.pop("means"), tensors.pop("deviations")
        if not all(
            np.isfinite(numbers).all() for numbers in (means, deviations, *tensors.values())
        ):
            raise ValueError("its numbers are not finite")
        if not (deviations > 0).all():
            raise ValueError("a deviation is not above 0")
        snapshot = RewardSnapshot(
            version=record["version"],
            weights=safetensors.numpy.save(tensors),
            means=means,
            deviations=deviations,
            n_labels=record["n_labels"],
            pause_at_env_step=record["pause_at_env_step"],
        )
        return SavedReward(snapshot, record["task"], (folder / RESUME).read_bytes())
    except (
        OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError,
    ) as error:  # fmt: skip
        raise RunError(f"no reward ensemble in {folder}: {error}") from error
