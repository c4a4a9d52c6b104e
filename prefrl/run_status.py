"""How far a run is, and what it is doing just now: a small file that the launcher keeps up to date.

Whoever shows runs (the label page, the list of runs) reads it; nothing that learns depends on it.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil

from prefrl.run_directory import RunDirectory, read_object, write_json

State = Literal["running", "finished", "stopped", "failed", "lost"]

WRITE_EVERY_S = 1.0
CLOCK_S = 2.0  # by which the start of a process may seem to move when the clock is set


@dataclass(frozen=True)
class RunStatus:
    """A run as it is now.

    Attributes:
        state: `lost` is one whose process died without a word.
        doing: In the words of the loops, such as `learning`; empty unless running.
        figures: The newest figure of each kind by name, as in `metrics/`: `env_steps`, `labels`...
        page: The port of the run's label page, while one is served.
    """

    state: State
    doing: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    page: int | None = None


class StatusFile:
    """Writes a run's status while it runs. The one writer is the process that started the run.

    Args:
        run: The run.
        page: The port of its label page.
    """

    def __init__(self, run: RunDirectory, page: int | None = None) -> None:
        self._path, self._page = run.status, page
        self._figures: dict[str, Any] = {}
        self._doing = ""
        self._written_at = float("-inf")
        self._write()

    def update(self, figures: Mapping[str, Any]) -> None:
        """Take in new figures; written at once where the run does something else now."""
        self._figures |= figures
        doing = str(self._figures.get("doing", ""))
        if doing != self._doing or time.monotonic() - self._written_at >= WRITE_EVERY_S:
            self._doing = doing
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        process = psutil.Process()
        figures = {key: value for key, value in self._figures.items() if key != "doing"}
        write_json(
            self._path,
            {
                "process": os.getpid(),
                "process_started_at": process.create_time(),  # numbers of processes come again
                "doing": self._doing,
                "figures": figures,
                "page": self._page,
            },
        )


def status_of(run: RunDirectory) -> RunStatus:
    """How a run is now: from `result.json` if it has ended, else from its status file."""
    ended = read_object(run.result)
    if ended:
        return RunStatus(ended.get("status", "failed"), figures=ended)
    record = read_object(run.status)
    figures = record.get("figures", {})
    if not _lives(record):
        return RunStatus("lost", figures=figures)
    return RunStatus("running", record.get("doing", ""), figures, record.get("page"))


def _lives(record: Mapping[str, Any]) -> bool:
    try:
        process = psutil.Process(record["process"])
        return bool(abs(process.create_time() - record["process_started_at"]) < CLOCK_S)
    except (KeyError, TypeError, ValueError, psutil.Error):
        return False
