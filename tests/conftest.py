import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright
from reward_side import CONFIG, MakeSide, Side, build_side
from scripted_person import CHROMIUM_OPTIONS
from training import Train, Training

from prefrl.cli import main
from prefrl.config import Config
from prefrl.types import Clip

MakeClip = Callable[..., Clip]

# Files that take a minute or more. They are begun first: the last to begin would keep one core.
LONG = (
    "test_label_page",
    "test_pixels_learned",
    "test_pong_clips",
    "test_kinds_of_run",
    "test_browser_flow",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the rest as it was."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def make_clip() -> MakeClip:
    """A small clip with content of its own for each seed; rewards and shape can be given."""

    def make(
        seed: int = 0,
        *,
        rewards: list[float] | None = None,
        length: int = 5,
        image: bool = False,
        box: bool = False,
        env_step: int = 0,
    ) -> Clip:
        rng = np.random.default_rng(seed)
        length = length if rewards is None else len(rewards)
        n = length + (4 if image else 1)
        drawn = rng.normal(size=length) if rewards is None else rewards
        return Clip(
            observations=rng.integers(0, 256, (n, 8, 8), np.uint8)
            if image
            else rng.normal(size=(n, 3)).astype(np.float32),
            starts=rng.random(n) < 0.1,
            actions=rng.normal(size=(length, 2)).astype(np.float32)
            if box
            else rng.integers(0, 4, length),
            true_rewards=np.array(drawn, np.float32),
            env_step=env_step,
        )

    return make


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with room for modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused with one line, and changes nothing on disk."""

    def run(*arguments: str) -> str:
        before = sorted(folder.rglob("*"))
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("prefrl: ")
        assert err.count("\n") == 1, err
        assert err.endswith("\n")
        pycache = {path for path in folder.rglob("*") if "__pycache__" in path.parts}
        assert sorted(set(folder.rglob("*")) - pycache) == before
        return err

    return run


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in an interpreter of its own, with the same import path."""

    def run(
        code: str, *arguments: str | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(entry for entry in [os.getcwd(), *sys.path] if entry)
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """Starts a training; whatever is left of it is killed after the test."""
    started: list[Training] = []

    def start(*arguments: str) -> Training:
        started.append(Training(tmp_path, *arguments))
        return started[-1]

    yield start
    for training in started:
        for process in training.members():
            process.kill()
        training.process.wait(timeout=10)


@pytest.fixture
def make_side(tmp_path: Path) -> Iterator[MakeSide]:
    """Builds reward sides; those of the same name share a run's directory and label store."""
    sides: list[Side] = []

    def make(config: Config = CONFIG, name: str = "run", labeler: Any = None) -> Side:
        sides.append(build_side(tmp_path / name, config, labeler))
        return sides[-1]

    yield make
    for side in sides:
        side.loop.metrics.close()
        side.loop.store.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=CHROMIUM_OPTIONS,
        )
        yield launched
        launched.close()
