"""Where what people read is written, also when nobody reads it any more."""

import os
import sys
from typing import Any

from rich.console import Console


class ReportConsole(Console):
    """Rich's, which leaves it to us what a reader that has gone means."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Not Rich's own: it would end the process, a run's launcher too."""
        raise BrokenPipeError


class RunConsole(ReportConsole):
    """For a run, which goes on in silence when its output is closed or its disk is full."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich's."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in it
