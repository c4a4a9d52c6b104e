"""Runs as tables for a terminal."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from prefrl.runs.archive import Entry, text
from prefrl.runs.differences import flat
from prefrl.runs.prune import Part

COLOURS = {
    "running": "cyan",
    "finished": "green",
    "stopped": "yellow",
    "failed": "red",
    "lost": "red",
}
NUMBERS = ("seed", "labels", "steps", "return", "time")
# What is cut off where there is no room, in this order, and how much of it is left; numbers never.
CUTS = (("question", 12), ("environment", 12), ("question", 0), ("environment", 0), ("name", 8))
NOTHING = "–"
OF_TRAINING = "*"


def runs_table(entries: Sequence[Entry], width: int | None) -> Table:
    """A line for each run.

    Args:
        entries: The runs.
        width: Characters of a line; None for as many as it takes.
    """
    columns: dict[str, list[str]] = {
        "name": [entry.name for entry in entries],
        "question": [entry.question for entry in entries],
        "environment": [entry.shown_env for entry in entries],
        "seed": [number(entry.seed) for entry in entries],
        "status": [entry.status for entry in entries],
        "labels": [number(entry.labels) for entry in entries],
        "steps": [number(entry.env_steps) for entry in entries],
        "return": [
            OF_TRAINING * (entry.return_of == "training") + number(entry.true_return, 1)
            for entry in entries
        ],
        "time": [duration(entry.wall_s) for entry in entries],
    }
    widths = _widths(columns, width)
    # Of a width of its own: rich would squeeze every column, the numbers too.
    table = Table(
        box=None, header_style="bold", padding=(0, 1), width=sum(widths.values()) + 2 * len(widths)
    )
    for title in widths:
        table.add_column(
            title, width=widths[title], no_wrap=True, overflow="ellipsis",
            justify="right" if title in NUMBERS else "left",
        )  # fmt: skip
    cells = {title: Text("\n".join(columns[title])) for title in widths}
    styled = [Text(entry.status, COLOURS[entry.status]) for entry in entries]
    cells["status"] = Text("\n").join(styled)
    # One row with many lines: rich takes three times as long for as many rows.
    table.add_row(*cells.values())
    return table


def _widths(columns: Mapping[str, Sequence[str]], width: int | None) -> dict[str, int]:
    """Characters of each column that is shown, after `CUTS`."""
    widths = {title: max(map(cell_len, [title, *cells])) for title, cells in columns.items()}
    for title, least in CUTS:
        too_many = 0 if width is None else sum(widths.values()) + 2 * len(widths) - width
        if too_many <= 0:
            break
        widths[title] = min(widths[title], max(least, widths[title] - too_many))
        if not widths[title]:
            del widths[title]
    return widths


def record_table(record: Mapping[str, Any]) -> Table:
    """What `record_of` found: a line for each fact, those of one kind indented below its name."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record.items():
        if name in ("config", "packages"):  # hundreds of lines: in JSON
            continue
        title = name.replace("_", " ")
        if isinstance(value, Mapping):
            table.add_row(Text(title), "" if value else "none")
            for key, inner in flat(value).items():
                table.add_row(Text(f"  {text(key)}"), Text(fact(inner)))
        elif name == "command" and isinstance(value, list):
            table.add_row(title, Text(text(shlex.join(map(str, value)))))
        elif value not in (None, ""):
            table.add_row(title, Text(fact(value)))
    return table


def differences_table(
    names: Sequence[str], differences: Mapping[str, Mapping[str, Sequence[Any]]]
) -> Table:
    """A line for each value that not all have: what it is, and whose."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for kind, found in differences.items():
        table.add_row(kind, "" if found else "the same")
        for key, values in found.items():
            title = f"  {text(key)}"
            for value in dict.fromkeys(map(fact, values)):
                whose = [
                    name for name, its in zip(names, values, strict=True) if fact(its) == value
                ]
                table.add_row(Text(title), Text(value), Text(", ".join(map(text, whose))))
                title = ""
    return table


def parts_table(parts: Sequence[Part]) -> Table:
    """What is to be removed, and how much it is."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("to be removed", overflow="fold")
    for title in ("files", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(Text(text(str(part.path))), number(part.files), size(part.size_bytes))
    files, size_bytes = sum(part.files for part in parts), sum(part.size_bytes for part in parts)
    table.add_row("all of it" if parts else "nothing", number(files), size(size_bytes))
    return table


def fact(value: Any) -> str:
    """A fact of a run in one line."""
    if isinstance(value, list):
        return ", ".join(text(str(item)) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or not isinstance(value, int | float):
        return NOTHING if value in (None, "") else text(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def number(value: float | None, decimals: int = 0) -> str:
    """A number with its thousands apart."""
    return NOTHING if value is None else f"{value:,.{decimals}f}"


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, as many as there are."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(size_bytes: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.3g} GB"
