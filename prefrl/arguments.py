"""Command-line arguments into dataclasses; what tyro complains of becomes one line."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

import tyro
from tyro.conf import Positional, arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

from prefrl.config import ConfigError

AnyOptions = TypeVar("AnyOptions")
RunPath = Annotated[Path, Positional, arg(metavar="RUN")]
RunPaths = Annotated[tuple[Path, ...], Positional, arg(metavar="RUN ...")]
FolderPath = Annotated[Path, Positional, arg(metavar="[DIR]")]

PLAIN_WORDS = {
    "Error parsing ": "",
    "invalid literal for int() with base 10: ": "expected a whole number, got ",
    "could not convert string to float: ": "expected a number, got ",
}
RULES = ConstructorRegistry()


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
                return tyro.cli(kind, prog=prog, args=args, registry=RULES)
            return tyro.cli(kind, prog=prog, default=default, args=args, registry=RULES)
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
    for tyros, ours in PLAIN_WORDS.items():
        message = message.replace(tyros, ours)
    return message


@RULES.primitive_rule
def _optional(
    info: PrimitiveTypeInfo,
) -> PrimitiveConstructorSpec[Any] | UnsupportedTypeAnnotationError | None:
    """What may be None looks in help and complaints as what it is else; `None` is still understood
    where any text or number is."""
    kinds = get_args(info.type)
    if len(kinds) != 2 or NoneType not in kinds:
        return None
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    return replace(
        spec,
        instance_from_str=lambda words: (
            None if words == ["None"] else spec.instance_from_str(words)
        ),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: (
            ["None"] if value is None else spec.str_from_instance(value)
        ),
    )


def find_modules_here(trusted: Sequence[str]) -> None:
    """Let the modules that a person named be found in the current directory.

    Only then: whatever library looks for a module that is not installed could find one here, and
    here may be a run from elsewhere.
    """
    if trusted and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
