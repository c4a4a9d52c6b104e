"""bfloat16 on channels-last weights, where Atari's speed comes from, against the plain path.

Tolerances: bfloat16 has 8 bits of mantissa, so a number is off by up to 0.4%. Networks without
training, as here, tell screens hardly apart: there it is 4 to 6% of what their rewards differ by.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ale_py
import gymnasium
import numpy as np
import pytest
import torch
from policy_side import FakeLink, Silent
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from prefrl.compute import Placement, dtype_of, fast_format
from prefrl.config import Config
from prefrl.metrics import Metrics
from prefrl.pixels import newest_frames
from prefrl.policy.environment import task_spaces
from prefrl.policy.loop import PolicyLoop
from prefrl.policy.model import build_model
from prefrl.policy.vec_env import make_vec_env
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.reward.network import RewardNetwork, batch_norms
from prefrl.run_directory import RunDirectory
from prefrl.statistics import RunningStatistics
from prefrl.types import TaskSpaces

PONG = RECIPES["pong"].config
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def screens() -> np.ndarray:
    """`[B, K, H, W] uint8` of Pong played at random."""
    games = make_vec_env(PONG.env, 8, 0)
    rng = np.random.default_rng(0)
    games.reset()
    seen = [games.step(rng.integers(0, 6, 8))[0] for _ in range(120)]
    games.close()
    return np.concatenate(seen[::6])


def test_rewards_predicted_in_bfloat16_are_off_by_less_than_a_tenth_of_their_deviation(screens):
    spec = InputSpec(TaskSpaces(screens.shape[1:], 6, 0), PONG.predictor.inputs)
    images, no_vectors = torch.from_numpy(screens), torch.zeros(len(screens), 0)

    def rewards(number_format: torch.dtype) -> np.ndarray:
        weights = torch.Generator().manual_seed(0)
        network = RewardNetwork(spec, PONG.predictor, weights, number_format)
        with torch.no_grad():
            for norm in batch_norms(network):
                norm.momentum = None  # it has seen all there is after one pass
            network.train()(images, no_vectors)
            return network.eval()(images, no_vectors).numpy()

    plain, fast = rewards(torch.float32), rewards(torch.bfloat16)
    assert np.any(plain != fast)
    off = np.sqrt(((plain - fast) ** 2).mean(1))
    assert (off / plain.std(1)).max() < 0.1


def test_a_policy_in_bfloat16_differs_by_a_twentieth_of_what_tells_screens_apart(screens):
    games = make_vec_env(PONG.env, 2, 0)
    statistics = RunningStatistics(screens[0, 0].size)
    statistics.update(newest_frames(screens))

    def opinion(number_format: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
        policy = build_model(PONG, games, Placement(CPU, CPU, number_format)).policy
        policy.features_extractor.standard.set(statistics)
        with torch.no_grad():
            policy.action_net.weight.mul_(100)  # SB3 begins with a policy that sees no difference
            seen = torch.from_numpy(screens)
            chances = policy.get_distribution(seen).distribution.probs
            return chances.numpy(), policy.predict_values(seen).numpy()

    (plain, plain_values), (fast, fast_values) = opinion(torch.float32), opinion(torch.bfloat16)
    games.close()
    assert np.any(plain_values != fast_values)
    off = np.sqrt(((plain - fast) ** 2).mean(0))
    assert plain.std(0).min() > 0.03  # it does tell screens apart
    assert (off / plain.std(0)).max() < 0.05
    assert np.abs(plain_values - fast_values).max() < 0.05 * np.ptp(plain_values) + 0.01


def test_a_policy_says_the_same_of_bytes_and_of_sb3s_floats(screens):
    games = make_vec_env(PONG.env, 2, 0)
    policy = build_model(PONG, games, Placement(CPU, CPU, torch.bfloat16)).policy
    games.close()
    given: list[torch.dtype] = []
    policy.features_extractor.register_forward_pre_hook(lambda _, x: given.append(x[0].dtype))
    seen, actions = torch.from_numpy(screens), torch.zeros(len(screens))
    with torch.no_grad():
        values, chances, _ = policy.evaluate_actions(seen, actions)
        assert torch.equal(values, policy.predict_values(seen))
        assert torch.equal(chances, policy.get_distribution(seen).log_prob(actions))
    assert given == [torch.uint8, torch.float32, torch.float32]


def steps_per_s(learn: Callable[[int], object], steps: int) -> float:
    """After a warm-up of as much again."""
    learn(steps)
    since = time.perf_counter()
    learn(steps)
    return steps / (time.perf_counter() - since)


def from_preferences(config: Config, folder: Path) -> float:
    """Steps a second of the policy's loop: clips are cut and rewards predicted for every step."""
    number_format = dtype_of(fast_format())
    spec = InputSpec(task_spaces(config.env), config.predictor.inputs)
    ensemble = RewardEnsemble(spec, config.predictor, CPU, number_format)
    with Metrics(RunDirectory(folder), "policy") as metrics:
        loop = PolicyLoop(
            config, RunDirectory(folder), FakeLink(), lambda snapshot: ensemble, 0,
            Placement(CPU, CPU, number_format), metrics, Silent(), lambda: False,
        )  # fmt: skip
        loop.learn()
    loop.venv.close()
    assert loop.steps_per_s is not None
    return loop.steps_per_s


# Times as fast as stock, whose frames are 84x84. Without bfloat16 frames of that size take as long,
# and clips are cut and rewards predicted beside.
FASTER = {
    "bfloat16": {PONG.env.image_size: 1.5, 84: 1.2},
    "float32": {PONG.env.image_size: 1.5, 84: 0.8},
}[fast_format()]


@pytest.fixture(scope="module")
def stock() -> float:
    """Steps a second of SB3 on one thread, with the rollout, batch and epochs of our recipe."""
    torch.set_num_threads(1)
    gymnasium.register_envs(ale_py)
    ours = PONG.policy
    games = VecFrameStack(make_atari_env("PongNoFrameskip-v4", ours.n_envs, seed=0), 4)
    model = PPO(
        "CnnPolicy", games, n_steps=ours.n_steps, batch_size=ours.batch_size, n_epochs=ours.n_epochs
    )
    timed = steps_per_s(model.learn, ours.n_steps * ours.n_envs)
    games.close()
    return timed


@pytest.mark.alone
@pytest.mark.parametrize(("side", "times"), FASTER.items())
def test_pongs_policy_loop_beside_stock_sb3_on_one_thread(tmp_path, stock, side, times):
    torch.set_num_threads(1)
    steps = 2 * PONG.policy.n_steps * PONG.policy.n_envs
    config = replace(PONG, total_timesteps=steps, env=replace(PONG.env, image_size=side))
    assert from_preferences(config, tmp_path) > times * stock
