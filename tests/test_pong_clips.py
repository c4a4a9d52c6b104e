"""The fast recipe's predictor on clips of Pong that a random policy made.

`data/pong_clips.sqlite3` is the label store of
`prefrl gather pong --labels 200 --env.image-size 56 --seed 7`.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from prefrl.compute import fast_format, keep_freed_memory
from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.types import PREFERENCE_OF_ANSWER, Clip, Preference, Query, TaskSpaces

CLIPS = Path(__file__).parent / "data" / "pong_clips.sqlite3"
PONG = RECIPES["pong"].config
LABELS, TRAINING_CLIPS, ROUNDS = 500, 160, 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    stored = Path(shutil.copy(CLIPS, tmp_path_factory.mktemp("stored")))
    with LabelStore.open(stored) as store:
        return store.newest_clips(1000)


def compared(clips: Sequence[Clip], n: int) -> list[Preference]:
    """Different pairs of these clips, with the oracle's answers."""
    oracle, rng = Oracle(np.random.default_rng(1)), np.random.default_rng(0)
    chosen = rng.permutation([(i, j) for i in range(len(clips)) for j in range(i)])[:n]
    answered = []
    for k, (i, j) in enumerate(chosen):
        label = oracle.answer(Query(clips[i].id, clips[j].id), clips[i], clips[j])
        mu = PREFERENCE_OF_ANSWER[label.answer]
        answered.append(Preference(str(k), clips[i], clips[j], mu))
    return answered


class Fitted:
    """What was measured after each round, on pairs of clips that no label is about."""

    def __init__(self, clips: list[Clip]) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        config = PONG.predictor
        number_format = torch.bfloat16 if fast_format() == "bfloat16" else torch.float32
        side = PONG.env.image_size
        self.ensemble = RewardEnsemble(
            InputSpec(TaskSpaces((4, side, side), 6, 0), config.inputs), config,
            torch.device("cpu"), number_format, torch.Generator().manual_seed(0),
        )  # fmt: skip
        self.trainer = Trainer(self.ensemble, config, seed=0)
        ring = PreferenceRing(config.ring, config.members)
        for preference in compared(clips[:TRAINING_CLIPS], LABELS):
            ring.set(preference.query_id, preference)
        unseen = compared(clips[TRAINING_CLIPS:], 300)
        self.unseen = [preference for preference in unseen if preference.mu != 0.5]
        self.inference, self.training = [], []
        for _ in range(ROUNDS):
            self.trainer.fit(ring, epochs=2)
            self.inference.append(self.accuracies())
            self.training.append(self.accuracies_in_training_mode())
        self.by_the_mean = float(np.mean(self.differences().mean(0) > 0))

    def differences(self) -> np.ndarray:
        """`[M, P]`: by how much the better clip is predicted to be better."""
        left, right = (
            self.ensemble.clip_rewards([getattr(p, side) for p in self.unseen]).sum(2)
            for side in ("left", "right")
        )
        return (left - right) * np.sign([p.mu - 0.5 for p in self.unseen])

    def accuracies(self) -> np.ndarray:
        """`[M]`, in inference mode."""
        return (self.differences() > 0).mean(1)

    @torch.no_grad()
    def accuracies_in_training_mode(self) -> np.ndarray:
        """`[M]`: batch norm with the statistics of each batch."""
        self.ensemble.network.train()
        sums = np.concatenate(
            [
                self.trainer._pair_sums(self.unseen[i : i + 32], None).numpy()
                for i in range(0, len(self.unseen), 32)
            ],
            axis=2,
        )
        signs = np.sign([p.mu - 0.5 for p in self.unseen])
        return ((sums[:, 0] - sums[:, 1]) * signs > 0).mean(1)


@pytest.fixture(scope="module")
def fitted(clips) -> Fitted:
    return Fitted(clips)


def test_500_labels_teach_which_of_two_unseen_clips_is_better(fitted):
    assert len(fitted.unseen) > 100
    assert fitted.by_the_mean >= 0.85


def test_accuracy_in_inference_mode_never_falls_a_tenth_below_that_in_training_mode(fitted):
    assert np.shape(fitted.inference) == (ROUNDS, PONG.predictor.members)
    assert (np.array(fitted.inference) >= np.array(fitted.training) - 0.1).all()
