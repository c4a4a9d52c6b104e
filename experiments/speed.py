"""How fast is Pong from preferences, beside stock SB3 on the true reward? What `make bench` runs.

Policies: `prefrl train pong`, three members, labels on schedule; and SB3 with `make_atari_env` as
it comes, on the true reward, 8 environments in one process or 16 in processes of their own,
whichever is faster. Equal steps of each environment a rollout, equal epochs and batches. One round
of 500 labels is trained meanwhile, and the policy is timed in it and alone after it. What a whole
run makes is computed from that: its rounds are longer, come where labels are due, and its policy
waits where a round is late. The recipe's frames are smaller than stock's 84x84, which is a good
part of the difference: 84 as an argument says how large a part.

Rewards: frames a second of a training round (labels read from the store, clips decompressed, losses
measured) beside the bare loop of the same network on a batch that lies ready; one member beside
three; pairs a second of one member on both cores, beside the 8.5 of `imitation`'s default network,
which sees 84x84.

All of it in turn, five times, rewards in the first and the last turn (those between take the
first's); each turn's ratios, and the median of them, as the speed of a machine swings.

Hypotheses: policies at least 2.0 times as fast; rounds at least 75% of the bare loop; three members
at least 90% of one, counted in frames times members; at least 30 times as many pairs; predicting
rewards at most 20% of the policy process's time, choosing queries at most 5% of the other's.

    python experiments/speed.py [ROUNDS [SIDE]]
"""

import csv
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from seeds import RESULTS
from whole_run import Speeds, round_seconds, whole_run

from prefrl.compute import dtype_of, fast_format, keep_freed_memory
from prefrl.config import RewardConfig
from prefrl.labels.store import LabelStore
from prefrl.metrics import read_metrics
from prefrl.recipes import RECIPES, for_algo
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.loss import preference_loss
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.selection import most_disputed, random_pairs
from prefrl.reward.trainer import Trainer
from prefrl.types import TaskSpaces

PREFRL = str(Path(sys.executable).with_name("prefrl"))
IMITATION_PAIRS_PER_S = 8.5  # its default CNN, 25-step pairs of 84x84x4, two such cores
PONG = RECIPES["pong"].config
# One round, which reads each label once. At its end it measures as many as a round of a whole run.
LABELS, EPOCHS = 500, 1
# So long the policy is timed after it, and over so many lines of its metrics.
ALONE_S, ROWS = 6.0, 3
LIMIT_S = 300.0
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SIDE = int(sys.argv[2]) if len(sys.argv) > 2 else PONG.env.image_size
Figures = dict[str, float]


def speeds(algo: str, figures: Figures) -> Speeds:
    """Of the parts of a run."""
    end = figures["end of a round, s"]
    return Speeds(
        in_a_round=figures[f"{algo} steps_per_s in a round"],
        alone=figures[f"{algo} steps_per_s alone"],
        read_s=(figures[f"{algo} round_s"] - end) / (EPOCHS * LABELS),
        once_s=end + figures["choosing a round's queries, s"] + figures[f"{algo} publish_s"],
        # The same round beside the policy; the reward process takes both cores when that waits.
        waiting=figures["a turn's round, 3 members, 2 threads"]
        / (2 * PONG.env.clip_length * EPOCHS * LABELS / figures[f"{algo} round_s"]),
    )


@dataclass(frozen=True)
class Timing:
    """Lines of a run's metrics.

    Attributes:
        round: The reward process's, of its first round; empty before that is trained.
        in_a_round: The policy's of until then.
        alone: The policy's of afterwards.
    """

    round: dict[str, float]
    in_a_round: list[dict[str, float]]
    alone: list[dict[str, float]]

    @classmethod
    def of(cls, run: Path) -> "Timing":
        """Of a run, as far as it is."""
        policy, reward = (
            read_metrics(path) if path.exists() else []
            for path in (run / "metrics" / f"timing-{name}.jsonl" for name in ("policy", "reward"))
        )
        trained = reward[0]["wall_clock_s"] if reward else float("inf")
        return cls(
            reward[0] if reward else {},
            [row for row in policy if row["wall_clock_s"] <= trained],
            [row for row in policy if row["wall_clock_s"] > trained],
        )

    @property
    def alone_s(self) -> float:
        """Seconds between the first and the last of these."""
        return self.alone[-1]["wall_clock_s"] - self.alone[0]["wall_clock_s"]


