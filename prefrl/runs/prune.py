"""Makes room: removes what can be made again, or whole runs. Labels only if they are named."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prefrl.run_directory import RunDirectory, RunError
from prefrl.runs.archive import entry_of


@dataclass(frozen=True)
class Part:
    """Something in a run directory that is to be removed.

    Attributes:
        path: A file, a folder or a link; what a link leads to is left alone.
        files: How many it holds.
        size_bytes: Of all of them.
    """

    path: Path
    files: int
    size_bytes: int


def prunable(run: RunDirectory, whole: bool, labels: bool) -> list[Part]:
    """What there is to remove. Files that prefrl did not make are never among it.

    Args:
        run: Must have ended.
        whole: All but the labels and the records that say where they come from; else what can be
            made again.
        labels: Together with `whole`: the labels and records too.

    Raises:
        RunError: It still runs, or is no run of prefrl.
    """
    entry = entry_of(run)
    if not entry.env:
        raise RunError(f"{run.path}: its config.json is not one of prefrl")
    if entry.status == "running":
        raise RunError(f"{run.path} is running: stop it first")
    wanted = run.derived
    if whole:
        wanted += [run.checkpoints, run.tensorboard, run.metrics]
        wanted += [run.source, run.log, run.status, run.page]
    if whole and (labels or not os.path.lexists(run.labels)):
        wanted += sorted(run.path.glob(f"{run.labels.name}*"))  # a journal may lie beside it
        wanted += [run.result, run.end, run.provenance, run.config]  # what makes it a run goes last
    return [_part(path) for path in wanted if os.path.lexists(path)]


def remove(run: RunDirectory, parts: list[Part]) -> None:
    """Remove these parts, and the directory if nothing is left in it."""
    for part in parts:
        if part.path.is_dir() and not part.path.is_symlink():
            shutil.rmtree(part.path)
        else:
            part.path.unlink()
    if not any(run.path.iterdir()):
        run.path.resolve().rmdir()


def _part(path: Path) -> Part:
    sizes = [file.lstat().st_size for file in _files(path)]
    return Part(path, len(sizes), sum(sizes))


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        yield path
    else:
        yield from (file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
