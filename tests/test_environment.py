from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from prefrl.config import ConfigError, EnvConfig
from prefrl.policy.environment import (
    decision_seconds,
    exact_form,
    fingerprint,
    make_env,
    task_spaces,
)
from prefrl.policy.vec_env import make_vec_env
from prefrl.types import TaskSpaces


class Made(gym.Env[Any, Any]):
    """An environment of any spaces, that never ends. Keeps the actions it is given."""

    def __init__(
        self, observation: Any, action: Any, dt: float | None = None, render_mode: str | None = None
    ) -> None:
        self.observation_space, self.action_space = observation, action
        self.render_mode, self.actions = render_mode, []
        if dt is not None:
            self.dt = dt

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.shown = self.observation_space.sample()
        return self.shown, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        self.shown = self.observation_space.sample()
        return self.shown, 1.0, False, False, {}


VECTOR = spaces.Box(-1, 1, (3,))
TWO = spaces.Discrete(2)


def registered(
    name: str, observation: Any = VECTOR, action: Any = TWO, **settings: Any
) -> EnvConfig:
    id = f"environment/{name}-v0"
    if id not in gym.registry:
        kwargs = {"observation": observation, "action": action} | settings
        gym.register(id, entry_point=Made, kwargs=kwargs)
    return EnvConfig(id=id, time_limit=7)


def pictures(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


# --- observations -------------------------------------------------------------------------------


def test_discrete_observations_become_one_hot_vectors():
    env = make_env(registered("Discrete", spaces.Discrete(5, start=2)))
    observation, _ = env.reset(seed=0)
    for _ in range(6):
        expected = np.arange(5) + 2 == env.unwrapped.shown
        np.testing.assert_array_equal(observation, expected)
        assert observation.dtype == np.float32
        assert env.observation_space.contains(observation)
        observation, *_ = env.step(0)


@pytest.mark.parametrize("space", [
    spaces.Box(-1, 1, (3, 2)), spaces.Box(-1, 1, (2, 2, 2), np.float64),
    spaces.Box(0, 9, (4,), np.int64), spaces.Box(-np.inf, np.inf, (4,)), spaces.Box(0, 1, ()),
], ids=str)  # fmt: skip
def test_boxes_that_are_no_images_become_flat_single_precision_vectors(space):
    config = registered(f"Flat-{abs(hash(str(space)))}", space)
    env = make_env(config)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.shape == observation.shape == (int(np.prod(space.shape)),)
    assert observation.dtype == env.observation_space.dtype == np.float32
    np.testing.assert_allclose(observation, np.ravel(env.unwrapped.shown), rtol=1e-6)
    assert task_spaces(config) == TaskSpaces(observation.shape, 2, 0)


@pytest.mark.parametrize(
    "shape", [(100, 120, 3), (3, 100, 120), (100, 120), (100, 120, 1), (1, 100, 120), (90, 90, 4)]
)
def test_images_of_any_layout_become_one_grey_frame(shape):
    config = registered("Image-" + "x".join(map(str, shape)), pictures(shape))
    env = make_env(config)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (1, 84, 84)
    assert observation.dtype == np.uint8
    assert task_spaces(config) == TaskSpaces((4, 84, 84), 2, 0)
    # Shrinking keeps the mean; a wrong axis taken for the colours would not keep the picture.
    assert observation.mean() == pytest.approx(float(np.mean(env.unwrapped.shown)), rel=0.05)


@pytest.mark.parametrize("channels_first", [False, True])
def test_colours_become_the_grey_that_eyes_see_in_their_place(channels_first):
    shape = (3, 168, 168) if channels_first else (168, 168, 3)
    env = make_env(registered(f"Colours-{channels_first}", pictures(shape)))
    picture = np.zeros((168, 168, 3), np.uint8)
    picture[:84, :84] = (255, 0, 0)
    picture[:84, 84:] = (0, 255, 0)
    picture[84:, :84] = (0, 0, 255)
    if channels_first:
        picture = np.moveaxis(picture, -1, 0)
    (frame,) = env.observation(picture)
    quarters = [frame[:42, :42], frame[:42, 42:], frame[42:, :42], frame[42:, 42:]]
    for quarter, grey in zip(quarters, (76, 150, 29, 0), strict=True):
        assert np.unique(quarter).tolist() == [grey]


def test_shrinking_skips_nothing_small():
    env = make_env(registered("Dot", pictures((840, 840))))
    picture = np.zeros((840, 840), np.uint8)
    picture[413:416, 207:210] = 255
    (frame,) = env.observation(picture)
    assert frame[41, 20] == round(9 * 255 / 100)


def test_an_image_of_the_right_size_is_left_as_it_is():
    env = make_env(registered("Exact", pictures((84, 84))))
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation[0], env.unwrapped.shown)