def train(algo: str, run: Path, fitted: Path) -> dict[str, float]:
    """A policy beside one training round: how fast are both, and where does the time go?"""
    command = [
        PREFRL, "train", "pong", "--algo", algo,
        "--labels", str(LABELS), "--labels-from", str(fitted), "--reward-from", str(fitted),
        "--predictor.round-epochs", str(EPOCHS), "--env.image-size", str(SIDE),
        "--run-dir", str(run),
    ]  # fmt: skip
    with run.with_suffix(".log").open("w", encoding="utf-8") as log:
        training = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    since = time.perf_counter()
    try:
        while len((timing := Timing.of(run)).alone) < ROWS or timing.alone_s < ALONE_S:
            if training.poll() is not None or time.perf_counter() - since > LIMIT_S:
                raise RuntimeError(Path(log.name).read_text(encoding="utf-8"))
            time.sleep(0.5)
    finally:
        training.send_signal(signal.SIGINT)
        training.wait()
    if len(timing.in_a_round) < 2:
        raise RuntimeError(f"the round of {LABELS} labels was over too soon to time the policy in")
    spent = phases(timing.alone[-1])
    return {
        "steps_per_s in a round": speed(timing.in_a_round),
        "steps_per_s alone": speed(timing.alone),
        "round_s": timing.round["time/train_s"],
        "publish_s": timing.round["time/publish_s"],
        "predicting_share": spent["predict"]
        / (spent["rollout"] + spent["update"] + spent["predict"]),
        **{f"policy_{name}_s": seconds for name, seconds in spent.items()},
    }


def speed(rows: Sequence[dict[str, float]]) -> float:
    """Steps a second between the first and the last of them."""
    first, last = rows[0], rows[-1]
    return (last["step"] - first["step"]) / (last["wall_clock_s"] - first["wall_clock_s"])


def phases(row: dict[str, float]) -> dict[str, float]:
    """Seconds of the policy process by phase. Its rollout has environment and record in it."""
    names = ("rollout", "environment", "record", "update", "predict", "pause")
    return {name: row[f"time/{name}_s"] for name in names}


def stock(n_envs: int) -> Figures:
    """Steps a second of SB3 alone, in an interpreter of its own."""
    code = Path(__file__).with_name("stock_sb3.py")
    done = subprocess.run(
        [sys.executable, code, str(n_envs)], check=True, capture_output=True, text=True
    )
    timed = (line.split() for line in done.stdout.splitlines()[-2:])
    return {f"{algo} stock {n_envs} envs": float(speed) for algo, speed in timed}


def policies(turn: int, folder: Path, fitted: Path) -> Figures:
    """All speeds of policies."""
    figures: Figures = {}
    for algo, n_envs in (("a2c", 8), ("ppo", 16)):  # ours and stock's by turns
        trained = train(algo, folder / f"{algo}-{turn}", fitted)
        figures |= {f"{algo} {name}": value for name, value in trained.items()} | stock(n_envs)
    return figures


def gather(folder: Path) -> Path:
    """Labels on a random policy's clips, two clips each."""
    return prefrl(folder / "gathered", "gather", "pong", "--labels", str(LABELS),
                  "--policy.clip-fraction", "1", "--env.image-size", str(SIDE))  # fmt: skip


def fit(folder: Path) -> Path:
    """A reward ensemble that was fitted, a little, to such labels."""
    return prefrl(folder / "fitted", "pretrain", "--labels-from", str(gather(folder)),
                  "--predictor.pretrain-epochs", "1")  # fmt: skip


def prefrl(run: Path, *command: str) -> Path:
    """The run that a command made."""
    subprocess.run([PREFRL, *command, "--run-dir", str(run)], check=True, capture_output=True)
    return run


def rewards(fitted: Path) -> Figures:
    """What the reward process does."""
    figures: Figures = {}
    for name, (measure, members, threads) in MEASURES.items():
        torch.set_num_threads(threads)
        figures[name] = measure(fitted / "labels.sqlite3", members)
    return figures


def training_round(labels: Path, members: int) -> float:
    """Frames a second of a round, from the store to the measured losses.

    It reads 500 labels four times: as many as a round of the recipe over its first 1,000, and fewer
    than all later ones, of which what comes once a round is a smaller part.
    """
    times = 4
    trainer = make_trainer(members)
    since = time.perf_counter()
    trainer.fit(ring := read_labels(labels, members), times)
    frames = times * len(ring) * 2 * PONG.env.clip_length
    return frames / (time.perf_counter() - since)


def round_of_a_turn(labels: Path, members: int) -> float:
    """Frames a second of the round that a policy is timed in, its labels in memory."""
    return 2 * PONG.env.clip_length * EPOCHS * LABELS / fitting(labels, members, EPOCHS)


def end_of_round(labels: Path, members: int) -> float:
    """Seconds of what a round does when its labels are read: batch norm anew, losses measured."""
    return fitting(labels, members, 0)


def fitting(labels: Path, members: int, epochs: int) -> float:
    """Seconds of a round whose labels are in memory."""
    trainer, ring = make_trainer(members), read_labels(labels, members)
    since = time.perf_counter()
    trainer.fit(ring, epochs)
    return time.perf_counter() - since


def read_labels(labels: Path, members: int) -> PreferenceRing:
    """All preferences of the store."""
    ring = PreferenceRing(PONG.predictor.ring, members)
    with LabelStore.open(labels) as store:
        for query_id, preference in store.changes_since(0).preferences.items():
            ring.set(query_id, preference)
    return ring


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


