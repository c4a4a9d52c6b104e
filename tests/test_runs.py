"""Whole runs through the real command, with budgets of seconds; what each leaves on disk."""

import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from safetensors import safe_open
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from prefrl.config_file import load_config
from prefrl.labels.store import LabelStore
from prefrl.metrics import read_metrics

PREFRL = Path(sys.executable).with_name("prefrl")
SECRET = "not-for-the-archive"
DOT = "moving-dot-position"
SHORT = [
    "--total-timesteps", "6000", "--policy.n-steps", "64", "--labels", "40",
    "--predictor.pretrain-epochs", "20", "--evaluation-episodes", "4",
]  # fmt: skip
RESULT_FIELDS = {
    "status", "env", "seed", "wall_s", "env_steps", "random_steps", "steps_per_s", "labels",
    "labels_unused", "snapshots", "clips_dropped", "validation_accuracy", "peak_memory_bytes",
    "true_return", "random_return", "best_possible", "normalised_score", "predicted_return",
    "reward_correlation", "reward_correlation_random_policy", "error",
}  # fmt: skip

# Neither can be rendered; `render_mode` is there because `gymnasium.make` may pass it.
OWN_ENVIRONMENTS = """
import gymnasium, numpy
from gymnasium.spaces import Box, Discrete

class Walk(gymnasium.Env):
    # A number to be brought to zero.
    observation_space = Box(-10, 10, (1,), numpy.float32)
    action_space = Discrete(3, start=-1)

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-5, 5))
        return numpy.array([self.x], numpy.float32), {}

    def step(self, action):
        assert action in (-1, 0, 1)
        before, self.x = self.x, float(numpy.clip(self.x + 0.3 * action, -10, 10))
        return numpy.array([self.x], numpy.float32), abs(before) - abs(self.x), False, False, {}

class Picture(gymnasium.Env):
    # A grey level to be brought to white, seen as a small picture in colour. Its renderer fails.
    metadata = {"render_modes": ["rgb_array"]}
    observation_space = Box(0, 255, (40, 40, 3), numpy.uint8)
    action_space = Discrete(2)

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level = int(self.np_random.integers(200))
        return numpy.full((40, 40, 3), self.level, numpy.uint8), {}

    def render(self):
        raise OSError("no such display")

    def step(self, action):
        before, self.level = self.level, min(255, max(0, self.level + (4 if action else -4)))
        picture = numpy.full((40, 40, 3), self.level, numpy.uint8)
        return picture, float(self.level - before), False, False, {}

gymnasium.register("own/Walk-v0", entry_point=Walk, max_episode_steps=60)
gymnasium.register("own/Picture-v0", entry_point=Picture, max_episode_steps=40)
"""


class Run:
    """A run that has ended: what it printed and what it left."""

    def __init__(self, path: Path, ended: subprocess.CompletedProcess[str]) -> None:
        self.path, self.exit_code = path, ended.returncode
        self.out, self.err = ended.stdout, ended.stderr

    @property
    def result(self) -> dict[str, Any]:
        assert self.exit_code == 0, self.err
        read: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return read

    def files(self, folder: str) -> dict[str, bytes]:
        """The contents of a folder, by path inside it."""
        base = self.path / folder
        return {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file()}

    @property
    def store(self) -> LabelStore:
        return LabelStore.open(self.path / "labels.sqlite3")


