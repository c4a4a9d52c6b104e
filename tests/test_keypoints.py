"""Filters, and where on a frame they respond."""

import json

import numpy as np
import pytest
import torch
from placements import ON_CPU
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.config import Config, PolicyConfig, RewardConfig
from prefrl.keypoints import MOVEMENT_SCALE, Keypoints
from prefrl.reward.inputs import InputSpec
from prefrl.reward.network import RewardNetwork
from prefrl.run_directory import RunDirectory
from prefrl.types import TaskSpaces

SIDE = (20, 30)
FILTERS, FRAMES, SETS = 3, 2, 2


@pytest.fixture
def keypoints() -> Keypoints:
    torch.manual_seed(0)
    return Keypoints(FILTERS, FRAMES, SIDE, SETS)


def dots(*positions: tuple[int, int]) -> torch.Tensor:
    """A stack of frames `[1, K, H, W]` with a dot each."""
    frames = torch.zeros(1, len(positions), *SIDE, dtype=torch.uint8)
    for frame, (row, column) in enumerate(positions):
        frames[0, frame, row, column] = 200
    return frames


def in_frame(position: tuple[int, int]) -> np.ndarray:
    """Row and column from -1 to 1."""
    return 2 * np.array(position) / (np.array(SIDE) - 1) - 1


def naive_points(weight: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """`[filters, 2]`, in loops."""
    x = frame / 255 - (frame / 255).mean()
    padded = np.pad(x, 1)
    points = np.zeros((len(weight), 2))
    for f, kernel in enumerate(weight):
        mass = 0.0
        for row in range(SIDE[0]):
            for column in range(SIDE[1]):
                squared = (padded[row : row + 3, column : column + 3] * kernel).sum() ** 2
                points[f] += squared * in_frame((row, column))
                mass += squared
        points[f] /= mass
    return points


def test_points_and_movements_are_those_of_a_loop_over_pixels(keypoints):
    frames = np.random.default_rng(0).integers(0, 256, (1, FRAMES, *SIDE), np.uint8)
    got = keypoints(torch.from_numpy(frames)).detach().numpy()
    assert got.shape == (SETS, 1, keypoints.size)
    weight = keypoints.filters.weight.detach().numpy().reshape(SETS, FILTERS, 3, 3)
    for s in range(SETS):
        before, after = (naive_points(weight[s], frame) for frame in frames[0])
        expected = [*after.ravel(), *(MOVEMENT_SCALE * (after - before)).ravel()]
        np.testing.assert_allclose(got[s, 0], expected, atol=1e-4)


def test_a_dot_that_moves_moves_every_point_by_as_much(keypoints):
    before, after = (8, 9), (11, 5)
    (values, *_) = keypoints(dots(before, after)).detach().numpy()[:, 0].reshape(SETS, 2, -1, 2)
    points, moved = values
    assert np.abs(points - in_frame(after)).max() < 0.1  # within the filter
    expected = MOVEMENT_SCALE * (in_frame(after) - in_frame(before))
    # Less than a thousandth of a frame off: the frame's mean is not quite 0.
    np.testing.assert_allclose(moved, np.tile(expected, (FILTERS, 1)), atol=1e-3 * MOVEMENT_SCALE)


def test_after_a_black_frame_nothing_has_moved(keypoints):
    frames = dots((8, 9), (11, 5))
    frames[:, 0] = 0  # as a stack is at an episode's start
    points, moved = keypoints(frames)[:, 0].reshape(SETS, 2, -1).unbind(1)
    assert not moved.any()
    torch.testing.assert_close(points, keypoints(dots((11, 5), (11, 5)))[:, 0, : 2 * FILTERS])


@pytest.mark.parametrize("grey", [0, 255])
def test_a_plain_frame_has_finite_points_and_gradients(keypoints, grey):
    plain = torch.full((4, FRAMES, *SIDE), grey, dtype=torch.uint8)
    points = keypoints(plain)
    points.square().sum().backward()
    assert torch.isfinite(points).all()
    assert torch.isfinite(keypoints.filters.weight.grad).all()


def test_how_large_filters_are_changes_no_point(keypoints):
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 2, *SIDE), np.uint8))
    before = keypoints(images)
    with torch.no_grad():
        keypoints.filters.weight *= 3
    torch.testing.assert_close(keypoints(images), before)


