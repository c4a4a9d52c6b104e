"""Output that nobody reads, or that has no room left, ends no run."""

import os
import subprocess
import sys

import pytest
from archived_run import archived
from training import PREFRL

GOES_ON = """
import sys
from prefrl.console import RunConsole
console = RunConsole()
for _ in range(3):
    console.print("a line")
print("went on", file=sys.stderr)
"""


@pytest.fixture
def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def run(command, stdout):
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def test_a_run_goes_on_when_its_reader_has_gone(closed_pipe):
    done = run([sys.executable, "-c", GOES_ON], closed_pipe)
    assert (done.returncode, done.stderr) == (0, "went on\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_run_goes_on_when_its_disk_is_full():
    with open("/dev/full", "w") as full:
        done = run([sys.executable, "-c", GOES_ON], full)
    assert (done.returncode, done.stderr) == (0, "went on\n")


def test_a_list_ends_quietly_when_its_reader_has_gone(tmp_path, closed_pipe):
    archived(tmp_path / "run")
    done = run([PREFRL, "runs", str(tmp_path)], closed_pipe)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_command_needs_no_output_at_all(tmp_path):
    archived(tmp_path / "run")
    done = run(["sh", "-c", f'"{PREFRL}" runs "{tmp_path}" >&-'], subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
