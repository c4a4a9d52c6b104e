"""Filters, and where on a frame they respond."""

import json

import numpy as np
import pytest
import torch
from placements import ON_CPU
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.config import Config, EnvConfig, PolicyConfig, RewardConfig
from prefrl.keypoints import (
    CHUNK_PIXELS,
    MOMENTS,
    MOVEMENT_SCALE,
    POINT_SCALE,
    Keypoints,
    frame_moments,
)
from prefrl.metrics import read_metrics
from prefrl.policy.model import KeypointFeatures, build_model
from prefrl.policy.vec_env import make_vec_env, normalise
from prefrl.reward import inputs
from prefrl.reward.inputs import InputSpec
from prefrl.reward.network import RewardNetwork
from prefrl.run_directory import RunDirectory
from prefrl.runs.trained import load_trained
from prefrl.types import Clip, TaskSpaces

SIDE = (20, 30)
FILTERS, FRAMES, SETS = 3, 2, 2


@pytest.fixture
def keypoints() -> Keypoints:
    torch.manual_seed(0)
    return Keypoints(FILTERS, FRAMES, SIDE, SETS)


def dots(*positions: tuple[int, int]) -> np.ndarray:
    """A stack of frames `[1, K, H, W]` with a dot each."""
    frames = np.zeros((1, len(positions), *SIDE), np.uint8)
    for frame, (row, column) in enumerate(positions):
        frames[0, frame, row, column] = 200
    return frames


def moments(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frame_moments(frames))


def in_frame(position: tuple[int, int], side: tuple[int, ...] = SIDE) -> np.ndarray:
    """Row and column from -1 to 1."""
    return 2 * np.array(position) / (np.array(side) - 1) - 1


