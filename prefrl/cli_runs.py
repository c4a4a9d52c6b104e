"""The commands that look at runs: `runs`, `runs show`, `runs prune`."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from prefrl.arguments import FolderPath, RunPath, RunPaths, parse
from prefrl.config import ConfigError
from prefrl.console import ReportConsole
from prefrl.run_directory import RunDirectory, RunError, finite
from prefrl.run_status import State
from prefrl.runs.archive import Entry, entry_of, find_runs, names_of
from prefrl.runs.foreign import plain_files
from prefrl.runs.prune import prunable, remove
from prefrl.runs.record import changed_outputs, missing_derived, record_of
from prefrl.runs.tables import OF_TRAINING, parts_table, record_table, runs_table

SortKey = Literal[
    "started", "name", "question", "env", "seed", "status", "labels", "steps", "return", "time"
]
FIELDS = {"started": "started_at", "steps": "env_steps", "return": "true_return", "time": "wall_s"}


@dataclass(frozen=True)
class RunsOptions:
    """List runs: what they were to answer, how they stand, what they reached.

    `prefrl runs show RUN` tells all of one run; `prefrl runs prune RUN ...` makes room.
    """

    folder: FolderPath = Path("runs")
    """Where to look, folders in it included."""
    sort: SortKey = "started"
    """The column to sort by."""
    reverse: bool = False
    """The largest or newest first."""
    status: State | None = None
    """Only runs with this status."""
    env: str = ""
    """Only runs whose environment has this in its id, as a recipe writes it or in full."""
    seed: int | None = None
    """Only runs of this seed."""
    find: str = ""
    """Only runs with this text in name or question."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class ShowOptions:
    """All that is known of one run."""

    run: RunPath
    """A run's directory."""
    verify: bool = False
    """Compare its files with the checksums that were written when it ended."""
    json: bool = False
    """Print JSON, with every setting and package."""


@dataclass(frozen=True)
class PruneOptions:
    """Remove pictures, videos and exports of runs, which can be made again, after showing how much
    that is.

    Labels cannot be made again: they go only with `--whole --labels`.
    """

    runs: RunPaths
    """The runs' directories."""
    whole: bool = False
    """All of each run but its labels and what says where they come from."""
    labels: bool = False
    """With `--whole`: the labels too, so that nothing is left."""
    yes: bool = False
    """Do not ask."""


def runs(args: list[str]) -> int:
    """`prefrl runs`; returns the exit code."""
    if args[:1] == ["show"]:
        return _show(args[1:])
    if args[:1] == ["prune"]:
        return _prune(args[1:])
    options = parse(RunsOptions, "runs", RunsOptions(), args)
    found = list(find_runs(options.folder))
    entries = [
        replace(entry_of(run), name=name) for run, name in zip(found, names_of(found), strict=True)
    ]
    entries = _sorted([entry for entry in entries if _wanted(entry, options)], options)
    if options.json:
        print(json.dumps(finite([entry.as_json() for entry in entries]), indent=2))
    else:
        _print_list(entries)
    return 0


def _print_list(entries: list[Entry]) -> None:
    console = ReportConsole()
    if not entries:
        console.print("no such run")
        return
    # Whole where no person reads it: what is cut off is lost to whoever takes it from there.
    width = console.width if console.is_terminal else None
    console.print(runs_table(entries, width), crop=False)
    if any(entry.return_of == "training" for entry in entries):
        console.print(f"{OF_TRAINING} of training episodes: not evaluated yet", soft_wrap=True)


def _wanted(entry: Entry, options: RunsOptions) -> bool:
    found = f"{entry.name}\n{entry.question}".casefold()
    return (
        options.status in (None, entry.status)
        and _plain(options.env) in _plain(entry.env)
        and options.seed in (None, entry.seed)
        and options.find.casefold() in found
    )


def _plain(name: str) -> str:
    """Alike for a recipe's name and the id of its environment, but for what stands around it."""
    return name.casefold().replace("-", "")


def _sorted(entries: list[Entry], options: RunsOptions) -> list[Entry]:
    """By the chosen column, then by name; what has no value there comes last."""
    field = FIELDS.get(options.sort, options.sort)
    known = [entry for entry in entries if getattr(entry, field) not in (None, "")]
    unknown = [entry for entry in entries if getattr(entry, field) in (None, "")]
    known.sort(key=lambda entry: entry.name)
    known.sort(key=lambda entry: getattr(entry, field), reverse=options.reverse)
    return known + sorted(unknown, key=lambda entry: entry.name)


def _show(args: list[str]) -> int:
    options = parse(ShowOptions, "runs show", None, args)
    run = RunDirectory.open(options.run)
    record = record_of(run, plain_files(run))
    if options.verify:
        record["changed_outputs"] = changed_outputs(run)
        record["removed_but_can_be_made_again"] = missing_derived(run)
    try:
        if options.json:
            print(json.dumps(finite(record), indent=2))
        else:
            ReportConsole().print(record_table(record))
    except RecursionError as error:
        raise RunError(f"{run.path}: a record of it is nested too deeply") from error
    return 1 if record.get("changed_outputs") else 0


def _prune(args: list[str]) -> int:
    options = parse(PruneOptions, "runs prune", None, args)
    if not options.runs:
        raise ConfigError("runs prune: say which runs")
    if options.labels and not options.whole:
        raise ConfigError("--labels: labels go only with the whole run, add --whole")
    chosen = list(dict.fromkeys(RunDirectory.open(path.resolve()) for path in options.runs))
    parts = {run: prunable(run, options.whole, options.labels) for run in chosen}
    console = ReportConsole()
    console.print(parts_table([part for found in parts.values() for part in found]))
    if not any(parts.values()):
        return 0
    if not options.yes:
        if not sys.stdin.isatty():
            raise ConfigError("nothing was removed: add --yes where nobody can be asked")
        if input("Remove all this? [y/N] ").strip().casefold() not in ("y", "yes"):
            print("nothing was removed")
            return 0
    for run, found in parts.items():
        remove(run, found)
    return 0
