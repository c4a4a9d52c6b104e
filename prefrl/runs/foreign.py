"""Runs that may come from anyone: nothing in them is executed. Imports no torch.

Weights are tensors and JSON, and are read as such. What is left is checked here: modules that the
configuration names are code of whoever wrote it, and links lead to files that are none of the run.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prefrl.config import Config, ConfigError
from prefrl.config_file import load_config
from prefrl.limits import check
from prefrl.run_directory import RunDirectory, RunError


def open_run(path: Path) -> RunDirectory:
    """A run that consists of files and folders alone.

    Raises:
        RunError: There is none, or it has something else, as in `plain_files`.
    """
    run = RunDirectory.open(path)
    plain_files(run)
    return run


def plain_files(run: RunDirectory) -> dict[str, os.stat_result]:
    """Every file of a run by its name in it, with size and times, in order.

    Raises:
        RunError: The run has a link, which would lead reading and writing elsewhere, or a pipe or
            device, on which reading may wait for ever.
    """
    found = {}
    for folder, folders, files in os.walk(run.path):
        for name in (*folders, *files):
            entry = Path(folder, name)
            try:
                state = _plain(entry)
            except FileNotFoundError:  # the run is still going on
                continue
            if stat.S_ISREG(state.st_mode):
                found[entry.relative_to(run.path).as_posix()] = state
    return dict(sorted(found.items()))


def plain_file(run: RunDirectory, name: str) -> Path | None:
    """One file of a run by its name in it, without a look at all the others; None without one.

    Raises:
        RunError: It is a link, pipe or device, or lies behind a link.
    """
    path, parts = run.path, name.split("/")
    if not name.isprintable() or {"", ".", ".."} & set(parts):
        return None
    try:
        for part in parts:
            path = path / part
            mode = _plain(path).st_mode
    except OSError:
        return None
    return path if stat.S_ISREG(mode) else None


def _plain(path: Path) -> os.stat_result:
    state = path.lstat()
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        raise RunError(f"{str(path)!r} is no plain file or folder: runs have no others")
    return state


def config_of(run: RunDirectory, imports: Sequence[str]) -> Config:
    """The configuration of a run, with those modules to import that a person named, and no others.

    Args:
        run: Whose it is.
        imports: Modules that whoever asks trusts.

    Raises:
        ConfigError: It cannot be read; its settings cannot work; or it needs modules that were not
            named.
    """
    config = load_config(run.config)
    check(config)
    env = config.env
    for text in (env.id, *env.import_modules, *env.arguments):
        if not text.isprintable():
            raise ConfigError(f"{run.config}: {text!r} cannot be printed")
    module, colon, _ = env.id.partition(":")  # Gymnasium imports what stands before a colon
    needed = dict.fromkeys((*env.import_modules, *([module] if colon else [])))
    strange = [name for name in needed if name not in imports]
    if strange:
        names = " ".join(map(repr, strange))
        raise ConfigError(
            f"{run.path} names code that runs only if you name it too: --env-import {names}"
        )
    return replace(config, env=replace(env, import_modules=tuple(imports)))
