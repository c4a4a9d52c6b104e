"""Shared or independent dropout masks, with batch norm or without: what does it change?

The author of the reproduction found that Pong was not learned with one mask for both clips of a
pair and no batch norm, and was with a mask for each; he left open why. Here the paper's network
(dropout 0.5, pixels over 255; one member) is fitted to 500 labels on clips of Pong that a random
policy made.

Hypothesis: with a mask for each clip the noise of two masks stands between equal clips, so it
learns more slowly; without batch norm the shared mask does no better than independent ones.
Measure: share of pairs that differ called right, on clips that no label is about, in inference
mode, after each fourth epoch up to the 32nd; and of the pairs that were fitted, which tells a fit
that failed from one that does not carry over. Seeds 0 to 4, chosen beforehand: of weights, masks,
minibatches and labels. Interquartile mean of the last with its 95% bootstrap interval.

    python experiments/dropout_masks.py                       # all of it
    python experiments/dropout_masks.py independent without   # a part: masks, and batch norm
    python experiments/dropout_masks.py draw                  # the picture, from the CSV
"""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from pong_clips import better_by, compared, stored_clips
from seeds import RESULTS, write_rows

from prefrl.compute import dtype_of, fast_format, keep_freed_memory
from prefrl.config import RewardConfig
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.runs.intervals import bootstrap_interval, interquartile_mean
from prefrl.types import TaskSpaces

LABELS, EPOCHS, EVERY = 500, 32, 4
SEEDS = range(5)
SIDE = RECIPES["pong"].config.env.image_size
PARTS = list(itertools.product(("shared", "independent"), (True, False)))  # with batch norm?


def fit(masks: str, batch_norm: bool, seed: int) -> dict[str, object]:
    """Accuracies on unseen pairs, epoch by epoch."""
    config = RewardConfig(
        inputs=("observation",), members=1, dropout=0.5, dropout_masks=masks,  # type: ignore[arg-type]
        batch_norm=batch_norm, learning_rate=5e-4, standard_pixels=False,
    )  # fmt: skip
    training, others = stored_clips()
    unseen = [p for p in compared(others, 400, seed) if p.mu != 0.5]
    ring = PreferenceRing(LABELS, config.members)
    for preference in compared(training, LABELS, seed):
        ring.set(preference.query_id, preference)
    autocast = dtype_of(fast_format())
    ensemble = RewardEnsemble(
        InputSpec(TaskSpaces((4, SIDE, SIDE), 6, 0), config.inputs), config,
        torch.device("cpu"), autocast, torch.Generator().manual_seed(seed),
    )  # fmt: skip
    trainer = Trainer(ensemble, config, seed)
    row: dict[str, object] = {
        "masks": masks, "batch_norm": batch_norm, "seed": seed, "pairs": len(unseen),
    }  # fmt: skip
    for epoch in range(EVERY, EPOCHS + 1, EVERY):
        measured = trainer.fit(ring, EVERY)
        sums = [
            ensemble.clip_rewards([getattr(p, side) for p in unseen]).sum(2)
            for side in ("left", "right")
        ]
        row[f"epoch_{epoch}"] = round(float((better_by(sums, unseen) > 0).mean()), 3)
        row[f"fitted_{epoch}"] = round(measured["reward/train_accuracy"], 3)
    print(row, flush=True)
    return row


def draw() -> None:
    """The middle of the seeds, epoch by epoch, and each seed."""
    with (RESULTS / "dropout_masks.csv").open(newline="", encoding="utf-8") as file:
        file.readline()  # the command
        rows = list(csv.DictReader(file))
    figure, epochs = Figure(figsize=(7, 4), layout="constrained"), range(EVERY, EPOCHS + 1, EVERY)
    axes = figure.add_subplot()
    for i, (masks, batch_norm) in enumerate(PARTS):
        of_these = np.array(
            [
                [float(row[f"epoch_{epoch}"]) for epoch in epochs]
                for row in rows
                if (row["masks"], row["batch_norm"]) == (masks, str(batch_norm))
            ]
        )
        axes.plot(epochs, of_these.T, color=f"C{i}", alpha=0.25, linewidth=0.8)
        middle = [interquartile_mean(values) for values in of_these.T]
        axes.plot(epochs, middle, color=f"C{i}", label=named(masks, batch_norm))
    axes.axhline(0.5, color="grey", linestyle=":", linewidth=0.8)
    axes.set(xlabel="epochs", ylabel="unseen pairs called right")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(RESULTS / "dropout_masks.png", dpi=150)


def named(masks: str, batch_norm: bool) -> str:
    """As the picture and the last line have it."""
    return f"{masks} masks, {'' if batch_norm else 'no '}batch norm"


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["draw"]:
        draw()
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    rows, command = [], " ".join(["python", f"experiments/{Path(__file__).name}", *arguments])
    for masks, batch_norm in [(arguments[0], arguments[1] == "with")] if arguments else PARTS:
        of_these = [fit(masks, batch_norm, seed) for seed in SEEDS]
        rows += of_these
        write_rows("_".join(["dropout_masks", *arguments]), command, rows)
        last = np.array([row[f"epoch_{EPOCHS}"] for row in of_these], np.float64)
        low, high = bootstrap_interval([last], np.random.default_rng(0))
        middle = interquartile_mean(last)
        print(f"{named(masks, batch_norm)}: {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
