"""Train one recipe on many seeds through the command line, and write a CSV with all of them."""

import csv
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefrl.metrics import read_metrics

RESULTS = Path(__file__).parent / "results"
POINTS = 100  # of a curve
COLUMNS = (
    "seed", "status", "normalised_score", "true_return", "random_return", "best_possible",
    "labels", "labels_unused", "env_steps", "random_steps", "wall_s", "steps_per_s",
    "validation_accuracy", "reward_correlation_step", "reward_correlation_step_random_policy",
)  # fmt: skip


def train_on_seeds(
    name: str,
    recipe: str,
    seeds: Sequence[int],
    *options: str,
    also: Callable[[Path], Mapping[str, Any]] | None = None,
) -> list[Any]:
    """One run a seed, one after the other; their results, which are written to `results/NAME.csv`.

    The learning curve of the first seed is kept as `results/NAME.png`, if it finished. `also`
    looks at a run that finished for more columns.
    """
    results, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            run = Path(folder) / f"{name}-{seed}"
            command = ["prefrl", "train", recipe, "--seed", str(seed), *options]
            program = [str(Path(sys.executable).with_name("prefrl")), *command[1:]]
            log = subprocess.run(
                [*program, "--run-dir", str(run)], capture_output=True, text=True, check=False
            )
            result_file = run / "result.json"
            if not result_file.exists():
                raise RuntimeError(f"seed {seed} left no result:\n{log.stderr}")
            results.append(json.loads(result_file.read_text(encoding="utf-8")))
            rows.append(_row(results[-1]) | {"revision": provenance(run)["git_revision"]})
            if also is not None and results[-1]["status"] == "finished":
                rows[-1] |= also(run)
            print(rows[-1], flush=True)
            write_rows(name, " ".join(command).replace(f"--seed {seed}", "--seed SEED"), rows)
            if seed == seeds[0] and results[-1]["status"] == "finished":
                shutil.copy(run / "plots" / "learning_curve.png", RESULTS / f"{name}.png")
    return results


def provenance(run: Path) -> Any:
    """Where a run comes from."""
    return json.loads((run / "provenance.json").read_text(encoding="utf-8"))


def training_curve(run: Path) -> list[dict[str, Any]]:
    """The mean true return of the last 20 training episodes over the run, and when it was."""
    started = datetime.datetime.fromisoformat(provenance(run)["started_at"]).timestamp()
    clocks = {
        row["step"]: row["wall_clock_s"]
        for row in read_metrics(run / "metrics" / "timing-policy.jsonl")
    }
    return [
        {
            "env_steps": row["step"],
            "minutes": round((clocks[row["step"]] - started) / 60, 1),
            "labels": row.get("policy/snapshot_labels"),
            "true_return": row["rollout/true_return"],
        }
        for row in read_metrics(run / "metrics" / "policy.jsonl")
        if row.get("rollout/true_return") is not None
    ]


def write_curve(name: str, command: str, run: Path) -> None:
    """About a hundred points of a run's training curve, as `results/NAME_curve.csv`."""
    curve = training_curve(run)
    write_rows(f"{name}_curve", command, curve[:: max(1, len(curve) // POINTS)])


def counts(result: Any) -> bool:
    """Whether a run's figure counts: it came to its end, and no label was left over."""
    return result["status"] == "finished" and not result["labels_unused"]


def write_row(name: str, command: str, row: dict[str, Any]) -> None:
    """One measurement, with the command that made it in the first line."""
    print(row)
    write_rows(name, command, [row])


def write_rows(name: str, command: str, rows: Sequence[dict[str, Any]]) -> None:
    """Several measurements of one kind, likewise."""
    columns = dict.fromkeys(column for row in rows for column in row)  # of all rows, in order
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {command}\n")
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _row(result: Any) -> dict[str, Any]:
    row = {name: result.get(name) for name in COLUMNS}
    for played in ("", "_random_policy"):  # by the last policy, and at random
        predicted = result[f"reward_correlation{played}"]
        row[f"reward_correlation_step{played}"] = predicted and predicted["step"]["pearson"]
    for name in ("true_return", "random_return"):
        row[name] = row[name] and row[name]["mean"]
    return {n: round(v, 4) if isinstance(v, float) else v for n, v in row.items()}
