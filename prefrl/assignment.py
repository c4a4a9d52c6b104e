"""What the processes of a run are told when they start."""

import socket
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


@dataclass(frozen=True)
class PageAssignment:
    """What the process of the label page has to know.

    Attributes:
        run_path: The run's directory.
        listening: The socket; the launcher holds it too, so that no visitor is turned away while
            the process is started again.
        host: As the user named it.
        settings: The page's own, by name.
    """

    run_path: Path
    listening: socket.socket
    host: str
    settings: Mapping[str, Any]
