"""How fast is Pong from preferences, beside stock SB3 on the true reward? What `make bench` runs.

Policies: `prefrl train pong`, preferences on (three members, labels and training rounds on schedule
and all used), counted from the first snapshot on; and SB3 with `make_atari_env` as it comes, on the
true reward, 8 environments in one process or 16 in processes of their own, whichever is faster.
Equal steps of each environment a rollout, equal epochs and batches. In turn, five times; medians.
The predictor has as much to do as in a whole run: it reads a label about every 14 steps (there
rounds are of 250 labels, here they are smaller and more; a paper's predictor reads one every 10).
The recipe's frames are smaller than stock's 84x84, which is a good part of the difference: 84 as an
argument says how large a part.

Rewards: frames a second of a training round (labels read from the store, clips decompressed, losses
measured) beside the bare loop of the same network on a batch that lies ready; one member beside
three; pairs a second of one member on both cores, beside the 8.5 of `imitation`'s default network,
which sees 84x84.

Hypotheses: policies at least 2.0 times as fast; rounds at least 75% of the bare loop; three members
at least 90% of one, counted in frames times members; at least 30 times as many pairs; predicting
rewards at most 20% of the policy process's time, choosing queries at most 5% of the other's.

    python experiments/speed.py [ROUNDS [SIDE]]
"""

import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from seeds import RESULTS

from prefrl.compute import fast_format, keep_freed_memory
from prefrl.config import RewardConfig
from prefrl.labels.store import LabelStore
from prefrl.metrics import read_metrics
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loss import preference_loss
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.types import TaskSpaces

PREFRL = str(Path(sys.executable).with_name("prefrl"))
IMITATION_PAIRS_PER_S = 8.5  # its default CNN, 25-step pairs of 84x84x4, two such cores
PONG = RECIPES["pong"].config
STEPS, FIRST_LABELS, LABELS, ROUND_LABELS = 30_000, 70, 130, 10
READ_TIMES = 4
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SIDE = int(sys.argv[2]) if len(sys.argv) > 2 else PONG.env.image_size
Figures = dict[str, list[float]]


