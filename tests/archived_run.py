"""Run directories as runs leave them, made in a moment."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefrl.config import Config, LabelConfig
from prefrl.config_file import to_dict
from prefrl.run_directory import RunDirectory, write_json
from prefrl.runs.archive import seconds_since_epoch

BINS = [[4, 0.55, 0.5], [0, 0, 0], [0, 0, 0], [3, 0.8, 0.6], [9, 0.9, 1.0]]
STARTED = "2026-01-01T00:00:00+00:00"
RESULT: dict[str, Any] = {
    "status": "finished", "env": "prefrl/MovingDotPosition-v0", "seed": 0, "wall_s": 61.5,
    "labels": 200, "env_steps": 300_000, "true_return": {"mean": 70.25, "sd": 3.0, "episodes": 20},
    "random_return": {"mean": -5.0}, "best_possible": 80.0, "error": None,
}  # fmt: skip


def archived(
    path: Path, *, note: str = "", seed: int = 0, labels: int = 200, started: str = STARTED,
    result: dict[str, Any] | None = RESULT,
) -> RunDirectory:  # fmt: skip
    """Its small files; without a result it is a run whose process died."""
    run = RunDirectory.create(path)
    config = replace(Config(), seed=seed, label=LabelConfig(budget=labels))
    write_json(run.config, to_dict(config))
    write_json(
        run.provenance, {"note": note, "started_at": started, "command": ["prefrl", "train"]}
    )
    if result is not None:
        write_json(run.result, result)
    return run


def write_figures(run: RunDirectory, returns: list[float], every_s: float = 10.0) -> None:
    """A rollout of 1,000 steps for each return, and a round of 10 labels for every second one."""
    began = seconds_since_epoch(STARTED)
    assert began is not None
    lines: dict[str, list[dict[str, Any]]] = {
        "policy": [], "reward": [], "timing-policy": [], "timing-reward": [], "evaluation": [],
    }  # fmt: skip
    for i, value in enumerate(returns, start=1):
        step, labels, clock = 1000 * i, 10 * ((i + 1) // 2), began + every_s * i
        lines["policy"] += [
            {"step": step, "rollout/true_return": value, "policy/snapshot_labels": labels},
            {"step": step, "train/loss": 0.5},
        ]
        lines["timing-policy"].append(
            {"step": step, "wall_clock_s": clock, "time/rollout_s": 6.0 * i, "time/update_s": 3.0,
             "time/environment_s": 2.0 * i, "time/steps_per_s": 9.0,
             "memory/resident_bytes": 2**20 * (100 + i)}
        )  # fmt: skip
        lines["reward"].append(
            {"step": step, "labels/answered": labels, "labels/due": labels - 2,
             "reward/validation_accuracy": 0.8, "reward/correlation_step": 0.5,
             "reward/calibration_error": 0.1,
             "reward/calibration": BINS}
        )  # fmt: skip
        lines["timing-reward"].append(
            {"step": step, "wall_clock_s": clock + 1, "time/train_s": 4.0 * i, "time/rest_s": 1.0,
             "memory/resident_bytes": 2**20 * 200}
        )  # fmt: skip
        for policy, predicted in (("random", -value), ("final", 2 * value)):
            lines["evaluation"].append(
                {
                    "step": step,
                    "policy": policy,
                    "true_reward": value,
                    "predicted_reward": predicted,
                }
            )
    run.metrics.mkdir()
    for name, content in lines.items():
        text = "".join(f"{json.dumps(line)}\n" for line in content)
        (run.metrics / f"{name}.jsonl").write_text(text)
