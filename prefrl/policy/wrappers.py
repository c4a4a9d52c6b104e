"""What brings any environment's observations and actions into the form that the policy has."""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class GreyImage(gym.ObservationWrapper[Any, Any, Any]):
    """Images as one small grey frame, `[1, H, W] uint8`."""

    def __init__(self, env: gym.Env[Any, Any], size: int) -> None:
        super().__init__(env)
        self._size = size
        shape = env.observation_space.shape or ()
        self._channels_first = len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] > 4
        self.observation_space = spaces.Box(0, 255, (1, size, size), np.uint8)

    def observation(self, observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame, grey and resized by area (so that nothing small is skipped)."""
        image: NDArray[Any] = (
            np.moveaxis(observation, 0, -1) if self._channels_first else observation
        )
        if image.ndim == 3:
            image = (
                image[:, :, 0]
                if image.shape[2] == 1
                else cv2.cvtColor(np.ascontiguousarray(image[:, :, :3]), cv2.COLOR_RGB2GRAY)
            )
        if image.shape != (self._size, self._size):
            image = cv2.resize(image, (self._size, self._size), interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)[None]


class FlatVector(gym.ObservationWrapper[Any, Any, Any]):
    """Observations as one flat `[D] float32` vector."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, spaces.Box)
        self.observation_space = spaces.Box(
            space.low.ravel().astype(np.float32), space.high.ravel().astype(np.float32)
        )

    def observation(self, observation: NDArray[np.generic]) -> NDArray[np.float32]:
        """The numbers in one row."""
        return np.asarray(observation, np.float32).ravel()


class FromZero(gym.ActionWrapper[Any, Any, Any]):
    """Discrete actions counted from 0, as SB3 gives them."""

    def __init__(self, env: gym.Env[Any, Any], space: spaces.Discrete) -> None:
        super().__init__(env)
        self._start = int(space.start)
        self.action_space = spaces.Discrete(int(space.n))

    def action(self, action: Any) -> Any:
        """The environment's own number."""
        return action + self._start
