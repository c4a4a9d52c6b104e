"""How much faster than real time does `prefrl replay` write the video of an episode of Pong?

Hypothesis: 10 times or more on two cores, by the true reward alone and with the ensemble's band;
a second of Pong has 15 decisions. Measured are the whole command, and the same in a process that
has everything loaded already; medians of three.
"""

import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seeds import write_rows

from prefrl.cli import main as prefrl

PREFRL = str(Path(sys.executable).with_name("prefrl"))
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
TIMES = 3
FEW = (
    "--total-timesteps", str(STEPS), "--evaluation-episodes", "1", "--labels", "12",
    "--predictor.pretrain-epochs", "2", "--label.initial-fraction", "1",
)  # fmt: skip


def train(reward: str, run: Path) -> None:
    command = [PREFRL, "train", "pong", "--reward", reward, *FEW, "--run-dir", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def in_a_new_process(run: Path) -> None:
    subprocess.run([PREFRL, "replay", str(run)], check=True, stdout=subprocess.DEVNULL)


def in_this_process(run: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert prefrl(["replay", str(run)]) == 0


def seconds(replay: Callable[[Path], None], run: Path) -> list[float]:
    measured = []
    for _ in range(TIMES):
        since = time.perf_counter()
        replay(run)
        measured.append(round(time.perf_counter() - since, 2))
    return measured


def measure(reward: str, run: Path) -> dict[str, Any]:
    train(reward, run)
    in_this_process(run)  # loads everything, and is not counted
    command, loaded = seconds(in_a_new_process, run), seconds(in_this_process, run)
    (record,) = (json.loads(path.read_text()) for path in run.glob("videos/replay-*.json"))
    (episode,) = record["episodes"]
    assert (episode["predicted_rewards"] is not None) == (reward == "learned")
    real = episode["steps"] / record["frames_per_second"]
    row: dict[str, Any] = {"reward": reward, "steps": episode["steps"], "real_s": round(real, 2)}
    for way, times in (("command", command), ("loaded", loaded)):
        row[f"{way}_s"] = " ".join(map(str, times))
        row[f"{way}_times_real"] = round(real / statistics.median(times), 2)
    print(row, flush=True)
    return row


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(reward, Path(folder) / reward) for reward in ("true", "learned")]
    write_rows("replay_speed", f"python experiments/replay_speed.py {STEPS}", rows)


if __name__ == "__main__":
    main()
