"""Catch, from pixels: a small task that a run learns within a test.

Source: bsuite's Catch (Osband et al. 2019), which goes on with the next ball instead of ending, and
rewards every step: an answer then tells more than who caught a ball, and fewer of them will do.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

ROWS, COLUMNS, CELL = 9, 5, 9
BALLS = 20  # an episode


class Catch(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """A ball falls; the paddle moves left, stays or moves right. 1 beneath it, 1 less a column."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012 - gymnasium's type
    observation_space = Box(0, 255, (ROWS * CELL, COLUMNS * CELL), np.uint8)
    action_space = Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.paddle = COLUMNS // 2
        self._drop()
        return self._frame(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.paddle = int(np.clip(self.paddle + int(action) - 1, 0, COLUMNS - 1))
        if self.row == ROWS - 1:
            self._drop()
            return self._frame(), 0.0, False, False, {}
        self.row += 1
        return self._frame(), 1.0 - abs(self.column - self.paddle), False, False, {}

    def render(self) -> NDArray[np.uint8]:
        return np.repeat(self._frame()[..., None], 3, axis=2)

    def _drop(self) -> None:
        self.row, self.column = 0, int(self.np_random.integers(COLUMNS))

    def _frame(self) -> NDArray[np.uint8]:
        cells = np.zeros((ROWS, COLUMNS), np.uint8)
        cells[self.row, self.column] = 255
        cells[ROWS - 1, self.paddle] = (
            160 if (self.row, self.column) != (ROWS - 1, self.paddle) else 255
        )
        return cells.repeat(CELL, 0).repeat(CELL, 1)


gymnasium.register("catch/Catch-v0", entry_point=Catch, max_episode_steps=ROWS * BALLS)
