import warnings
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from prefrl_envs import MovingDot, best_possible_return
from stable_baselines3.common.env_checker import check_env as check_with_sb3

IDS = (
    "prefrl/MovingDot-v0",
    "prefrl/MovingDotPosition-v0",
    "prefrl/MovingDotContinuous-v0",
    "prefrl/MovingDotPositionContinuous-v0",
)
CENTRE = np.array([79, 104])


def returns(env: gymnasium.Env[Any, Any], choose: Any, **reset: Any) -> tuple[float, float, int]:
    """Return of an episode, the best possible one, and the number of decisions."""
    observation, info = env.reset(**reset)
    total, decisions, truncated = 0.0, 0, False
    while not truncated:
        observation, reward, terminated, truncated, last = env.step(choose(observation))
        assert not terminated
        assert last == info
        total += reward
        decisions += 1
    return total, info["best_possible_return"], decisions


def towards_centre(observation: np.ndarray) -> int:
    """The greedy action of the discrete position form: none that would increase the distance."""
    distance = observation[:2] - CENTRE
    moves = np.array([[0, 0], [0, -4], [4, 0], [0, 4], [-4, 0]])
    return int(np.argmin(np.abs(distance + moves).sum(axis=1)))


@pytest.mark.parametrize("env_id", IDS)
def test_both_env_checkers_pass(env_id: str) -> None:
    check_with_sb3(gymnasium.make(env_id).unwrapped)
    check_with_gymnasium(gymnasium.make(env_id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_an_episode_lasts_1000_frames_in_250_decisions(env_id: str) -> None:
    env = gymnasium.make(env_id)
    assert returns(env, lambda _: env.action_space.sample(), seed=0)[2] == 250


@pytest.mark.parametrize("env_id", IDS)
def test_a_seed_gives_the_same_episode(env_id: str) -> None:
    episodes = []
    for _ in range(2):
        env = gymnasium.make(env_id)
        env.action_space.seed(5)
        first, info = env.reset(seed=3)
        steps = [env.step(env.action_space.sample())[:2] for _ in range(20)]
        episodes.append((first, info, steps))
    (first, info, steps), (first_again, info_again, steps_again) = episodes
    assert np.array_equal(first, first_again)
    assert info == info_again
    for (observation, reward), (observation_again, reward_again) in zip(
        steps, steps_again, strict=True
    ):
        assert np.array_equal(observation, observation_again)
        assert reward == reward_again


@pytest.mark.parametrize("continuous", [False, True])
def test_a_frame_is_black_but_for_the_four_pixels_of_the_dot(continuous: bool) -> None:
    env = MovingDot(pixels=True, continuous=continuous)
    for start in ((0, 0), (158, 208), (158, 0), (37, 120)):
        frame, _ = env.reset(options={"start": start})
        assert frame.shape == (210, 160, 3)
        white = np.argwhere((frame == 255).all(axis=2))
        x, y = start
        assert white.tolist() == [[y, x], [y, x + 1], [y + 1, x], [y + 1, x + 1]]
        assert frame.sum() == 4 * 3 * 255


def test_both_forms_render_what_the_pixel_form_observes_over_a_dim_cross() -> None:
    pixels, position = MovingDot(pixels=True), MovingDot(pixels=False)
    frame, _ = pixels.reset(seed=1)
    position.reset(seed=1)
    for action in (1, 2, 3, 4, 0, 2, 2):
        for env in (pixels, position):
            assert np.array_equal(np.where(env.render() < 128, 0, 255), frame)
        frame = pixels.step(action)[0]
        position.step(action)


@pytest.mark.parametrize(("height", "width"), [(210, 160), (64, 64), (3, 9)])
def test_people_see_where_the_centre_is(height: int, width: int) -> None:
    env = MovingDot(height=height, width=width)
    env.reset(options={"start": (0, 0)})
    env.step(0)
    dim = np.argwhere(env.render()[:, :, 0] == 80)
    target = np.array([(height - 2) // 2, (width - 2) // 2])
    if height > 20:
        assert dim.mean(0).tolist() == (target + 0.5).tolist()  # of the four pixels of a dot there
        assert len(dim) == 2 * 2 * 14 - 4
    env.reset(options={"start": (target[1], target[0])})
    assert (env.render()[target[0] : target[0] + 2, target[1] : target[1] + 2] == 255).all()


@pytest.mark.parametrize(
    ("action", "moved"), [(0, (0, 0)), (1, (0, -4)), (2, (4, 0)), (3, (0, 4)), (4, (-4, 0))]
)
def test_the_actions_are_stay_up_right_down_left(action: int, moved: tuple[int, int]) -> None:
    env = MovingDot(pixels=False)
    env.reset(options={"start": (20, 30)})
    assert env.step(action)[0].tolist() == [20 + moved[0], 30 + moved[1], *moved]


@pytest.mark.parametrize("action", [-1, 5])
def test_an_action_that_is_none_is_refused(action: int) -> None:
    env = MovingDot()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected 0 to 4"):
        env.step(action)


def test_skipped_frames_equal_frames_played_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for continuous in (False, True):
        skipping = MovingDot(pixels=False, continuous=continuous)
        single = MovingDot(pixels=False, continuous=continuous, frame_skip=1)
        skipping.reset(seed=2)
        single.reset(seed=2)
        for _ in range(250):
            # Biased to one corner, so that the edges are met.
            action = rng.uniform(-1, 0.2, 2) if continuous else int(rng.choice([0, 1, 1, 2, 4, 4]))
            observation, reward, _, truncated, _ = skipping.step(action)
            steps = [single.step(action) for _ in range(4)]
            np.testing.assert_allclose(observation[:2], steps[-1][0][:2], atol=1e-4)
            movement = np.sum([step[0][2:] for step in steps], axis=0)
            np.testing.assert_allclose(observation[2:], movement, atol=1e-4)
            assert reward == pytest.approx(sum(float(step[1]) for step in steps))
            assert truncated == steps[-1][3]
        assert truncated


def test_a_frame_nearer_the_centre_earns_1_and_a_frame_further_away_costs_1() -> None:
    env = MovingDot(frame_skip=1)
    env.reset(options={"start": (79, 100)})
    assert [env.step(action)[1] for action in (3, 1, 0, 2, 4)] == [1, -1, 0, -1, 1]


def test_a_velocity_beyond_one_pixel_a_frame_is_clipped() -> None:
    env = MovingDot(pixels=False, continuous=True)
    env.reset(options={"start": (50, 50)})
    assert env.step(np.array([7.0, -0.5]))[0].tolist() == [54, 48, 4, -2]


def test_starts_cover_the_frame_and_stay_inside() -> None:
    for continuous in (False, True):
        env = MovingDot(pixels=False, continuous=continuous, height=8, width=6)
        starts = np.array([env.reset(seed=seed)[0][:2] for seed in range(400)])
        counts = np.histogram2d(*starts.T, bins=5, range=[[0, 4], [0, 6]])[0]
        assert counts.min() > 0
        assert starts.min() >= 0
        assert (starts.max(axis=0) <= [4, 6]).all()
        assert continuous or (starts.max(axis=0) == [4, 6]).all()


def test_a_start_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="x up to 158"):
        MovingDot().reset(options={"start": (159, 0)})


@pytest.mark.parametrize("frame_skip", [0, 1001])
def test_an_episode_without_room_for_a_decision_is_refused(frame_skip: int) -> None:
    with pytest.raises(ValueError, match="frame_skip"):
        MovingDot(frame_skip=frame_skip)


def test_rendering_lasts_as_long_as_the_frames_it_shows() -> None:
    assert gymnasium.make(IDS[0]).metadata["render_fps"] == 15
    assert gymnasium.make(IDS[0], frame_skip=1).metadata["render_fps"] == 60


@pytest.mark.parametrize(
    ("height", "width", "frame_skip", "n_decisions"),
    [(9, 7, 1, 4), (13, 10, 4, 3), (12, 11, 4, 12), (14, 9, 3, 6), (5, 20, 5, 8), (8, 3, 9, 5)],
)
def test_the_best_return_equals_dynamic_programming_over_the_environment(
    height: int, width: int, frame_skip: int, n_decisions: int
) -> None:
    env = MovingDot(
        pixels=False, height=height, width=width, frame_skip=frame_skip, max_frames=frame_skip
    )

    @cache
    def outcome(x: int, y: int, action: int) -> tuple[int, int, float]:
        env.reset(options={"start": (x, y)})
        observation, reward, *_ = env.step(action)
        return int(observation[0]), int(observation[1]), reward

    @cache
    def best(x: int, y: int, remaining: int) -> float:
        if remaining == 0:
            return 0.0
        outcomes = [outcome(x, y, action) for action in range(5)]
        return max(reward + best(x, y, remaining - 1) for x, y, reward in outcomes)

    for x in range(width - 1):
        for y in range(height - 1):
            assert best(x, y, n_decisions) == best_possible_return(
                (x, y),
                height=height,
                width=width,
                frame_skip=frame_skip,
                n_decisions=n_decisions,
            )


def test_the_greedy_policy_attains_the_best_return_where_decisions_land_on_the_centre() -> None:
    env = MovingDot(pixels=False)
    for start in ((79 - 4 * 19, 104 + 4 * 26), (79, 104), (79 + 40, 0)):
        total, best, _ = returns(env, towards_centre, options={"start": start})
        assert total == best == np.abs(np.array(start) - CENTRE).sum()


def test_the_greedy_policy_stays_within_three_pixels_of_the_best_return() -> None:
    env = MovingDot(pixels=False)
    for seed in range(20):
        total, best, _ = returns(env, towards_centre, seed=seed)
        assert best - 3 <= total <= best


def test_a_detour_to_the_edge_can_beat_the_greedy_policy() -> None:
    start = (79, 102)  # two pixels above the centre; from the edge, 104 is a multiple of 4
    actions = iter([1] * 26 + [3] * 26 + [0] * 198)
    env = MovingDot(pixels=False)
    assert returns(env, lambda _: next(actions), options={"start": start})[:2] == (2, 2)
    assert returns(env, towards_centre, options={"start": start})[0] == 0


def test_too_few_decisions_bound_the_best_return() -> None:
    assert best_possible_return((0, 0), n_decisions=10) == 40
    assert best_possible_return((0, 0), n_decisions=10, continuous=True) == 80
    assert best_possible_return((0.5, 0), n_decisions=25, continuous=True) == 78.5 + 100


def test_going_straight_to_the_centre_attains_the_best_return_of_the_continuous_form() -> None:
    env = MovingDot(pixels=False, continuous=True)
    for seed in range(5):
        total, best, _ = returns(env, lambda seen: (CENTRE - seen[:2]) / 4, seed=seed)
        assert total == pytest.approx(best, abs=1e-3)


def test_random_policies_never_exceed_the_best_return() -> None:
    for env_id in IDS[1::2]:
        env = gymnasium.make(env_id)
        env.action_space.seed(0)
        for seed in range(10):
            total, best, _ = returns(env, lambda _, env=env: env.action_space.sample(), seed=seed)
            assert total <= best


def test_making_an_environment_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for env_id in IDS:
            gymnasium.make(env_id, render_mode="rgb_array").reset(seed=0)
