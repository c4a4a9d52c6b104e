"""Where a run comes from and how it ended. Never environment variables: they hold secrets."""

import hashlib
import importlib.metadata
import importlib.util
import io
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from prefrl.cores import usable_cores
from prefrl.run_directory import RunDirectory, write_bytes, write_json

OURS = ("prefrl", "prefrl_envs", "labeler_ui")
# Whatever somebody has set for his own eyes: a diff that `git apply` takes.
AS_IT_IS = ("--binary", "--no-color", "--no-textconv", "--no-ext-diff")
ALWAYS_THE_SAME = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the date of files in the snapshot, so that it can be compared


def provenance(seed: int, note: str, modules: Sequence[str] = ()) -> dict[str, Any]:
    """What is to be known of a run when it begins.

    Args:
        seed: Sets every random number of the run.
        note: The question that the run shall answer.
        modules: Those that register the run's own environments.
    """
    revision, diff = git_state(Path(__file__))
    installed = importlib.metadata.distributions()
    return {
        "note": note,
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "seed": seed,
        "started_at": _now(),
        "git_revision": revision,
        "git_diff": diff,
        "code": {name: _digest(files) for name, files in code_files(modules).items()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "accelerators": accelerators(),
        "packages": dict(sorted((package.name, package.version) for package in installed)),
    }


def write_source(run: RunDirectory, modules: Sequence[str] = ()) -> None:
    """Keep the code that revision and diff do not hold; no file where they hold all of it."""
    tracked = _tracked(Path(__file__))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for files in code_files(modules).values():
            for name, path in files.items():
                if path.resolve() not in tracked:
                    archive.writestr(zipfile.ZipInfo(name, ALWAYS_THE_SAME), path.read_bytes())
        empty = not archive.namelist()
    if not empty:
        write_bytes(run.source, content.getvalue())


def write_end(run: RunDirectory, exit_code: int) -> None:
    """Record when and how the run ended, and what it left. Nothing is written after it."""
    outputs = {
        name: {"bytes": path.stat().st_size, "sha256": checksum(path)}
        for name, path in output_files(run).items()
    }
    write_json(run.end, {"ended_at": _now(), "exit_code": exit_code, "outputs": outputs})


def output_files(run: RunDirectory) -> dict[str, Path]:
    """Every file of a run but the record of its end, by its name in it; links are left out."""
    return {
        path.relative_to(run.path).as_posix(): path
        for path in _files(run.path, "*")
        if path != run.end and not path.is_symlink()
    }


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_files(modules: Sequence[str] = ()) -> dict[str, dict[str, Path]]:
    """The Python files that a run is made of, by package and then by name; nothing is imported.

    Args:
        modules: Beside our own; of each the whole top-level package.
    """
    packages = dict.fromkeys((*OURS, *(module.partition(".")[0] for module in modules)))
    return {name: found for name in packages if (found := _package_files(name))}


def _package_files(package: str) -> dict[str, Path]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return {}
    if spec.submodule_search_locations is None:
        return {f"{package}.py": Path(spec.origin)} if spec.origin else {}
    return {
        f"{package}/{path.relative_to(folder).as_posix()}": path
        for folder in spec.submodule_search_locations
        for path in _files(Path(folder), "*.py")
    }


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob(pattern)) if path.is_file())


def _digest(files: Mapping[str, Path]) -> str:
    """One checksum of names and contents."""
    lines = [f"{name} {checksum(path)}\n" for name, path in files.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def git_state(source: Path) -> tuple[str | None, str | None]:
    """Revision and uncommitted changes of the repository that tracks a file, None outside one."""
    # Installed packages may lie inside somebody's repository without being part of it.
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None, None
    revision = _git(source.parent, "rev-parse", "--verify", "HEAD")
    return revision and revision.strip(), _git(source.parent, "diff", "HEAD", *AS_IT_IS)


def _tracked(source: Path) -> set[Path]:
    """All files of the repository that tracks this one; none outside of one."""
    revision, _ = git_state(source)
    top = _git(source.parent, "rev-parse", "--show-toplevel") if revision else None
    if not top:
        return set()
    folder = Path(top.removesuffix("\n"))
    return {
        (folder / name).resolve() for name in (_git(folder, "ls-files", "-z") or "").split("\0")
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is absent."""
    return _printed("git", "--no-optional-locks", "-C", str(folder), *arguments)


def accelerators() -> list[str]:
    """Name, memory and driver of each GPU, as NVIDIA's own tool prints them; empty without one."""
    query = "--query-gpu=name,memory.total,driver_version"
    return (_printed("nvidia-smi", query, "--format=csv,noheader") or "").splitlines()


def _printed(*command: str) -> str | None:
    try:
        output = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.decode(errors="replace")


def _processor() -> str:
    """The processor's model as Linux names it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
