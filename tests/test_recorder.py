from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from prefrl.config import EnvConfig
from prefrl.policy.recorder import ClipRecorder, Episode
from prefrl.policy.vec_env import HiddenEnds, hide_ends, make_vec_env
from prefrl.types import Clip, ClipPair

SIDE, STACK, LENGTH, N_ENVS = 8, 4, 5, 3


class Noise(gym.Env[Any, Any]):
    """Random observations and rewards; some episodes end early, the others at a time limit."""

    def __init__(
        self, image: bool = False, box: bool = False, ends: str = "both",
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        self._image, self._ends, self.render_mode = image, ends, render_mode
        self.observation_space = (
            spaces.Box(0, 255, (SIDE, SIDE), np.uint8) if image else spaces.Box(-9, 9, (3,))
        )
        self.action_space = spaces.Box(-1, 1, (2,)) if box else spaces.Discrete(100)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(1, 9))
        self._limit = {"both": bool(self.np_random.integers(2)), "terminations": False}.get(
            self._ends, True
        )
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        over = self._left == 0
        reward = float(self.np_random.normal())
        return self._observation(), reward, over and not self._limit, over and self._limit, {}

    def _observation(self) -> Any:
        if self._image:
            return self.np_random.integers(1, 256, (SIDE, SIDE), np.uint8)
        return self.np_random.normal(size=3).astype(np.float32).clip(-9, 9)


for _image in (False, True):
    for _box in (False, True):
        for _ends in ("both", "terminations", "limits"):
            gym.register(
                f"recorder/Noise-{_image}-{_box}-{_ends}-v0",
                entry_point=Noise,
                kwargs={"image": _image, "box": _box, "ends": _ends},
            )


class Watched:
    """A recorder, and beside it all that went by, kept in the plainest way."""

    def __init__(
        self, image: bool = False, box: bool = False, ends: str = "both",
        terminations: str = "hide", queue: int = 10**9, fraction: float = 1.0, n_envs: int = N_ENVS,
    ) -> None:  # fmt: skip
        config = EnvConfig(
            id=f"recorder/Noise-{image}-{box}-{ends}-v0", terminations=terminations,
            image_size=SIDE, frame_stack=STACK, clip_length=LENGTH,
        )  # fmt: skip
        self.pairs: list[ClipPair] = []
        self._queue = queue
        self.inner = hide_ends(make_vec_env(config, n_envs, seed=3), config)
        self.true_rewards: list[np.ndarray] = []
        inner_step = self.inner.step_wait

        def step_wait() -> Any:
            result = inner_step()
            self.true_rewards.append(result[1].copy())
            return result

        self.inner.step_wait = step_wait
        self.recorder = ClipRecorder(
            self.inner, LENGTH, fraction, False, self._offer, np.random.default_rng(0)
        )
        self.seen = [self.recorder.reset().copy()]  # before step t
        self.after: list[np.ndarray] = []  # after step t, within its episode
        self.actions: list[np.ndarray] = []
        self.given: list[np.ndarray] = []
        self.dones: list[np.ndarray] = []
        self.hidden: list[np.ndarray] = []

    def _offer(self, pair: ClipPair) -> bool:
        if len(self.pairs) == self._queue:
            return False
        self.pairs.append(pair)
        return True

    def play(self, n: int) -> "Watched":
        space = self.recorder.action_space
        space.seed(len(self.actions))
        for _ in range(n):
            actions = np.array([space.sample() for _ in range(self.recorder.num_envs)])
            observations, rewards, dones, infos = self.recorder.step(actions)
            after = observations.copy()
            for i in np.flatnonzero(dones):
                after[i] = infos[i]["terminal_observation"]
            self.seen.append(observations.copy())
            self.after.append(after)
            self.actions.append(actions)
            self.given.append(rewards.copy())
            self.dones.append(dones.copy())
            self.hidden.append(np.array(["hidden_end" in info for info in infos]))
        return self

    @property
    def clips(self) -> list[Clip]:
        return [clip for pair in self.pairs for clip in (pair.first, pair.second)]

    def origin(self, clip: Clip) -> tuple[range, int]:
        """The steps and the environment that a clip was cut from, known by its actions."""
        end = clip.env_step // self.recorder.num_envs
        steps = range(end - len(clip), end)
        taken = np.stack(self.actions[steps.start : steps.stop], axis=1)
        (i,) = [i for i, actions in enumerate(taken) if np.array_equal(actions, clip.actions)]
        return steps, i


