"""Pixels enter both networks standardised, each for itself."""

import numpy as np
import pytest
import torch
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.metrics import read_metrics
from prefrl.pixels import LIMIT, StandardPixels, channels_last
from prefrl.policy.model import policy_inputs
from prefrl.run_directory import RunDirectory
from prefrl.runs.trained import load_trained
from prefrl.statistics import RunningStatistics

SIDE = (9, 11)
SCREEN = np.random.default_rng(0).integers(0, 230, SIDE)  # what always stays


def frames(n: int, seed: int = 0) -> np.ndarray:
    """`[n, H, W]`: the screen, and a spot that moves over it."""
    images = np.tile(SCREEN, (n, 1, 1)).astype(np.uint8)
    rng = np.random.default_rng(seed)
    for image in images:
        image[rng.integers(9), rng.integers(11)] += 20
    return images


def stacks(n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([frames(n, seed), frames(n, seed + 1)], axis=1))


def standard(seen: np.ndarray, dtype: torch.dtype = torch.float32) -> StandardPixels:
    statistics = RunningStatistics(seen[0].size)
    for part in np.array_split(seen, 4):
        statistics.update(part.reshape(len(part), -1))
    module = StandardPixels(seen.shape[1:], dtype)
    module.set(statistics)
    return module


def test_what_always_stays_is_gone_and_what_moves_is_large():
    out = standard(frames(500))(stacks(200, seed=1))
    still = out.abs() < 1
    assert 0.98 < still.float().mean() < 0.995  # one pixel of 99 moves
    assert out[~still].abs().min() > 5


def test_the_unit_is_the_root_of_the_mean_variance_of_all_pixels():
    seen = np.random.default_rng(0).integers(0, 256, (50, *SIDE)).astype(np.uint8)
    module = standard(seen)
    assert float(module.deviation) == pytest.approx(np.sqrt(seen.var(0).mean()), abs=0.05)
    np.testing.assert_array_equal(module.mean[0, 0], seen.mean(0).round())


def test_without_statistics_a_byte_is_a_share_of_255():
    images = stacks(4, seed=0)
    torch.testing.assert_close(StandardPixels(SIDE, torch.float32)(images), images / 255)


def test_a_plain_screen_is_not_blown_up_and_a_new_one_is_bounded():
    module = standard(np.full((8, 1, 4), 77, np.uint8))
    out = module(torch.tensor([[[[76, 77, 78, 255]]]], dtype=torch.uint8))
    assert out.flatten().tolist() == [-1, 0, 1, LIMIT]


def test_what_is_far_from_the_average_is_ten_deviations_from_it():
    module = standard(frames(500))
    assert 1 < module.deviation < 10
    out = module(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 2, *SIDE))
    assert out[0].min() == pytest.approx(-LIMIT, rel=1e-6)
    assert out[1].max() == pytest.approx(LIMIT, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1, 5, 7), (1, 4, 5, 7), (3, 1, 5, 7), (6, 2, 5, 7)])
def test_pixels_are_laid_out_anew_and_no_other(shape, dtype):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape)).to(dtype)
    out = channels_last(images)
    assert torch.equal(out, images)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_half_precision_loses_no_grey_level():
    seen, images = frames(500), stacks(64, seed=5)
    out, exact = standard(seen, torch.bfloat16)(images), standard(seen)(images)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=2**-8, atol=0.0)


def test_the_images_that_are_given_stay_as_they_are():
    given = stacks(4, seed=0).float().contiguous(memory_format=torch.channels_last)
    kept = given.clone()
    standard(frames(50))(given)
    assert given.equal(kept)


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "prefrl/MovingDot-v0"])
def test_a_saved_run_comes_back_with_its_averages(env_id, tmp_path):
    run = load_trained(untrained_run(tmp_path / "run", env_id))
    for module in (run.model.policy.features_extractor.standard, run.predictor.network.standard):
        assert module.mean.std() > 0.1
        assert module.deviation < 60


def test_the_figures_of_what_enters_the_policy_are_of_standardised_pixels(tmp_path):
    policy = load_trained(untrained_run(tmp_path / "run", "ALE/Pong-v5")).model.policy
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84), np.uint8)
    expected = policy.features_extractor.standard(torch.from_numpy(images))
    np.testing.assert_array_equal(policy_inputs(policy, images), expected)


@pytest.mark.parametrize("used", [True, False])
def test_training_fills_the_averages_of_both_networks_unless_they_are_not_wanted(used, tmp_path):
    tiny = [
        "--inline", "--total-timesteps", "1600", "--labels", "10", "--evaluation-episodes", "1",
        "--env.image-size", "44", "--env.time-limit", "50", "--predictor.pretrain-epochs", "1",
        "--policy.n-envs", "4", "--policy.n-steps", "32", "--policy.clip-fraction", "1",
    ]  # fmt: skip
    off = [] if used else ["--policy.no-standard-pixels", "--predictor.no-standard-pixels"]
    task = ["prefrl/MovingDot-v0", "--policy.keypoints", "0", "--predictor.keypoints", "0"]
    assert main(["train", *task, *tiny, *off, "--run-dir", str(tmp_path / "run")]) == 0
    run = load_trained(RunDirectory.open(tmp_path / "run"))
    for module in (run.model.policy.features_extractor.standard, run.predictor.network.standard):
        assert bool(module.mean.any()) == used
        assert bool(module.deviation < 50) == used
    deviations = [
        row["policy/input_deviation"]
        for row in read_metrics(tmp_path / "run" / "metrics" / "policy.jsonl")
        if "policy/input_deviation" in row
    ]
    assert deviations[0] < 0.1  # a first rollout has nothing to go by
    assert (deviations[-1] > 0.2) == used
