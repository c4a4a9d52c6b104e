"""Atari games in colour, for films: ALE's screens, and the agent's frames made from them.

ALE's vector environment has no screen to ask for, so it plays at the game's own size in RGB, and
greying and resizing are done here. Of the ways to get at colours it is the cheapest
(experiments/film_cost.py).
"""

from typing import Any

import cv2
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from numpy.typing import NDArray


class ColourGames(AtariVectorEnv):
    """ALE's vector environment in colour, greyed and resized here as ALE does it.

    ALE maxes two frames before it greys them in the one form and after it in the other, so where
    something flickers, or moves over a ground that is not black, the greys differ: they are then
    those of SB3's wrappers. Elsewhere they are equal to the last bit.

    Args:
        game: ALE's name of it.
        n_envs: Games played together.
        screen: Height and width of the game's own screen.
        img_height: Of the grey frames.
        img_width: Of the grey frames.
        frameskip: Emulator frames a decision.
        settings: ALE's others.

    Attributes:
        frames_per_second: Decisions a second of the game.
        pictures: `[n_envs, H, W, 3] uint8`, the games as they are.
        last_pictures: The same where an episode just ended, as it ended.
    """

    def __init__(
        self,
        game: str,
        n_envs: int,
        *,
        screen: tuple[int, int],
        img_height: int,
        img_width: int,
        frameskip: int,
        **settings: Any,
    ) -> None:
        height, width = screen
        super().__init__(
            game, n_envs, img_height=height, img_width=width, grayscale=False,
            frameskip=frameskip, **settings,
        )  # fmt: skip
        self._size = img_width, img_height  # as OpenCV has it
        self.frames_per_second = 60 / frameskip

    def reset(  # type: ignore[override]  # ALE's own annotation has a type variable unbound
        self,
        *,
        seed: int | NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode in every game."""
        screens, info = super().reset(seed=seed, options=options)
        self.pictures = screens[:, 0]
        return self._grey(self.pictures), info

    def recv(self) -> tuple[NDArray[np.uint8], Any, Any, Any, dict[str, Any]]:
        """What a step gave, its frames grey."""
        screens, rewards, terminated, truncated, info = super().recv()
        self.pictures = screens[:, 0]
        if "final_obs" in info:
            self.last_pictures = info["final_obs"][:, 0]
            info["final_obs"] = self._grey(self.last_pictures)
        return self._grey(self.pictures), rewards, terminated, truncated, info

    def _grey(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`[n_envs, 1, img_height, img_width] uint8`."""
        # As one tall picture: rows of frames begin where rows of pictures do, so nothing mixes.
        n, (width, height) = len(pictures), self._size
        tall = np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[2:])
        grey = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY)
        frames = cv2.resize(grey, (width, n * height), interpolation=cv2.INTER_AREA)
        return np.asarray(frames, np.uint8).reshape(n, 1, height, width)
