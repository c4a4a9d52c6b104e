"""All that is known of one run, from its small files."""

import os
from collections.abc import Mapping
from typing import Any

from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.provenance import checksum, output_files
from prefrl.run_directory import RunDirectory, read_object
from prefrl.runs.archive import entry_of
from prefrl.runs.differences import code_of, differing, flat, machine_of, packages_of


def record_of(run: RunDirectory, files: Mapping[str, os.stat_result]) -> dict[str, Any]:
    """Facts by name, the shortest first, for people and as JSON.

    Args:
        run: Which one.
        files: Its `plain_files`.
    """
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
        "files": _sizes(files),
        "config": config,
        "packages": packages_of(origin),
    }


def changed_outputs(run: RunDirectory) -> dict[str, str]:
    """Files that are not what they were when the run ended: `changed`, `removed` or `new`.

    What can be made again is left out.
    """
    sums, files, changes = _recorded_sums(run), output_files(run), {}
    for name in sorted({*sums, *files}):
        if _is_derived(run, name):
            continue
        if name not in files:
            changes[name] = "removed"
        elif name not in sums:
            changes[name] = "new"
        elif checksum(files[name]) != sums[name]:
            changes[name] = "changed"
    return changes


def missing_derived(run: RunDirectory) -> list[str]:
    """What the run left that could be made again, and is gone: `prefrl runs prune` removes it."""
    files = output_files(run)
    return [name for name in _recorded_sums(run) if _is_derived(run, name) and name not in files]


def _recorded_sums(run: RunDirectory) -> dict[str, Any]:
    """Checksums of what the run left.

    The names are foreign: they are compared with what is there, never opened.
    """
    recorded = read_object(run.end).get("outputs")
    return {
        name: facts.get("sha256")
        for name, facts in (recorded.items() if isinstance(recorded, dict) else ())
        if isinstance(facts, dict)
    }


def _is_derived(run: RunDirectory, name: str) -> bool:
    return name.partition("/")[0] in {path.name for path in run.derived}


def _sizes(files: Mapping[str, os.stat_result]) -> dict[str, str]:
    """How many files and bytes each part has."""
    parts: dict[str, list[int]] = {}
    for name, state in files.items():
        parts.setdefault(name.partition("/")[0], []).append(state.st_size)
    return {
        name: f"{sum(sizes):,} bytes" + (f" in {len(sizes)} files" if len(sizes) > 1 else "")
        for name, sizes in parts.items()
    }
