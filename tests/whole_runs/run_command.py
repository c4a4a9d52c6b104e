"""What the real command is given, and what a run of it leaves on disk."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefrl.labels.store import LabelStore

SECRET = "not-for-the-archive"
DOT = "moving-dot-position"
SHORT = [
    "--total-timesteps", "6000", "--policy.n-steps", "64", "--labels", "40",
    "--predictor.pretrain-epochs", "20", "--evaluation-episodes", "4",
]  # fmt: skip
RESULT_FIELDS = {
    "status", "env", "seed", "wall_s", "env_steps", "random_steps", "steps_per_s", "labels",
    "labels_unused", "snapshots", "clips_dropped", "validation_accuracy", "peak_memory_bytes",
    "true_return", "random_return", "best_possible", "normalised_score", "predicted_return",
    "reward_correlation", "reward_correlation_random_policy", "error",
}  # fmt: skip


class Run:
    """A run that has ended: what it printed and what it left."""

    def __init__(self, path: Path, ended: subprocess.CompletedProcess[str]) -> None:
        self.path, self.exit_code = path, ended.returncode
        self.out, self.err = ended.stdout, ended.stderr

    @property
    def result(self) -> dict[str, Any]:
        assert self.exit_code == 0, self.err
        read: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return read

    def files(self, folder: str) -> dict[str, bytes]:
        """The contents of a folder, by path inside it."""
        base = self.path / folder
        return {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file()}

    @property
    def store(self) -> LabelStore:
        return LabelStore.open(self.path / "labels.sqlite3")


Prefrl = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., Run]


def finite_or_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite_or_null, value.values()))
    return value is None or isinstance(value, str) or math.isfinite(value)