def choosing(labels: Path, members: int) -> float:
    """Seconds to choose as many queries as a round has, among the clips that there are."""
    ensemble, wanted = make_trainer(members).ensemble, PONG.label.round_labels
    with LabelStore.open(labels) as store:
        clips = store.newest_clips(PONG.label.pool_size)
    since = time.perf_counter()
    candidates = wanted * PONG.label.candidates
    pairs = random_pairs(clips, candidates, set(), np.random.default_rng(0))
    assert len(most_disputed(pairs, wanted, ensemble)) == wanted
    return time.perf_counter() - since


# What is measured, of how many members, on how many threads. A run's processes have one
# each, or two while the other has nothing to do.
MEASURES: dict[str, tuple[Callable[[Path, int], float], int, int]] = {
    "round, 3 members": (training_round, 3, 1),
    "bare loop, 3 members": (bare_loop, 3, 1),
    "bare loop, 1 member": (bare_loop, 1, 1),
    "a turn's round, 3 members, 2 threads": (round_of_a_turn, 3, 2),
    "round, 1 member, 2 threads": (training_round, 1, 2),
    "end of a round, s": (end_of_round, 3, 1),
    "choosing a round's queries, s": (choosing, 3, 1),
}


def make_trainer(members: int) -> Trainer:
    """A fresh ensemble of the recipe's network."""
    config: RewardConfig = replace(PONG.predictor, members=members)
    spec = InputSpec(TaskSpaces((4, SIDE, SIDE), 6, 0), config.inputs)
    autocast = dtype_of(fast_format())
    ensemble = RewardEnsemble(spec, config, torch.device("cpu"), autocast)
    return Trainer(ensemble, config, seed=0)


def main() -> None:
    since = time.perf_counter()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        fitted, turns = fit(Path(folder)), []
        for turn in range(ROUNDS):
            figures = policies(turn, Path(folder), fitted)
            if turn in (0, ROUNDS - 1):
                parts = rewards(fitted)
                figures |= parts | rewards_compared(figures | parts)
            turns.append(figures | policies_compared(figures | parts))
            write(turns, time.perf_counter() - since)
    for name, wanted in WANTED.items():
        each = sorted(measured(turns, name))
        print(
            f"{name:48} {statistics.median(each):6.2f} ({each[0]:.2f} to {each[-1]:.2f})   {wanted}"
        )


WANTED = {
    "A2C from preferences / stock SB3": ">= 2.0",
    "PPO from preferences / stock SB3": ">= 2.0",
    "PPO, labels as in breakout / stock SB3": ">= 2.0",
    "reward training round / bare loop": ">= 0.75",
    "three members / one member, in member-frames": ">= 0.90",
    "reward pairs a second / imitation's": ">= 30",
    "predicting, share of A2C's time": "<= 0.20",
    "predicting, share of PPO's time": "<= 0.20",
    "choosing queries, share of a round's time": "<= 0.05",
}


def policies_compared(figures: Figures) -> Figures:
    """A turn's ratios, which the hypotheses are about."""

    def against_stock(algo: str, game: str) -> float:
        best = max(figures[f"{algo} stock {n} envs"] for n in (8, 16))
        config = for_algo(RECIPES[game].config, algo)
        return whole_run(config, speeds(algo, figures)) / best

    return {
        # And in Breakout, whose labels are due at the same steps.
        "A2C from preferences / stock SB3": against_stock("a2c", "pong"),
        "PPO from preferences / stock SB3": against_stock("ppo", "pong"),
        "PPO, labels as in breakout / stock SB3": against_stock("ppo", "breakout"),
        "predicting, share of A2C's time": figures["a2c predicting_share"],
        "predicting, share of PPO's time": figures["ppo predicting_share"],
    }


def rewards_compared(figures: Figures) -> Figures:
    """Those of the reward process."""
    bare, one = figures["bare loop, 3 members"], figures["bare loop, 1 member"]
    pairs_per_s = figures["round, 1 member, 2 threads"] / (2 * PONG.env.clip_length)
    a_round = round_seconds(PONG, speeds("ppo", figures), PONG.label.budget // 2)
    return {
        "reward training round / bare loop": figures["round, 3 members"] / bare,
        "three members / one member, in member-frames": 3 * bare / one,
        "reward pairs a second / imitation's": pairs_per_s / IMITATION_PAIRS_PER_S,
        "choosing queries, share of a round's time": figures["choosing a round's queries, s"]
        / a_round,
    }


def measured(turns: Sequence[Figures], name: str) -> list[float]:
    """In each turn that did."""
    return [figures[name] for figures in turns if name in figures]


def write(turns: Sequence[Figures], seconds: float) -> None:
    """All measurements, with what machine they were made on and how long that took."""
    name = "speed" if PONG.env.image_size == SIDE else f"speed_{SIDE}"
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(f"# python experiments/speed.py {ROUNDS} {SIDE}; {machine()}; {seconds:.0f} s\n")
        writer = csv.writer(file)
        writer.writerow(("what", "median", "each"))
        for name in turns[0]:
            values = measured(turns, name)
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