def reward_network() -> RewardNetwork:
    spec = InputSpec(TaskSpaces((FRAMES, *SIDE), 3, 0), ("next_observation",))
    config = RewardConfig(keypoints=FILTERS, members=SETS)
    return RewardNetwork(spec, config, torch.Generator().manual_seed(0))


def test_the_seed_of_a_run_draws_the_filters_and_no_global_generator():
    torch.manual_seed(1)
    first = reward_network().keypoints.filters.weight
    torch.manual_seed(2)
    torch.testing.assert_close(reward_network().keypoints.filters.weight, first)


def test_pixels_that_were_given_are_left_as_they_are(keypoints):
    images = dots((3, 4), (5, 6)).float()
    keypoints(images)
    torch.testing.assert_close(images, dots((3, 4), (5, 6)).float())


def test_each_member_of_an_ensemble_has_filters_of_its_own():
    network = reward_network()
    images, no_vectors = dots((3, 4), (5, 6)).expand(4, -1, -1, -1), torch.zeros(4, 0)
    rewards = network(images, no_vectors)
    assert rewards.shape == (SETS, 4)
    rewards[0].sum().backward()
    first, second = network.keypoints.filters.weight.grad.view(SETS, -1)
    assert first.any()
    assert not second.any()
    before = network.weight_squares()
    with torch.no_grad():
        network.keypoints.filters.weight *= 2
    torch.testing.assert_close(network.weight_squares(), before)  # L2 leaves the filters alone


def test_a_policy_sees_the_points_and_nothing_else_of_a_frame():
    from gymnasium import spaces
    from stable_baselines3.common.vec_env import DummyVecEnv

    from prefrl.policy.model import KeypointFeatures, build_model
    from prefrl.runs.sb3_export import _Spaces

    def make() -> _Spaces:
        return _Spaces(spaces.Box(0, 255, (FRAMES, *SIDE), np.uint8), spaces.Discrete(3))

    config = Config(policy=PolicyConfig(keypoints=FILTERS, n_envs=1))
    model = build_model(config, DummyVecEnv([make]), ON_CPU)
    extractor = model.policy.features_extractor
    assert isinstance(extractor, KeypointFeatures)
    images = dots((3, 4), (5, 6))
    features = model.policy.extract_features(images, extractor)
    torch.testing.assert_close(features, extractor.keypoints(images)[0])
    assert model.policy.mlp_extractor.policy_net[0].in_features == extractor.keypoints.size


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    """A run whose policy and predictor see keypoints."""
    return untrained_run(
        tmp_path_factory.mktemp("runs") / "dot", "prefrl/MovingDot-v0", env_image_size=44,
        env_frame_stack=2, policy=PolicyConfig(keypoints=2, n_envs=1, n_steps=32, batch_size=32),
        predictor=RewardConfig(keypoints=2, hidden=(16,), inputs=("next_observation",)),
        env_time_limit=30,
    )  # fmt: skip


def test_a_run_with_keypoints_is_saved_and_evaluated(run, capsys):
    assert main(["evaluate", str(run.path), "--checkpoint", "best"]) == 2
    assert "no policy" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), "--episodes", "2"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["true_return"]["episodes"] == 2
    assert np.isfinite(figures["predicted_return"]["mean"])


def test_a_policy_with_keypoints_is_not_exported_and_the_reason_is_said(run, capsys):
    assert main(["export", str(run.path)]) == 2
    assert "SB3 has no network like that of a policy with" in capsys.readouterr().err


def test_an_ensemble_with_keypoints_is_not_taken_for_one_without(run, capsys):
    options = ["--reward-from", str(run.path), "--predictor.keypoints", "3", "--labels", "0"]
    arguments = ["train", "moving-dot", *options, "--run-dir", str(run.path.parent / "other")]
    assert main([*arguments, "--predictor.hidden", "16"]) == 2
    assert "predictor.keypoints is 2 there and 3 here" in capsys.readouterr().err
    assert not (run.path.parent / "other").exists()
