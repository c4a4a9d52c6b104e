"""Moving dot: bring a dot to the centre of a black frame.

The easiest task that still has frames, actions and a reward worth preferring. Because the reward is
the decrease of a distance, the return of an episode is the distance at its start less the distance
at its end, and the best possible return of a start is known exactly.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

DOT = 2
CROSS_ARM, CROSS_GREY = 6, 80  # darker by far than the dot, so that nothing is taken for it
FRAMES_PER_SECOND = 60

# (x, y) per frame of the actions stay, up, right, down, left; row 0 of a frame is its top.
MOVES = ((0, 0), (0, -1), (1, 0), (0, 1), (-1, 0))


class MovingDot(gymnasium.Env[NDArray[Any], Any]):
    """A 2x2 white dot that moves at most one pixel a frame on each axis.

    The reward of a frame is the decrease of the L1 distance, in pixels, from the dot to the centre;
    the reward of a decision is the sum over its frames. The start is uniform over the positions
    inside the frame, or is given as `reset(options={"start": (x, y)})`. Positions are those of the
    dot's upper left pixel, and stop at the frame's edges.

    Actions are `Discrete(5)` (stay, up, right, down, left) or, continuous, `[2] float32`: the
    velocity (x, y) in pixels a frame, from -1 to 1. Observations are frames `[H, W, 3] uint8` or
    `[4] float32`: x, y, and the pixels moved over the last decision, dx, dy.

    Every info holds `best_possible_return`, that of the current episode's start.

    Args:
        pixels: Observe frames rather than the position.
        continuous: Act with a velocity rather than with five actions.
        frame_skip: Frames for which an action is repeated: one decision.
        max_frames: Length of an episode. What is left of a whole decision is not played.
        height: Of the frame, in pixels.
        width: Of the frame, in pixels.
        render_mode: `rgb_array` or None.

    Raises:
        ValueError: There is no room for a decision in the episode or for the dot in the frame.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - gymnasium's type

    def __init__(
        self,
        *,
        pixels: bool = True,
        continuous: bool = False,
        frame_skip: int = 4,
        max_frames: int = 1000,
        height: int = 210,
        width: int = 160,
        render_mode: str | None = None,
    ) -> None:
        if not 1 <= frame_skip <= max_frames:
            raise ValueError(f"frame_skip: expected 1 to {max_frames} frames, got {frame_skip}")
        if min(height, width) < DOT:
            raise ValueError(f"expected a frame of at least {DOT}x{DOT}, got {height}x{width}")
        self.pixels = pixels
        self.continuous = continuous
        self.frame_skip = frame_skip
        self.n_decisions = max_frames // frame_skip
        self.height = height
        self.width = width
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": FRAMES_PER_SECOND / frame_skip}
        self._limit_x, self._limit_y = width - DOT, height - DOT
        self._target_x, self._target_y = self._limit_x // 2, self._limit_y // 2
        self.action_space = Box(-1.0, 1.0, (2,), np.float32) if continuous else Discrete(len(MOVES))
        self.observation_space = self._make_observation_space()

    def _make_observation_space(self) -> Box:
        if self.pixels:
            return Box(0, 255, (self.height, self.width, 3), np.uint8)
        low = np.array([0, 0, -self.frame_skip, -self.frame_skip], np.float32)
        high = np.array([self._limit_x, self._limit_y, self.frame_skip, self.frame_skip])
        return Box(low, high.astype(np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode.

        Raises:
            ValueError: The start given in the options is outside the frame.
        """
        super().reset(seed=seed)
        x, y = options["start"] if options and "start" in options else self._random_start()
        if not (0 <= x <= self._limit_x and 0 <= y <= self._limit_y):
            raise ValueError(
                f"start: expected x up to {self._limit_x} and y up to {self._limit_y}, got {x, y}"
            )
        number = float if self.continuous else int
        self._x, self._y = number(x), number(y)
        self._moved_x = self._moved_y = 0.0
        self._decisions = 0
        self._best = best_possible_return(
            (self._x, self._y),
            height=self.height,
            width=self.width,
            frame_skip=self.frame_skip,
            n_decisions=self.n_decisions,
            continuous=self.continuous,
        )
        return self._observation(), {"best_possible_return": self._best}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Play one decision: `frame_skip` frames of the same action."""
        if self.continuous:
            velocity_x = min(max(float(action[0]), -1.0), 1.0)
            velocity_y = min(max(float(action[1]), -1.0), 1.0)
        elif 0 <= action < len(MOVES):
            velocity_x, velocity_y = MOVES[action]
        else:
            raise ValueError(f"action: expected 0 to {len(MOVES) - 1}, got {action}")
        # Moving frame by frame and stopping at the edge ends where one clipped move ends, and the
        # frames' decreases of distance sum to the decrease over the decision.
        before = abs(self._x - self._target_x) + abs(self._y - self._target_y)
        x = min(max(self._x + self.frame_skip * velocity_x, 0), self._limit_x)
        y = min(max(self._y + self.frame_skip * velocity_y, 0), self._limit_y)
        self._moved_x, self._moved_y = x - self._x, y - self._y
        self._x, self._y = x, y
        self._decisions += 1
        return (
            self._observation(),
            float(before - abs(x - self._target_x) - abs(y - self._target_y)),
            False,
            self._decisions >= self.n_decisions,
            {"best_possible_return": self._best},
        )

    def render(self) -> NDArray[np.uint8]:
        """The frame as people see it: with a dim cross at the centre, `[H, W, 3] uint8`."""
        frame = np.zeros((self.height, self.width, 3), np.uint8)
        row, column = self._target_y, self._target_x
        down, across = slice(row, row + DOT), slice(column, column + DOT)
        frame[max(row - CROSS_ARM, 0) : row + DOT + CROSS_ARM, across] = CROSS_GREY
        frame[down, max(column - CROSS_ARM, 0) : column + DOT + CROSS_ARM] = CROSS_GREY
        return self._with_dot(frame)

    def _with_dot(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        row, column = round(self._y), round(self._x)
        frame[row : row + DOT, column : column + DOT] = 255
        return frame

    def _observation(self) -> NDArray[Any]:
        if self.pixels:
            return self._with_dot(np.zeros((self.height, self.width, 3), np.uint8))
        return np.array((self._x, self._y, self._moved_x, self._moved_y), np.float32)

    def _random_start(self) -> tuple[float, float]:
        limits = (self._limit_x, self._limit_y)
        if self.continuous:
            x, y = self.np_random.uniform(0, limits)
        else:
            x, y = self.np_random.integers(0, limits, endpoint=True)
        return x, y


def best_possible_return(
    start: tuple[float, float],
    *,
    height: int = 210,
    width: int = 160,
    frame_skip: int = 4,
    n_decisions: int = 250,
    continuous: bool = False,
) -> float:
    """The largest return that any policy can have from a start.

    Args:
        start: (x, y) of the dot's upper left pixel; whole numbers unless continuous.
        height: Of the frame.
        width: Of the frame.
        frame_skip: Frames a decision.
        n_decisions: Decisions an episode.
        continuous: Velocities rather than five actions. Both axes then move at once.
    """
    (x, y), limits = start, (width - DOT, height - DOT)
    if continuous:
        furthest = float(frame_skip * n_decisions)
        return min(abs(x - limits[0] // 2), furthest) + min(abs(y - limits[1] // 2), furthest)
    closest_x = _closest(int(x), limits[0], frame_skip, n_decisions)
    closest_y = _closest(int(y), limits[1], frame_skip, n_decisions)
    # One axis moves at a time: the decisions of an episode are split between the two.
    end = min(map(sum, zip(closest_x, reversed(closest_y), strict=True)))
    return float(closest_x[0] + closest_y[0] - end)


def _closest(start: int, limit: int, stride: int, n_decisions: int) -> list[int]:
    """Distances to the middle of an axis that can be reached in 0, 1 .. n_decisions moves.

    A search over positions, because no simple formula holds: the dot jumps over the middle unless
    its distance is a multiple of the stride, and a detour to an edge, where it stops short, can
    make it one.
    """
    target = limit // 2
    seen, newest = {start}, {start}
    closest = [abs(start - target)]
    for _ in range(n_decisions):
        if not newest or closest[-1] == 0:
            break
        moved = {max(position - stride, 0) for position in newest}
        moved.update(min(position + stride, limit) for position in newest)
        newest = moved - seen
        seen |= newest
        closest.append(min([closest[-1], *(abs(position - target) for position in newest)]))
    return closest + [closest[-1]] * (n_decisions + 1 - len(closest))
