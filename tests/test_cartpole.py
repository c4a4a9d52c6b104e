import gymnasium
import numpy as np
import prefrl_envs
import pytest
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from stable_baselines3.common.env_checker import check_env as check_with_sb3

ID = "prefrl/CartPoleUpright-v0"


# Gymnasium's own CartPole has no bounds on its velocities.
@pytest.mark.filterwarnings(
    r"ignore:.*A Box observation space m(in|ax)imum value is -?infinity. This is probably too"
)
def test_both_env_checkers_pass() -> None:
    check_with_sb3(gymnasium.make(ID).unwrapped)
    check_with_gymnasium(gymnasium.make(ID, render_mode="rgb_array").unwrapped)


def test_states_and_terminations_are_those_of_gymnasium() -> None:
    ours, theirs = gymnasium.make(ID), gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(0)
    for seed in range(20):
        assert np.array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        terminated = False
        while not terminated:
            action = int(rng.integers(2))
            observation, _, terminated, truncated, _ = ours.step(action)
            expected, _, expected_end, _, _ = theirs.step(action)
            assert np.array_equal(observation, expected)
            assert terminated == expected_end
            assert not truncated


def test_the_reward_is_the_uprightness_of_the_state_that_a_step_leads_to() -> None:
    env = gymnasium.make(ID)
    env.reset(seed=1)
    rewards = []
    for action in (0, 1, 1, 0, 1, 1, 1):
        (x, _, theta, _), reward, *_ = env.step(action)
        assert reward == pytest.approx(1 - abs(theta) / (24 * np.pi / 180) - abs(x) / 4.8)
        rewards.append(reward)
    assert len(set(rewards)) == len(rewards)


def test_clips_of_equal_length_have_different_rewards() -> None:
    env = gymnasium.make(ID)
    env.action_space.seed(0)
    clips = []
    for seed in range(20):
        env.reset(seed=seed)
        clips.append(sum(float(env.step(env.action_space.sample())[1]) for _ in range(8)))
    assert len(set(clips)) == 20


@pytest.mark.parametrize("action", [0, 1])
def test_rewards_lie_between_0_and_1_up_to_and_beyond_the_fall(action: int) -> None:
    env = prefrl_envs.CartPoleUpright()
    for state in ([0, 0, 0, 0], [2.39, 3, 0.2, 3], [-2.39, -3, -0.2, -3]):
        env.reset(seed=0)
        env.state = np.array(state, dtype=np.float64)
        _, reward, *_ = env.step(action)
        assert 0 <= reward <= 1


def test_an_episode_is_truncated_at_its_time_limit_and_not_before() -> None:
    env = gymnasium.make(ID)
    observation, _ = env.reset(seed=0)
    for step in range(500):
        # Balances from any of Gymnasium's starts: push towards where the pole is falling.
        action = int(observation @ [0.1, 0.5, 10.0, 2.0] > 0)
        observation, _, terminated, truncated, _ = env.step(action)
        assert not terminated
        assert truncated == (step == 499)
    env = gymnasium.make(ID, time_limit=5)
    env.reset(seed=0)
    assert [env.step(step % 2)[3] for step in range(5)] == [False] * 4 + [True]


def test_a_frame_shows_the_cart_where_it_is_and_the_pole_as_it_leans() -> None:
    env = prefrl_envs.CartPoleUpright(render_mode="rgb_array")
    env.reset(seed=0)
    middles, tips = [], []
    for x, theta in ((-1.0, -0.2), (0.0, 0.0), (1.0, 0.2)):
        env.state = np.array([x, 0.0, theta, 0.0])
        frame = env.render()
        assert frame.dtype == np.uint8
        cart = np.argwhere((frame == (40, 40, 40)).all(axis=2))
        pole = np.argwhere((frame == (202, 152, 101)).all(axis=2))
        middles.append(cart[:, 1].mean())
        tips.append(pole[pole[:, 0] == pole[:, 0].min(), 1].mean() - middles[-1])
    assert middles == sorted(middles)
    assert middles[2] - middles[1] == pytest.approx(middles[1] - middles[0], abs=2)
    assert tips[0] < -5 < tips[1] < 5 < tips[2]


def test_a_cart_outside_the_track_can_be_drawn() -> None:
    env = prefrl_envs.CartPoleUpright(render_mode="rgb_array")
    env.reset(seed=0)
    for x in (-4.0, 4.0):
        env.state = np.array([x, 0.0, 0.0, 0.0])
        assert env.render().shape == (160, 240, 3)
