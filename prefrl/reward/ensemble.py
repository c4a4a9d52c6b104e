"""The fitted ensemble: predicts rewards, and travels as a snapshot."""

from collections.abc import Callable, Sequence

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefrl.config import RewardConfig
from prefrl.reward.inputs import InputSpec, StepInputs
from prefrl.reward.network import PairDropout, RewardNetwork
from prefrl.types import Clip, RewardSnapshot

CHUNK = 1600  # steps a forward pass: validation in large batches spikes memory


class RewardEnsemble:
    """M reward predictors, each normalised on its own. Implements `RewardPredictor`.

    Attributes:
        network: All members' weights.
        means: `[M] float64`, of each member's reward over recent clips.
        deviations: `[M] float64`, likewise, floored.
    """

    def __init__(
        self,
        spec: InputSpec,
        config: RewardConfig,
        device: torch.device,
        autocast: torch.dtype,
        generator: torch.Generator | None = None,
    ) -> None:
        self.spec, self.config, self.device = spec, config, device
        self.network = RewardNetwork(spec, config, generator or torch.Generator(), autocast)
        self.network.to(device).eval()
        self.means = np.zeros(config.members)
        self.deviations = np.ones(config.members)

    def load(self, snapshot: RewardSnapshot) -> None:
        """Take over a snapshot's weights and normalisation.

        Raises:
            RuntimeError: The weights are those of another network.
        """
        self.network.load_state_dict(safetensors.torch.load(snapshot.weights))
        self.means, self.deviations = snapshot.means, snapshot.deviations

    def snapshot(self, version: int, n_labels: int, pause_at_env_step: int) -> RewardSnapshot:
        """The ensemble as it is now, as bytes."""
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        return RewardSnapshot(
            version=version,
            weights=safetensors.torch.save(weights),
            means=self.means.copy(),
            deviations=self.deviations.copy(),
            n_labels=n_labels,
            pause_at_env_step=pause_at_env_step,
        )

    def predict(
        self,
        observations: NDArray[np.generic],
        actions: NDArray[np.generic],
        next_observations: NDArray[np.generic],
    ) -> NDArray[np.float32]:
        """Normalised rewards `[M, B] float32`; see `RewardPredictor`."""
        raw = self._raw(self.spec.assemble(observations, actions, next_observations))
        normalised = (raw - self.means[:, None]) / self.deviations[:, None]
        # Differs from the paper: its mean is 0, and so is this by default.
        shifted = self.config.target_mean + normalised
        return (self.config.target_deviation * shifted).astype(np.float32)

    def clip_rewards(
        self, clips: Sequence[Clip], meanwhile: Callable[[], object] = lambda: None
    ) -> NDArray[np.float64]:
        """`[M, N, T]`: unnormalised rewards of each step of N clips, in inference mode.

        Args:
            clips: N of the same length T.
            meanwhile: Called before each part of them; many take seconds.
        """
        length = len(clips[0])
        at_once = max(1, CHUNK // length)
        rewards = []
        for i in range(0, len(clips), at_once):
            meanwhile()
            rewards.append(self._raw(self.spec.of_clips(clips[i : i + at_once])))
        return np.concatenate(rewards, axis=1).reshape(self.config.members, len(clips), length)

    def normalise_over(
        self, clips: Sequence[Clip], meanwhile: Callable[[], object] = lambda: None
    ) -> NDArray[np.float64]:
        """Compute each member's mean and deviation anew, in float64, over all steps of the clips.

        Source: paper, section 2.2.1, which leaves open over what; recent clips are what the
        policy meets.

        Args:
            clips: N of the same length T.
            meanwhile: As in `clip_rewards`.

        Returns:
            `[M, N, T]`, the normalised rewards of the clips, at deviation 1.
        """
        rewards = self.clip_rewards(clips, meanwhile)
        self.means = rewards.mean(axis=(1, 2))
        self.deviations = np.maximum(rewards.std(axis=(1, 2)), self.config.deviation_floor)
        normalised: NDArray[np.float64] = (rewards - self.means[:, None, None]) / self.deviations[
            :, None, None
        ]
        return normalised

    def forward(self, inputs: StepInputs, dropout: PairDropout | None = None) -> Tensor:
        """Unnormalised rewards `[M, B]` on the device, with gradients where they are enabled."""
        images = None if inputs.images is None else torch.from_numpy(inputs.images).to(self.device)
        vectors = torch.from_numpy(inputs.vectors).to(self.device)
        rewards: Tensor = self.network(images, vectors, dropout)
        return rewards

    @torch.no_grad()
    def _raw(self, inputs: StepInputs) -> NDArray[np.float64]:
        """Unnormalised rewards `[M, B] float64` in inference mode."""
        self.network.eval()
        chunks = [self.forward(inputs[i : i + CHUNK]) for i in range(0, len(inputs), CHUNK)]
        return torch.cat(chunks, dim=1).double().cpu().numpy()


def predictor_of(
    snapshot: RewardSnapshot,
    spec: InputSpec,
    config: RewardConfig,
    device: torch.device,
    autocast: torch.dtype,
) -> RewardEnsemble:
    """The ensemble that a snapshot holds."""
    ensemble = RewardEnsemble(spec, config, device, autocast)
    ensemble.load(snapshot)
    return ensemble
