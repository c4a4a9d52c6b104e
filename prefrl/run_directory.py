"""The files of a run: their names, and how they are written."""

import errno
import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

LARGEST_RECORD = 32 * 2**20  # bytes of JSON; a diff that was not committed may be some of it
LARGEST_METRICS = 256 * 2**20  # bytes; a run of 50 million steps leaves some 20 million


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
        """Where the run comes from, written when it begins: see `provenance`."""
        return self.path / "provenance.json"

    @property
    def source(self) -> Path:
        """The code that no git revision holds; absent where there is none."""
        return self.path / "source.zip"

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
    def exports(self) -> Path:
        """Policies for other programs. Can be made again."""
        return self.path / "exports"

    @property
    def derived(self) -> list[Path]:
        """All that can be made again."""
        return [self.videos, self.plots, self.exports]

    @property
    def log(self) -> Path:
        """What was said while the run went on: see `run_log`."""
        return self.path / "log.txt"

    @property
    def status(self) -> Path:
        """What the run is doing, while it runs: see `run_status`."""
        return self.path / "status.json"

    @property
    def result(self) -> Path:
        """Written once, when the run ends."""
        return self.path / "result.json"

    @property
    def end(self) -> Path:
        """Written last: when and how the run ended, and checksums of what it left."""
        return self.path / "end.json"


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
    # What has no place in UTF-8, half of a surrogate pair, so becomes JSON's escape for it.
    write_bytes(path, f"{text}\n".encode(errors="backslashreplace"))


def read_plain(path: Path, most_bytes: int = LARGEST_RECORD) -> bytes:
    """The content of a file that may come from anyone.

    Raises:
        OSError: There is none; or it is a link, which leads elsewhere, a pipe, which may never end,
            or far too large.
    """
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "is no plain file")
    if state.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes:,} bytes")
    return path.read_bytes()


def read_object(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty where there is none that can be read."""
    try:
        data = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def finite(data: Any) -> Any:
    """The same JSON value with null in place of nan and infinities."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
