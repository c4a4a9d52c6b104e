"""The whole loop, from pixels: a policy that plays Catch, from comparisons alone."""

import json

from catch import BALLS

from prefrl.cli import main

LABELS = 400
SETTINGS = [
    "--env-import", "catch", "--inline", "--seed", "1", "--total-timesteps", "40000",
    "--env.image-size", "44", "--env.frame-stack", "2", "--env.clip-length", "18",
    "--policy.n-envs", "16", "--policy.n-steps", "64", "--policy.clip-fraction", "1",
    "--policy.learning-rate", "1e-3", "--policy.gamma", "0.9",
    "--labels", str(LABELS), "--label.round-labels", "50", "--label.initial-fraction", "0.5",
    "--predictor.inputs", "next_observation", "--predictor.pretrain-epochs", "40",
    "--predictor.round-epochs", "5",
]  # fmt: skip


def test_catch_is_learned_from_pixels_and_comparisons(tmp_path):
    run = tmp_path / "run"
    assert main(["train", "catch/Catch-v0", *SETTINGS, "--run-dir", str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["labels"] == LABELS
    assert result["random_return"]["mean"] < 0
    # 18 of 20 balls caught; on seeds 102 to 105 it was 19.7 to 20.
    assert result["true_return"]["mean"] >= 0.8 * BALLS
