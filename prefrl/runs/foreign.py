"""Run directories come from anywhere: code that they name runs only if it is named again here."""

from collections.abc import Iterable

from prefrl.config import ConfigError, EnvConfig


def refuse_unnamed(env: EnvConfig, named: Iterable[str]) -> None:
    """Check that a person has named all modules that making this environment would import.

    Args:
        env: As a run directory has it.
        named: What was said with `--env-import` on the command line.

    Raises:
        ConfigError: There are others.
    """
    module, colon, _ = env.id.partition(":")  # Gymnasium imports what stands before it
    wanted = dict.fromkeys((*env.import_modules, *([module] if colon else [])))
    missing = [module for module in wanted if module not in set(named)]
    if missing:
        options = " ".join(f"--env-import {module!r}" for module in missing)
        raise ConfigError(f"the run names code, which runs only if you name it too: {options}")
