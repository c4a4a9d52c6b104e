"""What a process of a run is told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefrl.config import Config
from prefrl.types import TaskSpaces


@dataclass(frozen=True)
class Assignment:
    """All that a process has to know.

    Attributes:
        config: Of the run, with `auto` resolved where the processor decides.
        run_path: The run's directory.
        spaces: The shapes of the task.
        task: The task's fingerprint.
        random_clips: Clips wanted from a random policy.
        reward_from: Folder with an ensemble to start from.
    """

    config: Config
    run_path: Path
    spaces: TaskSpaces
    task: Mapping[str, Any]
    random_clips: int
    reward_from: Path | None
