"""The files of a run: their names, how they are written, and where the run came from."""

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psutil


class RunError(ValueError):
    """A run that cannot be used: one line that says why."""


class RunExistsError(RunError):
    """The name of a new run is taken; nothing is ever overwritten."""


@dataclass(frozen=True)
class RunDirectory:
    """Every path of a run. One process writes each of them, the label store excepted."""

    path: Path

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """An empty folder for a new run.

        Raises:
            RunExistsError: Something has this name already.
            RunError: The folder cannot be made.
        """
        path = Path(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            taken = path if os.path.lexists(path) else error.filename
            raise RunExistsError(f"{taken} exists already: choose another name") from error
        except OSError as error:
            raise RunError(f"{path}: {error.strerror}") from error
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The run that is there.

        Raises:
            RunError: There is none.
        """
        run = cls(Path(path))
        if not run.config.is_file():
            raise RunError(f"{run.path} is no run: it has no {run.config.name}")
        return run

    @property
    def config(self) -> Path:
        """The configuration, frozen when the run began."""
        return self.path / "config.json"

    @property
    def provenance(self) -> Path:
        """What `provenance()` says when the run begins."""
        return self.path / "provenance.json"

    @property
    def labels(self) -> Path:
        """The label store, unless the run keeps it in a database elsewhere."""
        return self.path / "labels.sqlite3"

    @property
    def checkpoints(self) -> Path:
        """The folder of all checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, name: str) -> Path:
        """The folder of one checkpoint: `last`, `best` or a number."""
        return self.checkpoints / name

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's events, a folder for each process."""
        return self.path / "tb"

    @property
    def metrics(self) -> Path:
        """The same numbers as lines of JSON, a file for each process."""
        return self.path / "metrics"

    @property
    def videos(self) -> Path:
        """Can be made again."""
        return self.path / "videos"

    @property
    def plots(self) -> Path:
        """Can be made again."""
        return self.path / "plots"

    @property
    def page(self) -> Path:
        """Where the label page is served, while it is."""
        return self.path / "page.json"

    @property
    def status(self) -> Path:
        """What the run is doing, while it runs: see `run_status`."""
        return self.path / "status.json"

    @property
    def result(self) -> Path:
        """Written once, when the run ends."""
        return self.path / "result.json"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole: whoever reads it, after a crash too, finds the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is on disk only with its folder
    finally:
        os.close(folder)


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file whole; numbers that JSON lacks (nan, infinities) become null."""
    text = json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def finite(data: Any) -> Any:
    """The same JSON value with null in place of nan and infinities."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def provenance(seed: int, note: str) -> dict[str, Any]:
    """Where a run comes from. Never environment variables: they hold secrets.

    Args:
        seed: Sets every random number of the run.
        note: The question that the run shall answer.
    """
    revision, diff = _git_state(Path(__file__))
    installed = importlib.metadata.distributions()
    return {
        "note": note,
        "command": sys.argv,
        "seed": seed,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": revision,
        "git_diff": diff,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "packages": dict(sorted((package.name, package.version) for package in installed)),
    }


def _git_state(source: Path) -> tuple[str | None, str | None]:
    """Revision and uncommitted changes of the repository that tracks a file, None outside one."""
    # Installed packages may lie inside somebody's repository without being part of it.
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None, None
    revision = _git(source.parent, "rev-parse", "--verify", "HEAD")
    return revision and revision.strip(), _git(source.parent, "diff", "HEAD", "--no-ext-diff")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is absent."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.decode(errors="replace")


def _processor() -> str:
    """The processor's model as Linux names it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
