"""Reads and writes settings as files; every key and every type is checked."""

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from prefrl.config import Config, ConfigError
from prefrl.run_directory import read_plain

AnyConfig = TypeVar("AnyConfig")


def from_dict(default: AnyConfig, values: dict[str, Any], path: str = "") -> AnyConfig:
    """`default` with the given values in place of its own.

    Args:
        default: An instance of one of the dataclasses in `config.py`.
        values: Nested, as in `config.json`; keys that are absent keep their default.
        path: Where in the file we are, for messages.

    Raises:
        ConfigError: An unknown key (the nearest known one is named) or a value of a wrong type.
    """
    hints = typing.get_type_hints(type(default))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown setting {path + key!r}{nearest(key, hints)}")
        current = getattr(default, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise ConfigError(f"{path + key}: expected a table of settings, got {value!r}")
            changes[key] = from_dict(current, value, f"{path}{key}.")
        else:
            changes[key] = _checked(value, hints[key], path + key)
    return dataclasses.replace(default, **changes)  # type: ignore[type-var]


def load_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML or JSON file.

    Raises:
        ConfigError: The file is absent, or is not what its name says.
    """
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--config {path}: expected a table of settings")
    return settings


def load_config(path: Path) -> Config:
    """A run's `config.json`.

    Raises:
        ConfigError: It is absent, no plain file, or was written by another version with other
            settings.
    """
    try:
        settings = json.loads(read_plain(path))
        if not isinstance(settings, dict):
            raise ConfigError("expected a table of settings")
        return from_dict(Config(), settings)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as `config.json` holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _checked(value: Any, hint: Any, name: str) -> Any:
    """The value, as the type that the setting has."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _checked(value, options[0], name)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{name}: expected one of {', '.join(options)}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}")
        return tuple(_checked(item, options[0], name) for item in value)
    if origin is types.UnionType:  # a number or None
        return None if value is None else _checked(value, options[0], name)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{name}: {str(value)[:9]}... is too large") from None
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}")
    return value
