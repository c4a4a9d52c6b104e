"""What the page sends: every field checked, unknown ones refused."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from flask import Request
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType

from prefrl.types import ANSWERS, Answer

MOST_BYTES = 64 * 1024
MOST_PAIRS = 20
LONGEST_ANSWER_S = 24 * 3600.0

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID = re.compile(r"[0-9a-f]{32}")

Body = TypeVar("Body")


def _of(expected: str, check: Callable[[Any], bool]) -> Any:
    return field(metadata={"expected": expected, "check": check})


def _uuid() -> Any:
    return _of("a UUID in lower case", lambda value: _matches(_UUID, value))


def _id() -> Any:
    return _of("32 hexadecimal digits", lambda value: _matches(_ID, value))


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class LeaseBody:
    """A page wants pairs, and keeps those that it has."""

    session: str = _uuid()
    n: int = _of(
        f"a whole number from 1 to {MOST_PAIRS}",
        lambda value: _is_number(value) and 1 <= value <= MOST_PAIRS and value == int(value),
    )


@dataclass(frozen=True)
class ReleaseBody:
    """A page was closed."""

    session: str = _uuid()


@dataclass(frozen=True)
class AnswerBody:
    """Someone has answered: about the sides as the page showed them."""

    id: str = _uuid()
    session: str = _uuid()
    query: str = _id()
    answer: Answer = _of(
        f"one of {', '.join(ANSWERS)}", lambda value: isinstance(value, str) and value in ANSWERS
    )
    time_to_answer_s: float = _of(
        f"seconds from 0 to {LONGEST_ANSWER_S:.0f}",
        lambda value: _is_number(value) and 0 <= value <= LONGEST_ANSWER_S,
    )


@dataclass(frozen=True)
class UndoBody:
    """Someone takes their answer back."""

    id: str = _uuid()
    session: str = _uuid()
    query: str = _id()


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
    known = {f.name: f.metadata for f in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnprocessableEntity(f"unknown field {name[:40]!r}; known: {', '.join(known)}")
    for name, rules in known.items():
        if name not in values:
            raise UnprocessableEntity(f"{name} is missing: expected {rules['expected']}")
        if not rules["check"](values[name]):
            raise UnprocessableEntity(f"{name}: expected {rules['expected']}")
    return kind(**values)
