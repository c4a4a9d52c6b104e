"""Small environments with a known true reward, under Gymnasium ids.

Importing the package registers the ids. Every environment has its own time limit, so a constructor
argument changes the length; the registry's is only there because prefrl gives one to a task that
has none.
"""

import gymnasium

from prefrl_envs.cartpole import CartPoleUpright
from prefrl_envs.enduro import EnduroAlongside
from prefrl_envs.moving_dot import MovingDot, best_possible_return

__all__ = ["CartPoleUpright", "EnduroAlongside", "MovingDot", "best_possible_return"]

# Gymnasium's passive checker costs as much as a step of the dot itself; the tests check instead.
for _id, _entry_point, _kwargs in (
    ("MovingDot", MovingDot, {"pixels": True, "continuous": False}),
    ("MovingDotPosition", MovingDot, {"pixels": False, "continuous": False}),
    ("MovingDotContinuous", MovingDot, {"pixels": True, "continuous": True}),
    ("MovingDotPositionContinuous", MovingDot, {"pixels": False, "continuous": True}),
    ("CartPoleUpright", CartPoleUpright, {}),
    ("EnduroAlongside", EnduroAlongside, {}),
):
    gymnasium.register(
        f"prefrl/{_id}-v0",
        entry_point=f"{_entry_point.__module__}:{_entry_point.__name__}",
        kwargs=_kwargs,
        disable_env_checker=True,
        max_episode_steps=1_000_000,
    )