Prefrl = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., Run]
StartRun = Callable[..., "Future[Run]"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of these tests live, with a module of environments."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "own_environments.py").write_text(OWN_ENVIRONMENTS)
    return folder


@pytest.fixture(scope="session")
def prefrl(folder: Path) -> Prefrl:
    """The command itself, in that folder."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PREFRL, *arguments], cwd=folder, capture_output=True, text=True, timeout=300,
            env={**os.environ, "SECRET_TOKEN": SECRET, "PYTHONPATH": str(folder)},
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def make_run(prefrl: Prefrl, folder: Path) -> MakeRun:
    def make(name: str, command: str, *arguments: str | Path) -> Run:
        return Run(folder / name, prefrl(*command.split(), "--run-dir", folder / name, *arguments))

    return make


@pytest.fixture(scope="session")
def start_run(make_run: MakeRun) -> Any:
    """Starts a run whose end is a future; no more than two go on at once."""
    with ThreadPoolExecutor(2) as pool:
        yield lambda *arguments: pool.submit(make_run, *arguments)


@pytest.fixture(scope="session")
def finished(make_run: MakeRun) -> Run:
    """An asynchronous run to its end."""
    return make_run("finished", f"train {DOT}", *SHORT, "--seed", "1", "--note", "does it run?")


@pytest.fixture(scope="session")
def others(start_run: StartRun) -> dict[str, "Future[Run]"]:
    """Runs of which nothing is shared, so that they can go on side by side."""
    own = ("--env-import", "own_environments")
    few = ("--evaluation-episodes", "2", "--predictor.pretrain-epochs", "10")
    return {
        "same": start_run("same", f"train {DOT} --inline --seed 5", *SHORT),
        "other seed": start_run("other", f"train {DOT} --inline --seed 6", *SHORT),
        "baseline": start_run("baseline", f"train {DOT} --reward true", *SHORT),
        "gathered": start_run("gathered", f"gather {DOT} --labels 40"),
        "own": start_run("own", "train own/Walk-v0", *own, *SHORT),
        "discrete": start_run("discrete", "train FrozenLake-v1", *SHORT, *few),
        "image": start_run(
            "image", "train own/Picture-v0 --total-timesteps 1400 --labels 12 --policy.n-envs 2",
            *own, "--label.initial-fraction", "1", "--policy.n-steps", "64", *few,
            "--predictor.pretrain-epochs", "1", "--policy.clip-fraction", "1",
        ),
        "pong": start_run(
            "pong", "train pong --total-timesteps 3000 --labels 12 --evaluation-episodes 1",
            "--policy.n-envs", "4", "--policy.n-steps", "64", "--predictor.pretrain-epochs", "2",
            "--policy.clip-fraction", "1",
        ),
        "filmed": start_run(
            "filmed", f"train {DOT} --reward true --video-every 2000", *SHORT, *few,
        ),
        "sparse": start_run("sparse", "train MountainCarContinuous-v0", *SHORT, *few),
    }  # fmt: skip


def finite_or_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite_or_null, value.values()))
    return value is None or isinstance(value, str) or math.isfinite(value)


def test_a_result_has_exactly_the_fields_that_it_should(finished):
    result = finished.result
    assert set(result) == RESULT_FIELDS
    assert finite_or_null(result)
    assert (result["status"], result["error"], result["seed"]) == ("finished", None, 1)
    assert result["env"] == "prefrl/MovingDotPosition-v0"
    assert set(result["peak_memory_bytes"]) == {"policy", "reward"}
    for returns in ("true_return", "random_return", "predicted_return"):
        assert set(result[returns]) == {"mean", "sd", "min", "max", "episodes"}
        assert result[returns]["episodes"] == 4
    for correlation in ("reward_correlation", "reward_correlation_random_policy"):
        assert set(result[correlation]) == {"step", "clip", "episode"}
        assert all(set(both) == {"pearson", "spearman"} for both in result[correlation].values())


def test_a_run_uses_all_its_labels_and_no_more_than_its_steps(finished):
    result = finished.result
    assert (result["labels"], result["labels_unused"]) == (40, 0)
    assert 0 < result["random_steps"] < result["env_steps"] <= 6000
    assert result["normalised_score"] == pytest.approx(
        result["true_return"]["mean"] / result["best_possible"]
    )
    with finished.store as store:
        assert store.counts().queries == store.counts().answered == 40


def test_a_run_leaves_every_file_it_should(finished):
    assert finished.exit_code == 0, finished.err
    assert {path.name for path in finished.path.iterdir()} - {"source.zip"} == {
        "config.json", "provenance.json", "labels.sqlite3", "checkpoints", "tb", "metrics",
        "videos", "plots", "log.txt", "status.json", "result.json", "end.json",
    }  # fmt: skip
    config = load_config(finished.path / "config.json")
    assert (config.seed, config.label.budget) == (1, 40)
    assert config.precision != "auto"  # what it became is recorded
    assert set(finished.files("metrics")) == {
        "policy.jsonl", "reward.jsonl", "timing-policy.jsonl", "timing-reward.jsonl",
        "evaluation.jsonl",
    }  # fmt: skip
    assert not list(finished.path.rglob("*.tmp"))


def test_provenance_keeps_command_packages_and_question_but_no_environment_variable(finished):
    text = (finished.path / "provenance.json").read_text()
    said = json.loads(text)
    assert (said["note"], said["seed"]) == ("does it run?", 1)
    assert said["command"][1:3] == ["train", DOT]
    assert said["packages"]["torch"]
    assert said["prefrl_command"] == "train"
    assert said["labels_from"] is said["reward_from"] is None
    for path in finished.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_checkpoints_are_tensors_and_json_alone(finished):
    files = finished.files("checkpoints")
    assert {"last/policy.json", "last/reward.json"} <= set(files)
    for name in files:
        path = finished.path / "checkpoints" / name
        if path.suffix == ".json":
            json.loads(path.read_text())
            continue
        assert path.suffix == ".safetensors"
        with safe_open(path, "numpy") as tensors:
            assert len(list(tensors.keys())) > 0


def test_metrics_are_the_same_numbers_in_lines_and_for_tensorboard(finished):
    for process in ("policy", "reward"):
        lines = read_metrics(finished.path / "metrics" / f"{process}.jsonl")
        written = {name for line in lines for name in line} - {"step", "reward/calibration"}
        (events,) = (finished.path / "tb" / process).iterdir()
        tags = {
            value.tag for event in EventFileLoader(str(events)).Load()
            for value in event.summary.value
        }  # fmt: skip
        assert written <= tags
        assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)


def test_the_video_plays_and_the_plot_is_a_png(finished):
    assert finished.exit_code == 0, finished.err
    (video,) = finished.path.glob("videos/*.mp4")
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 251  # before the first step, and after each
    assert any((frame != frames[0]).any() for frame in frames)
    (plot,) = (finished.path / "plots").iterdir()
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_a_person_sees_names_device_result_and_files(finished):
    assert finished.err == ""
    for said in ("networks on ", "true return", "random policy", "evaluation.mp4", "tensorboard"):
        assert said in finished.out


def test_evaluating_again_gives_the_result_to_the_last_digit(finished, prefrl):
    ended = prefrl("evaluate", finished.path)
    assert ended.returncode == 0, ended.stderr
    again = json.loads(ended.stdout)
    assert again == {name: finished.result[name] for name in again}
    assert {"true_return", "reward_correlation"} <= set(again)


def test_evaluating_changes_nothing_in_the_run(finished, prefrl):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    prefrl("evaluate", finished.path, "--episodes", "1", "--seed", "3")
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_the_baseline_learns_without_labels_or_predictor(others):
    run = others["baseline"].result()
    result = run.result
    assert set(result) == RESULT_FIELDS
    for name in ("predicted_return", "reward_correlation", "validation_accuracy", "labels"):
        assert result[name] is None
    assert (result["random_steps"], result["labels_unused"]) == (0, 0)
    assert not (run.path / "labels.sqlite3").exists()
    assert set(run.files("checkpoints")) >= {"last/policy.json"}
    assert not any("reward" in name for name in run.files("checkpoints"))


def test_labels_are_gathered_fitted_and_trained_on_without_asking_one_twice(others, make_run):
    gathered = others["gathered"].result()
    assert gathered.result["labels"] == 40
    assert gathered.result["true_return"] is None
    fitted = make_run(
        "fitted", "pretrain --predictor.pretrain-epochs 20", "--labels-from", gathered.path
    )
    assert fitted.result["labels"] == 40
    assert fitted.result["validation_accuracy"] is not None
    trained = make_run(
        "trained", f"train {DOT}", *SHORT, "--labels", "60", "--labels-from", gathered.path,
        "--reward-from", fitted.path,
    )  # fmt: skip
    assert (trained.result["labels"], trained.result["labels_unused"]) == (60, 0)
    assert trained.result["random_steps"] == 0
    with gathered.store as source, trained.store as store:
        assert store.labels()[:40] == source.labels()
        labels = store.labels()
        assert len({label.query_id for label in labels}) == len(labels) == len(store.pairs()) == 60


def test_reproducing_an_inline_run_gives_the_same_to_the_last_bit(others, prefrl, folder):
    same = others["same"].result()
    ended = prefrl("reproduce", same.path, "--run-dir", folder / "reproduced")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.index("packages") < ended.stdout.index("networks on")
    assert ended.stdout.splitlines()[-1] == "the same numbers and labels as same"
    again = Run(folder / "reproduced", ended)
    for name in ("metrics", "checkpoints"):
        ours, theirs = same.files(name), again.files(name)
        assert set(ours) == set(theirs)
        for path in ours:
            if not path.startswith("timing-"):
                assert ours[path] == theirs[path], f"{name}/{path}"
    timing = {"wall_s", "steps_per_s", "peak_memory_bytes"}
    assert {k: v for k, v in same.result.items() if k not in timing} == {
        k: v for k, v in again.result.items() if k not in timing
    }


def test_the_end_of_a_run_has_checksums_of_all_it_left(finished, prefrl):
    assert finished.exit_code == 0, finished.err
    end = json.loads((finished.path / "end.json").read_text())
    assert end["exit_code"] == 0
    assert set(end["outputs"]) == set(finished.files(".")) - {"end.json"}
    assert prefrl("runs", "show", finished.path, "--verify").returncode == 0


def test_every_clip_of_the_evaluation_can_be_drawn(finished):
    lines = read_metrics(finished.path / "metrics" / "evaluation.jsonl")
    # Two policies, 4 episodes of 250 steps each, clips of 25 steps.
    assert len(lines) == 2 * 4 * 10
    final = [line["true_reward"] for line in lines if line["policy"] == "final"]
    assert sum(final) == pytest.approx(4 * finished.result["true_return"]["mean"])


def test_another_seed_gives_another_inline_run(others):
    same, other = others["same"].result(), others["other seed"].result()
    assert other.result["status"] == "finished"
    for name in ("last/policy.safetensors", "last/reward.safetensors"):
        assert same.files("checkpoints")[name] != other.files("checkpoints")[name]
    assert same.files("metrics")["policy.jsonl"] != other.files("metrics")["policy.jsonl"]


def test_an_environment_of_ones_own_trains_and_says_why_there_is_no_video(others):
    run = others["own"].result()
    assert run.result["true_return"]["episodes"] == 4
    assert run.result["best_possible"] is None
    assert run.result["normalised_score"] is None
    assert "warning: no video: own/Walk-v0 cannot be rendered, so there is nothing" in run.out


def test_a_task_with_discrete_observations_comes_to_a_result(others):
    run = others["discrete"].result()
    assert run.result["true_return"]["episodes"] == 2
    assert finite_or_null(run.result)


def test_a_task_seen_as_images_comes_to_a_result(others):
    run = others["image"].result()
    assert run.result["labels"] == 12
    assert run.result["predicted_return"] is not None
    with run.store as store:
        (clip,) = store.newest_clips(1)
    assert clip.observations.shape[1:] == (84, 84)


def test_a_renderer_that_fails_costs_the_video_and_not_the_run(others):
    run = others["image"].result()
    assert run.result["status"] == "finished"
    assert "warning: no video: own/Picture-v0 cannot be rendered" in run.out
    assert "no such display" in run.out
    assert list(run.path.glob("videos/*.mp4")) == []


def test_pong_goes_through_the_whole_chain(others):
    run = others["pong"].result()
    assert run.result["true_return"]["min"] >= -21
    assert (run.result["labels"], run.result["labels_unused"]) == (12, 0)
    with run.store as store:
        (clip,) = store.newest_clips(1)
    assert clip.observations.shape == (29, 56, 56)  # T + K
    stored = (run.path / "labels.sqlite3").stat().st_size / 24  # at most two clips a label
    assert stored < 40_000
    with av.open(str(run.path / "videos" / "evaluation.mp4")) as video:
        assert video.streams.video[0].width == 320


def test_a_whole_game_of_pong_is_played_in_colour(others, prefrl):
    run = others["pong"].result()
    played = prefrl("replay", run.path)
    assert (played.returncode, played.stderr) == (0, "")
    video = Path(played.stdout.strip())
    (episode,) = json.loads(video.with_suffix(".json").read_text())["episodes"]
    rewards = np.array(episode["true_rewards"])
    assert 21 in (np.sum(rewards == 1), np.sum(rewards == -1))  # points of who won
    assert episode["true_return"] == rewards.sum()
    assert len(rewards) == episode["steps"] > 700
    assert np.shape(episode["predicted_rewards"]) == (3, episode["steps"])
    with av.open(str(video)) as container:
        frame, *others_ = (f.to_ndarray(format="rgb24") for f in container.decode(video=0))
    assert len(others_) == episode["steps"]
    assert frame[200, 160] == pytest.approx([144, 72, 17], abs=12)  # Pong's ground is brown


def test_numbered_checkpoints_are_kept_and_filmed_beside_the_training(others):
    run = others["filmed"].result()
    assert run.exit_code == 0, run.err
    numbered = [p.name for p in (run.path / "checkpoints").iterdir() if p.name.isdigit()]
    assert sorted(map(int, numbered)) == [2048, 4096]
    for name in numbered:
        video = run.path / "videos" / f"step-{name}.mp4"
        with av.open(str(video)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 251


def test_a_task_whose_goal_is_never_reached_comes_to_a_result(others):
    run = others["sparse"].result()
    assert run.result["true_return"]["episodes"] == 2
    assert finite_or_null(run.result)
    assert "are ties" not in run.out  # clips differ in what their actions cost


def test_a_task_whose_random_clips_all_earn_the_same_warns_of_ties(others):
    run = others["discrete"].result()
    assert run.exit_code == 0, run.err
    assert "of the initial labels are ties" in run.out


def test_the_database_of_a_run_is_whole(finished):
    with sqlite3.connect(finished.path / "labels.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_preferences_teach_the_dot_to_go_to_the_centre(make_run):
    # The same settings reached 0.71 to 0.86 with each of the seeds 0 to 3; random is about 0.
    run = make_run(
        "learned", f"train {DOT} --inline --seed 1 --total-timesteps 40000 --labels 200",
        "--label.initial-fraction", "0.5", "--predictor.pretrain-epochs", "100",
        "--policy.n-steps", "64", "--policy.n-epochs", "10",
        "--policy.learning-rate", "1e-3", "--policy.learning-rate-end", "1e-3",
    )  # fmt: skip
    result = run.result
    random_score = result["random_return"]["mean"] / result["best_possible"]
    assert result["normalised_score"] > random_score + 0.4
    assert result["normalised_score"] > 0.5
    assert result["reward_correlation"]["clip"]["pearson"] > 0.5
