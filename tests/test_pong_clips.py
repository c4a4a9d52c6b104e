"""The fast recipe's predictor on stored clips of Pong, which a random policy made."""

import numpy as np
import pytest
import torch
from pong_clips import better_by, compared, stored_clips

from prefrl.compute import dtype_of, fast_format, keep_freed_memory
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.preferences import PreferenceRing
from prefrl.reward.trainer import Trainer
from prefrl.types import TaskSpaces

PONG = RECIPES["pong"].config
LABELS, ROUNDS = 500, 4


class Fitted:
    """What was measured after each round, on pairs of clips that no label is about."""

    def __init__(self) -> None:
        training, others = stored_clips()
        torch.set_num_threads(1)
        keep_freed_memory()
        config = PONG.predictor
        number_format = dtype_of(fast_format())
        side = PONG.env.image_size
        self.ensemble = RewardEnsemble(
            InputSpec(TaskSpaces((4, side, side), 6, 0), config.inputs), config,
            torch.device("cpu"), number_format, torch.Generator().manual_seed(0),
        )  # fmt: skip
        self.trainer = Trainer(self.ensemble, config, seed=0)
        self.trainer.observe(training)
        ring = PreferenceRing(config.ring, config.members)
        for preference in compared(training, LABELS):
            ring.set(preference.query_id, preference)
        self.unseen = [p for p in compared(others, 300) if p.mu != 0.5]
        self.inference, self.training = [], []
        for _ in range(ROUNDS):
            self.trainer.fit(ring, epochs=2)
            differences = self.differences()
            self.inference.append((differences > 0).mean(1))
            self.by_the_mean = float(np.mean(differences.mean(0) > 0))
            # Last: it moves batch norm's statistics, which the next round estimates anew.
            self.training.append(self.accuracies_in_training_mode())

    def differences(self) -> np.ndarray:
        """`[M, P]`: by how much the better clip is predicted to be better, in inference mode."""
        sums = [
            self.ensemble.clip_rewards([getattr(p, side) for p in self.unseen]).sum(2)
            for side in ("left", "right")
        ]
        return better_by(sums, self.unseen)

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
        return (better_by([sums[:, 0], sums[:, 1]], self.unseen) > 0).mean(1)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return Fitted()


def test_500_labels_teach_which_of_two_unseen_clips_is_better(fitted):
    assert fitted.ensemble.network.standard.deviation < 50  # pixels are standardised, as in runs
    assert len(fitted.unseen) > 100
    assert fitted.by_the_mean >= 0.85


def test_accuracy_in_inference_mode_never_falls_a_tenth_below_that_in_training_mode(fitted):
    assert np.shape(fitted.inference) == (ROUNDS, PONG.predictor.members)
    assert (np.array(fitted.inference) >= np.array(fitted.training) - 0.1).all()
