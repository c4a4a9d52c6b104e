"""What the predictor sees of a step, made from what the policy saw. The one place that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from prefrl.config import Input, RewardConfig
from prefrl.keypoints import frame_moments
from prefrl.types import Clip, TaskSpaces


@dataclass(frozen=True)
class StepInputs:
    """A batch of steps as the network takes them.

    Attributes:
        images: `[B, C, H, W] uint8`, or for keypoints their moments, `[B, C, 3, 13] float32`; None
            on vectors.
        vectors: `[B, D] float32`: vector observations and actions; D may be 0.
    """

    images: NDArray[Any] | None
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice) -> "StepInputs":
        images = None if self.images is None else self.images[rows]
        return StepInputs(images, self.vectors[rows])


@dataclass(frozen=True)
class InputSpec:
    """Which parts of a step the predictor sees, and their sizes.

    Attributes:
        spaces: Of the task.
        inputs: The parts.
        moments: Of images it sees only what keypoints need.
    """

    spaces: TaskSpaces
    inputs: tuple[Input, ...]
    moments: bool = False

    @classmethod
    def of(cls, spaces: TaskSpaces, config: RewardConfig) -> "InputSpec":
        """What a predictor with these settings sees."""
        return cls(spaces, config.inputs, moments=spaces.is_image and config.keypoints > 0)

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
        seen = self._together(observations, actions, next_observations)
        if seen.images is None:
            return seen
        images = seen.images.astype(np.uint8, copy=False)
        return StepInputs(frame_moments(images) if self.moments else images, seen.vectors)

    def of_clips(self, clips: Sequence[Clip]) -> StepInputs:
        """Inputs of all steps of some clips, clip after clip."""
        stacked = [
            clip.stacked_by_frame(_moments_of(clip)) if self.moments else clip.stacked()
            for clip in clips
        ]
        return self._together(
            np.concatenate([s[:-1] for s in stacked]),
            np.concatenate([clip.actions for clip in clips]),
            np.concatenate([s[1:] for s in stacked]),
        )

    def _together(
        self, observations: NDArray[Any], actions: NDArray[Any], next_observations: NDArray[Any]
    ) -> StepInputs:
        images: NDArray[Any] | None = None
        vectors: list[NDArray[Any]] = []
        if self.spaces.is_image:
            images = self._images(observations, next_observations)
        else:
            vectors += [observations] if "observation" in self.inputs else []
            vectors += [next_observations] if "next_observation" in self.inputs else []
        if "action" in self.inputs:
            vectors.append(self._action_vectors(actions))
        empty = np.zeros((len(actions), 0), np.float32)
        return StepInputs(images, np.concatenate([empty, *vectors], axis=1).astype(np.float32))

    def _images(self, observations: NDArray[Any], next_observations: NDArray[Any]) -> NDArray[Any]:
        if "next_observation" not in self.inputs:
            return observations
        if "observation" not in self.inputs:
            return next_observations
        return np.concatenate([observations, next_observations[:, -1:]], axis=1)

    def _action_vectors(self, actions: NDArray[np.generic]) -> NDArray[np.generic]:
        if self.spaces.n_actions is None:
            return actions
        return np.eye(self.spaces.n_actions, dtype=np.float32)[actions.astype(np.int64)]


# A clip is compared many times, and computing its moments takes longer than all that follows.
_MOMENTS: WeakKeyDictionary[Clip, NDArray[np.float32]] = WeakKeyDictionary()


def _moments_of(clip: Clip) -> NDArray[np.float32]:
    """`[T + K, 3, 13]`, computed once."""
    if clip not in _MOMENTS:
        assert clip.observations.dtype == np.uint8
        _MOMENTS[clip] = frame_moments(clip.observations)  # type: ignore[arg-type]
    return _MOMENTS[clip]
