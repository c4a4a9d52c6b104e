"""Checkpoints are filmed as they appear; what goes wrong costs a video and nothing else."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from untrained_run import untrained_run

from prefrl.run_directory import RunDirectory
from prefrl.runs import filming
from prefrl.runs.filming import film_checkpoints
from prefrl.runs.foreign import config_of


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
    monkeypatch.setattr(filming, "film", lambda replay, video: filmed.append(video.stem))
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


def test_a_video_that_fails_is_a_warning_and_the_last_try(run, monkeypatch):
    for name in ("10", "20"):
        keep(run, name)
    monkeypatch.setattr(filming, "film", lambda replay, video: 1 / 0)
    warnings = Warnings()
    film_checkpoints(config_of(run, ()), run, warnings, lambda: True, lambda: False)
    assert warnings.said == ["no video of step 10: division by zero"]
