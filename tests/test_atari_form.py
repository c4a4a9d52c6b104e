"""Each form of a game, in both backends; masks by pictures."""

import functools
from dataclasses import replace
from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from prefrl.config import ConfigError, EnvConfig
from prefrl.policy.atari_form import SCORES, action_names, field_rows, n_actions, score_mask
from prefrl.policy.atari_layers import enlarged
from prefrl.policy.environment import exact_form, fingerprint, task_spaces
from prefrl.policy.recorder import ClipRecorder
from prefrl.policy.vec_env import clip_rewards, hide_ends, make_vec_env

BACKENDS = pytest.mark.parametrize("backend", ["native", "sb3"])
PONG = EnvConfig(id="ALE/Pong-v5", atari_noop_max=0, frame_stack=1)


def game(config: EnvConfig, **settings: Any) -> VecEnv:
    return make_vec_env(replace(config, **settings), n_envs=1, seed=0)


SIDES = pytest.mark.parametrize("side", [84, 56])  # of the paper's recipe and of the fast one


def small(screen: NDArray[np.uint8], side: int = 84) -> NDArray[np.uint8]:
    """As the agent sees a screen."""
    grey = cv2.cvtColor(screen, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


# --- masks, by picture --------------------------------------------------------------------------


@functools.cache
def emulator(name: str) -> tuple[Any, Any]:
    """A game under way, and its state."""
    env = gymnasium.make(f"ALE/{name}-v5", frameskip=1, repeat_action_probability=0.0)
    env.reset(seed=0)
    for action in np.random.default_rng(0).integers(env.action_space.n, size=300):  # type: ignore[attr-defined]
        env.step(action)
    ale = env.unwrapped.ale  # type: ignore[attr-defined]
    return ale, ale.cloneState()


def with_memory(name: str, values: dict[int, int], side: int) -> NDArray[np.uint8]:
    """The screen a moment after some bytes of the emulator's memory were changed, as seen."""
    ale, state = emulator(name)
    ale.restoreState(state)
    for address, value in values.items():
        ale.setRAM(address, value)
    for _ in range(4):
        ale.act(0)
    return small(ale.getScreenRGB(), side)


# Where each game keeps its score, and the other figures that are covered.
FIGURES = [
    ("BeamRider", {9: 0x98}), ("BeamRider", {10: 0x76}), ("BeamRider", {11: 0x54}),
    ("BeamRider", {84: 5}),  # enemy ships left
    ("Breakout", {76: 1}), ("Breakout", {77: 0x98}),
    ("Enduro", {43: 0x98}), ("Enduro", {44: 1}),  # cars left
    ("Enduro", {40: 0x98}), ("Enduro", {41: 0x76}),  # odometer
    ("Pong", {13: 18}), ("Pong", {14: 18}),
    ("Qbert", {89: 0x98}), ("Qbert", {90: 0x76}), ("Qbert", {91: 0x54}),
    ("Seaquest", {56: 0x98}), ("Seaquest", {57: 0x76}), ("Seaquest", {58: 0x54}),
    ("SpaceInvaders", {102: 0x98}), ("SpaceInvaders", {104: 0x76}),
]  # fmt: skip


@SIDES
@pytest.mark.parametrize(("name", "changed"), FIGURES, ids=str)
def test_a_mask_covers_the_score_whatever_it_is(name, changed, side):
    mask = score_mask(name, side)
    before, after = with_memory(name, {}, side), with_memory(name, changed, side)
    assert (before != after)[mask].any()
    assert not (before != after)[~mask].any()


# What stands beside the score and matters: lives, torpedoes, the second player's empty score, in
# whose place the mother ship passes.
NEIGHBOURS = [
    ("BeamRider", {83: 0x12}), ("Breakout", {57: 1}), ("Qbert", {8: 0x12}), ("Seaquest", {59: 1}),
    ("SpaceInvaders", {105: 0x76}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changed"), NEIGHBOURS, ids=str)
def test_a_mask_leaves_what_stands_beside_the_score(name, changed):
    mask = score_mask(name, 84)
    different = with_memory(name, {}, 84) != with_memory(name, changed, 84)
    assert different[~mask].any()
    assert not different[mask].any()


@pytest.mark.parametrize(("name", "changed"), NEIGHBOURS, ids=str)
def test_a_mask_leaves_it_on_small_frames_too_but_for_a_row_that_seaquest_shares(name, changed):
    mask = score_mask(name, 56)
    different = with_memory(name, {}, 56) != with_memory(name, changed, 56)
    covered_rows = (different & mask).any(axis=1).sum()
    assert covered_rows == (1 if name == "Seaquest" else 0)  # its lives and score touch there
    assert different[~mask].sum() > 2 * different[mask].sum()


def test_masks_are_small_and_there_is_one_for_each_game_of_the_paper():
    assert sorted(SCORES) == [
        "BeamRider", "Breakout", "Enduro", "Pong", "Qbert", "Seaquest", "SpaceInvaders",
    ]  # fmt: skip
    for name in SCORES:
        assert 0.005 < score_mask(name, 84).mean() < 0.11
        assert 0.005 < score_mask(name, 56).mean() < 0.12


@SIDES
def test_pongs_mask_ends_above_the_wall_and_its_field_lies_between_the_walls(side):
    screen = np.zeros((210, 160, 3), np.uint8)
    screen[24:34], screen[194:] = 255, 255
    assert not small(screen, side)[score_mask("Pong", side)].any()
    assert not small(screen, side)[field_rows("Pong", side)].any()


@BACKENDS
def test_agent_and_predictor_see_black_for_the_score_and_all_else_as_it_is(backend):
    shown, masked = (
        game(PONG, atari_backend=backend, atari_score=score, time_limit=60)
        for score in ("shown", "masked")
    )
    mask = score_mask("Pong", 84)
    before, after = shown.reset(), masked.reset()
    ends = 0
    for action in np.random.default_rng(0).integers(6, size=130):
        assert before[0, 0][mask].any()
        assert not after[0, 0][mask].any()
        np.testing.assert_array_equal(before[0, 0][~mask], after[0, 0][~mask])
        before, _, dones, infos = shown.step([action])
        after, _, _, masked_infos = masked.step([action])
        if dones[0]:
            ends += 1
            last = masked_infos[0]["terminal_observation"][0]
            assert not last[mask].any()
            expected = infos[0]["terminal_observation"][0]
            np.testing.assert_array_equal(expected[~mask], last[~mask])
    assert ends == 2


@BACKENDS
def test_a_cropped_frame_is_the_field_enlarged(backend):
    shown, cropped = (
        game(PONG, atari_backend=backend, atari_score=score, time_limit=60)
        for score in ("shown", "cropped")
    )
    before, after = shown.reset(), cropped.reset()
    rows = field_rows("Pong", 84)
    for action in np.random.default_rng(0).integers(6, size=70):
        np.testing.assert_array_equal(enlarged(before[:, :, rows], 84), after)
        before, _, dones, infos = shown.step([action])
        after, _, _, cropped_infos = cropped.step([action])
        if dones[0]:
            last = infos[0]["terminal_observation"][None, :, rows]
            expected = cropped_infos[0]["terminal_observation"]
            np.testing.assert_array_equal(enlarged(last, 84)[0], expected)


def test_people_see_the_whole_screen():
    venv = make_vec_env(replace(PONG, atari_score="masked"), 1, seed=0, films=True)
    observations = venv.reset()
    (picture,) = venv.env_method("picture")
    mask = score_mask("Pong", 84)
    np.testing.assert_array_equal(small(picture)[~mask], observations[0, 0][~mask])
    assert small(picture)[mask].min() > 0
    venv.close()


# --- actions ------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize(("actions", "count"), [("full", 18), ("minimal", 6), ("reduced", 3)])
def test_there_are_as_many_actions_as_were_chosen(backend, actions, count):
    config = replace(PONG, atari_backend=backend, atari_actions=actions)
    venv = game(config)
    assert venv.action_space.n == n_actions(config) == task_spaces(config).n_actions == count
    venv.close()


@BACKENDS
def test_pongs_three_actions_are_to_stand_and_to_move_either_way(backend):
    names = action_names(PONG)
    few, all_six = (
        game(PONG, atari_backend=backend, atari_actions=actions)
        for actions in ("reduced", "minimal")
    )
    np.testing.assert_array_equal(few.reset(), all_six.reset())
    for action in np.random.default_rng(0).integers(3, size=150):
        same = names.index(("NOOP", "RIGHT", "LEFT")[action])
        seen, expected = few.step(np.array([action])), all_six.step(np.array([same]))
        np.testing.assert_array_equal(seen[0], expected[0])
        assert seen[1] == expected[1]


@BACKENDS
def test_sticky_actions_are_repeated_now_and_then_and_reproducibly(backend):
    actions = [2, 3] * 20  # up and down

    def frames(probability: float) -> NDArray[np.uint8]:
        venv = game(
            PONG, atari_backend=backend, atari_repeat_action_probability=probability
        )  # fmt: skip
        played = [venv.reset(), *(venv.step(np.array([action]))[0] for action in actions)]
        venv.close()
        return np.concatenate(played)

    exact, sticky = frames(0.0), frames(0.5)
    np.testing.assert_array_equal(sticky, frames(0.5))
    assert (exact != sticky).any((1, 2, 3)).mean() > 0.5


# --- episodes -----------------------------------------------------------------------------------


@BACKENDS
def test_a_rally_is_an_episode_and_the_game_goes_on(backend):
    whole, rallies = (
        game(PONG, atari_backend=backend, atari_episodes=episodes) for episodes in ("game", "rally")
    )
    np.testing.assert_array_equal(whole.reset(), rallies.reset())
    ends = games = 0
    for action in np.random.default_rng(0).integers(6, size=1100):
        expected, reward, over, infos = whole.step(np.array([action]))
        seen, same_reward, done, rally_infos = rallies.step(np.array([action]))
        np.testing.assert_array_equal(expected, seen)
        assert reward == same_reward
        assert done[0] == (reward[0] != 0)
        if done[0]:
            ends, games = ends + 1, games + int(over[0])
            last = (infos if over[0] else [{"terminal_observation": expected[0]}])[0]
            np.testing.assert_array_equal(
                rally_infos[0]["terminal_observation"], last["terminal_observation"]
            )
            assert not rally_infos[0]["TimeLimit.truncated"]
    assert games >= 1
    assert ends >= 21


# Qbert's last life is 0 for some frames before the game is over.
@BACKENDS
@pytest.mark.parametrize(("name", "n_lives"), [("SpaceInvaders", 3), ("Qbert", 4)])
def test_a_life_is_an_episode_and_the_game_goes_on(backend, name, n_lives):
    config = EnvConfig(id=f"ALE/{name}-v5", atari_noop_max=0, frame_stack=1)
    whole, lives = (
        game(config, atari_backend=backend, atari_episodes=episodes)
        for episodes in ("game", "life")
    )
    np.testing.assert_array_equal(whole.reset(), lives.reset())
    ends, in_game, left = 0, [], n_lives
    for action in np.random.default_rng(0).integers(6, size=1500):
        expected, reward, over, infos = whole.step(np.array([action]))
        seen, same_reward, done, _ = lives.step(np.array([action]))
        np.testing.assert_array_equal(expected, seen)
        assert reward == same_reward
        assert done[0] == (over[0] or 0 < infos[0]["lives"] < left)
        left = n_lives if over[0] else infos[0]["lives"]
        ends += int(done[0])
        if over[0]:
            in_game.append(ends)
            ends = 0
    assert in_game
    assert set(in_game) == {n_lives}


def test_a_stack_of_frames_begins_anew_with_a_rally():
    venv = game(PONG, atari_episodes="rally", frame_stack=4)
    venv.reset()
    for _ in range(200):
        observations, _, dones, infos = venv.step(np.array([0]))
        if dones[0]:
            assert infos[0]["terminal_observation"].any((1, 2)).all()
            assert not observations[0, :3].any()
            assert observations[0, 3].any()
            return
    raise AssertionError("nobody scored")


@pytest.mark.parametrize("films", ["native", "sb3"])
def test_the_last_picture_of_a_rally_is_the_present_one(films):
    config = replace(PONG, atari_episodes="rally", atari_backend=films)
    venv = make_vec_env(config, 1, seed=0, films=True)
    venv.reset()
    done = [False]
    while not done[0]:
        _, _, done, _ = venv.step(np.array([0]))
    last, picture = (venv.env_method(name, indices=[0])[0] for name in ("last_picture", "picture"))
    np.testing.assert_array_equal(last, picture)
    venv.close()


# --- rewards ------------------------------------------------------------------------------------


def test_the_oracle_compares_clipped_rewards_and_people_read_whole_returns():
    config = EnvConfig(
        id="ALE/SpaceInvaders-v5", clip_rewards=True, terminations="penalty",
        termination_penalty=10.0, frame_stack=1,
    )  # fmt: skip
    raw, told = make_vec_env(config, 1, 0), make_vec_env(config, 1, 0)
    recorder = ClipRecorder(
        hide_ends(clip_rewards(told, config), config), 25, 0.0, True, lambda pair: True,
        np.random.default_rng(0),
    )  # fmt: skip
    raw.reset()
    recorder.reset()
    points, episodes, seen_rewards = 0.0, [], set()
    for action in np.random.default_rng(0).integers(6, size=1500):
        _, reward, over, _ = raw.step(np.array([action]))
        _, seen, dones, _ = recorder.step(np.array([action]))
        points += reward[0]
        assert seen[0] == np.sign(reward[0]) - 10.0 * over[0]
        assert not dones[0]
        seen_rewards.add(float(reward[0]))
        if over[0]:
            episodes.append(points)
            points = 0.0
    assert [episode.true_return for episode in recorder.episodes] == episodes
    assert len(episodes) >= 1
    assert max(seen_rewards) > 1


def test_rewards_stay_as_they_are_unless_clipping_is_wanted():
    venv = game(PONG)
    assert clip_rewards(venv, PONG) is venv


# --- what is recorded and refused ---------------------------------------------------------------

OTHERS = {
    "atari_score": ("masked", "score"), "atari_episodes": ("rally", "episodes"),
    "atari_actions": ("reduced", "actions"), "atari_backend": ("sb3", "backend"),
    "atari_repeat_action_probability": (0.25, "repeat_action_probability"),
    "atari_frame_skip": (3, "frame_skip"), "atari_noop_max": (7, "noop_max"),
    "clip_rewards": (True, "clip_rewards"),
}  # fmt: skip


@pytest.mark.parametrize("setting", OTHERS)
def test_the_exact_form_of_a_game_is_recorded(setting):
    value, name = OTHERS[setting]
    assert exact_form(PONG)[name] != value
    assert exact_form(replace(PONG, **{setting: value}))[name] == value


@pytest.mark.parametrize("setting", ["atari_score", "atari_actions", "atari_frame_skip"])
def test_labels_of_one_form_are_not_used_for_another(setting):
    other = replace(PONG, **{setting: OTHERS[setting][0]})
    task = task_spaces(PONG)
    assert fingerprint(PONG, task) != fingerprint(other, task)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"id": "ALE/BankHeist-v5", "atari_score": "masked"}, "atari-score masked: is known of Be"),
        ({"id": "ALE/Qbert-v5", "atari_score": "cropped"}, "cropped: is known of Pong, not of"),
        ({"id": "ALE/Qbert-v5", "atari_episodes": "rally"}, "rally: is known of Pong, not of"),
        ({"id": "ALE/Qbert-v5", "atari_actions": "reduced"}, "reduced: is known of Pong, not of"),
        ({"id": "ALE/Pong-v5", "atari_episodes": "life"}, "life: ALE/Pong-v5 counts no lives"),
    ],
)
def test_what_a_game_does_not_have_is_refused(settings, why):
    config = EnvConfig(**settings)
    for refuse in (task_spaces, functools.partial(make_vec_env, n_envs=1, seed=0)):
        with pytest.raises(ConfigError, match=why):
            refuse(config)
