import json
import secrets
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from prefrl import provenance as module
from prefrl.provenance import (
    accelerators,
    checksum,
    git_state,
    output_files,
    provenance,
    write_end,
    write_source,
)
from prefrl.run_directory import RunDirectory


def test_provenance_says_what_ran_where_and_why():
    facts = provenance(seed=7, note="does it learn?")
    assert facts["seed"] == 7
    assert facts["note"] == "does it learn?"
    assert facts["packages"]["numpy"]
    assert facts["command"]
    assert facts["processor"]
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 2**20
    assert facts["started_at"].endswith("+00:00")
    assert facts["command"] == sys.argv
    assert set(facts["code"]) == {"prefrl", "prefrl_envs", "labeler_ui"}
    json.dumps(facts)


def test_no_environment_variable_is_in_provenance(monkeypatch):
    name, value = f"SECRET_{secrets.token_hex()}", secrets.token_hex()
    monkeypatch.setenv(name, value)
    text = json.dumps(provenance(seed=0, note=""))
    assert name not in text
    assert value not in text


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", "-C", str(folder), *identity, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_revision_and_changes_are_those_of_the_repository_that_tracks_the_source(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("before\n")
    assert git_state(source) == (None, None)
    git(tmp_path, "init")
    assert git_state(source) == (None, None)
    git(tmp_path, "add", "module.py")
    git(tmp_path, "commit", "-m", "first")
    assert git_state(source) == (git(tmp_path, "rev-parse", "HEAD"), "")
    source.write_text("after\n")
    _, diff = git_state(source)
    assert "-before\n+after" in diff


def test_the_changes_can_be_applied_whatever_somebody_likes_to_see(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("module.py", "weights.bin", "table.odd"):
        (here / name).write_bytes(b"before\0\n")
    (here / ".gitattributes").write_text("*.odd diff=odd\n")
    git(here, "init")
    git(here, "add", ".")
    git(here, "commit", "-m", "first")
    git(tmp_path, "clone", here, there)
    git(here, "config", "color.ui", "always")
    git(here, "config", "diff.external", "false")
    git(here, "config", "diff.odd.textconv", "echo seen as")
    for name in ("module.py", "weights.bin", "table.odd"):
        (here / name).write_bytes(b"after\0\n")
    _, diff = git_state(here / "module.py")
    (tmp_path / "diff").write_text(diff)
    git(there, "apply", tmp_path / "diff")
    for name in ("module.py", "weights.bin", "table.odd"):
        assert (there / name).read_bytes() == b"after\0\n"


def test_without_git_there_is_no_revision(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path / "module.py") == (None, None)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A package of environments that no repository holds, and that must not be imported."""
    package = tmp_path / "own_package_of_envs"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "walk.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_a_change_of_the_runs_own_environments_changes_the_code(own_module):
    def code():
        return provenance(0, "", ["own_package_of_envs.walk"])["code"]

    before = code()
    (own_module / "walk.py").write_text("x = 2\n")
    after = code()
    assert {name for name in before if before[name] != after[name]} == {"own_package_of_envs"}


def test_code_that_git_does_not_hold_is_kept_and_what_it_holds_is_not(own_module, tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    write_source(run, ["own_package_of_envs"])
    with zipfile.ZipFile(run.source) as kept:
        assert kept.read("own_package_of_envs/walk.py") == b"x = 1\n"
        names = set(kept.namelist())
    revision, _ = git_state(Path(module.__file__))
    assert ("prefrl/provenance.py" in names) == (revision is None)


def test_outside_of_git_all_code_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_git", lambda *_: None)
    run = RunDirectory.create(tmp_path / "run")
    write_source(run)
    with zipfile.ZipFile(run.source) as kept:
        names = set(kept.namelist())
    assert {"prefrl/provenance.py", "prefrl_envs/moving_dot.py", "labeler_ui/app.py"} <= names
    first = run.source.read_bytes()
    write_source(run)
    assert run.source.read_bytes() == first


def test_the_end_records_exit_status_and_checksums_of_files_but_not_of_links(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.plots.mkdir()
    (run.plots / "a.png").write_bytes(b"abc")
    (run.path / "link").symlink_to(__file__)
    write_end(run, 130)
    end = json.loads(run.end.read_text())
    assert end["exit_code"] == 130
    assert end["ended_at"].endswith("+00:00")
    # Of "abc", from FIPS 180-2, appendix B.1.
    of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert end["outputs"] == {"plots/a.png": {"bytes": 3, "sha256": of_abc}}
    assert list(output_files(run)) == ["plots/a.png"]
    assert checksum(run.plots / "a.png") == of_abc


def test_accelerators_are_what_nvidias_tool_prints(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerators() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 570.1'\n")
    tool.chmod(0o755)
    assert accelerators() == ["NVIDIA H200, 143771 MiB, 570.1"]
