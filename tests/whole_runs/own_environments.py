"""A user's environments. Neither can be rendered.

`render_mode` is there because `gymnasium.make` may pass it.
"""

from typing import Any, ClassVar

import gymnasium
import numpy
from gymnasium.spaces import Box, Discrete


class Walk(gymnasium.Env):
    # A number to be brought to zero.
    observation_space = Box(-10, 10, (1,), numpy.float32)
    action_space = Discrete(3, start=-1)

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-5, 5))
        return numpy.array([self.x], numpy.float32), {}

    def step(self, action):
        assert action in (-1, 0, 1)
        before, self.x = self.x, float(numpy.clip(self.x + 0.3 * action, -10, 10))
        return numpy.array([self.x], numpy.float32), abs(before) - abs(self.x), False, False, {}


class Picture(gymnasium.Env):
    # A grey level to be brought to white, seen as a small picture in colour. Its renderer fails.
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    observation_space = Box(0, 255, (40, 40, 3), numpy.uint8)
    action_space = Discrete(2)

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level = int(self.np_random.integers(200))
        return numpy.full((40, 40, 3), self.level, numpy.uint8), {}

    def render(self):
        raise OSError("no such display")

    def step(self, action):
        before, self.level = self.level, min(255, max(0, self.level + (4 if action else -4)))
        picture = numpy.full((40, 40, 3), self.level, numpy.uint8)
        return picture, float(self.level - before), False, False, {}


gymnasium.register("own/Walk-v0", entry_point=Walk, max_episode_steps=60)
gymnasium.register("own/Picture-v0", entry_point=Picture, max_episode_steps=40)
