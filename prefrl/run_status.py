"""How far a run is, and what it is doing just now: a small file that the launcher keeps up to date.

Whoever shows runs (the label page, the list of runs) reads it; nothing that learns depends on it.
"""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil

from prefrl.run_directory import RunDirectory, read_object, write_json

# What the policy says that it does while it has no reward to learn from, and the reward side while
# it has no ear for answers.
WAITING = "waiting for labels"
FITTING = "fitting the reward"

State = Literal["running", "finished", "stopped", "failed", "lost"]

WRITE_EVERY_S = 1.0
BEAT_EVERY_S = 30.0  # at least, so that other machines see that the run goes on
SILENT_S = 300.0  # after which a run of another machine counts as lost
CLOCK_S = 2.0  # by which the start of a process may seem to move when the clock is set


@dataclass(frozen=True)
class RunStatus:
    """A run as it is now.

    Attributes:
        state: `lost` is one whose process died without a word; where that is on another machine,
            one that has been silent for some minutes.
        doing: In the words of the loops, such as `learning`; empty unless running.
        figures: The newest figure of each kind by name: `env_steps`, `labels`...
    """

    state: State
    doing: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class StatusFile:
    """Writes a run's status while it runs. The one writer is the process that started the run."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.status
        self._figures: dict[str, Any] = {}
        self._written_at = float("-inf")
        self._write()

    def update(self, figures: Mapping[str, Any]) -> None:
        """Take in new figures; written at once where the run does something else now."""
        before = doing(self._figures)
        self._figures |= figures
        if doing(self._figures) != before or time.monotonic() - self._written_at >= WRITE_EVERY_S:
            self._write()

    def beat(self) -> None:
        """Say from time to time that the run goes on, though there is nothing new."""
        if time.monotonic() - self._written_at >= BEAT_EVERY_S:
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        record = {"doing": doing(self._figures), "figures": self._figures}
        write_json(self._path, {**this_process(), "written_at": time.time(), **record})


def doing(figures: Mapping[str, Any]) -> str:
    """What the run does, from what its processes say."""
    policy = str(figures.get("policy", "starting"))
    return FITTING if policy == WAITING and figures.get("reward") == FITTING else policy


def status_of(run: RunDirectory) -> RunStatus:
    """How a run is now: from `result.json` if it has ended, else from its status file."""
    ended = read_object(run.result)
    if ended:
        return RunStatus(ended.get("status", "failed"), figures=ended)
    record = read_object(run.status)
    figures = record.get("figures", {})
    if not _goes_on(record):
        return RunStatus("lost", figures=figures)
    return RunStatus("running", record.get("doing", ""), figures)


def this_process() -> dict[str, Any]:
    """Names this process for `is_alive`, also when its number has come round again."""
    started_at = psutil.Process().create_time()
    return {"machine": _machine(), "process": os.getpid(), "process_started_at": started_at}


def _machine() -> str:
    """Where a process number means what it means here: this machine, in a container only this."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux, which alone tells
        numbers = ""
    return f"{platform.node()} {numbers}".strip()


def _goes_on(record: Mapping[str, Any]) -> bool:
    """Whether a run does; of one on another machine we only know when we heard from it."""
    if record.get("machine") == _machine():
        return is_alive(record)
    try:
        return abs(time.time() - float(record["written_at"])) < SILENT_S
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def is_alive(record: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a record is there."""
    try:
        process = psutil.Process(record["process"])
        moved_s = process.create_time() - float(record["process_started_at"])
        return bool(abs(moved_s) < CLOCK_S)
    except (KeyError, TypeError, ValueError, OverflowError, psutil.Error):
        return False
