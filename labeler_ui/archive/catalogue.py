"""The runs in a folder, each read again only when its files have changed."""

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labeler_ui.charts import sparkline
from prefrl.run_directory import LARGEST_METRICS, LARGEST_RECORD, RunDirectory
from prefrl.runs.archive import Entry, entry_of, find_runs, name_of, names_of, text

SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 96, 22, 48
# A line of figures has some forty: one of them is found faster than all of them are parsed.
RETURN = re.compile(rb'"rollout/true_return": (-?\d{1,15}(?:\.\d+)?(?:e-\d+)?)[,}]')

_NAMES = RunDirectory(Path())
RECORDS = [path.name for path in (_NAMES.config, _NAMES.provenance, _NAMES.result, _NAMES.status)]
METRICS, POLICY = _NAMES.metrics.name, "policy.jsonl"

# What makes a line of the index: size and time of each file that is read for it.
Signature = tuple[tuple[int, int] | None, ...]


class Unreadable(ValueError):
    """A run that had better not be read: why, in a few words."""


@dataclass(frozen=True)
class Row:
    """A line of the index.

    Attributes:
        key: Names the run in addresses, whatever its directory is called.
        run: The run.
        name: As it is shown; no two in the list have one in common.
        entry: What is known of it; None if it cannot be read.
        spark: Its true return as the points of a small polyline; empty while there is none.
        problem: Why it cannot be read.
    """

    key: str
    run: RunDirectory
    name: str
    entry: Entry | None = None
    spark: str = ""
    problem: str = ""


class Catalogue:
    """Finds the runs in a folder, as they are now.

    Args:
        folder: Where the runs are, in folders of it too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Signature, Row]] = {}  # by path
        self._runs: dict[str, RunDirectory] = {}  # by key

    def rows(self) -> list[Row]:
        """All runs, the newest first.

        Raises:
            RunError: The folder is gone.
        """
        with self._lock:
            self._known = {os.fspath(run.path): self._read(run) for run in find_runs(self._folder)}
            rows = [row for _, row in self._known.values()]
            self._runs = {row.key: row.run for row in rows}
        names = names_of([row.run for row in rows])
        rows = [replace(row, name=name) for row, name in zip(rows, names, strict=True)]
        return sorted(rows, key=_begun, reverse=True)

    def run(self, key: str) -> RunDirectory | None:
        """The run of a key; None if there is none."""
        if key not in self._runs:
            self.rows()
        return self._runs.get(key)

    def _read(self, run: RunDirectory) -> tuple[Signature, Row]:
        try:
            seen = _signature(os.fspath(run.path))
        except (Unreadable, OSError) as error:
            return (), Row(self._key(run), run, name_of(run), problem=text(str(error)))
        before, row = self._known.get(os.fspath(run.path), ((), None))
        changed = row is None or before != seen
        if row is None or changed or (row.entry and row.entry.status == "running"):
            spark = _spark(run) if row is None or changed else row.spark
            row = Row(self._key(run), run, name_of(run), entry_of(run), spark)
        return seen, row

    def _key(self, run: RunDirectory) -> str:
        path = os.fsencode(run.path.relative_to(self._folder))
        return hashlib.blake2b(path, digest_size=8).hexdigest()


def _begun(row: Row) -> tuple[str, str]:
    return (row.entry.started_at if row.entry else "", row.name)


def _signature(folder: str) -> Signature:
    """The state of what a line of the index is made of.

    Raises:
        Unreadable: A link leads elsewhere, a pipe may never end, a file is far too large.
    """
    states = [_state(f"{folder}/{name}", stat.S_ISREG) for name in RECORDS]
    metrics = f"{folder}/{METRICS}"
    found = _state(metrics, stat.S_ISDIR)
    figures = found and _state(f"{metrics}/{POLICY}", stat.S_ISREG)
    if any(state and state[1] > LARGEST_RECORD for state in states):
        raise Unreadable("a record of it is far too large")
    if figures and figures[1] > LARGEST_METRICS:
        raise Unreadable("its figures are far too large")
    return (*states, figures)


def _state(path: str, is_plain: Callable[[int], bool]) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not is_plain(found.st_mode):
        raise Unreadable(f"{os.path.basename(path)} is no plain file or folder")
    return found.st_mtime_ns, found.st_size


def _spark(run: RunDirectory) -> str:
    try:
        found = RETURN.findall((run.metrics / POLICY).read_bytes())
    except OSError:
        return ""
    step = -(-len(found) // SPARK_POINTS) or 1
    return sparkline([float(value) for value in found[::-step][::-1]], SPARK_WIDTH, SPARK_HEIGHT)
