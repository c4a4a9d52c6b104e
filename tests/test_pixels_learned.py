"""The whole loop, from pixels: a policy that plays Catch, from comparisons alone."""

import json

from catch import BALLS

from prefrl.cli import main

LABELS = 300
SETTINGS = [
    "--env-import", "catch", "--inline", "--seed", "1", "--total-timesteps", "40000",
    "--env.image-size", "44", "--env.frame-stack", "1", "--env.clip-length", "9",
    "--policy.n-envs", "16", "--policy.n-steps", "64", "--policy.clip-fraction", "1",
    "--policy.learning-rate", "1e-3", "--policy.gamma", "0.9",
    "--labels", str(LABELS), "--label.round-labels", "50", "--label.initial-fraction", "0.5",
    "--predictor.inputs", "next_observation", "--predictor.pretrain-epochs", "40",
    "--predictor.round-epochs", "10",
]  # fmt: skip


def test_catch_is_learned_from_pixels_and_comparisons(tmp_path):
    run = tmp_path / "run"
    assert main(["train", "catch/Catch-v0", *SETTINGS, "--run-dir", str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["labels"] == LABELS
    # Who goes straight beneath each ball gets 6.8 for it, on average; four fifths of that. Seed 1
    # reached 6.3, seed 104 7.0.
    assert result["random_return"]["mean"] < -3 * BALLS
    assert result["true_return"]["mean"] >= 5.5 * BALLS