def naive_points(weight: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """`[filters, 2]`, in loops over all places where a filter meets the frame."""
    x = frame / 255 - (frame / 255).mean()
    padded = np.pad(x, 2)
    points = np.zeros((len(weight), 2))
    for f, kernel in enumerate(weight):
        mass = 0.0
        for row in range(-1, frame.shape[0] + 1):
            for column in range(-1, frame.shape[1] + 1):
                under = padded[row + 1 : row + 4, column + 1 : column + 4]
                squared = (under * kernel).sum() ** 2
                points[f] += squared * in_frame((row, column), frame.shape)
                mass += squared
        points[f] /= mass
    return points


def test_points_and_movements_are_those_of_a_loop_over_pixels(keypoints):
    frames = np.random.default_rng(0).integers(0, 256, (1, FRAMES, *SIDE), np.uint8)
    got = keypoints(moments(frames)).detach().numpy()
    assert got.shape == (SETS, 1, keypoints.size)
    weight = keypoints.filters.detach().numpy().reshape(SETS, FILTERS, 3, 3)
    for s in range(SETS):
        before, after = (naive_points(weight[s], frame) for frame in frames[0])
        expected = [*(POINT_SCALE * after).ravel(), *(MOVEMENT_SCALE * (after - before)).ravel()]
        np.testing.assert_allclose(got[s, 0], expected, atol=1e-4)


def test_filters_that_a_smooth_frame_hardly_moves_are_right_or_see_nothing():
    """The worst filters that there are for it: sums that nearly cancel."""
    side = (84, 84)
    rows, columns = np.indices(side)
    blob = 255 * np.exp(-((rows - 30) ** 2 + (columns - 50) ** 2) / (2 * 9.0**2))
    frame = blob.astype(np.uint8)
    keypoints = Keypoints(9, 1, side)
    seen = moments(frame[None, None])
    forms = (keypoints.pairs[0] @ seen[0, 0, 0]).reshape(9, 9)
    _, filters = np.linalg.eigh(forms.double().numpy())
    with torch.no_grad():
        keypoints.filters.copy_(torch.from_numpy(filters.T.copy()))
    points = keypoints(seen).detach().numpy().reshape(9, 2) / POINT_SCALE
    told = points.any(1)
    assert told.sum() >= 3
    expected = naive_points(filters.T.reshape(9, 3, 3), frame)
    np.testing.assert_allclose(points[told], expected[told], atol=0.02)


def test_a_dot_that_moves_moves_every_point_by_as_much(keypoints):
    before, after = (8, 9), (11, 5)
    first_set = keypoints(moments(dots(before, after)))[0, 0].detach().numpy()
    points, moved = first_set.reshape(2, -1, 2)
    assert np.abs(points / POINT_SCALE - in_frame(after)).max() < 0.1  # within the filter
    expected = MOVEMENT_SCALE * (in_frame(after) - in_frame(before))
    # Less than a thousandth of a frame off: the frame's mean is not quite 0.
    np.testing.assert_allclose(moved, np.tile(expected, (FILTERS, 1)), atol=1e-3 * MOVEMENT_SCALE)


def test_after_a_black_frame_nothing_has_moved(keypoints):
    frames = dots((8, 9), (11, 5))
    frames[:, 0] = 0  # as a stack is at an episode's start
    points, moved = keypoints(moments(frames))[:, 0].reshape(SETS, 2, -1).unbind(1)
    assert not moved.any()
    still = keypoints(moments(dots((11, 5), (11, 5))))
    torch.testing.assert_close(points, still[:, 0, : 2 * FILTERS])


@pytest.mark.parametrize("grey", [0, 100, 200, 255])
def test_a_plain_frame_has_no_points_and_finite_gradients(keypoints, grey):
    points = keypoints(moments(np.full((4, FRAMES, *SIDE), grey, np.uint8)))
    points.square().sum().backward()
    assert not points.any()
    assert torch.isfinite(keypoints.filters.grad).all()


def test_how_large_filters_are_changes_no_point(keypoints):
    seen = moments(np.random.default_rng(1).integers(0, 256, (5, 2, *SIDE), np.uint8))
    before = keypoints(seen)
    with torch.no_grad():
        keypoints.filters *= 3
    torch.testing.assert_close(keypoints(seen), before)


def reward_network() -> RewardNetwork:
    config = RewardConfig(keypoints=FILTERS, members=SETS, inputs=("next_observation",))
    spec = InputSpec.of(TaskSpaces((FRAMES, *SIDE), 3, 0), config)
    return RewardNetwork(spec, config, torch.Generator().manual_seed(0))


def test_the_seed_of_a_run_draws_the_filters_and_no_global_generator():
    torch.manual_seed(1)
    first = reward_network().keypoints.filters
    torch.manual_seed(2)
    torch.testing.assert_close(reward_network().keypoints.filters, first)


def test_a_frame_has_the_same_moments_in_any_batch():
    n = 2 * CHUNK_PIXELS // (SIDE[0] * SIDE[1]) + 1  # more than are computed at once
    frames = np.random.default_rng(2).integers(0, 256, (n, *SIDE), np.uint8)
    before = frames.copy()
    together = frame_moments(frames)
    assert together.shape == (n, *MOMENTS)
    np.testing.assert_array_equal(frames, before)
    alone = [frame_moments(frame) for frame in frames]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)
    assert frame_moments(frames.reshape(1, n, *SIDE)).shape == (1, n, *MOMENTS)


def test_a_clip_gives_the_moments_of_its_stacks():
    config = RewardConfig(keypoints=FILTERS, inputs=("observation", "next_observation"))
    spec = InputSpec.of(TaskSpaces((FRAMES, *SIDE), 3, 0), config)
    frames = np.random.default_rng(3).integers(0, 256, (3 + FRAMES, *SIDE), np.uint8)
    starts = np.array([False, False, False, True, False])  # black in the stack of after it
    clip = Clip(frames, starts, np.zeros(3, np.int64), np.zeros(3, np.float32), 0)
    stacked = clip.stacked()
    assert not stacked[2, 0].any()
    seen = spec.of_clips([clip, clip])
    expected = spec.assemble(stacked[:-1], clip.actions, stacked[1:])
    assert expected.images.shape == (3, FRAMES + 1, *MOMENTS)
    np.testing.assert_allclose(seen.images[3:], expected.images, rtol=1e-5, atol=1e-4)


def test_a_clips_moments_are_computed_once_and_go_with_it(monkeypatch):
    config = RewardConfig(keypoints=FILTERS, inputs=("next_observation",))
    spec = InputSpec.of(TaskSpaces((FRAMES, *SIDE), 3, 0), config)
    computed: list[int] = []
    monkeypatch.setattr(
        inputs, "frame_moments", lambda frames: computed.append(1) or frame_moments(frames)
    )
    frames = np.zeros((3 + FRAMES, *SIDE), np.uint8)
    clip = Clip(frames, np.zeros(5, bool), np.zeros(3, np.int64), np.zeros(3, np.float32), 0)
    before = len(inputs._MOMENTS)
    spec.of_clips([clip, clip])
    spec.of_clips([clip])
    assert (len(computed), len(inputs._MOMENTS)) == (1, before + 1)
    del clip
    assert len(inputs._MOMENTS) == before


