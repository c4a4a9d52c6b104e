"""What the predictor sees of a step, made from what the policy saw. The one place that says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefrl.config import Input
from prefrl.types import Clip, TaskSpaces


@dataclass(frozen=True)
class StepInputs:
    """A batch of steps as the network takes them.

    Attributes:
        images: `[B, C, H, W] uint8`, or None on vectors.
        vectors: `[B, D] float32`: vector observations and actions; D may be 0.
    """

    images: NDArray[np.uint8] | None
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice) -> "StepInputs":
        images = None if self.images is None else self.images[rows]
        return StepInputs(images, self.vectors[rows])


@dataclass(frozen=True)
class InputSpec:
    """Which parts of a step the predictor sees, and their sizes."""

    spaces: TaskSpaces
    inputs: tuple[Input, ...]

    @property
    def channels(self) -> int:
        """Image channels: the stack, and one more frame if the next observation is seen too."""
        stack = self.spaces.observation_shape[0]
        both = "observation" in self.inputs and "next_observation" in self.inputs
        return stack + 1 if both else stack

    @property
    def observation_size(self) -> int:
        """Vector numbers that come from observations; they are normalised, actions are not."""
        if self.spaces.is_image:
            return 0
        seen = ("observation" in self.inputs) + ("next_observation" in self.inputs)
        return self.spaces.observation_shape[0] * seen

    @property
    def vector_size(self) -> int:
        """All vector numbers."""
        if "action" not in self.inputs:
            return self.observation_size
        return self.observation_size + (self.spaces.n_actions or self.spaces.action_size)

    def assemble(
        self,
        observations: NDArray[np.generic],
        actions: NDArray[np.generic],
        next_observations: NDArray[np.generic],
    ) -> StepInputs:
        """Inputs of a batch of steps; shapes as in `RewardPredictor.predict`."""
        images: NDArray[np.uint8] | None = None
        vectors: list[NDArray[np.generic]] = []
        if self.spaces.is_image:
            images = self._images(observations, next_observations)
        else:
            vectors += [observations] if "observation" in self.inputs else []
            vectors += [next_observations] if "next_observation" in self.inputs else []
        if "action" in self.inputs:
            vectors.append(self._action_vectors(actions))
        empty = np.zeros((len(actions), 0), np.float32)
        return StepInputs(images, np.concatenate([empty, *vectors], axis=1).astype(np.float32))

    def of_clips(self, clips: Sequence[Clip]) -> StepInputs:
        """Inputs of all steps of some clips, clip after clip."""
        stacked = [clip.stacked() for clip in clips]
        return self.assemble(
            np.concatenate([s[:-1] for s in stacked]),
            np.concatenate([clip.actions for clip in clips]),
            np.concatenate([s[1:] for s in stacked]),
        )

    def _images(
        self, observations: NDArray[np.generic], next_observations: NDArray[np.generic]
    ) -> NDArray[np.uint8]:
        if "next_observation" not in self.inputs:
            images = observations
        elif "observation" not in self.inputs:
            images = next_observations
        else:
            images = np.concatenate([observations, next_observations[:, -1:]], axis=1)
        return images.astype(np.uint8, copy=False)

    def _action_vectors(self, actions: NDArray[np.generic]) -> NDArray[np.generic]:
        if self.spaces.n_actions is None:
            return actions
        return np.eye(self.spaces.n_actions, dtype=np.float32)[actions.astype(np.int64)]
