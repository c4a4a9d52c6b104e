from typing import Any

import cv2
import gymnasium
import numpy as np
import psutil
import pytest
from gymnasium.spaces import Box
from stable_baselines3.common.atari_wrappers import FireResetEnv, MaxAndSkipEnv, WarpFrame
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from prefrl.policy.atari import AtariVecEnv, make_python_atari_env


class FireForOneFrame(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Begins an episode as ALE's vector environment does."""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.env.reset(**kwargs)
        observation, _, _, _, info = self.env.step(1)
        return observation, info


def play(env: VecEnv, n_steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """Steps with actions that depend on the seed alone; the first entry is the reset's."""
    rng = np.random.default_rng(seed)
    n_actions = env.action_space.n  # type: ignore[attr-defined]
    actions = rng.integers(n_actions, size=(n_steps, env.num_envs))
    return [(env.reset(),), *map(env.step, actions)]


def difference(frame: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of grey values."""
    return float(np.abs(frame.astype(int) - other.astype(int)).mean())


def check_same_game(
    native: AtariVecEnv, python: gymnasium.Env[Any, Any], n_steps: int, tolerance: float = 1
) -> float:
    """Both play the same; returns the sum of absolute rewards.

    Frames may differ by so many grey values on the mean, because one form maxes grey frames and the
    other coloured ones.
    """
    rng = np.random.default_rng(0)
    python = gymnasium.wrappers.TransformObservation(
        python, lambda frame: np.moveaxis(frame, -1, 0), python.observation_space
    )
    expected, _ = python.reset(seed=0)
    assert np.array_equal(native.reset()[0], expected)
    total, ends, differences = 0.0, 0, []
    for _ in range(n_steps):
        action = int(rng.integers(python.action_space.n))  # type: ignore[attr-defined]
        (observation,), (reward,), (done,), (info,) = native.step(np.array([action]))
        expected, expected_reward, terminated, truncated, _ = python.step(action)
        assert reward == expected_reward
        assert done == (terminated or truncated)
        assert info["TimeLimit.truncated"] == (truncated and not terminated)
        assert ("terminal_observation" in info) == done
        seen = info["terminal_observation"] if done else observation
        differences.append(difference(seen, expected))
        if done:
            assert difference(seen, observation) > 2 * differences[-1]
            expected, _ = python.reset()
            assert np.array_equal(observation, expected)
            ends += 1
        total += abs(float(reward))
    assert ends >= 1
    assert max(differences) < tolerance
    assert np.mean(differences) < 0.5
    return total


def test_a_game_without_fire_equals_the_python_wrappers_and_rewards_are_unclipped() -> None:
    native = AtariVecEnv("ALE/MsPacman-v5", 1, seed=0, noop_max=0, num_threads=1)
    python = make_python_atari_env("ALE/MsPacman-v5", noop_max=0)
    assert native.observation_space == Box(0, 255, (1, 84, 84), np.uint8)
    assert native.action_space == python.action_space
    assert check_same_game(native, python, 1100) >= 300  # ten for each pill
    native.close()


def test_a_game_that_begins_with_fire_equals_the_python_wrappers() -> None:
    native = AtariVecEnv("ALE/Pong-v5", 1, seed=0, noop_max=0, num_threads=1)
    emulator = gymnasium.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0)
    python = WarpFrame(MaxAndSkipEnv(FireForOneFrame(emulator)))
    assert check_same_game(native, python, 2000) >= 40
    native.close()


def test_frame_skip_image_size_and_time_limit_equal_those_of_the_python_wrappers() -> None:
    settings = {"noop_max": 0, "frame_skip": 2, "image_size": 64, "max_frames": 300}
    native = AtariVecEnv("ALE/MsPacman-v5", 1, seed=0, num_threads=1, **settings)
    python = make_python_atari_env("ALE/MsPacman-v5", **settings)
    assert native.observation_space.shape == (1, 64, 64)
    check_same_game(native, python, 400)
    native.close()


def test_an_end_by_the_time_limit_is_marked_as_truncated() -> None:
    env = AtariVecEnv("ALE/Pong-v5", 2, seed=0, max_frames=40, num_threads=1)
    steps = play(env, 20)
    for number, (_, _, dones, infos) in enumerate(steps[1:], start=1):
        assert dones.tolist() == [number % 10 == 0] * 2
        assert [info["TimeLimit.truncated"] for info in infos] == dones.tolist()
    env.close()


def test_several_threads_play_what_one_plays() -> None:
    runs = []
    for num_threads in (1, 4):
        env = AtariVecEnv("ALE/Pong-v5", 4, seed=7, max_frames=160, num_threads=num_threads)
        runs.append(play(env, 100))
        env.close()
    assert np.array_equal(runs[0][0][0], runs[1][0][0])
    for one, several in zip(runs[0][1:], runs[1][1:], strict=True):
        for part, same in zip(one[:3], several[:3], strict=True):
            assert np.array_equal(part, same)
        for info, same_info in zip(one[3], several[3], strict=True):
            assert info.keys() == same_info.keys()
            for key in info:
                assert np.array_equal(info[key], same_info[key])


def test_seeds_reproduce_and_give_every_game_its_own_beginning() -> None:
    def beginnings(seed: int) -> np.ndarray:
        env = AtariVecEnv("ALE/Pong-v5", 4, seed=seed, noop_max=30, num_threads=1)
        env.reset()
        for _ in range(30):  # until there is a ball: Pong looks the same before
            frames = env.step(np.zeros(4))[0]
        env.close()
        return np.asarray(frames)

    first = beginnings(0)
    assert np.array_equal(first, beginnings(0))
    assert not np.array_equal(first, beginnings(1))
    assert len({frame.tobytes() for frame in first}) == 4


def test_seeding_again_begins_the_same_games_again() -> None:
    env = AtariVecEnv("ALE/Pong-v5", 3, seed=4, max_frames=60, num_threads=1)
    first = play(env, 40)
    continued = play(env, 40)
    seeds = env.seed(4)
    again = play(env, 40)
    env.close()
    assert len(set(seeds)) == 3
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, continued, strict=True))


def test_observations_are_never_overwritten_by_later_steps() -> None:
    env = AtariVecEnv("ALE/Pong-v5", 2, seed=0, max_frames=80, num_threads=2)
    rng = np.random.default_rng(0)
    kept = [env.reset()]
    copies = [kept[0].copy()]
    for _ in range(60):
        observations, _, _, infos = env.step(rng.integers(6, size=2))
        ends = [info["terminal_observation"] for info in infos if "terminal_observation" in info]
        kept += [observations, *ends]
        copies += [array.copy() for array in (observations, *ends)]
    env.close()
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_a_reset_during_a_step_begins_new_episodes() -> None:
    env = AtariVecEnv("ALE/MsPacman-v5", 2, seed=3, noop_max=0, num_threads=1)
    first = env.reset()
    env.step(np.ones(2))
    env.step_async(np.ones(2))
    assert np.array_equal(env.reset(), first)
    env.close()


def test_shapes_and_dtypes_are_what_sb3_expects_and_frames_stack_above() -> None:
    env = VecFrameStack(AtariVecEnv("ALE/Pong-v5", 2, seed=0, max_frames=40, num_threads=1), 4)
    steps = play(env, 10)
    observations, rewards, dones, infos = steps[-1]
    assert observations.shape == (2, 4, 84, 84)
    assert observations.dtype == np.uint8
    assert rewards.dtype == np.float32
    assert dones.all()
    assert infos[0]["terminal_observation"].shape == (4, 84, 84)
    assert env.env_is_wrapped(Monitor) == [False, False]
    assert env.get_attr("render_mode") == [None, None]
    with pytest.raises(AttributeError, match="not Python objects"):
        env.env_method("render")
    with pytest.raises(AttributeError, match="not Python objects"):
        env.set_attr("speed", 2)
    env.close()


def test_closing_ends_the_threads_and_can_be_repeated() -> None:
    before = psutil.Process().num_threads()
    env = AtariVecEnv("ALE/Pong-v5", 2, seed=0, num_threads=3)
    env.reset()
    assert psutil.Process().num_threads() > before
    env.close()
    env.close()
    assert psutil.Process().num_threads() <= before


def test_the_python_form_presses_fire_as_sb3_does_and_renders_in_colour() -> None:
    env = make_python_atari_env("ALE/Pong-v5", render_mode="rgb_array")
    layers = []
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        layers.append(type(layer))
        layer = layer.env
    assert FireResetEnv in layers
    observation, _ = env.reset(seed=0)
    assert observation.shape == (84, 84, 1)
    frame: Any = env.render()
    assert frame.shape == (210, 160, 3)
    assert (frame.min(axis=2) != frame.max(axis=2)).any()
    env.close()


def check_same_frames(games: list[AtariVecEnv], n_steps: int) -> list[float]:
    """Both play the same; returns how much the frames differ at each step."""
    grey, colour = (play(env, n_steps) for env in games)
    differences = [difference(grey[0][0], colour[0][0])]
    for one, other in zip(grey[1:], colour[1:], strict=True):
        assert np.array_equal(one[1], other[1])
        assert np.array_equal(one[2], other[2])
        assert [info.keys() for info in one[3]] == [info.keys() for info in other[3]]
        differences.append(difference(one[0], other[0]))
        for info, same in zip(one[3], other[3], strict=True):
            if "terminal_observation" in info:
                frames = info["terminal_observation"], same["terminal_observation"]
                assert frames[0].shape == frames[1].shape
                differences.append(difference(*frames))
    for env in games:
        env.close()
    return differences


def filmed_or_not(game: str, **settings: Any) -> list[AtariVecEnv]:
    return [
        AtariVecEnv(f"ALE/{game}-v5", 2, seed=5, num_threads=1, films=films, **settings)
        for films in (False, True)
    ]


def test_in_colour_the_agent_sees_the_same_to_the_last_bit_on_a_black_ground() -> None:
    assert not any(check_same_frames(filmed_or_not("Breakout", max_frames=1200), 700))


@pytest.mark.parametrize("game", ["MsPacman", "Pong"])
def test_in_colour_frames_differ_only_where_two_colours_meet_in_one_place(game: str) -> None:
    differences = check_same_frames(filmed_or_not(game, max_frames=1200), 700)
    assert 0 < max(differences) < 0.5


def test_in_colour_a_game_is_what_the_python_wrappers_show_to_the_last_bit() -> None:
    native = AtariVecEnv("ALE/MsPacman-v5", 1, seed=0, noop_max=0, num_threads=1, films=True)
    python = make_python_atari_env("ALE/MsPacman-v5", noop_max=0)
    rng = np.random.default_rng(0)
    observations, (expected, _) = native.reset(), python.reset(seed=0)
    for _ in range(700):
        assert np.array_equal(observations[0, 0], expected[:, :, 0])
        action = int(rng.integers(native.action_space.n))  # type: ignore[attr-defined]
        observations, *_ = native.step(np.array([action]))
        expected, _, terminated, _, _ = python.step(action)
        if terminated:
            expected, _ = python.reset()
    native.close()


def test_pictures_have_the_size_of_the_games_own_screen() -> None:
    env = AtariVecEnv("ALE/AirRaid-v5", 3, seed=0, num_threads=1, films=True)
    assert env.reset().shape == (3, 1, 84, 84)
    pictures = env.env_method("picture", indices=[0, 2])
    assert [picture.shape for picture in pictures] == [(250, 160, 3)] * 2
    with pytest.raises(AttributeError, match="not Python objects"):
        env.env_method("render")
    env.close()


def test_the_last_picture_is_the_end_of_the_episode_before() -> None:
    env = AtariVecEnv("ALE/Pong-v5", 1, seed=0, noop_max=0, max_frames=400, films=True)
    *_, infos = [step for step in play(env, 100) if len(step) == 4 and step[2].any()][-1]
    picture, last = (env.env_method(name, indices=[0])[0] for name in ("picture", "last_picture"))
    frames = [
        cv2.resize(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_AREA)
        for shown in (picture, last)
    ]
    assert np.array_equal(frames[1], infos[0]["terminal_observation"][0])
    assert not np.array_equal(frames[0], frames[1])
    env.close()


@pytest.mark.parametrize(
    "game", ["BeamRider", "Breakout", "Enduro", "Qbert", "Seaquest", "SpaceInvaders"]
)
def test_each_game_of_the_paper_equals_the_python_wrappers(game: str) -> None:
    native = AtariVecEnv(f"ALE/{game}-v5", 1, seed=0, noop_max=0, num_threads=1, max_frames=1000)
    emulator = gymnasium.make(
        f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0,
        max_num_frames_per_episode=1000,
    )  # fmt: skip
    # BeamRider's whole screen flashes in colours.
    tolerance = 2 if game == "BeamRider" else 1
    check_same_game(native, WarpFrame(MaxAndSkipEnv(FireForOneFrame(emulator))), 560, tolerance)
    native.close()


def test_lives_equal_those_of_the_python_wrappers_within_a_game() -> None:
    native = AtariVecEnv("ALE/MsPacman-v5", 1, seed=0, noop_max=0, num_threads=1)
    python = make_python_atari_env("ALE/MsPacman-v5", noop_max=0)
    native.reset()
    python.reset(seed=0)
    seen = set()
    for action in np.random.default_rng(0).integers(9, size=700):
        _, _, _, (info,) = native.step(np.array([action]))
        _, _, terminated, _, python_info = python.step(action)
        if terminated:
            python.reset()  # and ALE's lives are those of the new game
        else:
            assert info["lives"] == python_info["lives"]
        seen.add(info["lives"])
    assert seen == {1, 2, 3}
    native.close()
