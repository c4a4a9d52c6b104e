import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from placements import ON_CPU
from policy_side import FakeLink, Silent
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnvWrapper

from prefrl.config import Config, EnvConfig, PolicyConfig
from prefrl.metrics import Metrics
from prefrl.policy import between_rollouts
from prefrl.policy.loop import PolicyLoop, act_at_random, make_recorder
from prefrl.policy.model import build_model
from prefrl.policy.recorder import Step
from prefrl.policy.substitution import predict_rollout
from prefrl.policy.vec_env import hide_ends, make_vec_env, normalise
from prefrl.run_directory import RunDirectory
from prefrl.types import ClipPair

torch.set_num_threads(1)

ROLLOUTS = 4
LIMIT = 3


class Short(gym.Env[Any, Any]):
    """Three steps, a time limit, unless it terminates before or with the last."""

    def __init__(
        self, image: bool = False, box: bool = False, reward_scale: float = 1.0,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        self.render_mode, self._image, self._reward_scale = render_mode, image, reward_scale
        self.observation_space = (
            spaces.Box(0, 255, (36, 36), np.uint8) if image else spaces.Box(-50, 50, (2,))
        )
        self.action_space = spaces.Box(-0.1, 0.1, (1,)) if box else spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(0.0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        moved = float(np.sum(action))
        reward = self._reward_scale * (1 + moved)
        return self._observation(moved), reward, bool(self.np_random.random() < 0.25), False, {}

    def _observation(self, moved: float) -> Any:
        if self._image:
            return self.np_random.integers(0, 256, (36, 36), np.uint8)
        return (3 * self.np_random.normal(size=2) + [7, moved]).astype(np.float32).clip(-50, 50)


def env_id(image: bool = False, box: bool = False, reward_scale: float = 1.0) -> str:
    name = f"substitution/Short-{image}-{box}-{reward_scale:g}".replace(".", "-") + "-v0"
    if name not in gym.registry:
        settings = {"image": image, "box": box, "reward_scale": reward_scale}
        gym.register(name, entry_point=Short, kwargs=settings, max_episode_steps=LIMIT)
    return name


class StubPredictor:
    """Two members that look at all of a step; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, observations: Any, actions: Any, next_observations: Any) -> np.ndarray:
        self.calls += 1
        n = len(observations)
        before = observations.reshape(n, -1).astype(np.float64)
        after = next_observations.reshape(n, -1).astype(np.float64)
        acted = actions.reshape(n, -1).astype(np.float64).sum(1)
        first = np.sin(before[:, 0]) + 3 * np.cos(acted)
        second = np.sin(after[:, -1]) - before[:, 1] / 20
        return np.stack([first, second]).astype(np.float32)


class StepByStep(VecEnvWrapper):
    """Gives SB3 the predicted reward with each step: what substitution must be equal to."""

    def __init__(self, venv: Any, predictor: StubPredictor) -> None:
        super().__init__(venv)
        self._predictor = predictor

    def reset(self) -> Any:
        self._before = self.venv.reset()
        return self._before

    def step_async(self, actions: Any) -> None:
        self._actions = np.array(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        observations, _, dones, infos = self.venv.step_wait()
        after = np.stack(
            [
                info["terminal_observation"] if done else observation
                for observation, done, info in zip(observations, dones, infos, strict=True)
            ]
        )
        rewards = self._predictor.predict(self._before, self._actions, after).mean(0)
        self._before = observations
        return observations, rewards, dones, infos


class NarrowLink:
    """A reward side that takes a pair only now and then."""

    def __init__(self) -> None:
        self.pairs: list[ClipPair] = []
        self._offers = 0

    def offer(self, pair: ClipPair) -> bool:
        self._offers += 1
        if self._offers % 5:
            return False
        self.pairs.append(pair)
        return True


def make_config(algo: str, terminations: str = "keep", **env: Any) -> Config:
    steps = {"ppo": 8, "a2c": 5}[algo]
    policy = PolicyConfig(
        standard_pixels=False,  # plain SB3, which the tests compare with, knows nothing of it
        algo=algo, n_envs=4, n_steps=steps, batch_size=16, n_epochs=2, net_arch=(8,),
        learning_rate=1e-3, gae_lambda=0.9, gamma=0.95,
    )  # fmt: skip
    return Config(
        env=EnvConfig(
            id=env_id(**env), terminations=terminations, image_size=36, frame_stack=2, clip_length=2
        ),
        policy=policy,
        total_timesteps=ROLLOUTS * 4 * steps,
        seed=5,
    )


def watch(
    model: OnPolicyAlgorithm,
    before_update: Callable[[OnPolicyAlgorithm], None] = lambda model: None,
) -> list[dict[str, np.ndarray]]:
    """What each rollout's buffer holds when the model begins to train on it."""
    buffers: list[dict[str, np.ndarray]] = []
    names = (
        "observations",
        "actions",
        "rewards",
        "values",
        "advantages",
        "returns",
        "episode_starts",
    )
    train = model.train

    def watched() -> None:
        buffers.append({name: getattr(model.rollout_buffer, name).copy() for name in names})
        before_update(model)
        train()

    model.train = watched
    return buffers


def with_substitution(
    config: Config,
    folder: Any,
    predictor: StubPredictor,
    before_update: Callable[[OnPolicyAlgorithm], None] = lambda model: None,
) -> tuple[PolicyLoop, FakeLink, list[dict[str, np.ndarray]]]:
    folder.mkdir()
    run, link = RunDirectory(folder), FakeLink()
    with Metrics(run, "policy") as metrics:
        loop = PolicyLoop(
            config, run, link, lambda snapshot: predictor, 0, ON_CPU,
            metrics, Silent(), lambda: False,
        )  # fmt: skip
        buffers = watch(loop.model, before_update)
        loop.learn()
    loop.venv.close()
    return loop, link, buffers


def step_by_step(config: Config) -> tuple[OnPolicyAlgorithm, list[dict[str, np.ndarray]]]:
    inner = hide_ends(make_vec_env(config.env, config.policy.n_envs, config.seed), config.env)
    venv = normalise(StepByStep(inner, StubPredictor()), config, training=True)
    model = build_model(config, venv, ON_CPU)
    buffers = watch(model)
    venv.reset()  # as the random phase does before the policy learns
    model.learn(config.total_timesteps)
    venv.close()
    return model, buffers


CASES = [
    ("ppo", "keep", {}),
    ("a2c", "keep", {}),
    ("ppo", "hide", {}),
    ("a2c", "hide", {"box": True}),
    ("ppo", "keep", {"box": True}),
    ("ppo", "hide", {"image": True}),
]


@pytest.mark.parametrize(("algo", "terminations", "env"), CASES)
def test_substitution_equals_giving_each_step_its_predicted_reward(
    tmp_path, algo, terminations, env
):
    config = make_config(algo, terminations, **env)
    loop, _, substituted = with_substitution(config, tmp_path / "run", StubPredictor())
    model, expected = step_by_step(config)
    assert len(substituted) == len(expected) == ROLLOUTS
    for mine, theirs in zip(substituted, expected, strict=True):
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, rtol=1e-5, err_msg=name)
        assert mine["rewards"].std() > 0.1
    ends = np.mean([b["episode_starts"] for b in substituted])
    assert 0.1 < ends < 0.6  # some episodes did end
    for mine, theirs in zip(loop.model.policy.parameters(), model.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


def test_time_limits_are_bootstrapped_beneath_the_predicted_reward(tmp_path):
    # Or the test above could hold with a bootstrap lost on both sides.
    config = make_config("a2c", "hide")  # the ends that still show are time limits
    _, _, (first, *_) = with_substitution(config, tmp_path / "run", StubPredictor())
    zeros = StubPredictor()
    zeros.predict = lambda *steps: np.zeros((2, len(steps[0])), np.float32)
    _, _, (bare, *_) = with_substitution(config, tmp_path / "bare", zeros)
    limits = np.zeros_like(bare["rewards"], bool)
    limits[:-1] = bare["episode_starts"][1:].astype(bool)
    assert limits.any()
    assert bare["rewards"][limits].all()
    assert not bare["rewards"][:-1][~limits[:-1]].any()
    np.testing.assert_array_equal(first["values"], bare["values"])


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_the_true_reward_changes_nothing_in_the_policy(tmp_path, algo):
    weights, true_rewards = [], []
    for scale in (1.0, -100.0):
        config = make_config(algo, reward_scale=scale)
        loop, link, _ = with_substitution(config, tmp_path / str(scale), StubPredictor())
        weights.append(loop.model.policy.state_dict())
        true_rewards.append(link.pairs[0].first.true_rewards)
    assert not np.array_equal(*true_rewards)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_baseline_learns_from_the_true_reward(tmp_path):
    weights = []
    for scale in (1.0, -1.0):
        config = dataclasses.replace(make_config("ppo", reward_scale=scale), reward="true")
        loop, _, _ = with_substitution(config, tmp_path / str(scale), StubPredictor())
        weights.append(loop.model.policy.state_dict())
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_averages_of_pixels_stand_still_from_a_rollout_to_its_update(tmp_path, monkeypatch):
    # Or the update would compare the policy with one that saw other pixels.
    monkeypatch.setattr(between_rollouts, "LOOK_EVERY", 1)
    config = make_config("ppo", "hide", image=True)
    policy = dataclasses.replace(config.policy, standard_pixels=True, learning_rate=0.0)
    config = dataclasses.replace(config, policy=policy)
    deviations: list[float] = []

    def compare(model: OnPolicyAlgorithm) -> None:
        buffer, n_actions = model.rollout_buffer, config.policy.n_steps * config.policy.n_envs
        with torch.no_grad():
            values, log_probs, _ = model.policy.evaluate_actions(
                torch.from_numpy(
                    buffer.observations.reshape(n_actions, *model.observation_space.shape)
                ),
                torch.from_numpy(buffer.actions.reshape(n_actions)),
            )
        np.testing.assert_allclose(log_probs, buffer.log_probs.reshape(-1), atol=1e-5)
        np.testing.assert_allclose(values[:, 0], buffer.values.reshape(-1), atol=1e-5)
        deviations.append(float(model.policy.features_extractor.standard.deviation))

    with_substitution(config, tmp_path / "run", StubPredictor(), before_update=compare)
    assert len(set(deviations)) == ROLLOUTS  # and yet they move from one to the next


def test_a_rollout_is_predicted_in_one_call(tmp_path):
    predictor = StubPredictor()
    with_substitution(make_config("ppo"), tmp_path / "run", predictor)
    assert predictor.calls == ROLLOUTS


@pytest.mark.parametrize("box", [False, True])
def test_predictions_lie_by_member_step_and_environment(box):
    rng = np.random.default_rng(0)
    n_steps, n_envs = 5, 3
    nothing = np.zeros(n_envs, np.bool_)
    steps = [
        Step(
            rng.normal(size=(n_envs, 2)).astype(np.float32),
            rng.normal(size=(n_envs, 2)) if box else rng.integers(0, 3, n_envs),
            rng.normal(size=(n_envs, 2)).astype(np.float32),
            np.zeros(n_envs, np.float32), nothing, nothing, nothing,
        )
        for _ in range(n_steps)
    ]  # fmt: skip
    predicted = predict_rollout(steps, StubPredictor())
    assert predicted.shape == (2, n_steps, n_envs)
    for t, step in enumerate(steps):
        for i in range(n_envs):
            parts = (step.observations, step.actions, step.next_observations)
            expected = StubPredictor().predict(*(part[i : i + 1] for part in parts))
            np.testing.assert_allclose(predicted[:, t, i], expected[:, 0], atol=1e-6)


@pytest.mark.parametrize("link", [FakeLink(), NarrowLink()], ids=["wide", "narrow"])
def test_a_full_queue_costs_no_random_steps(link):
    env = EnvConfig(clip_length=6)
    recorder = make_recorder(Config(env=env, policy=PolicyConfig(n_envs=4)), link.offer)
    steps = act_at_random(
        recorder, recorder, 12, lambda: len(link.pairs) >= 6, np.random.default_rng(0)
    )
    assert (steps, len(link.pairs), recorder.clips_dropped) == (72, 6, 0)


def test_a_policy_that_has_cut_no_clip_yet_waits_for_nobody(tmp_path):
    config = make_config("ppo")
    overdue = FakeLink()
    overdue._snapshot = dataclasses.replace(overdue._snapshot, pause_at_env_step=0)
    with Metrics(RunDirectory.create(tmp_path / "run"), "policy") as metrics:
        loop = PolicyLoop(
            config, RunDirectory(tmp_path / "run"), overdue, lambda snapshot: StubPredictor(), 0,
            ON_CPU, metrics, Silent(), lambda: False,
        )  # fmt: skip
        loop.reward.take_latest()
        loop.reward.wait_for_overdue_labels()
    assert loop.recorder.last_pair is None


def test_the_networks_are_built_while_the_first_snapshot_is_waited_for(tmp_path):
    link, asked = FakeLink(), itertools.count()
    with Metrics(RunDirectory.create(tmp_path / "run"), "policy") as metrics:
        loop = PolicyLoop(
            make_config("ppo"), RunDirectory(tmp_path / "run"), link,
            lambda snapshot: StubPredictor(), 2, ON_CPU, metrics,
            Silent(), lambda: next(asked) > 1000,
        )  # fmt: skip
        held = link.latest_snapshot
        link.latest_snapshot = lambda: held() if "model" in vars(loop) else None
        loop.learn()
    loop.venv.close()
    assert loop.reward.snapshot is not None