IMAGES = pytest.mark.parametrize("image", [False, True], ids=["vectors", "images"])
ENDS = pytest.mark.parametrize("terminations", ["hide", "penalty", "keep"])


@IMAGES
@ENDS
@pytest.mark.parametrize("box", [False, True], ids=["discrete", "box"])
def test_a_replayed_clip_is_what_the_policy_saw(image, terminations, box):
    watched = Watched(image, box, terminations=terminations).play(300)
    crossed = ended = 0
    assert len(watched.clips) > 20
    for clip in watched.clips:
        steps, i = watched.origin(clip)
        stacked = clip.stacked()
        for row, t in enumerate(steps):
            np.testing.assert_array_equal(stacked[row], watched.seen[t][i])
        # At an end that shows, the old episode's last observation; else what the policy saw next.
        np.testing.assert_array_equal(stacked[-1], watched.after[steps[-1]][i])
        crossed += any(watched.hidden[t][i] for t in steps[:-1])
        ended += bool(watched.dones[steps[-1]][i])
    assert bool(crossed) == (terminations != "keep")
    assert ended


@IMAGES
def test_rows_of_the_rollout_are_what_the_policy_saw(image):
    watched = Watched(image, terminations="keep").play(60)
    assert len(watched.recorder.rollout) == 60
    for t, step in enumerate(watched.recorder.rollout):
        np.testing.assert_array_equal(step.observations, watched.seen[t])
        np.testing.assert_array_equal(step.next_observations, watched.after[t])
        np.testing.assert_array_equal(step.actions, watched.actions[t])
        np.testing.assert_array_equal(step.dones, watched.dones[t])
        expected_starts = watched.dones[t - 1] if t else np.ones(N_ENVS, np.bool_)
        np.testing.assert_array_equal(step.starts, expected_starts)
    assert any(dones.any() for dones in watched.dones)


def test_clips_hold_the_true_rewards_and_sb3_gets_zeros():
    watched = Watched().play(100)
    for clip in watched.clips:
        steps, i = watched.origin(clip)
        expected = [watched.true_rewards[t][i] for t in steps]
        np.testing.assert_array_equal(clip.true_rewards, np.array(expected, np.float32))
    assert np.abs(watched.true_rewards).min() > 0
    assert not np.any(watched.given)


def test_the_baseline_gets_the_true_rewards():
    watched = Watched()
    watched.recorder._pass_rewards = True
    watched.play(20)
    np.testing.assert_array_equal(watched.given, watched.true_rewards)


@IMAGES
@ENDS
def test_no_clip_crosses_an_end_that_shows(image, terminations):
    watched = Watched(image, terminations=terminations).play(300)
    for clip in watched.clips:
        steps, i = watched.origin(clip)
        assert not any(watched.dones[t][i] for t in steps[:-1])


def test_clips_do_not_overlap_and_leave_nothing_out_between_ends():
    watched = Watched(ends="terminations").play(50)  # all ends hidden: one stretch for ever
    taken = sorted((i, t) for clip in watched.clips for i in [watched.origin(clip)[1]]
                   for t in watched.origin(clip)[0])  # fmt: skip
    waiting = [watched.recorder._waiting] if watched.recorder._waiting else []
    taken += [(i, t) for clip in waiting for i in [watched.origin(clip)[1]]
              for t in watched.origin(clip)[0]]  # fmt: skip
    assert sorted(taken) == [(i, t) for i in range(N_ENVS) for t in range(50)]


def test_clips_are_copies_that_later_steps_and_resets_leave_alone():
    watched = Watched(image=True).play(40)
    ids = [clip.id for clip in watched.clips]
    watched.recorder.reset()
    watched.play(40)
    again = [
        Clip(c.observations, c.starts, c.actions, c.true_rewards, c.env_step).id
        for c in watched.clips[: len(ids)]
    ]
    assert again == ids
    assert not any(np.shares_memory(c.observations, s.observations)
                   for c in watched.clips for s in watched.recorder.rollout)  # fmt: skip


