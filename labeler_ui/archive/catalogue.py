"""The runs in a folder, each read again only when its files have changed."""

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labeler_ui.charts import sparkline
from prefrl.run_directory import RunDirectory
from prefrl.runs.archive import Entry, entry_of, find_runs, name_of, text

SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 96, 22, 48
LARGEST_RECORD = 32 * 2**20  # bytes of JSON; a diff that was not committed may be some of it
# A line of figures has some forty: one of them is found faster than all of them are parsed.
RETURN = re.compile(rb'"rollout/true_return": (-?\d{1,15}(?:\.\d+)?(?:e-\d+)?)[,}]')

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
        name: As it is shown.
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
        self._known: dict[str, tuple[Signature, Row]] = {}

    def rows(self) -> list[Row]:
        """All runs, the newest first.

        Raises:
            RunError: The folder is gone.
        """
        with self._lock:
            self._known = {row.key: (seen, row) for seen, row in self._read()}
            rows = [row for _, row in self._known.values()]
        return sorted(rows, key=_begun, reverse=True)

    def run(self, key: str) -> RunDirectory | None:
        """The run of a key; None if there is none."""
        if key not in self._known:
            self.rows()
        found = self._known.get(key)
        return found and found[1].run

    def _read(self) -> Iterator[tuple[Signature, Row]]:
        for run in find_runs(self._folder):
            key = hashlib.blake2b(
                os.fsencode(run.path.relative_to(self._folder)), digest_size=8
            ).hexdigest()
            try:
                seen = _signature(run)
            except (Unreadable, OSError) as error:
                yield (), Row(key, run, name_of(run), problem=text(str(error)))
                continue
            before, row = self._known.get(key, (None, None))
            if row is None or row.entry is None or before != seen or row.entry.status == "running":
                spark = row.spark if row and before == seen else _spark(run)
                row = Row(key, run, name_of(run), entry_of(run), spark)
            yield seen, row


def _begun(row: Row) -> tuple[str, str]:
    return (row.entry.started_at if row.entry else "", row.name)


def _signature(run: RunDirectory) -> Signature:
    """The state of what a line of the index is made of.

    Raises:
        Unreadable: A link leads elsewhere, a pipe may never end, a file is far too large.
    """
    records = [run.config, run.provenance, run.result, run.status]
    states = [_state(path, stat.S_ISREG) for path in records]
    if any(state and state[1] > LARGEST_RECORD for state in states):
        raise Unreadable("a record of it is far too large")
    folder = _state(run.metrics, stat.S_ISDIR)
    return (*states, folder and _state(_figures(run), stat.S_ISREG))


def _state(path: Path, kind: Callable[[int], bool]) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not kind(found.st_mode):
        raise Unreadable(f"{path.name} is no plain file or folder")
    return found.st_mtime_ns, found.st_size


def _figures(run: RunDirectory) -> Path:
    return run.metrics / "policy.jsonl"


def _spark(run: RunDirectory) -> str:
    try:
        found = RETURN.findall(_figures(run).read_bytes())
    except OSError:
        return ""
    step = -(-len(found) // SPARK_POINTS) or 1
    return sparkline([float(value) for value in found[::-step][::-1]], SPARK_WIDTH, SPARK_HEIGHT)
