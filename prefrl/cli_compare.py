"""The commands that draw: `compare` and `plot`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.table import Table
from rich.text import Text
from tyro.conf import arg

from prefrl.arguments import RunPath, RunPaths, parse
from prefrl.config import ConfigError
from prefrl.console import ReportConsole
from prefrl.run_directory import finite, read_object
from prefrl.runs.archive import names_of
from prefrl.runs.comparison import Group, final_return, group_runs, interval_note
from prefrl.runs.differences import all_differences
from prefrl.runs.foreign import open_run
from prefrl.runs.tables import NOTHING, differences_table, number


@dataclass(frozen=True)
class CompareOptions:
    """What differs between runs, and their learning curves in one picture.

    Runs that differ in nothing but their seed become one curve: the interquartile mean with a 95%
    stratified bootstrap interval.
    """

    runs: RunPaths
    """Directories of two runs or more."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("comparison")
    """Where the pictures go; those of an earlier comparison are replaced."""
    json: bool = False
    """Print differences and final returns as JSON."""


def compare(args: list[str]) -> int:
    """`prefrl compare`; returns the exit code."""
    options = parse(CompareOptions, "compare", None, args)
    runs = [open_run(path) for path in options.runs]
    if len(runs) < 2:
        raise ConfigError("compare: say which runs, two or more")
    differences = all_differences(
        [read_object(run.config) for run in runs], [read_object(run.provenance) for run in runs]
    )
    groups = group_runs(runs)
    found = [final_return(group, np.random.default_rng(0)) for group in groups]
    from prefrl.runs.plots.comparison import draw_comparison

    pictures = draw_comparison(groups, options.out)
    names = names_of(runs)
    if options.json:
        print(json.dumps(finite(_as_json(names, differences, groups, found, pictures)), indent=2))
        return 0
    console = ReportConsole()
    console.print(differences_table(names, differences), "")
    console.print(_returns_table(groups, found))
    if "env.id" in differences["settings"]:
        console.print("These are different tasks, whose returns do not compare.")
    if note := interval_note(found):
        console.print(note)
    console.print()
    for picture in pictures:
        console.print(Text(str(picture)), soft_wrap=True)
    return 0


def _as_json(
    names: Sequence[str], differences: dict[str, Any], groups: Sequence[Group],
    found: Sequence[dict[str, Any]], pictures: Sequence[Path],
) -> dict[str, Any]:  # fmt: skip
    return {
        "runs": names,
        "differences": differences,
        "configurations": [
            {
                "title": group.title,
                "runs": [entry.name for entry in group.entries],
                "note": group.note,
                "true_return": final,
            }
            for group, final in zip(groups, found, strict=True)
        ],
        "pictures": [str(picture) for picture in pictures],
    }


def _returns_table(groups: Sequence[Group], found: Sequence[dict[str, Any]]) -> Table:
    """The evaluation of the last policies, over seeds."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for title in ("configuration", "finished seeds", "true return, IQM", "95% interval"):
        table.add_column(title, overflow="fold")
    for group, final in zip(groups, found, strict=True):
        ends = final["interval"]
        interval = f"{ends[0]:,.1f} to {ends[1]:,.1f}" if ends else NOTHING
        table.add_row(
            Text(group.title), str(final["seeds"]), number(final["interquartile_mean"], 1), interval
        )
    return table


@dataclass(frozen=True)
class PlotOptions:
    """Draw all pictures of a run from its figures, for light and dark pages."""

    run: RunPath
    """A run's directory; pictures go to its `plots/`."""


def plot(args: list[str]) -> int:
    """`prefrl plot`; returns the exit code."""
    run = open_run(parse(PlotOptions, "plot", None, args).run)
    from prefrl.runs.plots import draw_run

    for picture in draw_run(run):
        print(picture)
    return 0
