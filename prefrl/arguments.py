"""Command-line arguments into dataclasses; what tyro complains of becomes one line."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import tyro

from prefrl.config import ConfigError

AnyOptions = TypeVar("AnyOptions")


@dataclass(frozen=True)
class PageOptions:
    """Where a page is served: the fields of `labeler_ui.server.Address`."""

    host: str = "127.0.0.1"
    """The address that it listens on; any but this machine's own needs --allow-remote."""
    port: int | None = None
    """The port. Default: the first free one from 5000."""
    allow_remote: bool = False
    """Let other machines reach the page, over a connection that is not encrypted."""


def parse(
    kind: type[AnyOptions], command: str, default: AnyOptions | None, args: list[str]
) -> AnyOptions:
    """What tyro makes of the arguments; its framed complaint becomes one line.

    Raises:
        ConfigError: An argument is unknown or of a wrong type.
        SystemExit: Help was asked for, and shown.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            prog = f"prefrl {command}"
            if default is None:
                return tyro.cli(kind, prog=prog, args=args)
            return tyro.cli(kind, prog=prog, default=default, args=args)
    except SystemExit as error:
        if not error.code:
            raise
        raise ConfigError(_one_line(complaint.getvalue())) from None


def _one_line(framed: str) -> str:
    """The first paragraph of a framed message, and the nearest option if it names one."""
    lines = [line.strip("│╭╮╰╯ ") for line in framed.splitlines()[1:]]
    rules = [i for i, line in enumerate(lines) if line and set(line) <= {"─", "-"}]
    if rules[:1] == [0]:  # where the terminal is ASCII, the frame's upper side is a line too
        lines, rules = lines[1:], [i - 1 for i in rules[1:]]
    rule = rules[0] if rules else len(lines)
    message = " ".join(lines[:rule])
    if "Perhaps you meant:" in lines:
        meant = lines[lines.index("Perhaps you meant:") + 1].split(" ")[0]
        message += f"; did you mean {meant.rstrip(',')}?"
    return message


def find_modules_here(trusted: Sequence[str]) -> None:
    """Let the modules that a person named be found in the current directory.

    Only then: whatever library looks for a module that is not installed could find one here, and
    here may be a run from elsewhere.
    """
    if trusted and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
