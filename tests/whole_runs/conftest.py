import os
import shutil
import subprocess
from pathlib import Path

import pytest
from run_command import SECRET, MakeRun, Prefrl, Run
from training import PREFRL


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of these tests live, with a module of environments."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(Path(__file__).with_name("own_environments.py"), folder)
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
