"""What do videos during training cost? Steps a second of Pong with `--video-every` and without.

Hypothesis: under 3% of the speed on two cores. Both with equal seeds, ten times, each first in
every other pair; `steps_per_s` of `result.json` leaves out start, first labels and evaluation. A
video comes every 20,000 steps, or in shorter runs once, early enough to be filmed while the policy
learns. In the 40,000 steps here one is being made for the second half of the training; where people
label, whose runs have ten videos, one is for less than a fifth of it, and costs as much less.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from seeds import write_rows

from prefrl.runs.intervals import bootstrap_interval, interquartile_mean

PREFRL = str(Path(sys.executable).with_name("prefrl"))
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
EVERY = min(20_000, STEPS * 5 // 8)
TIMES = 10
FEW = (
    "--total-timesteps", str(STEPS), "--evaluation-episodes", "1", "--labels", "12",
    "--predictor.pretrain-epochs", "2", "--label.initial-fraction", "1",
)  # fmt: skip


def train(run: Path, seed: int, video_every: int) -> dict[str, Any]:
    command = [PREFRL, "train", "pong", *FEW, "--seed", str(seed), "--run-dir", str(run)]
    videos = ["--video-every", str(video_every)] if video_every else []
    subprocess.run([*command, *videos], check=True, stdout=subprocess.DEVNULL)
    result = json.loads((run / "result.json").read_text())
    row = {
        "seed": seed, "video_every": video_every,
        "videos": len(list(run.glob("videos/step-*.mp4"))), "env_steps": result["env_steps"],
        "steps_per_s": round(result["steps_per_s"], 1), "wall_s": round(result["wall_s"], 1),
    }  # fmt: skip
    print(row, flush=True)
    return row


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            train(Path(folder) / f"{seed}-{video_every}", seed, video_every)
            for seed in range(TIMES)
            for video_every in ((0, EVERY) if seed % 2 else (EVERY, 0))
        ]
    write_rows("video_cost", f"python experiments/video_cost.py {STEPS}", rows)
    without, filmed = (
        {row["seed"]: row["steps_per_s"] for row in rows if row["video_every"] == video_every}
        for video_every in (0, EVERY)
    )
    ratios = [filmed[seed] / without[seed] for seed in range(TIMES)]
    middle = interquartile_mean(np.array(ratios))
    low, high = bootstrap_interval([np.array(ratios)], np.random.default_rng(0))
    print(f"{middle:.3f} of the speed without ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
