"""`prefrl reproduce`: start a run again from its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.text import Text
from tyro.conf import arg

from prefrl.arguments import RunPath, find_modules_here, parse
from prefrl.config import Config, ConfigError
from prefrl.console import ReportConsole
from prefrl.provenance import provenance
from prefrl.run_directory import RunDirectory, RunError, read_object
from prefrl.runs.archive import name_of, text
from prefrl.runs.differences import all_differences
from prefrl.runs.foreign import config_of, open_run
from prefrl.runs.sameness import verdict
from prefrl.runs.tables import differences_table


@dataclass(frozen=True)
class ReproduceOptions:
    """Start a run again with its settings and seed; says first what differs here.

    An inline run gives the same numbers, and is compared with the old one at its end.
    """

    run: RunPath
    """The directory of the run to start again."""
    run_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """The new run's own directory, not there yet. Default: runs/NAME-again."""
    note: str | None = None
    """The question that the new run answers. Default: the old one's."""
    env_import: Annotated[tuple[str, ...], arg(metavar="MODULE ...")] = ()
    """Modules that the run may import; those it names run only if you name them too."""
    labels_from: Annotated[Path | None, arg(metavar="RUN")] = None
    """The run with whose labels the old one started, if it did."""
    reward_from: Annotated[Path | None, arg(metavar="RUN")] = None
    """The run with whose reward ensemble the old one started, if it did."""
    check: bool = False
    """Say what differs here, and start nothing."""


def reproduce(args: list[str]) -> int:
    """`prefrl reproduce`; returns the exit code."""
    options = parse(ReproduceOptions, "reproduce", None, args)
    find_modules_here(options.env_import)
    old = open_run(options.run)
    config, origin = config_of(old, options.env_import), read_object(old.provenance)
    _refuse_other_sources(origin, options)
    console = ReportConsole()
    _show_differences(config, origin, console)
    if options.check:
        return 0
    new = RunDirectory(options.run_dir or Path("runs") / f"{name_of(old)}-again")
    note = text(origin.get("note")) if options.note is None else options.note
    exit_code = _start(config, origin, new, note, options)
    if exit_code == 0 and config.inline:
        console.print(Text(verdict(old, new)), soft_wrap=True)
    return exit_code


def _refuse_other_sources(origin: Mapping[str, Any], options: ReproduceOptions) -> None:
    """Other runs that this one began with are named again: paths in a record are foreign."""
    for key, option in (("labels_from", options.labels_from), ("reward_from", options.reward_from)):
        there, flag = origin.get(key), f"--{key.replace('_', '-')}"
        if there is not None and option is None:
            raise ConfigError(f"the run began with {flag} {text(there)}: say where that is now")
        if there is None and option is not None:
            raise ConfigError(f"the run began without {flag}: leave it out")


def _show_differences(config: Config, origin: Mapping[str, Any], console: Console) -> None:
    here = provenance(config.seed, "", config.env.import_modules)
    differences = all_differences([{}, {}], [origin, here])
    del differences["settings"]  # are the old run's
    console.print(differences_table(["there", "here"], differences), "")


def _start(
    config: Config, origin: Mapping[str, Any], new: RunDirectory, note: str,
    options: ReproduceOptions,
) -> int:  # fmt: skip
    from labeler_ui.server import Address
    from prefrl import start

    request = start.RunRequest(None, new.path, note)
    command = origin.get("prefrl_command")
    if command == "train":
        return start.train(config, request, options.labels_from, options.reward_from, Address())
    if command == "gather":
        return start.gather(config, request)
    if command == "pretrain" and options.labels_from is not None:
        return start.pretrain(config, request, open_run(options.labels_from))
    raise RunError(f"{options.run}: its provenance.json does not say by which command it began")