def test_a_reset_forgets_stretches_that_were_open():
    watched = Watched(ends="terminations", n_envs=2).play(LENGTH - 1)
    watched.recorder.reset()
    watched.play(LENGTH - 1)
    assert watched.pairs == []
    watched.play(1)
    assert len(watched.pairs) == 1


def test_what_the_queue_does_not_take_is_dropped_and_counted():
    watched = Watched(ends="terminations", n_envs=2, queue=3).play(10 * LENGTH)
    assert len(watched.pairs) == watched.recorder.pairs_sent == 3
    assert watched.recorder.clips_dropped == 2 * 7
    assert watched.recorder.last_pair.env_step == 10 * LENGTH * 2  # the newest, taken or not


def test_env_steps_count_all_environments():
    watched = Watched(ends="terminations", n_envs=2).play(3 * LENGTH)
    assert watched.recorder.env_steps == 2 * 3 * LENGTH
    assert [pair.env_step for pair in watched.pairs] == [10, 20, 30]
    assert [clip.env_step for clip in watched.clips] == [10, 10, 20, 20, 30, 30]
    watched.recorder.reset()
    assert watched.recorder.env_steps == 2 * 3 * LENGTH


def test_a_fraction_of_the_stretches_become_clips():
    assert Watched(fraction=0.0).play(100).clips == []
    watched = Watched(ends="terminations", fraction=0.25).play(200 * LENGTH)
    assert len(watched.clips) / (200 * N_ENVS) == pytest.approx(0.25, abs=0.05)


@ENDS
def test_episodes_hold_true_returns_and_lengths_whether_their_ends_show_or_not(terminations):
    watched = Watched(terminations=terminations, n_envs=1).play(100)
    expected, rewards = [], []
    for t in range(100):
        # What the oracle sees has the penalty, what a person reads has not.
        penalised = terminations == "penalty" and watched.hidden[t][0]
        rewards.append(watched.true_rewards[t][0] + (10.0 if penalised else 0.0))
        if watched.dones[t][0] or watched.hidden[t][0]:
            expected.append(Episode(pytest.approx(np.sum(rewards), abs=1e-5), len(rewards)))
            rewards = []
    assert len(expected) > 10
    assert watched.recorder.episodes == expected


# --- ends that are hidden -----------------------------------------------------------------------


def both_ways(terminations: str, ends: str = "both") -> tuple[VecEnv, VecEnv]:
    """The same environments with their ends as they are and as the agent is told."""
    config = EnvConfig(
        id=f"recorder/Noise-False-False-{ends}-v0",
        terminations=terminations,
        termination_penalty=7.0,
    )
    bare, told = (make_vec_env(config, N_ENVS, seed=3) for _ in range(2))
    return bare, hide_ends(told, config)


@pytest.mark.parametrize(("terminations", "penalty"), [("hide", 0.0), ("penalty", 7.0)])
def test_terminations_are_hidden_and_time_limits_show(terminations, penalty):
    bare, told = both_ways(terminations)
    np.testing.assert_array_equal(bare.reset(), told.reset())
    counts = {"terminated": 0, "truncated": 0}
    for _ in range(100):
        actions = np.zeros(N_ENVS, np.int64)
        first, rewards, dones, infos = bare.step(actions)
        second, told_rewards, told_dones, told_infos = told.step(actions)
        truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos])
        terminated = dones & ~truncated
        np.testing.assert_array_equal(first, second)  # the next episode goes on from there
        np.testing.assert_array_equal(told_dones, dones & truncated)
        np.testing.assert_array_equal(["hidden_end" in info for info in told_infos], terminated)
        np.testing.assert_allclose(told_rewards, rewards - penalty * terminated, rtol=1e-6)
        for i in np.flatnonzero(truncated):
            assert told_infos[i]["TimeLimit.truncated"]
            assert "terminal_observation" in told_infos[i]
        counts["terminated"] += int(terminated.sum())
        counts["truncated"] += int((dones & truncated).sum())
    assert min(counts.values()) > 10


def test_kept_ends_are_left_as_they_are():
    venv = DummyVecEnv([Noise])
    assert hide_ends(venv, EnvConfig(terminations="keep")) is venv
    assert isinstance(hide_ends(venv, EnvConfig(terminations="hide")), HiddenEnds)
