"""The GPU path, where there is a GPU: policy and predictor there, together or each alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from prefrl.cli import main
from prefrl.recipes import RECIPES
from prefrl.reward.ensemble import RewardEnsemble
from prefrl.reward.inputs import InputSpec
from prefrl.types import TaskSpaces

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

FRAMES = TaskSpaces((4, 56, 56), 6, 0)


@pytest.mark.parametrize("recipe", ["pong", "moving-dot"])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
def test_rewards_on_a_gpu_are_those_on_the_processor(recipe, number_format):
    config = replace(RECIPES[recipe].config.predictor, inputs=("observation",))
    spec = InputSpec.of(FRAMES, config)
    images = np.random.default_rng(0).integers(0, 256, (100, *FRAMES.observation_shape), np.uint8)
    screens = spec.assemble(images, np.zeros(100, np.int64), images)

    def rewards(device: str) -> np.ndarray:
        ensemble = RewardEnsemble(
            spec, config, torch.device(device), number_format, torch.Generator().manual_seed(0)
        )
        with torch.no_grad():
            return ensemble.forward(screens).cpu().numpy()

    here, there = rewards("cpu"), rewards("cuda")
    off = np.sqrt(((here - there) ** 2).mean(1))
    # A GPU rounds the inputs of float32 convolutions to 10 bits by default.
    assert (off / here.std(1)).max() < (0.1 if number_format == torch.bfloat16 else 0.02)


@pytest.mark.parametrize(
    ("policy", "predictor"), [("cuda", "same"), ("cpu", "cuda"), ("cuda", "cpu")]
)
@pytest.mark.parametrize(
    "task",
    [f"{task} --total-timesteps 6000" for task in ("pong", "moving-dot", "moving-dot-position")],
)
def test_a_run_on_a_gpu_ends_with_a_policy_that_plays_on_the_processor(
    task, policy, predictor, tmp_path, capsys, monkeypatch
):
    run = tmp_path / "run"
    options = ["--device", policy, "--predictor.device", predictor, "--run-dir", str(run)]
    small = [
        "--labels", "24", "--predictor.pretrain-epochs", "2", "--policy.n-envs", "4",
        "--evaluation-episodes", "1",
    ]  # fmt: skip
    assert main(["train", *task.split(), *small, *options]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["labels"] == 24
    capsys.readouterr()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if "moving-dot " not in task:  # SB3 has no keypoints
        assert main(["export", str(run)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "1"]) == 0
    assert np.isfinite(json.loads(capsys.readouterr().out)["true_return"]["mean"])
