"""Filters, and where on a frame they respond."""

import numpy as np
import pytest
import torch

from prefrl.config import Config, PolicyConfig, RewardConfig
from prefrl.keypoints import MOVEMENT_SCALE, Keypoints
from prefrl.reward.inputs import InputSpec
from prefrl.reward.network import RewardNetwork
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


def test_each_member_of_an_ensemble_has_filters_of_its_own():
    spec = InputSpec(TaskSpaces((FRAMES, *SIDE), 3, 0), ("next_observation",))
    config = RewardConfig(keypoints=FILTERS, members=SETS)
    network = RewardNetwork(spec, config, torch.Generator().manual_seed(0))
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
    from prefrl.runs.sb3_file import _Spaces

    def make() -> _Spaces:
        return _Spaces(spaces.Box(0, 255, (FRAMES, *SIDE), np.uint8), spaces.Discrete(3))

    config = Config(policy=PolicyConfig(keypoints=FILTERS, n_envs=1))
    model = build_model(config, DummyVecEnv([make]), torch.device("cpu"), torch.float32)
    extractor = model.policy.features_extractor
    assert isinstance(extractor, KeypointFeatures)
    images = dots((3, 4), (5, 6))
    features = model.policy.extract_features(images, extractor)
    torch.testing.assert_close(features, extractor.keypoints(images)[0])
    assert model.policy.mlp_extractor.policy_net[0].in_features == extractor.keypoints.size
