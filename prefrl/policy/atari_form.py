"""In which form an Atari game is played: what the screen shows, which actions there are.

Facts about single games, found by looking and tested with pictures. Imports no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import ale_py
import gymnasium
import numpy as np
from numpy.typing import NDArray

from prefrl.config import ConfigError, EnvConfig

MAX_FRAMES = 108_000  # half an hour of play at 60 frames a second; source: ALE's own default
SCREEN = (210, 160)  # rows and columns of all games below

gymnasium.register_envs(ale_py)
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no greetings before a line of ours


@dataclass(frozen=True)
class Box:
    """A part of the screen, in its own pixels; `bottom` and `right` are the first outside."""

    top: int
    bottom: int
    left: int
    right: int


# Source of what is covered: paper, appendix A.2. Lives, levels, oxygen and torpedoes stay.
SCORES: Mapping[str, tuple[Box, ...]] = {
    "BeamRider": (Box(8, 20, 56, 112), Box(32, 40, 16, 42)),  # score; enemy ships left, in green
    "Breakout": (Box(5, 15, 34, 82),),
    # The whole instrument panel: the odometer tells the speed, the cars left are the score.
    "Enduro": (Box(160, 191, 48, 112),),
    "Pong": (Box(0, 22, 0, 160),),
    "Qbert": (Box(5, 15, 32, 76),),  # and some of his head, in a jump from the uppermost cube
    "Seaquest": (Box(7, 20, 48, 108),),
    # The first player's alone: the second's is always 0, and the mother ship passes there.
    "SpaceInvaders": (Box(9, 20, 2, 66),),
}

FIELDS: Mapping[str, Box] = {"Pong": Box(34, 194, 0, 160)}  # between the walls

# Pong: FIRE does nothing during a game, so the other three are these again.
REDUCED_ACTIONS: Mapping[str, tuple[str, ...]] = {"Pong": ("NOOP", "RIGHT", "LEFT")}

RALLIES = ("Pong",)  # where a reward other than 0 ends a rally


def is_atari(env_id: str) -> bool:
    """Whether the id names a game in ALE's own registration."""
    return env_id.startswith("ALE/")


def name_of(env_id: str) -> str:
    """`Pong` of `ALE/Pong-v5`."""
    return env_id.removeprefix("ALE/").rpartition("-")[0]


def max_frames(config: EnvConfig) -> int:
    """Emulator frames after which a game is cut off."""
    return config.time_limit * config.atari_frame_skip or MAX_FRAMES


def check_form(config: EnvConfig) -> None:
    """Refuse what a game does not have.

    Raises:
        ConfigError: The first such setting.
    """
    if config.atari_episodes == "life" and not _has_lives(config):
        raise ConfigError(f"--env.atari-episodes life: {config.id} counts no lives")
    for setting, value, games in (
        ("score", "masked", SCORES),
        ("score", "cropped", FIELDS),
        ("episodes", "rally", RALLIES),
        ("actions", "reduced", REDUCED_ACTIONS),
    ):
        wanted = getattr(config, f"atari_{setting}") == value
        if wanted and name_of(config.id) not in games:
            raise ConfigError(
                f"--env.atari-{setting} {value}: is known of {', '.join(games)}, not of {config.id}"
            )


def _has_lives(config: EnvConfig) -> bool:
    env = gymnasium.make(config.id)
    _, info = env.reset()
    env.close()
    return bool(info["lives"])


def action_names(config: EnvConfig) -> list[str]:
    """Of the emulator's actions, in ALE's order; without regard to `reduced`."""
    full = config.atari_actions == "full"
    env = gymnasium.make(config.id, full_action_space=full)
    names: list[str] = env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
    env.close()
    return names


def reduced_actions(config: EnvConfig) -> NDArray[np.int64]:
    """`[n]`, the numbers in the minimal set of the actions that are left."""
    names = action_names(config)
    return np.array([names.index(name) for name in REDUCED_ACTIONS[name_of(config.id)]])


def n_actions(config: EnvConfig) -> int:
    """How many the agent has."""
    if config.atari_actions == "reduced":
        return len(REDUCED_ACTIONS[name_of(config.id)])
    return len(action_names(config))


def score_mask(game: str, size: int) -> NDArray[np.bool_]:
    """`[size, size] bool`: True for each pixel of a resized frame that shows some of the score."""
    mask = np.zeros((size, size), np.bool_)
    for box in SCORES[game]:
        mask[_resized(box.top, box.bottom, size / SCREEN[0]),
             _resized(box.left, box.right, size / SCREEN[1])] = True  # fmt: skip
    return mask


def field_rows(game: str, size: int) -> slice:
    """The rows of a resized frame that show nothing but the field."""
    scale, field = size / SCREEN[0], FIELDS[game]
    return slice(math.ceil(field.top * scale), math.floor(field.bottom * scale))


def _resized(first: int, end: int, scale: float) -> slice:
    """Every pixel into which one of `first .. end - 1` enters, when resized by area."""
    return slice(math.floor(first * scale), math.ceil(end * scale))