def test_each_member_of_an_ensemble_has_filters_of_its_own():
    network = reward_network()
    seen, no_vectors = moments(dots((3, 4), (5, 6))).expand(4, -1, -1, -1), torch.zeros(4, 0)
    rewards = network(seen, no_vectors)
    assert rewards.shape == (SETS, 4)
    rewards[0].sum().backward()
    first, second = network.keypoints.filters.grad.view(SETS, -1)
    assert first.any()
    assert not second.any()
    before = network.weight_squares()
    with torch.no_grad():
        network.keypoints.filters *= 2
    torch.testing.assert_close(network.weight_squares(), before)  # L2 leaves the filters alone


DOT = Config(
    env=EnvConfig(id="prefrl/MovingDot-v0", image_size=44, frame_stack=FRAMES, time_limit=3),
    policy=PolicyConfig(keypoints=FILTERS, n_envs=2),
)


def test_a_policy_sees_the_points_and_nothing_else_of_a_frame():
    seen = normalise(make_vec_env(DOT.env, 2, seed=0), DOT, training=True)
    model = build_model(DOT, seen, ON_CPU)
    extractor = model.policy.features_extractor
    assert isinstance(extractor, KeypointFeatures)
    assert model.policy.mlp_extractor.policy_net[0].in_features == extractor.keypoints.size
    observations = torch.from_numpy(seen.reset())
    features = model.policy.extract_features(observations, extractor)
    torch.testing.assert_close(features, extractor.keypoints(observations)[0])


def test_environments_tell_a_policy_their_moments_at_an_end_too():
    raw = make_vec_env(DOT.env, 2, seed=0)
    seen = normalise(make_vec_env(DOT.env, 2, seed=0), DOT, training=True)
    both = [(raw.reset(), seen.reset())]
    for _ in range(3):
        frames, _, _, infos = raw.step(np.array([1, 2]))
        told, _, _, told_infos = seen.step(np.array([1, 2]))
        both.append((frames, told))
    both.append((infos[1]["terminal_observation"], told_infos[1]["terminal_observation"]))
    for frames, told in both:
        np.testing.assert_allclose(told, frame_moments(frames), rtol=1e-5, atol=1e-4)
        assert told.dtype == seen.observation_space.dtype
        assert told.shape[-3:] == seen.observation_space.shape


LEARNED = [
    "--inline", "--labels", "40", "--label.round-labels", "12", "--predictor.pretrain-epochs", "60"
]  # fmt: skip


@pytest.mark.parametrize("options", [LEARNED, ["--reward", "true"]], ids=["learned", "true"])
def test_filters_are_trained_over_ends_that_show_and_the_run_replays(options, tmp_path):
    path = tmp_path / "run"
    small = ["--total-timesteps", "6000", "--env.time-limit", "60", "--evaluation-episodes", "2"]
    assert main(["train", "moving-dot", *small, *options, "--run-dir", str(path)]) == 0
    trained = load_trained(RunDirectory.open(path))
    fresh = build_model(trained.config, trained.model.get_env(), ON_CPU)
    before, after = (m.policy.features_extractor.keypoints.filters for m in (fresh, trained.model))
    assert (before - after).abs().max() > 0.01
    assert main(["replay", str(path)]) == 0
    if options == LEARNED:
        *_, last_round = read_metrics(path / "metrics" / "reward.jsonl")
        assert last_round["reward/train_accuracy"] > 0.8


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
    assert "trained with --policy.keypoints 0 is exported" in capsys.readouterr().err


def test_an_ensemble_with_keypoints_is_not_taken_for_one_without(run, capsys):
    options = ["--reward-from", str(run.path), "--predictor.keypoints", "3", "--labels", "0"]
    arguments = ["train", "moving-dot", *options, "--run-dir", str(run.path.parent / "other")]
    assert main([*arguments, "--predictor.hidden", "16"]) == 2
    assert "predictor.keypoints is 2 there and 3 here" in capsys.readouterr().err
    assert not (run.path.parent / "other").exists()
