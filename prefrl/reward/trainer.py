"""Fits the ensemble to the preferences: one round is a fixed number of epochs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefrl.config import RewardConfig
from prefrl.link import Stopped
from prefrl.metrics import entering
from prefrl.pixels import newest_frames
from prefrl.reward.calibration import calibration, calibration_error
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.loss import preference_loss, preference_probability
from prefrl.reward.network import PairDropout, batch_norms
from prefrl.reward.preferences import PreferenceRing
from prefrl.statistics import RunningStatistics
from prefrl.types import Clip, Preference

# Pairs over which a round measures its losses, and re-estimates batch norm: enough for two digits,
# and a bound on the time at 3,000 labels of images.
MEASURED_PAIRS, NORMALISED_PAIRS = 512, 128

# What is assumed of labelers until it is measured. Source: paper, section 2.2.3.
USUAL_ERROR_RATE = 0.1


class Trainer:
    """Owns the optimiser, which keeps its moments from round to round.

    Args:
        ensemble: What is fitted.
        config: How.
        seed: Of minibatches and dropout masks.
        stopped: Asked again and again within a round, which can be long.

    Attributes:
        l2: `[M]`, each member's coefficient, adapted at the end of each round.
        error_rate: Probability with which labelers are taken to answer at random.
        rounds: How many were finished.
    """

    def __init__(
        self,
        ensemble: RewardEnsemble,
        config: RewardConfig,
        seed: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ensemble, self.config, self._stopped = ensemble, config, stopped
        self.optimiser = _optimiser(ensemble, config)
        self.l2 = torch.full((config.members,), config.l2_initial, device=ensemble.device)
        self.error_rate = USUAL_ERROR_RATE if config.error_rate == "measured" else config.error_rate
        self.rounds = 0
        self._statistics = RunningStatistics(self._standardised_size())
        self._rng = np.random.default_rng(seed)
        generator = torch.Generator(ensemble.device).manual_seed(seed)
        self._dropout = PairDropout(config.dropout, config.dropout_masks == "shared", generator)

    def observe(self, clips: Sequence[Clip]) -> None:
        """Take new clips into the statistics that standardise vector observations and pixels."""
        size = self._statistics.mean.size
        if not size:
            return
        seen = self.ensemble.spec.of_clips(clips)
        if seen.images is None:
            self._statistics.update(seen.vectors[:, :size])
        else:
            self._statistics.update(newest_frames(seen.images))

    def fit(
        self, ring: PreferenceRing, epochs: int, meanwhile: Callable[[], object] | None = None
    ) -> dict[str, Any]:
        """One training round over all preferences of the ring.

        Args:
            ring: The preferences; it stays as it is until the round ends.
            epochs: Passes over them.
            meanwhile: Called before each batch that passes the network; by default
                `go_on_or_stop`.

        Returns:
            Losses, accuracies, calibration, L2 and the range of what entered, by metric name.

        Raises:
            Stopped: The run is ending.
        """
        look_up = meanwhile or self.go_on_or_stop
        self._set_input_statistics()
        preferences, weights = ring.preferences, torch.from_numpy(ring.weights)
        mu = torch.from_numpy(ring.mu)
        for _ in range(epochs):
            order = self._rng.permutation(len(preferences))
            for start in range(0, len(order), self.config.batch_size):
                look_up()
                rows = order[start : start + self.config.batch_size]
                batch = [preferences[row] for row in rows]
                self._update(batch, weights[:, rows], mu[rows])
        self.rounds += 1
        measured = self._rng.permutation(len(preferences))[:MEASURED_PAIRS]
        return self._finish_round([preferences[i] for i in measured], weights[:, measured], look_up)

    def go_on_or_stop(self) -> None:
        """For whoever is in the middle of something long.

        Raises:
            Stopped: The run is ending.
        """
        if self._stopped():
            raise Stopped

    def _update(self, batch: list[Preference], weights: Tensor, mu: Tensor) -> None:
        """One step: weighted cross-entropy of each member plus its own L2 term."""
        device, network = self.ensemble.device, self.ensemble.network
        network.train()
        sums = self._pair_sums(batch, self._dropout)
        losses = preference_loss(sums, mu.to(device), self.error_rate)
        fit = (weights.to(device) * losses).mean(1)
        loss = (fit + self.l2 * network.weight_squares()).sum()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def _pair_sums(self, batch: Sequence[Preference], dropout: PairDropout | None) -> Tensor:
        """`[M, 2, P]`: both clips of every pair through the network in one forward pass."""
        clips = [pair.left for pair in batch] + [pair.right for pair in batch]
        rewards = self.ensemble.forward(self.ensemble.spec.of_clips(clips), dropout)
        return rewards.reshape(self.config.members, 2, len(batch), -1).sum(3)

    def _finish_round(
        self, pairs: list[Preference], weights: Tensor, look_up: Callable[[], object]
    ) -> dict[str, Any]:
        """Re-estimate batch norm, measure in inference mode, adapt L2."""
        training_mode = self._training_mode_probabilities(pairs[: self.config.batch_size])
        self._reestimate_batch_norm(pairs[:NORMALISED_PAIRS], look_up)
        clips = [pair.left for pair in pairs] + [pair.right for pair in pairs]
        rewards = torch.from_numpy(self.ensemble.clip_rewards(clips, look_up))
        sums = rewards.sum(2).reshape(self.config.members, 2, len(pairs))
        mu = torch.tensor([pair.mu for pair in pairs], dtype=torch.float64)
        losses = preference_loss(sums, mu, self.error_rate)
        held_out = weights == 0
        training = _masked_mean(losses, ~held_out)
        validation = _masked_mean(losses, held_out)
        self._adapt_l2(validation / training)
        right = (sums[:, 0] > sums[:, 1]) == (mu > 0.5)
        decided = mu != 0.5
        inference_mode = torch.sigmoid(sums[:, 0] - sums[:, 1])[:, : training_mode.shape[1]]
        expected = preference_probability(sums, self.error_rate)
        bins = calibration(expected[held_out].numpy(), mu.expand_as(expected)[held_out].numpy())
        return {
            "reward/train_loss": _mean(training),
            "reward/validation_loss": _mean(validation),
            "reward/train_accuracy": _mean(_masked_mean(right.double(), ~held_out & decided)),
            "reward/validation_accuracy": _mean(_masked_mean(right.double(), held_out & decided)),
            "reward/calibration": bins,
            "reward/calibration_error": calibration_error(bins),
            "reward/error_rate": self.error_rate,
            "reward/l2_coefficient": float(self.l2.mean()),
            "reward/weight_squares": float(self.ensemble.network.weight_squares().mean().detach()),
            "reward/train_inference_gap": float((training_mode - inference_mode).abs().mean()),
            "reward/prediction_deviation": float(rewards.std()),
            **entering("reward/input", self._entering(clips[: self.config.batch_size])),
        }

    @torch.no_grad()
    def _entering(self, clips: list[Clip]) -> NDArray[np.float32]:
        """`[B, ...]`: what convolutions meet, or dense layers where there are none."""
        network, device = self.ensemble.network, self.ensemble.device
        inputs = self.ensemble.spec.of_clips(clips)
        if inputs.images is None:
            entered = network.scaled(torch.from_numpy(inputs.vectors).to(device))
        else:
            images = torch.from_numpy(inputs.images).to(device)
            entered = network.entering(images)
        return entered.float().cpu().numpy()

    def _adapt_l2(self, ratio: Tensor) -> None:
        """More L2 where a member overfits, less where it does not. Source: paper, section 2.2.3.

        `ratio [M]` is of mean losses; nan, where a member holds nothing out, changes nothing.
        """
        ratio = ratio.to(self.l2)
        low, high = self.config.l2_low_ratio, self.config.l2_high_ratio
        factor = torch.ones_like(self.l2)
        factor[ratio > high] = self.config.l2_factor
        factor[ratio < low] = 1 / self.config.l2_factor
        self.l2 = (self.l2 * factor).clamp(self.config.l2_minimum, self.config.l2_maximum)

    @torch.no_grad()
    def _training_mode_probabilities(self, pairs: list[Preference]) -> Tensor:
        """`[M, P]` p(left) as training sees it, with dropout and the batch's own statistics."""
        self.ensemble.network.train()
        sums = self._pair_sums(pairs, self._dropout)
        return torch.sigmoid(sums[:, 0] - sums[:, 1]).double().cpu()

    @torch.no_grad()
    def _reestimate_batch_norm(
        self, pairs: list[Preference], look_up: Callable[[], object]
    ) -> None:
        """Replace the statistics that drifted during training by those of the present weights.

        Moving averages mix statistics of many past weights; in inference mode that made validation
        accuracy swing between 0.6 and 0.96 from epoch to epoch.
        """
        norms = batch_norms(self.ensemble.network)
        if not norms:
            return
        momentum = norms[0].momentum
        self.ensemble.network.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch: a plain average over all batches
        for start in range(0, len(pairs), self.config.batch_size):
            look_up()
            self._pair_sums(pairs[start : start + self.config.batch_size], None)
        for norm in norms:
            norm.momentum = momentum

    def _standardised_size(self) -> int:
        """Numbers of a step whose statistics are kept: vector observations, or a frame's pixels."""
        spec = self.ensemble.spec
        if self.ensemble.network.standard is None:
            return spec.observation_size
        return math.prod(spec.spaces.observation_shape[1:]) * self.config.standard_pixels

    def _set_input_statistics(self) -> None:
        network, size = self.ensemble.network, self._statistics.mean.size
        if not self._statistics.count:
            return
        if network.standard is not None:
            network.standard.set(self._statistics)
            return
        network.input_mean[:size] = torch.from_numpy(self._statistics.mean)
        network.input_deviation[:size] = torch.from_numpy(self._statistics.deviation)

    def state(self) -> bytes:
        """What a later round needs beside the weights, as safetensors: moments and coefficients."""
        tensors = {"l2": self.l2, "rounds": torch.tensor(self.rounds)}
        tensors |= {f"inputs.{k}": torch.as_tensor(v) for k, v in self._statistics.state().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        return safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()})

    def load_state(self, state: bytes) -> None:
        """Go on from `state()` of another trainer."""
        tensors = safetensors.torch.load(state)
        self.l2, self.rounds = tensors.pop("l2").to(self.l2), int(tensors.pop("rounds"))
        for name in self._statistics.state():
            setattr(self._statistics, name, tensors.pop(f"inputs.{name}").numpy())
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            _, index, name = key.split(".")
            moments.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})


def _optimiser(ensemble: RewardEnsemble, config: RewardConfig) -> torch.optim.Optimizer:
    weights = ensemble.network.parameters()
    if config.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=config.learning_rate, momentum=config.beta1)
    return torch.optim.Adam(weights, lr=config.learning_rate, betas=(config.beta1, 0.999))


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """`[M]` means of `values [M, N]` where the mask holds; nan where it never does."""
    mask = mask.expand_as(values)
    return (values * mask).sum(1) / mask.sum(1)


def _mean(per_member: Tensor) -> float:
    """Mean over the members that have a value; nan if none has."""
    return float(per_member.nanmean())
