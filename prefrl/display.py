"""What a person sees while a run goes on."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from prefrl.run_log import RunLog
from prefrl.run_status import doing

LINE_EVERY_S = 10  # between two lines where the output is no terminal


class Display:
    """The newest figure of each kind: a live table on a terminal, else a plain line at times.

    Args:
        total_steps: Of the run.
        budget: Labels of the run, 0 where none are asked.
        console: Where to write.
        log: Keeps the warnings.
    """

    def __init__(self, total_steps: int, budget: int, console: Console, log: RunLog) -> None:
        self._total, self._budget, self._console, self._log = total_steps, budget, console, log
        self._figures: dict[str, Any] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._last_line = time.monotonic()

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, figures: Mapping[str, Any]) -> None:
        """Take in new figures and show them."""
        if "device" in figures and "device" not in self._figures:
            placed = f"networks on {figures['device']}"
            self._log.write(placed)
            self._console.print(placed)
        self._figures |= figures
        now = time.monotonic()
        if self._live.is_started:
            self._live.update(self._table())
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self._console.print("  ".join(f"{k} {v}" for k, v in self._rows()), highlight=False)

    def warn(self, text: str) -> None:
        """Show a line that a person should read, and keep it."""
        self._log.write(f"warning: {text}")
        self._console.print(f"warning: {text}", style="yellow", soft_wrap=True)

    def _rows(self) -> list[tuple[str, str]]:
        """Name and value of each figure there is, in reading order."""
        figures = self._figures
        rows = []
        if "env_steps" in figures:
            rows.append(("env steps", f"{figures['env_steps']:,} of {self._total:,}"))
        if "steps_per_s" in figures:
            left = max(0, self._total - figures["env_steps"]) / max(figures["steps_per_s"], 1e-9)
            rows.append(("steps/s", f"{figures['steps_per_s']:,.0f}"))
            rows.append(("time left", f"{int(left // 60)}:{int(left % 60):02}"))
        if self._budget:
            rows.append(("labels", f"{figures.get('labels', 0)} of {self._budget}"))
        for key, form in (
            ("validation_accuracy", ".2f"), ("true_return", ".1f"), ("predicted_return", ".1f"),
        ):  # fmt: skip
            if key in figures:
                rows.append((key.replace("_", " "), format(figures[key], form)))
        rows.append(("now", doing(figures)))
        return rows

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column()
        for row in self._rows():
            table.add_row(*row)
        return table