def test_the_image_size_is_a_setting():
    config = registered("Exact", pictures((84, 84)))
    small = EnvConfig(id=config.id, image_size=50, frame_stack=2)
    assert make_env(small).observation_space.shape == (1, 50, 50)
    assert task_spaces(small).observation_shape == (2, 50, 50)


def test_frames_are_stacked_channels_first():
    venv = make_vec_env(registered("Exact", pictures((84, 84))), n_envs=2, seed=0)
    assert venv.reset().shape == (2, 4, 84, 84)
    venv.close()


# --- actions ------------------------------------------------------------------------------------


def test_actions_count_from_zero_wherever_the_environment_begins():
    config = registered("Start", action=spaces.Discrete(3, start=5))
    env = make_env(config)
    assert env.action_space == spaces.Discrete(3)
    env.reset(seed=0)
    for action in range(3):
        env.step(action)
    assert env.unwrapped.actions == [5, 6, 7]
    assert task_spaces(config) == TaskSpaces((3,), 3, 0)


def test_box_actions_have_their_size():
    assert task_spaces(registered("Box", action=spaces.Box(-2, 2, (4,)))) == TaskSpaces(
        (3,), None, 4
    )


def test_box_actions_reach_from_minus_one_to_one():
    env = make_env(registered("Wide", action=spaces.Box(np.float32([-2, 0]), np.float32([2, 8]))))
    assert env.action_space == spaces.Box(-1, 1, (2,))
    env.reset(seed=0)
    for action in ([-1, -1], [0, 0], [1, 1]):
        env.step(np.array(action, np.float32))
    np.testing.assert_allclose(env.unwrapped.actions, [[-2, 0], [0, 4], [2, 8]])


def test_the_fingerprint_is_what_labels_must_agree_in():
    config = registered("Exact", pictures((84, 84)))
    assert fingerprint(config, task_spaces(config)) == {
        "environment": config.id, "arguments": [], "observation_shape": [4, 84, 84], "n_actions": 2,
        "action_size": 0, "clip_length": 25,
    }  # fmt: skip


# --- what is refused ----------------------------------------------------------------------------

UNSUPPORTED = {
    "Dict": ({"observation": spaces.Dict(x=VECTOR)}, "observations are Dict"),
    "MultiBinary": ({"observation": spaces.MultiBinary(3)}, "observations are MultiBinary"),
    "MultiDiscrete": ({"action": spaces.MultiDiscrete([2, 2])}, "actions are MultiDiscrete"),
    "Unbounded": ({"action": spaces.Box(-np.inf, np.inf, (2,))}, "finite bounds"),
    "Integers": ({"action": spaces.Box(0, 3, (2,), np.int64)}, "only floating point"),
    "Fixed": ({"action": spaces.Box(np.float32([0, 1]), np.float32([1, 1]))}, "below the upper"),
    "HalfBounded": ({"action": spaces.Box(0, np.inf, (2,))}, "finite bounds"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_space_that_cannot_work_is_refused_by_name(name):
    settings, expected = UNSUPPORTED[name]
    config = registered(f"Unsupported{name}", **settings)
    with pytest.raises(ConfigError, match=rf"{config.id}: .*{expected}"):
        task_spaces(config)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("Pendulm-v1", "Pendulum-v1"), ("pendulm", "pendulum"), ("ALE/Pnog-v5", "ALE/Pong-v5")],
)
def test_an_unknown_id_names_a_near_one(wrong, near):
    with pytest.raises(ConfigError, match=f"'{wrong}'; did you mean '{near}'.; --env-import"):
        make_env(EnvConfig(id=wrong))


