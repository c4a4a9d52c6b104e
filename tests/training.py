"""`prefrl` as a program that runs in the background, for tests that watch it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PREFRL = Path(sys.executable).with_name("prefrl")
# A million steps take minutes: each of these runs is ended before its end.
LONG = [
    "moving-dot-position", "--total-timesteps", "1000000", "--labels", "60",
    "--predictor.pretrain-epochs", "10", "--policy.n-steps", "32",
]  # fmt: skip


class Training:
    """`prefrl train`, going on in a session of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.path = folder / "run"
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = psutil.Popen(
                [PREFRL, "train", *arguments, "--run-dir", self.path],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, env={**os.environ, "PYTHONPATH": str(folder)},
            )  # fmt: skip
        self.session = self.process.pid

    def members(self) -> list[psutil.Process]:
        """Every process of its session that still lives, also one whose parent is gone."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.session:
                    found.append(process)
            except (ProcessLookupError, PermissionError):
                continue
        return [process for process in found if is_alive(process)]

    def child(self, name: str) -> psutil.Process:
        """The process of the policy or of the reward: the one that writes its metrics."""
        path = self.path / "metrics" / f"{name}.jsonl"
        for process in self.process.children(recursive=True):
            try:
                if str(path) in {file.path for file in process.open_files()}:
                    return process
            except psutil.Error:
                continue
        raise AssertionError(f"no process writes {path}")

    def wait_until_it_learns(self) -> None:
        """Until the policy has learned from a fitted reward for a while."""
        figures = self.path / "metrics" / "policy.jsonl"
        wait_for(lambda: figures.exists() and figures.stat().st_size > 2000, 60, self)
        wait_for((self.path / "checkpoints" / "last" / "reward.json").exists, 60, self)

    def end(self, within_s: float) -> int:
        """Its exit code."""
        return int(self.process.wait(timeout=within_s))

    @property
    def result(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return read

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], within_s: float, training: Training) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, training.out + training.err
        assert training.process.poll() is None or condition(), training.out + training.err
        time.sleep(0.02)


Train = Callable[..., Training]


def check_nothing_left(training: Training, within_s: float = 2.0) -> None:
    """No process is left. The resource tracker of multiprocessing ends last, on its own."""
    deadline = time.monotonic() + within_s
    while left := training.members():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
