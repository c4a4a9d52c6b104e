"""CartPole with a reward that says which of two clips is better."""

from typing import Any

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numpy.typing import NDArray

FRAME_HEIGHT, FRAME_WIDTH = 160, 240
TRACK_ROW = 120
PIXELS_PER_METRE = FRAME_WIDTH / 5.2
CART, POLE, TRACK = (40, 40, 40), (202, 152, 101), (150, 150, 150)


class CartPoleUpright(CartPoleEnv):
    """Gymnasium's CartPole, rewarded for a pole upright and a cart in the middle.

    Gymnasium's reward is +1 on every step. Clips have equal lengths, so under it every comparison
    would be a tie and preferences would carry nothing. Here the reward of a step is

        1 - |theta| / (2 theta_limit) - |x| / (2 x_limit)

    of the state after the step, each fraction at most 1/2: 1 is perfect, and the mean over a clip
    says how well it was balanced. States, actions and terminations are Gymnasium's.

    Args:
        time_limit: Steps after which an episode is truncated.
        render_mode: `rgb_array` or None. Frames are drawn here: Gymnasium's need pygame.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 - gymnasium's type

    def __init__(self, *, time_limit: int = 500, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.time_limit = time_limit

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode near the upright state."""
        self._steps = 0
        observation, info = super().reset(seed=seed, options=options)
        return observation, info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Push the cart to the left (0) or to the right (1) for one fiftieth of a second."""
        observation, _, terminated, _, info = super().step(action)  # type: ignore[no-untyped-call]
        self._steps += 1
        x, theta = float(observation[0]), float(observation[2])
        tilt = min(abs(theta) / self.theta_threshold_radians, 1.0)
        offset = min(abs(x) / self.x_threshold, 1.0)
        reward = 1.0 - tilt / 2 - offset / 2
        return observation, reward, terminated, self._steps >= self.time_limit, info

    def render(self) -> NDArray[np.uint8]:
        """Track, cart and pole, `[160, 240, 3] uint8`."""
        assert self.state is not None, "reset() comes before render()"
        x, theta = float(self.state[0]), float(self.state[2])
        frame = np.full((FRAME_HEIGHT, FRAME_WIDTH, 3), 255, np.uint8)
        frame[TRACK_ROW : TRACK_ROW + 2] = TRACK
        middle = round(FRAME_WIDTH / 2 + x * PIXELS_PER_METRE)
        frame[TRACK_ROW - 14 : TRACK_ROW, max(middle - 18, 0) : max(middle + 18, 0)] = CART
        # Coordinates of every pixel along the pole and across it, from the axle.
        rows, columns = np.ogrid[:FRAME_HEIGHT, :FRAME_WIDTH]
        right, up = columns - middle, TRACK_ROW - 14 - rows
        along = right * np.sin(theta) + up * np.cos(theta)
        across = right * np.cos(theta) - up * np.sin(theta)
        length = 2 * self.length * PIXELS_PER_METRE
        frame[(along >= 0) & (along <= length) & (np.abs(across) <= 3)] = POLE
        return frame
