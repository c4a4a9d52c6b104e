"""A command that takes long to start wastes the day of whoever uses it."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

PREFRL = Path(sys.executable).with_name("prefrl")

# Imported by --env-import in every process of the run, before an environment is made.
MARK_FIRST_STEP = """
import pathlib, time
from prefrl_envs import MovingDot

original = MovingDot.step

def step(self, action):
    MovingDot.step = original
    pathlib.Path("stepped.part").write_text(str(time.time()))
    pathlib.Path("stepped.part").rename("stepped")
    return original(self, action)

MovingDot.step = step
"""


def environment(folder: Path) -> dict[str, str]:
    """The caller's, with modules of a folder and without the cost of measuring coverage."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("COV_CORE_", "COVERAGE_"))}
    return {**own, "PYTHONPATH": str(folder)}


def seconds_of_help(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        [PREFRL, "--help"], env=environment(folder), check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def test_help_appears_in_half_a_second(tmp_path):
    for _ in range(2):  # other work on the machine may spoil one series
        median = statistics.median(seconds_of_help(tmp_path) for _ in range(5))
        if median < 0.5:
            return
    raise AssertionError(f"the median of five was {median:.2f} s")


def test_help_imports_no_torch_and_no_database(run_python):
    code = (
        "import sys; from prefrl.cli import main; main(['--help']); "
        "sys.exit(str({'torch', 'sqlalchemy', 'gymnasium', 'cv2'} & set(sys.modules)))"
    )
    assert run_python(code).stderr == "set()\n"


def seconds_to_first_step(folder: Path) -> float:
    """From the command to the first step, by the clock."""
    (folder / "mark_first_step.py").write_text(MARK_FIRST_STEP)
    marker, began = folder / "stepped", time.time()
    training = subprocess.Popen(
        [PREFRL, "train", "moving-dot-position", "--env-import", "mark_first_step",
         "--run-dir", f"run-{began}"],
        cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while not marker.exists():
            assert training.poll() is None
            assert time.time() - began < 60
            time.sleep(0.02)
    finally:
        training.terminate()
        training.wait(timeout=20)
    at = float(marker.read_text())
    marker.unlink()
    return at - began


def test_the_first_environment_step_is_taken_within_five_seconds(tmp_path):
    took = []
    for _ in range(3):  # the first may find nothing of torch in the page cache
        took.append(seconds_to_first_step(tmp_path))
        if took[-1] < 5:
            return
    raise AssertionError(f"seconds to the first step: {took}")