def test_an_id_that_is_like_no_other_says_how_to_register_ones_own():
    with pytest.raises(ConfigError, match="--env-import"):
        make_env(EnvConfig(id="qqqqqqqqqqqqqqqqqqqqqq"))


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="--env-import no_such_module"):
        make_env(EnvConfig(id="Pendulum-v1", import_modules=("no_such_module",)))


def test_imported_modules_register_their_environments(tmp_path, monkeypatch):
    (tmp_path / "my_environments.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('mine/Dot-v0', entry_point='prefrl_envs.moving_dot:MovingDot')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = EnvConfig(id="mine/Dot-v0", import_modules=("my_environments",))
    assert task_spaces(config).observation_shape == (4, 84, 84)


# --- ends and forms -----------------------------------------------------------------------------


def length_of_an_episode(config: EnvConfig) -> int:
    env = make_env(config)
    env.reset(seed=0)
    for n in range(1, 2000):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            assert truncated
            return n
    raise AssertionError("it never ended")


def test_an_environment_without_a_time_limit_gets_one():
    assert length_of_an_episode(registered("Endless")) == 7


def test_an_environments_own_time_limit_stays():
    assert length_of_an_episode(EnvConfig(id="Pendulum-v1")) == 200


def test_a_time_limit_that_is_given_counts():
    assert length_of_an_episode(EnvConfig(id="Pendulum-v1", time_limit=7)) == 7


def test_arguments_reach_the_environment_and_a_wrong_one_is_refused():
    id = "prefrl/MovingDotPosition-v0"
    arguments = ("frame_skip=10", "max_frames=200")
    assert length_of_an_episode(EnvConfig(id=id, arguments=arguments)) == 20
    with pytest.raises(ConfigError, match="frame_skp"):
        make_env(EnvConfig(id=id, arguments=("frame_skp=10",)))
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        make_env(EnvConfig(id=id, arguments=("frame_skip",)))


def test_an_exact_form_has_what_its_maker_passes_and_nothing_that_differs_from_run_to_run():
    def make(length=50, reward=len, render_mode=None):
        return gym.make("CartPole-v1", max_episode_steps=length).unwrapped

    gym.register("made/Cart-v0", entry_point=make, kwargs={"reward": max})
    assert exact_form(EnvConfig(id="made/Cart-v0"))["arguments"] == {
        "length": "50", "render_mode": "None",
    }  # fmt: skip


def test_an_environment_that_cannot_render_can_be_trained_on():
    class Plain(Made):
        def __init__(self) -> None:  # takes no render_mode: nobody asked for pictures
            super().__init__(VECTOR, TWO)

    gym.register("environment/Plain-v0", entry_point=Plain)
    assert task_spaces(EnvConfig(id="environment/Plain-v0")) == TaskSpaces((3,), 2, 0)


def test_physics_says_how_long_a_decision_takes():
    assert decision_seconds(registered("Physics", dt=0.02)) == 0.02
    assert decision_seconds(registered("Endless")) is None
    assert decision_seconds(registered("Strange", dt=lambda: 0.02)) is None
    made_with = replace(registered("Slow", dt=0.02), arguments=("dt=0.5",))
    assert decision_seconds(made_with) == 0.5


def test_the_same_seed_gives_the_same_environments_and_neighbours_differ():
    config = registered("Seeded")

    def first_observations(seed: int) -> np.ndarray:
        venv = make_vec_env(config, 2, seed)
        observations = venv.reset()
        venv.close()
        return observations

    np.testing.assert_array_equal(first_observations(1), first_observations(1))
    assert (
        len(np.unique(np.concatenate([first_observations(1), first_observations(7)]), axis=0)) == 4
    )
