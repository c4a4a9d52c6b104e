"""All that is known of one run, from its small files."""

import os
from typing import Any

from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.provenance import checksum, output_files
from prefrl.run_directory import RunDirectory, read_object
from prefrl.runs.archive import entry_of
from prefrl.runs.differences import code_of, differing, flat, machine_of, packages_of


def record_of(run: RunDirectory) -> dict[str, Any]:
    """Facts by name, the shortest first, for people and as JSON."""
    config, origin = read_object(run.config), read_object(run.provenance)
    result, end, entry = read_object(run.result), read_object(run.end), entry_of(run)
    defaults = flat(to_dict(Config()))
    return {
        "run": str(run.path),
        "question": entry.question,
        "status": entry.status,
        "doing": entry.doing,
        "error": result.get("error"),
        "command": origin.get("command"),
        "directory": origin.get("directory"),
        "started_at": entry.started_at,
        "ended_at": end.get("ended_at"),
        "exit_code": end.get("exit_code"),
        "seed": entry.seed,
        "settings_that_are_not_the_default": {
            key: here for key, (here, _) in differing([flat(config), defaults]).items()
        },
        "result": {k: v for k, v in result.items() if k not in ("status", "error", "env", "seed")},
        "code": code_of(origin),
        "machine": machine_of(origin),
        "files": _sizes(run),
        "config": config,
        "packages": packages_of(origin),
    }


def changed_outputs(run: RunDirectory) -> dict[str, str]:
    """Files that are not what they were when the run ended: `changed`, `removed` or `new`.

    Pictures and videos are left out: they can be made again.
    """
    recorded = read_object(run.end).get("outputs")
    sums = {
        name: facts.get("sha256")
        for name, facts in (recorded.items() if isinstance(recorded, dict) else ())
        if isinstance(facts, dict)
    }
    # The names in the record are foreign: they are compared with what is there, never opened.
    files = output_files(run)
    changes = {name: "removed" for name in sums if name not in files and not _is_derived(name)}
    for name, path in files.items():
        if _is_derived(name):
            continue
        if name not in sums:
            changes[name] = "new"
        elif checksum(path) != sums[name]:
            changes[name] = "changed"
    return changes


def file_states(run: RunDirectory) -> dict[str, os.stat_result]:
    """Every file of a run by name, with size and times; what goes meanwhile is left out."""
    states = {}
    for name, path in output_files(run).items():
        try:
            states[name] = path.stat()
        except FileNotFoundError:  # the run goes on, and writes files whole by renaming others
            continue
    return states


def _is_derived(name: str) -> bool:
    return name.partition("/")[0] in ("plots", "videos")


def _sizes(run: RunDirectory) -> dict[str, str]:
    """How many files and bytes each part has."""
    parts: dict[str, list[int]] = {}
    for name, state in file_states(run).items():
        parts.setdefault(name.partition("/")[0], []).append(state.st_size)
    return {
        name: f"{sum(sizes):,} bytes" + (f" in {len(sizes)} files" if len(sizes) > 1 else "")
        for name, sizes in parts.items()
    }
