"""What differs between runs: settings, code, packages, hardware."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

BEGINNING = ("prefrl_command", "labels_from", "reward_from")
MACHINE = ("python", "platform", "processor", "cores", "memory_bytes", "accelerators")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with keys such as `label.budget`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not the same in all records, with the value in each of them."""
    keys = dict.fromkeys(key for record in records for key in record)
    values = {key: [record.get(key) for record in records] for key in keys}
    return {key: all_of for key, all_of in values.items() if any(v != all_of[0] for v in all_of)}


def settings_of(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting, by which command the run began, and with whose labels and reward."""
    began = {key: provenance.get(key) for key in BEGINNING}
    return flat(config) | {key: value for key, value in began.items() if value is not None}


def sources_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The start of a checksum of each package of ours, and of the run's own."""
    code = provenance.get("code")
    found = code if isinstance(code, Mapping) else {}
    return {f"source of {name}": str(checksum)[:12] for name, checksum in found.items()}


def code_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Revision, a short name for its uncommitted changes, and a checksum of each package."""
    diff = provenance.get("git_diff")
    revision = provenance.get("git_revision")
    changes = diff if isinstance(diff, str) else ""
    return {
        "git revision": revision[:12] if isinstance(revision, str) else None,
        "uncommitted changes": hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else "",
        **sources_of(provenance),
    }


def packages_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Versions by package."""
    packages = provenance.get("packages")
    return dict(packages) if isinstance(packages, Mapping) else {}


def machine_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Python, system and hardware."""
    return {key: provenance.get(key) for key in MACHINE}


def all_differences(
    configs: Sequence[Mapping[str, Any]], origins: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, list[Any]]]:
    """`differing` of settings, code, packages and machine.

    Args:
        configs: What stands in each `config.json`.
        origins: What stands in each `provenance.json`, in the same order.
    """
    return {
        "settings": differing([settings_of(*both) for both in zip(configs, origins, strict=True)]),
        "code": differing([code_of(origin) for origin in origins]),
        "packages": differing([packages_of(origin) for origin in origins]),
        "machine": differing([machine_of(origin) for origin in origins]),
    }
