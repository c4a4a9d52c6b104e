from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from prefrl_envs import EnduroAlongside, enduro

from labeler_ui.instructions import GENERAL, instructions_for
from prefrl.config import EnvConfig
from prefrl.policy.camera import check_can_be_filmed, make_filmed_env
from prefrl.policy.environment import exact_form, task_spaces
from prefrl.policy.vec_env import make_vec_env
from prefrl.types import TaskSpaces

ID = "prefrl/EnduroAlongside-v0"
NOOP, GAS = 0, 1

Driver = Callable[[int], int]  # from speed to action


def drive(driver: Driver, n_steps: int, hold_speed: int | None = None, **settings: Any) -> Any:
    """Sum of rewards and of passes; the speed can be held by hand."""
    env = EnduroAlongside(**settings)
    env.reset(seed=0)
    total, passes, speed = 0.0, 0, 0
    for _ in range(n_steps):
        if hold_speed is not None:
            env._game.ale.setRAM(enduro.SPEED, hold_speed)
        _, reward, terminated, _, info = env.step(driver(speed))
        assert not terminated
        total, passes, speed = total + reward, passes + info["passes"], info["speed"]
    env.close()
    return total, passes


def level(speed: int) -> int:
    """Gas up to the pace of the others."""
    return GAS if speed < enduro.TRAFFIC_SPEED - 1 else NOOP


def test_driving_level_beats_driving_fast_and_that_beats_standing():
    rewards = {}
    for name, driver in {"level": level, "fast": lambda _: GAS, "stand": lambda _: NOOP}.items():
        rewards[name], _ = drive(driver, 250)
    assert rewards["level"] > 0.85 * 250
    assert rewards["level"] > rewards["fast"] + 50
    assert rewards["fast"] > rewards["stand"] + 20
    assert rewards["stand"] < 0.25 * 250


def test_at_the_pace_of_the_others_nobody_passes_anybody():
    total, passes = drive(lambda _: NOOP, 250, hold_speed=enduro.TRAFFIC_SPEED)
    assert passes == 0
    assert total == pytest.approx(250, rel=0.05)
    for other in (12, 30):
        assert drive(lambda _: NOOP, 250, hold_speed=other)[1] > 0


def test_cars_that_pass_cost_as_much_as_cars_that_are_passed():
    for speed in (12, 30):
        dear, passes = drive(lambda _: NOOP, 200, hold_speed=speed)
        free, same = drive(lambda _: NOOP, 200, hold_speed=speed, pass_cost=0.0)
        assert passes == same
        assert free - dear == pytest.approx(5.0 * passes)


def test_the_driver_sees_no_figure_and_people_see_the_screen():
    env = EnduroAlongside(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    panel = np.zeros((210, 160), np.bool_)
    panel[enduro.PANEL] = True
    figures = set()
    for _ in range(150):
        assert not observation[panel].any()
        figures.add(env.render()[panel].tobytes())
        observation, *_ = env.step(GAS)
    assert len(figures) > 100  # the odometer turns
    assert (observation[~panel] >= env.render()[~panel]).all()  # the maximum of two frames
    # Road, car and hills are elsewhere: what is black below the road is the panel alone.
    assert not observation[155:160].any()
    env.close()


def test_an_episode_ends_before_the_weather_changes():
    env = EnduroAlongside()
    observation, _ = env.reset(seed=0)
    grass, n = observation[60, 12].copy(), 0
    truncated = False
    while not truncated:
        observation, _, terminated, truncated, _ = env.step(NOOP)
        n += 1
        assert not terminated
        np.testing.assert_array_equal(observation[60, 12], grass)
    assert n == env.n_decisions == 750
    for _ in range(40):
        observation, *_ = env.step(NOOP)
    assert not np.array_equal(observation[60, 12], grass)  # snow
    env.close()


@pytest.mark.parametrize("settings", [
    {"frame_skip": 0}, {"max_frames": 3}, {"max_frames": 3043}, {"frame_skip": 5, "max_frames": 4},
])  # fmt: skip
def test_an_episode_that_cannot_be_is_refused(settings):
    with pytest.raises(ValueError, match="frame_skip <= max_frames <= 3042"):
        EnduroAlongside(**settings)


def test_seeds_reproduce_and_begin_differently():
    def frames(seed: int) -> bytes:
        env = EnduroAlongside()
        env.reset(seed=seed)
        played = [env.step(action % 9)[0] for action in range(60)]
        env.close()
        return b"".join(frame.tobytes() for frame in played)

    assert frames(3) == frames(3)
    assert len({frames(seed) for seed in range(4)}) >= 3  # two may begin with as many no-ops


def test_it_keeps_to_gymnasiums_rules():
    check_env(gymnasium.make(ID, render_mode="rgb_array", max_frames=40).unwrapped)


def test_its_exact_form_has_what_was_not_said_too():
    arguments = exact_form(EnvConfig(id=ID, arguments=("max_frames=40",)))["arguments"]
    assert arguments == {
        "frame_skip": "4", "max_frames": "40", "pass_cost": "5.0", "render_mode": "None",
    }  # fmt: skip


def test_it_can_be_trained_on_and_labelled_by_people():
    config = EnvConfig(id=ID)
    assert task_spaces(config) == TaskSpaces((4, 84, 84), 9, 0)
    venv = make_vec_env(config, 2, seed=0)
    assert venv.reset().shape == (2, 4, 84, 84)
    venv.close()
    check_can_be_filmed(config)
    filmed = make_filmed_env(config)
    filmed.reset(seed=0)
    assert filmed.picture().shape == (210, 160, 3)
    assert filmed.frames_per_second == 15
    filmed.close()
    assert instructions_for(ID) != GENERAL


def test_two_decimal_digits_of_a_byte():
    assert [enduro.decimal(np.uint8(byte)) for byte in (0x00, 0x09, 0x10, 0x99)] == [0, 9, 10, 99]