def train(algo: str, run: Path) -> dict[str, float]:
    """One run from preferences: its speed, and where its time went."""
    command = [
        PREFRL, "train", "pong", "--algo", algo, "--total-timesteps", str(STEPS),
        "--labels", str(LABELS), "--label.initial-fraction", str(FIRST_LABELS / LABELS),
        "--label.schedule", "constant", "--label.round-labels", str(ROUND_LABELS),
        # What comes once a round comes as seldom as in a whole run, and the first is not counted.
        "--predictor.normalise-over-clips", "32", "--predictor.pretrain-epochs", "4",
        "--evaluation-episodes", "1", "--env.time-limit", "400",
        "--env.image-size", str(SIDE), "--run-dir", str(run),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    result = json.loads((run / "result.json").read_text())
    assert not result["labels_unused"]
    policy, reward = (
        phases(run / "metrics" / f"timing-{name}.jsonl") for name in ("policy", "reward")
    )
    policy_s = policy["rollout"] + policy["update"] + policy["predict"]
    rings = [row["labels/answered"] for row in read_metrics(run / "metrics" / "reward.jsonl")]
    reads = PONG.predictor.round_epochs * sum(rings[1:])
    return {
        "steps_per_s": result["steps_per_s"],
        "steps_per_label_read": (result["env_steps"] - result["random_steps"]) / reads,
        "predicting_share": policy["predict"] / policy_s,
        "asking_share": reward["ask"] / sum(reward.values()),
        **{f"policy_{name}_s": seconds for name, seconds in policy.items()},
        **{f"reward_{name}_s": seconds for name, seconds in reward.items()},
    }


def phases(file: Path) -> dict[str, float]:
    """Seconds of a process by phase. The policy's rollout has environment and record in it."""
    last = read_metrics(file)[-1]
    names = [name for name in last if name.startswith("time/") and "_per_s" not in name]
    return {name.removeprefix("time/").removesuffix("_s"): last[name] for name in names}


def stock(algo: str, n_envs: int) -> float:
    """Steps a second of SB3 alone, in an interpreter of its own."""
    code = Path(__file__).with_name("stock_sb3.py")
    done = subprocess.run(
        [sys.executable, code, algo, str(n_envs)], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def policies(rounds: int, folder: Path) -> Figures:
    """All speeds of policies, in turn."""
    figures: Figures = {}

    def add(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for turn in range(rounds):
        for algo in ("a2c", "ppo"):
            for name, value in train(algo, folder / f"{algo}-{turn}").items():
                add(f"{algo} {name}", value)
            for n_envs in (8, 16):
                add(f"{algo} stock {n_envs} envs", stock(algo, n_envs))
    return figures


def rewards(rounds: int, folder: Path) -> Figures:
    """Frames a second of rounds and of the bare loop, in turn."""
    run = folder / "gathered"
    command = [PREFRL, "gather", "pong", "--labels", "500", "--env.image-size", str(SIDE)]
    subprocess.run([*command, "--run-dir", str(run)], check=True, capture_output=True)
    figures: Figures = {}
    for _ in range(rounds):
        for name, (measure, members, threads) in MEASURES.items():
            torch.set_num_threads(threads)
            figures.setdefault(name, []).append(measure(run / "labels.sqlite3", members))
    return figures


def training_round(labels: Path, members: int) -> float:
    """Frames a second of a round, from the store to the measured losses.

    It reads 500 labels four times: as many as a round of the recipe over its first 1,000, and fewer
    than all later ones, of which what comes once a round is a smaller part.
    """
    trainer = make_trainer(members)
    since = time.perf_counter()
    with LabelStore.open(labels) as store:
        ring = PreferenceRing(PONG.predictor.ring, members)
        for query_id, preference in store.changes_since(0).preferences.items():
            ring.set(query_id, preference)
    trainer.fit(ring, READ_TIMES)
    frames = READ_TIMES * len(ring) * 2 * PONG.env.clip_length
    return frames / (time.perf_counter() - since)


def bare_loop(_labels: Path, members: int) -> float:
    """Frames a second of forward, backward and optimiser, one batch over and over."""
    trainer = make_trainer(members)
    network, pairs = trainer.ensemble.network.train(), PONG.predictor.batch_size
    frames = 2 * pairs * PONG.env.clip_length
    images = torch.randint(256, (frames, 4, SIDE, SIDE), dtype=torch.uint8)
    mu, no_vectors = torch.ones(pairs), torch.zeros(frames, 0)

    def update() -> None:
        sums = network(images, no_vectors, trainer._dropout).reshape(members, 2, pairs, -1).sum(3)
        trainer.optimiser.zero_grad()
        preference_loss(sums, mu, 0.1).mean().backward()  # type: ignore[no-untyped-call]
        trainer.optimiser.step()

    update()
    since = time.perf_counter()
    for _ in range(8):
        update()
    return 8 * frames / (time.perf_counter() - since)


# What is measured, of how many members, on how many threads. A run's processes have one each.
MEASURES: dict[str, tuple[Callable[[Path, int], float], int, int]] = {
    "round, 3 members": (training_round, 3, 1),
    "bare loop, 3 members": (bare_loop, 3, 1),
    "bare loop, 1 member": (bare_loop, 1, 1),
    "round, 1 member, 2 threads": (training_round, 1, 2),
}


def make_trainer(members: int) -> Trainer:
    """A fresh ensemble of the recipe's network."""
    config: RewardConfig = replace(PONG.predictor, members=members)
    spec = InputSpec(TaskSpaces((4, SIDE, SIDE), 6, 0), config.inputs)
    autocast = torch.bfloat16 if fast_format() == "bfloat16" else torch.float32
    ensemble = RewardEnsemble(spec, config, torch.device("cpu"), autocast)
    return Trainer(ensemble, config, seed=0)


def main() -> None:
    since = time.perf_counter()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        figures = policies(ROUNDS, Path(folder)) | rewards(ROUNDS, Path(folder))
    median = {name: statistics.median(values) for name, values in figures.items()}
    write(figures, time.perf_counter() - since)
    for line, (value, wanted) in compared(median).items():
        print(f"{line:58} {value:8.2f}   {wanted}")


def compared(median: dict[str, float]) -> dict[str, tuple[float, str]]:
    """The ratios that the hypotheses are about."""

    def against_stock(algo: str) -> float:
        best = max(median[f"{algo} stock {n} envs"] for n in (8, 16))
        return median[f"{algo} steps_per_s"] / best

    pairs_per_s = median["round, 1 member, 2 threads"] / (2 * PONG.env.clip_length)
    bare, single = median["bare loop, 3 members"], median["bare loop, 1 member"]
    return {
        "A2C from preferences / stock SB3 A2C on the true reward": (against_stock("a2c"), ">= 2.0"),
        "PPO from preferences / stock SB3 PPO on the true reward": (against_stock("ppo"), ">= 2.0"),
        "reward training round / bare loop": (median["round, 3 members"] / bare, ">= 0.75"),
        "three members / one member, in member-frames": (3 * bare / single, ">= 0.90"),
        "reward pairs a second / imitation's": (pairs_per_s / IMITATION_PAIRS_PER_S, ">= 30"),
        "predicting, share of A2C's time": (median["a2c predicting_share"], "<= 0.20"),
        "predicting, share of PPO's time": (median["ppo predicting_share"], "<= 0.20"),
        "choosing queries, share of the reward process's time": (
            max(median["a2c asking_share"], median["ppo asking_share"]), "<= 0.05",
        ),
    }  # fmt: skip


def write(figures: Figures, seconds: float) -> None:
    """All measurements, with what machine they were made on and how long that took."""
    name = "speed" if PONG.env.image_size == SIDE else f"speed_{SIDE}"
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(f"# python experiments/speed.py {ROUNDS} {SIDE}; {machine()}; {seconds:.0f} s\n")
        writer = csv.writer(file)
        writer.writerow(("what", "median", "each"))
        for name, values in figures.items():
            each = " ".join(f"{value:.4g}" for value in values)
            writer.writerow((name, f"{statistics.median(values):.4g}", each))


def machine() -> str:
    """Processor, cores, number format, versions."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if platform.system() == "Linux" else ""
    names = [line.partition(": ")[2] for line in info.splitlines() if "model name" in line]
    described: list[Any] = [f"{len(names)} cores of {names[0]}" if names else platform.processor()]
    return ", ".join([*described, fast_format(), f"torch {torch.__version__}"])


if __name__ == "__main__":
    main()
