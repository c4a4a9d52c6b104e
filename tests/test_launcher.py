"""However a run ends, it ends soon, says how it went, keeps its labels and leaves no process."""

import json
import os
import signal

import pytest
from safetensors import safe_open
from training import LONG, Training, check_nothing_left, wait_for

from prefrl.labels.store import LabelStore

pytestmark = pytest.mark.alone

EVALUATION_FIELDS = (
    "true_return", "random_return", "best_possible", "normalised_score", "predicted_return",
    "reward_correlation", "reward_correlation_random_policy",
)  # fmt: skip
BROKEN = """
import gymnasium, numpy
from gymnasium.spaces import Box, Discrete

class Broken(gymnasium.Env):
    observation_space = Box(-1, 1, (1,), numpy.float32)
    action_space = Discrete(2)
    steps = 0

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return numpy.zeros(1, numpy.float32), {}

    def step(self, action):
        Broken.steps += 1
        if Broken.steps == 500:
            raise ZeroDivisionError("the 500th step")
        seen = self.np_random.uniform(-1, 1, 1).astype(numpy.float32)
        return seen, float(seen[0]), False, False, {}

gymnasium.register("own/Broken-v0", entry_point=Broken, max_episode_steps=100)
"""


def check_kept(training: Training) -> None:
    """The labels can be read, and nothing half-written lies about."""
    with LabelStore.open(training.path / "labels.sqlite3") as store:
        assert store.counts().answered > 0
        assert store.newest_clips(1)
    assert not list(training.path.rglob("*.tmp"))


def check_readable(training: Training, name: str) -> None:
    """The last checkpoint of one side is whole."""
    last = training.path / "checkpoints" / "last"
    json.loads((last / f"{name}.json").read_text())
    with safe_open(last / f"{name}.safetensors", "numpy") as tensors:
        assert len(list(tensors.keys())) > 0


# Ctrl-C on a terminal, and timeout(1) and batch systems with their SIGTERM, reach the whole group.
@pytest.mark.parametrize(
    ("send", "number", "exit_code"),
    [(os.kill, signal.SIGTERM, 143), (os.killpg, signal.SIGTERM, 143),
     (os.killpg, signal.SIGINT, 130)],
    ids=["TERM to the launcher", "TERM to the group", "INT to the group"],
)  # fmt: skip
def test_a_signal_ends_a_run_within_ten_seconds_with_all_saved(train, send, number, exit_code):
    training = train(*LONG)
    training.wait_until_it_learns()
    send(training.process.pid, number)
    assert training.end(within_s=10) == exit_code
    check_nothing_left(training)
    result = training.result
    assert (result["status"], result["error"]) == ("stopped", None)
    assert all(result[name] is None for name in EVALUATION_FIELDS)
    assert 0 < result["env_steps"] < 1_000_000
    assert result["labels"] > 0
    check_kept(training)
    check_readable(training, "policy")
    check_readable(training, "reward")
    assert training.err == ""


def test_a_signal_ends_an_inline_run_with_all_saved(train):
    training = train(*LONG, "--inline", "--predictor.round-epochs", "300")  # mostly in a round
    wait_for((training.path / "checkpoints" / "last" / "reward.json").exists, 60, training)
    os.kill(training.process.pid, signal.SIGINT)
    assert training.end(within_s=10) == 130
    check_nothing_left(training)
    assert training.result["status"] == "stopped"
    assert training.result["env_steps"] > 0
    check_kept(training)
    check_readable(training, "policy")
    assert training.err == ""


def test_a_signal_before_the_run_has_begun_ends_it_in_good_order(train):
    training = train(*LONG)
    wait_for(training.path.exists, 30, training)  # the launcher is still setting it up
    os.kill(training.process.pid, signal.SIGINT)
    assert training.end(within_s=20) == 130
    assert training.result["status"] == "stopped"
    assert (training.path / "end.json").exists()
    assert "Traceback" not in training.out + training.err
    check_nothing_left(training)


def test_a_signal_while_processes_start_ends_a_run_within_ten_seconds(train):
    training = train(*LONG)
    wait_for(lambda: len(training.members()) > 3, 20, training)  # resource tracker included
    os.killpg(training.process.pid, signal.SIGINT)
    assert training.end(within_s=10) == 130
    check_nothing_left(training)
    assert training.result["status"] == "stopped"
    assert "Traceback" not in training.err


@pytest.mark.parametrize("name", ["policy", "reward"])
def test_a_killed_process_ends_the_run_and_keeps_the_labels(train, name):
    training = train(*LONG)
    training.wait_until_it_learns()
    training.child(name).kill()
    assert training.end(within_s=10) == 1
    check_nothing_left(training)
    result = training.result
    assert result["status"] == "failed"
    assert result["error"] == f"the {name} process died with exit code -9"
    assert training.err.count(result["error"]) == 1
    check_kept(training)
    check_readable(training, "reward")


def test_a_killed_launcher_leaves_no_process_behind(train):
    training = train(*LONG)
    training.wait_until_it_learns()
    assert len(training.members()) > 1
    training.process.kill()
    training.process.wait(timeout=5)
    check_nothing_left(training, within_s=10)
    check_kept(training)
    check_readable(training, "policy")
    check_readable(training, "reward")


def test_an_exception_in_a_process_is_shown_once_and_ends_the_run(train, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    training = train("own/Broken-v0", "--env-import", "broken", "--labels", "60")
    assert training.end(within_s=60) == 1
    check_nothing_left(training)
    assert training.err.count("Traceback (most recent call last)") == 1
    assert training.err.count("ZeroDivisionError: the 500th step") == 1
    assert "broken.py" in training.err
    result = training.result
    assert result["status"] == "failed"
    assert result["error"] == "ZeroDivisionError: the 500th step"
