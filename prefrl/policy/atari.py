"""Atari games in the paper's form: one grey frame at a time, true rewards, whole games.

Two forms of the same preprocessing: ALE's vector environment (threaded C++) for training, SB3's
Python wrappers where a single environment or a picture of the game is needed. In both, no-ops begin
an episode, an action is repeated, the last two frames are maxed, and neither rewards nor lives are
touched: the oracle needs the true reward, and what changes a game lies in layers above
(`atari_layers.py`), as does the frame stack. Source: Mnih et al. 2015, methods; Christiano et al.
2017, appendix A.2.

The forms differ where no rule says which is right. ALE presses FIRE for one frame at a reset, SB3
presses FIRE and then action 2 for a decision each; ALE maxes grey frames, SB3 coloured ones.
"""

from collections.abc import Sequence, Set
from typing import Any

import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.vec_env import VecEnv

from prefrl.cores import own_threads
from prefrl.policy.atari_colour import ColourGames
from prefrl.policy.atari_form import MAX_FRAMES

# Methods that a filmed environment has, and where games in colour keep what they give.
PICTURES = {"picture": "pictures", "last_picture": "last_pictures"}


def make_python_atari_env(
    env_id: str,
    *,
    image_size: int = 84,
    frame_skip: int = 4,
    noop_max: int = 30,
    max_frames: int = MAX_FRAMES,
    repeat_action_probability: float = 0.0,
    full_action_space: bool = False,
    render_mode: str | None = None,
) -> gymnasium.Env[NDArray[np.uint8], int]:
    """One game behind SB3's wrappers, observed as `[image_size, image_size, 1] uint8`.

    Args:
        env_id: As `ALE/Pong-v5`.
        image_size: Side of the grey frames.
        frame_skip: Emulator frames a decision.
        noop_max: Up to this many no-ops begin an episode.
        max_frames: Emulator frames after which an episode is truncated.
        repeat_action_probability: With which a frame repeats the action of the one before.
        full_action_space: All actions of the joystick, whether the game knows them or not.
        render_mode: Gymnasium's; `rgb_array` shows the game in colour.
    """
    env = gymnasium.make(
        env_id,
        frameskip=1,
        repeat_action_probability=repeat_action_probability,
        full_action_space=full_action_space,
        max_num_frames_per_episode=max_frames,
        render_mode=render_mode,
    )
    return AtariWrapper(
        env,
        noop_max=noop_max,
        frame_skip=frame_skip,
        screen_size=image_size,
        terminal_on_life_loss=False,
        clip_reward=False,
    )


class AtariVecEnv(VecEnv):
    """ALE's vector environment as SB3 expects one.

    Observations are `[n_envs, 1, image_size, image_size] uint8`, rewards `[n_envs] float32`.

    Args:
        env_id: As `ALE/Pong-v5`.
        n_envs: Games played together.
        seed: Gives every game a seed of its own, for the first reset.
        image_size: Side of the grey frames.
        frame_skip: Emulator frames a decision.
        noop_max: Up to this many no-ops begin an episode.
        max_frames: Emulator frames after which an episode is truncated.
        repeat_action_probability: With which a frame repeats the action of the one before.
        full_action_space: All actions of the joystick, whether the game knows them or not.
        num_threads: Threads that play; 0 takes one for each processor core. What is played does
            not depend on it.
        films: Play in colour, so that `picture` and `last_picture` can be called.

    Attributes:
        threads: Those that play, as `own_threads` has them.
    """

    def __init__(
        self,
        env_id: str,
        n_envs: int,
        *,
        seed: int,
        image_size: int = 84,
        frame_skip: int = 4,
        noop_max: int = 30,
        max_frames: int = MAX_FRAMES,
        repeat_action_probability: float = 0.0,
        full_action_space: bool = False,
        num_threads: int = 0,
        films: bool = False,
    ) -> None:
        colours: dict[str, Any] = {"screen": _screen(env_id)} if films else {"grayscale": True}
        before = own_threads()
        self._games = (ColourGames if films else AtariVectorEnv)(
            gymnasium.spec(env_id).kwargs["game"],
            n_envs,
            num_threads=num_threads,
            max_num_frames_per_episode=max_frames,
            repeat_action_probability=repeat_action_probability,
            full_action_space=full_action_space,
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=image_size,
            img_width=image_size,
            stack_num=1,
            frameskip=frame_skip,
            noop_max=noop_max,
            episodic_life=False,
            reward_clipping=False,
            use_fire_reset=True,
            **colours,
        )
        self.threads: Set[int] = own_threads() - before
        self._frame_shape = (1, image_size, image_size)
        self._stepping = False
        super().__init__(
            n_envs, Box(0, 255, self._frame_shape, np.uint8), self._games.single_action_space
        )
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed every game at the next reset. Runs of neighbouring seeds share no game's seed."""
        words = np.random.SeedSequence(seed).generate_state(self.num_envs)
        # ALE's seeds are positive 32-bit integers; others mean "do not seed" in some versions.
        self._seeds = [int(word) % (2**31 - 1) + 1 for word in words]
        return self._seeds

    def reset(self) -> NDArray[np.uint8]:
        """Begin an episode in every game; a step under way is dropped."""
        if self._stepping:
            self.step_wait()  # else ALE would answer this reset with that step's result
        seeds = None if None in self._seeds else np.array(self._seeds)
        observations, _ = self._games.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return self._single_frames(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Start a decision in every game. Actions `[n_envs]`, whole numbers."""
        self._games.send(np.asarray(actions, dtype=np.int64))
        self._stepping = True

    def step_wait(
        self,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Observations, true rewards, ends and infos; an ended game has begun anew."""
        observations, rewards, terminated, truncated, info = self._games.recv()
        self._stepping = False
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [
            {"TimeLimit.truncated": bool(cut), "lives": int(lives)}
            for cut, lives in zip(truncated & ~terminated, info["lives"], strict=True)
        ]
        for index in np.flatnonzero(dones):
            # A copy, because the row alone would keep the whole batch alive.
            last = info["final_obs"][index].reshape(self._frame_shape).copy()
            infos[index]["terminal_observation"] = last
        return self._single_frames(observations), rewards.astype(np.float32), dones, infos

    def _single_frames(self, observations: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # No copy: ALE gives every step an array of its own, which a test holds.
        return observations.reshape(self.num_envs, *self._frame_shape)

    def close(self) -> None:
        """End ALE's threads."""
        # They end with the interface, and not before: ALE's own close() leaves them.
        self._games.__dict__.pop("ale", None)
        self.threads = set()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the games, which have all of them in common."""
        return [getattr(self._games, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(f"cannot set {attr_name!r}: ALE's games are not Python objects")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """`picture` or `last_picture` of games in colour, `[H, W, 3] uint8` each.

        Raises:
            AttributeError: Another method, or grey games.
        """
        if not isinstance(self._games, ColourGames) or method_name not in PICTURES:
            raise AttributeError(f"cannot call {method_name!r}: ALE's games are not Python objects")
        pictures = getattr(self._games, PICTURES[method_name])
        return [pictures[i] for i in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: Any = None
    ) -> list[bool]:
        """False for every game."""
        return [False for _ in self._get_indices(indices)]


def _screen(env_id: str) -> tuple[int, int]:
    """Height and width of a game's own screen."""
    env = gymnasium.make(env_id)
    height, width, _ = env.observation_space.shape or ()
    env.close()
    return height, width
