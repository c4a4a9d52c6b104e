"""Checkpoints are filmed as they appear; what goes wrong costs a video and nothing else."""

import dataclasses
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from untrained_run import untrained_run

from prefrl.launcher import Outcome, result
from prefrl.run_directory import RunDirectory
from prefrl.runs import filming, finish
from prefrl.runs.filming import film_checkpoints
from prefrl.runs.foreign import config_of
from prefrl.runs.replay import Replay
from prefrl.runs.trained import load_trained


class Warnings:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)

    def progress(self, values: object) -> None:
        raise AssertionError("nobody asked")


@pytest.fixture(autouse=True)
def nice(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What priority was asked for; ours stays as it is."""
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    monkeypatch.setattr(filming, "LOOK_EVERY_S", 0.01)
    return asked


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return untrained_run(
        tmp_path / "run", "prefrl/MovingDotPosition-v0", env_arguments=("max_frames=120",)
    )


def keep(run: RunDirectory, name: str) -> None:
    shutil.copytree(run.checkpoint("last"), run.checkpoint(name))


def names(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in run.videos.glob("*.mp4"))


def test_all_that_there_are_when_the_policy_has_learned_are_filmed(run, nice):
    for name in ("100", "20", "best"):
        keep(run, name)
    warnings = Warnings()
    film_checkpoints(config_of(run, ()), run, warnings, lambda: True, lambda: False)
    assert names(run) == ["step-100.mp4", "step-20.mp4"]
    assert (warnings.said, nice) == ([], [19])


def test_those_that_come_later_are_waited_for_and_filmed_once(run, monkeypatch):
    filmed, learned = [], threading.Event()
    monkeypatch.setattr(filming, "film", lambda replay, video, stopped: filmed.append(video.stem))
    thread = threading.Thread(
        target=film_checkpoints,
        args=(config_of(run, ()), run, Warnings(), learned.is_set, lambda: False),
    )
    thread.start()
    for name in ("10", "20"):
        keep(run, name)
        assert thread.is_alive()
    learned.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert filmed == ["step-10", "step-20"]


def test_a_half_written_checkpoint_is_left_for_later(run):
    keep(run, "10")
    (run.checkpoint("10") / "policy.json").unlink()
    film_checkpoints(config_of(run, ()), run, Warnings(), lambda: True, lambda: False)
    assert names(run) == []


def test_it_gives_up_when_the_run_is_stopped(run):
    keep(run, "10")
    film_checkpoints(config_of(run, ()), run, Warnings(), lambda: False, lambda: True)
    assert names(run) == []


def test_a_video_under_way_is_dropped_when_the_run_is_stopped(run, monkeypatch):
    keep(run, "10")
    under_way: list[list[str]] = []

    def stopped_at_frame_7() -> bool:
        if run.videos.is_dir():
            under_way.append([path.name for path in run.videos.iterdir()])
        return len(under_way) >= 7

    warnings = Warnings()
    film_checkpoints(config_of(run, ()), run, warnings, lambda: False, stopped_at_frame_7)
    assert "partial" in under_way[6][0]
    assert list(run.videos.iterdir()) == []
    assert warnings.said == []


def test_no_reward_is_read_or_predicted_for_a_video_that_shows_none(run):
    keep(run, "10")
    (run.checkpoint("last") / "reward.safetensors").write_bytes(b"torn")
    warnings = Warnings()
    film_checkpoints(config_of(run, ()), run, warnings, lambda: True, lambda: False)
    assert (names(run), warnings.said) == (["step-10.mp4"], [])


def test_the_video_at_the_end_shows_no_reward_and_predicts_none(run, monkeypatch):
    trained = load_trained(run)
    config = dataclasses.replace(trained.config, evaluation_episodes=1)
    played: list[Replay] = []
    monkeypatch.setattr(finish, "film", lambda replay, video, stopped: played.append(replay))
    run.metrics.mkdir()
    loop: Any = SimpleNamespace(
        config=config, model=trained.model, recorder=SimpleNamespace(env_steps=7),
        reward=SimpleNamespace(predictor=trained.predictor, snapshot=object()),
        stopped=lambda: False,
    )  # fmt: skip
    reporter = Warnings()
    monkeypatch.setattr(reporter, "progress", lambda values: None)
    assert finish.finish(loop, run, reporter)["predicted_return"] is not None
    assert (played[0].env_steps, played[0].episodes[0].predicted) == (7, None)


def test_a_run_that_is_stopped_at_its_end_keeps_what_it_knows(run, monkeypatch):
    trained = load_trained(run)
    config = dataclasses.replace(trained.config, evaluation_episodes=1)
    doing: list[str] = []
    loop: Any = SimpleNamespace(
        config=config, model=trained.model, recorder=SimpleNamespace(env_steps=7),
        reward=SimpleNamespace(predictor=None, snapshot=None),
        stopped=lambda: doing[-1] == stops_at,
    )  # fmt: skip
    reporter = Warnings()
    monkeypatch.setattr(reporter, "progress", lambda values: doing.append(values["policy"]))
    run.metrics.mkdir()
    stops_at = "evaluating"
    assert finish.finish(loop, run, reporter) == {}
    stops_at = "recording a video"
    kept = finish.finish(loop, run, reporter)
    assert kept["true_return"]["episodes"] == 1
    assert result(config, Outcome("stopped", 130, kept))["true_return"] == kept["true_return"]
    assert not list(run.videos.glob("*"))
    assert reporter.said == []


def test_a_video_that_fails_is_a_warning_and_the_last_try(run, monkeypatch):
    for name in ("10", "20"):
        keep(run, name)
    monkeypatch.setattr(filming, "film", lambda replay, video, stopped: 1 / 0)
    warnings = Warnings()
    film_checkpoints(config_of(run, ()), run, warnings, lambda: True, lambda: False)
    assert warnings.said == ["no video of step 10: division by zero"]
