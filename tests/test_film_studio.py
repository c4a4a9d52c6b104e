"""The time that films may take."""

from typing import Any

import numpy as np
import pytest

from prefrl.policy.films import FilmStudio


class Clock:
    """Goes on by a second for each picture, and when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SlowVenv:
    """Two environments whose pictures take a second each."""

    num_envs = 2

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def get_attr(self, name: str, indices: Any) -> list[float]:
        return [15.0]

    def env_method(self, name: str, indices: list[int]) -> list[np.ndarray]:
        self._clock.now += len(indices)
        return [np.zeros((2, 2, 3), np.uint8) for _ in indices]


def test_after_a_film_comes_a_rest_that_makes_it_its_share_of_the_time():
    clock = Clock()
    studio = FilmStudio(SlowVenv(clock), clock)  # type: ignore[arg-type]
    studio.share = 0.1
    assert studio.affordable()
    studio.begin(np.array([1]))
    studio.go_on(np.array([1]), np.array([False, True]))
    studio.finish(1)
    assert studio.seconds == pytest.approx(2, abs=1e-3)
    assert clock.now == 2
    assert not studio.affordable()
    clock.now = 19.9
    assert not studio.affordable()
    clock.now = 20.1
    assert studio.affordable()


def test_nothing_rests_while_filming_may_take_all_the_time():
    clock = Clock()
    studio = FilmStudio(SlowVenv(clock), clock)  # type: ignore[arg-type]
    studio.begin(np.array([0, 1]))
    studio.go_on(np.array([0, 1]), np.array([False, False]))
    assert studio.affordable()
