"""What changes an Atari game for agent and predictor, in the same way for either backend.

    games -> fewer actions -> shorter episodes -> changed screens -> frame stack

Layers over vectorised games, because ALE's own are not Python objects that could be wrapped.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from prefrl.config import EnvConfig
from prefrl.policy.atari_form import field_rows, name_of, reduced_actions, score_mask

Frames = NDArray[np.uint8]  # `[n, 1, H, W]`


def in_form(games: VecEnv, config: EnvConfig) -> VecEnv:
    """The games as the settings want them; with the usual ones, the games themselves."""
    game, size = name_of(config.id), config.image_size
    if config.atari_actions == "reduced":
        games = FewerActions(games, reduced_actions(config))
    if config.atari_episodes != "game":
        games = ShorterEpisodes(games, config.atari_episodes)
    if config.atari_score == "masked":
        mask = score_mask(game, size)
        games = ChangedScreens(games, lambda frames: np.where(mask, np.uint8(0), frames))
    if config.atari_score == "cropped":
        rows = field_rows(game, size)
        games = ChangedScreens(games, lambda frames: enlarged(frames[:, :, rows], size))
    return games


class FewerActions(VecEnvWrapper):
    """Some of the actions, numbered from 0.

    Args:
        venv: The games.
        kept: `[n]`, their own numbers.
    """

    def __init__(self, venv: VecEnv, kept: NDArray[np.int64]) -> None:
        super().__init__(venv, action_space=Discrete(len(kept)))
        self._kept = kept

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send the games' own numbers."""
        self.venv.step_async(self._kept[np.asarray(actions, np.int64)])

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step."""
        return self.venv.step_wait()


class ShorterEpisodes(VecEnvWrapper):
    """An episode ends with a life or a rally, and the next one goes on in the same game.

    Differs from the wrappers of the field: no FIRE and no no-op is played in between, which SB3 and
    ALE would each do in their own way.

    Args:
        venv: Whole games.
        until: `life`: there are fewer than before. `rally`: there is a reward.
    """

    def __init__(self, venv: VecEnv, until: str) -> None:
        super().__init__(venv)
        self._by_lives = until == "life"
        self._within = np.zeros(venv.num_envs, np.bool_)  # games that go on after the last end
        self._lives = np.zeros(venv.num_envs, np.int64)

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        self._lives[:] = 0
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step. The observation after an end within a game is old and new at once."""
        observations, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(observations, np.ndarray)
        ends = rewards != 0
        if self._by_lives:
            lives = np.array([info["lives"] for info in infos])
            # With the last one the game ends, if not at once: Qbert goes on for some frames.
            ends, self._lives = (lives > 0) & (lives < self._lives), lives
        self._within = ends & ~dones
        for i in np.flatnonzero(self._within):
            infos[i]["terminal_observation"] = observations[i].copy()
            infos[i]["TimeLimit.truncated"] = False
        return observations, rewards, dones | ends, infos

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """As the games have it; the last picture of an episode within a game is the present one."""
        if method_name != "last_picture":
            return self.venv.env_method(method_name, *method_args, indices=indices, **method_kwargs)
        return [
            self.venv.env_method("picture" if self._within[i] else "last_picture", indices=[i])[0]
            for i in self._get_indices(indices)
        ]


class ChangedScreens(VecEnvWrapper):
    """Every frame that leaves the games, changed.

    Args:
        venv: Games that show single frames.
        change: Gives new frames for some, and leaves those as they are.
    """

    def __init__(self, venv: VecEnv, change: Callable[[Frames], Frames]) -> None:
        super().__init__(venv)
        self._change = change

    def reset(self) -> VecEnvObs:
        """Begin anew."""
        observations = self.venv.reset()
        assert isinstance(observations, np.ndarray)
        return self._change(observations)

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        assert isinstance(observations, np.ndarray)
        for i in np.flatnonzero(dones):
            last = infos[i]["terminal_observation"]
            infos[i]["terminal_observation"] = self._change(last[None])[0]
        return self._change(observations), rewards, dones, infos


def enlarged(frames: Frames, size: int) -> Frames:
    """`[n, 1, size, size] uint8` of frames with fewer rows."""
    large = np.empty((len(frames), 1, size, size), np.uint8)
    for (frame,), (whole,) in zip(frames, large, strict=True):
        cv2.resize(np.ascontiguousarray(frame), (size, size), dst=whole)
    return large
