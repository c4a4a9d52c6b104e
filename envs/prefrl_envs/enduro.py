"""Enduro, to be driven level with the other cars: a behaviour for which no game has a reward.

Source: Christiano et al. 2017, section 3.2 and appendix B.2: "avoid passing cars or getting passed
by them, you want to stay even with other cars (not having any around is OK too)".
"""

from typing import Any

import gymnasium
import numpy as np
from ale_py.env import AtariEnv
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

# Addresses in the emulator's memory; experiments/enduro_memory.py finds and checks each.
SPEED = 22  # 6 at rest, 24 as the others
CARS_LEFT = (44, 43)  # two digits of a decimal number in each byte, hundreds first
CARS_AHEAD = slice(27, 34)  # the places where cars can be seen, the nearest first; 0: none there

TRAFFIC_SPEED = 24  # at which the others neither come nearer nor fall behind
BOTH_WAYS = 100  # cars left at the start: at 200, the game's own, it counts none that pass by
WEATHER_CHANGES = 3072  # the emulator frame from which there is snow
NOOP_MAX = 30  # Mnih et al. 2015

# rows and columns of the panel with odometer, day and cars left
PANEL = (slice(160, 191), slice(48, 112))


class EnduroAlongside(gymnasium.Env[NDArray[np.uint8], Any]):
    """The driver sees the road and not the panel; an episode ends before the weather changes.

    The reward of a decision is the pace, up to that of the others, less a cost for each car that
    was passed or that passed by: at best 1, for driving as fast as the others do.

    Observations are `[210, 160, 3] uint8`, the maximum of the last two emulator frames, with the
    panel black. Actions are the nine that Enduro knows. `render` shows the screen as it is.

    Args:
        frame_skip: Emulator frames a decision.
        max_frames: Emulator frames of an episode, no-ops at its start not counted.
        pass_cost: Of one car.
        render_mode: `rgb_array` or None.

    Raises:
        ValueError: No decision fits into an episode, or the weather would change during it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - gymnasium's type

    def __init__(
        self,
        *,
        frame_skip: int = 4,
        max_frames: int = 3000,
        pass_cost: float = 5.0,
        render_mode: str | None = None,
    ) -> None:
        most = WEATHER_CHANGES - NOOP_MAX
        if not 1 <= frame_skip <= max_frames <= most:
            raise ValueError(
                f"expected 1 <= frame_skip <= max_frames <= {most}, got {frame_skip}, {max_frames}"
            )
        self._game = AtariEnv("enduro", frameskip=1, repeat_action_probability=0.0)
        self.frame_skip, self.pass_cost = frame_skip, pass_cost
        self.n_decisions = max_frames // frame_skip
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": 60 / frame_skip}
        actions = self._game.action_space
        assert isinstance(actions, Discrete)
        self.action_space = Discrete(int(actions.n))
        self.observation_space = Box(0, 255, (210, 160, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode with up to 30 no-ops."""
        super().reset(seed=seed)
        self._game.reset(seed=seed)
        for _ in range(int(self.np_random.integers(1, NOOP_MAX, endpoint=True))):
            screen, *_ = self._game.step(0)
        hundreds, rest = CARS_LEFT
        self._game.ale.setRAM(hundreds, BOTH_WAYS // 100)
        self._game.ale.setRAM(rest, 0)
        self._decisions, self._cars_left = 0, BOTH_WAYS
        return self._blanked(screen), self._info(0)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Play one decision: `frame_skip` frames of the same action."""
        screens = [self._game.step(action)[0] for _ in range(self.frame_skip)]
        self._decisions += 1
        memory = self._game.ale.getRAM()
        cars_left = decimal(memory[CARS_LEFT[0]]) * 100 + decimal(memory[CARS_LEFT[1]])
        passes = abs(self._cars_left - cars_left)
        self._cars_left = cars_left
        pace = min(int(memory[SPEED]), TRAFFIC_SPEED) / TRAFFIC_SPEED
        reward = pace - self.pass_cost * passes
        seen = np.maximum.reduce(screens[-2:])
        over = self._decisions >= self.n_decisions
        return self._blanked(seen), reward, False, over, self._info(passes)

    def render(self) -> NDArray[np.uint8]:
        """The screen, `[210, 160, 3] uint8`."""
        screen: NDArray[np.uint8] = self._game.ale.getScreenRGB()
        return screen

    def close(self) -> None:
        """End the emulator."""
        self._game.close()

    def _info(self, passes: int) -> dict[str, Any]:
        memory = self._game.ale.getRAM()
        return {
            "speed": int(memory[SPEED]),
            "passes": passes,
            "cars_in_sight": int(np.count_nonzero(memory[CARS_AHEAD])),
        }

    @staticmethod
    def _blanked(screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        blanked = screen.copy()
        blanked[PANEL] = 0
        return blanked


def decimal(byte: int) -> int:
    """The number that a byte of two decimal digits stands for."""
    return 10 * (int(byte) >> 4) + (int(byte) & 15)
