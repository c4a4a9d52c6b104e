"""What the page sends: every field checked, unknown ones refused."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

from flask import Request
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType

from prefrl.types import ANSWERS, Answer

MOST_BYTES = 64 * 1024
MOST_PAIRS = 20
LONGEST_ANSWER_S = 24 * 3600.0

Body = TypeVar("Body")


@dataclass(frozen=True)
class Rule:
    """What a field may hold: in words, and as a check."""

    expected: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pattern(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


Uuid = Annotated[
    str,
    Rule("a UUID in lower case", _pattern("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
]
Id = Annotated[str, Rule("32 hexadecimal digits", _pattern("[0-9a-f]{32}"))]
Number = Annotated[
    int,
    Rule(
        f"a whole number from 1 to {MOST_PAIRS}",
        lambda value: _is_number(value) and 1 <= value <= MOST_PAIRS and value == int(value),
    ),
]
Choice = Annotated[
    Answer,
    Rule(f"one of {', '.join(ANSWERS)}", lambda value: isinstance(value, str) and value in ANSWERS),
]
Seconds = Annotated[
    float,
    Rule(
        f"seconds from 0 to {LONGEST_ANSWER_S:.0f}",
        lambda value: _is_number(value) and 0 <= value <= LONGEST_ANSWER_S,
    ),
]


@dataclass(frozen=True)
class LeaseBody:
    """A page wants pairs, and keeps those that it has."""

    session: Uuid
    n: Number


@dataclass(frozen=True)
class ReleaseBody:
    """A page was closed."""

    session: Uuid


@dataclass(frozen=True)
class AnswerBody:
    """Someone has answered: about the sides as the page showed them."""

    id: Uuid
    session: Uuid
    query: Id
    answer: Choice
    time_to_answer_s: Seconds


@dataclass(frozen=True)
class UndoBody:
    """Someone takes their answer back."""

    id: Uuid
    session: Uuid
    query: Id


def read_body(request: Request, kind: type[Body]) -> Body:
    """The request's body.

    Raises:
        UnsupportedMediaType: It is not declared as JSON.
        BadRequest: It is not JSON.
        UnprocessableEntity: A field is missing, unknown or of a wrong type.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("expected a body of type application/json")
    try:
        values = json.loads(request.get_data(), parse_constant=_refuse)
    # Nesting of some thousand levels is more than the parser's stack holds.
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not JSON") from error
    if not isinstance(values, dict):
        raise UnprocessableEntity("expected an object")
    return _checked(kind, values)


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


def _checked(kind: type[Body], values: dict[str, Any]) -> Body:
    rules = {
        name: hint.__metadata__[0]
        for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    for name in values:
        if name not in rules:
            raise UnprocessableEntity(f"unknown field {name[:40]!r}; known: {', '.join(rules)}")
    for name, rule in rules.items():
        if name not in values:
            raise UnprocessableEntity(f"{name} is missing: expected {rule.expected}")
        if not rule.holds(values[name]):
            raise UnprocessableEntity(f"{name}: expected {rule.expected}")
    return kind(**values)
