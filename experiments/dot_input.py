"""Moving dot from pixels: does the input limit the predictor, or do the labels?

Clips of a random policy. Two networks, that of the Atari games as their recipe fits it and ours
with keypoints, are each fitted twice: to 200 labels, and to the true reward of every step of the
same clips, which no run ever does.

Hypothesis: the Atari network fails at the true reward too, so it is the input, not the labels;
keypoints follow the true reward at 0.9 or more per step, and from labels at 0.8 or more. Measure:
correlation per step with the true reward on clips not seen, in inference mode; and how many of the
fitted labels are called right, or a fit that failed would look like labels that do not suffice.
Seeds 0 to 2, chosen beforehand: of clips, labels, weights and minibatches.

    python experiments/dot_input.py
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from seeds import write_rows

from prefrl.atari_recipes import FAST
from prefrl.compute import dtype_of, fast_format, keep_freed_memory
from prefrl.labels.store import LabelStore
from prefrl.metrics import correlation
from prefrl.policy.environment import task_spaces
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.types import Clip

PREFRL = str(Path(sys.executable).with_name("prefrl"))
DOT = RECIPES["moving-dot"].config
ATARI = replace(
    DOT.predictor, keypoints=0, dropout=FAST.predictor.dropout,
    learning_rate=FAST.predictor.learning_rate,
)  # fmt: skip
NETWORKS = {"Atari's": ATARI, "keypoints": DOT.predictor}
LABELS, UNSEEN_LABELS, SEEDS = 200, 60, range(3)
EPOCHS = 60  # convolutions take a second for each


def gathered(folder: Path, labels: int, seed: int) -> PreferenceRing:
    """Labels on clips of a random policy."""
    command = [PREFRL, "gather", "moving-dot", "--labels", str(labels), "--seed", str(seed)]
    subprocess.run([*command, "--run-dir", str(folder)], check=True, capture_output=True)
    ring = PreferenceRing(labels, DOT.predictor.members)
    with LabelStore.open(folder / "labels.sqlite3") as store:
        for query_id, preference in store.changes_since(0).preferences.items():
            ring.set(query_id, preference)
    return ring


def clips_of(ring: PreferenceRing) -> list[Clip]:
    """All clips, each once."""
    both = [clip for pair in ring.preferences for clip in (pair.left, pair.right)]
    return list({clip.id: clip for clip in both}.values())


def fit_to_true_rewards(trainer: Trainer, ring: PreferenceRing, seed: int) -> None:
    """As many passes over as many steps as a fit to the labels takes."""
    trainer._set_input_statistics()
    ensemble, rng = trainer.ensemble, np.random.default_rng(seed)
    pairs, size = ring.preferences, trainer.config.batch_size
    all_true = np.stack([clip.true_rewards for pair in pairs for clip in (pair.left, pair.right)])
    for _ in range(EPOCHS):
        ensemble.network.train()
        for rows in np.array_split(rng.permutation(len(pairs)), len(pairs) // size + 1):
            # All left clips first: so dropout has one mask for both of a pair.
            clips = [pairs[row].left for row in rows] + [pairs[row].right for row in rows]
            true = np.stack([clip.true_rewards for clip in clips])
            targets = torch.from_numpy((true - all_true.mean()) / all_true.std()).flatten()
            off = ensemble.forward(ensemble.spec.of_clips(clips), trainer._dropout) - targets
            trainer.optimiser.zero_grad()
            off.square().mean(1).sum().backward()
            trainer.optimiser.step()


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    spaces = task_spaces(DOT.env)
    autocast = dtype_of(fast_format())
    rows = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            ring = gathered(Path(folder) / "seen", LABELS, seed)
            unseen = clips_of(gathered(Path(folder) / "unseen", UNSEEN_LABELS, 1000 + seed))
        true = np.stack([clip.true_rewards for clip in unseen])
        for (name, config), target in (
            (network, target)
            for network in NETWORKS.items()
            for target in ("true rewards", "labels")
        ):
            weights = torch.Generator().manual_seed(seed)
            spec = InputSpec.of(spaces, config)
            ensemble = RewardEnsemble(spec, config, torch.device("cpu"), autocast, weights)
            trainer = Trainer(ensemble, config, seed)
            for pair in ring.preferences:
                trainer.observe([pair.left, pair.right])
            if target == "true rewards":
                fit_to_true_rewards(trainer, ring, seed)
            # No passes: batch norm's averages anew, and what is measured at a round's end.
            right = trainer.fit(ring, EPOCHS if target == "labels" else 0)["reward/train_accuracy"]
            predicted = ensemble.clip_rewards(unseen).mean(0)
            rows.append(
                {
                    "seed": seed, "network": name, "fitted_to": target, "clips": len(unseen),
                    "fitted_labels_right": round(right, 3),
                    "step_correlation": round(correlation(predicted, true), 3),
                    "clip_correlation": round(correlation(predicted.sum(1), true.sum(1)), 3),
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
            write_rows("dot_input", f"python experiments/{Path(__file__).name}", rows)


if __name__ == "__main__":
    main()
