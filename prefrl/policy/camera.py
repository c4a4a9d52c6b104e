"""What a person would see of one environment. Imports no torch."""

import math
import warnings
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl.config import ConfigError, EnvConfig
from prefrl.policy.atari_form import is_atari
from prefrl.policy.environment import check_registered, make_env
from prefrl.types import FILM_WIDTH

FALLBACK_FRAMES_PER_SECOND = 15.0  # where the environment says nothing: as the paper shows Atari


class Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Takes pictures of an environment on request, `[H, W, 3] uint8` in its own colours.

    Whoever resets the environment as soon as it ends leaves nothing to see of the end. So the last
    picture of an episode is kept; but rendering is slow, so only if somebody is filming, that is,
    asked for the picture before.

    Attributes:
        frames_per_second: Pictures a second, at one picture a decision.
    """

    def __init__(self, env: gym.Env[Any, Any], frames_per_second: float) -> None:
        super().__init__(env)
        self.frames_per_second = frames_per_second
        self._filming = False

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._filming and (terminated or truncated):
            self._last_picture = self._render()
        self._filming = False
        return observation, reward, terminated, truncated, info

    def picture(self) -> NDArray[np.uint8]:
        """The environment as it is now."""
        self._filming = True
        return self._render()

    def last_picture(self) -> NDArray[np.uint8]:
        """The episode before as it ended."""
        return self._last_picture

    def _render(self) -> NDArray[np.uint8]:
        # A copy: some environments draw into the same array again and again.
        picture = np.array(self.env.render())
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"render(): expected [H, W, 3] uint8, got {list(picture.shape)} {picture.dtype}"
            )
        return _no_wider(picture)


def _no_wider(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Made smaller at once: a clip's pictures wait in memory and travel between processes."""
    height, width, _ = picture.shape
    if width <= FILM_WIDTH:
        return picture
    size = (FILM_WIDTH, max(1, round(height * FILM_WIDTH / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def make_filmed_env(config: EnvConfig) -> Camera:
    """One environment as `make_env` makes it, with a camera.

    Raises:
        ConfigError: As `make_env`.
    """
    env = make_env(config, render_mode="rgb_array")
    return Camera(env, frames_per_second(config, env))


def frames_per_second(config: EnvConfig, env: gym.Env[Any, Any]) -> float:
    """Decisions a second at which an environment is shown: the speed of the game.

    Gymnasium's `render_fps` counts steps, and outside Atari a step is a decision.
    """
    if is_atari(config.id):
        return 60 / config.atari_frame_skip
    speed = env.metadata.get("render_fps")
    if isinstance(speed, int | float | np.number) and math.isfinite(speed) and speed > 0:
        return float(speed)
    return FALLBACK_FRAMES_PER_SECOND


def check_can_be_filmed(config: EnvConfig, so: str = "people cannot label it") -> None:
    """Make one environment and take a picture of it.

    Args:
        config: Of the environment.
        so: What follows where it cannot.

    Raises:
        ConfigError: It cannot be rendered; or the id is unknown.
    """
    check_registered(config)
    if is_atari(config.id):
        return
    try:
        _take_a_picture(config)
    except Exception as error:  # whatever a stranger's renderer may raise
        raise ConfigError(f"{config.id} cannot be rendered, so {so}: {error}") from error


def _take_a_picture(config: EnvConfig) -> None:
    with warnings.catch_warnings(action="ignore"):  # the reason is given below, in one line
        env = make_env(config)
    modes = env.metadata.get("render_modes") or ()
    env.close()
    if "rgb_array" not in modes:
        raise ValueError(f"its render modes are {list(modes)}, and rgb_array is needed")
    filmed = make_filmed_env(config)
    try:
        filmed.reset(seed=0)
        filmed.picture()
    finally:
        filmed.close()
