"""A run from elsewhere can be looked at without running anything of it."""

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from untrained_run import untrained_run

from prefrl.cli import main
from prefrl.run_directory import RunDirectory

COMMANDS = [["replay"], ["replay", "--clips"], ["evaluate", "--episodes", "1"], ["export"]]
PLAYING = [["replay"], ["evaluate", "--episodes", "1"], ["export"]]
MODULE = """
import pathlib
pathlib.Path(__file__).with_name("was-here").touch()
import gymnasium
from prefrl_envs import MovingDot
gymnasium.registry.pop("evil/Dot-v0", None)
gymnasium.register("evil/Dot-v0", entry_point=MovingDot, kwargs={"pixels": False, "max_frames": 80})
"""


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with somebody's code, as the current directory."""
    (tmp_path / "evil_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    return tmp_path


@pytest.fixture
def run(here: Path) -> RunDirectory:
    return untrained_run(
        here / "run", "prefrl/MovingDotPosition-v0", env_arguments=("max_frames=80",)
    )


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command on the run, which must refuse it in one line and run nothing of it."""

    def refuse(command: list[str]) -> str:
        name, *options = command
        assert main([name, "run", *options]) == 2
        out, err = capsys.readouterr()
        assert out in ("", "the predictor gets")
        assert err.startswith("prefrl: ")
        assert err.count("\n") == 1, err
        assert not (here / "was-here").exists()
        assert "evil_module" not in sys.modules
        assert not list((here / "run").rglob("*.mp4"))
        return err

    return refuse


def change_config(run: RunDirectory, part: str, **settings: Any) -> None:
    config = json.loads(run.config.read_text())
    (config[part] if part else config).update(settings)
    run.config.write_text(json.dumps(config))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["policy.safetensors", "reward.safetensors"])
def test_a_pickle_in_place_of_weights_is_never_opened(run, here, refused, name, command):
    if command[-1] == "--clips":  # which reads no policy
        name = "reward.safetensors"
    (run.checkpoint("last") / name).write_bytes(pickle.dumps(Bomb(here / "was-here")))
    assert str(run.checkpoint("last").relative_to(here)) in refused(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_modules_that_a_run_names_are_not_imported(run, refused, command):
    change_config(run, "env", import_modules=["evil_module"])
    said = refused(command)
    assert "--env-import 'evil_module'" in said
    assert "--env-import" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_neither_is_the_module_in_an_environments_id(run, refused, command):
    change_config(run, "env", id="evil_module:evil/Dot-v0")
    assert "--env-import 'evil_module'" in refused(command)


def test_other_modules_than_those_named_again_are_not_imported(run, refused):
    change_config(run, "env", import_modules=["json", "evil_module"])
    said = refused(["evaluate", "--episodes", "1", "--env-import", "json"])
    assert "--env-import 'evil_module'" in said


@pytest.mark.parametrize("command", PLAYING)
def test_modules_named_again_are_imported(run, here, command, capsys):
    change_config(run, "env", id="evil/Dot-v0", import_modules=["evil_module"], arguments=[])
    name, *options = command
    assert main([name, "run", *options, "--env-import", "evil_module"]) == 0, capsys.readouterr()
    assert (here / "was-here").exists()


def test_labels_of_a_run_are_fitted_without_its_modules(run, here, capsys):
    change_config(run, "env", import_modules=["evil_module"])
    assert main(["pretrain", "--labels-from", "run"]) == 2
    assert "--env-import 'evil_module'" in capsys.readouterr().err
    assert not (here / "was-here").exists()


def test_what_lies_in_the_current_directory_is_not_found_unless_named(run, here, monkeypatch):
    assert main(["evaluate", "run", "--episodes", "1"]) == 0
    assert str(here) not in sys.path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("env", {"id": "__import__('os').mkdir('was-here')"}),
        ("env", {"id": "../../evil_module:evil/Dot-v0"}),
        ("env", {"id": "/tmp/evil_module.py:Dot:v0"}),
        ("env", {"id": "prefrl/\x1b]0;title\x07-v0"}),
        ("env", {"id": 3}),
        ("env", {"import_modules": ["../evil_module"]}),
        ("env", {"arguments": ["max_frames=__import__('os').mkdir('was-here')"]}),
        ("env", {"arguments": ["__class__=1"]}),
        ("env", {"clip_length": 0}),
        ("predictor", {"members": "__import__('os').mkdir('was-here')"}),
        ("predictor", {"members": 5}),
        ("predictor", {"hidden": [8]}),
        ("", {"extra": "__import__('os').mkdir('was-here')"}),
    ],
)
def test_code_in_a_string_is_a_string(run, refused, command, part, settings):
    change_config(run, part, **settings)
    assert "\x1b" not in refused(command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["checkpoints", "videos", "labels.sqlite3", "exports"])
def test_links_out_of_a_run_are_refused(run, here, refused, name, command):
    elsewhere = here / "elsewhere"
    entry = run.path / name
    if entry.exists():
        entry.rename(elsewhere)
    else:
        elsewhere.mkdir()
    entry.symlink_to("../elsewhere")
    before = sorted(elsewhere.rglob("*"))
    assert f"'run/{name}' is no plain file or folder" in refused(command)
    assert sorted(elsewhere.rglob("*")) == before


def test_a_pipe_that_would_be_waited_at_for_ever_is_refused(run, refused):
    path = run.checkpoint("last") / "policy.safetensors"
    path.unlink()
    os.mkfifo(path)
    assert "is no plain file or folder" in refused(["replay"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "policy.safetensors").write_bytes(b""),
        lambda folder: os.truncate(folder / "policy.safetensors", 900),
        lambda folder: (folder / "policy.json").write_text("[]"),
        lambda folder: (folder / "policy.json").write_text("{"),
        lambda folder: (folder / "policy.json").unlink(),
        lambda folder: (folder / "reward.json").write_text("[]"),
        lambda folder: (folder / "reward.json").write_text('{"format": 2, "version": {}}'),
        lambda folder: os.truncate(folder / "reward.safetensors", 900),
        lambda folder: replace_tensor(folder / "policy.safetensors", "vec.mean", np.zeros(9)),
        lambda folder: replace_tensor(
            folder / "policy.safetensors", "action_net.bias", np.full(5, np.nan, np.float32)
        ),
        lambda folder: replace_tensor(folder / "reward.safetensors", "means", np.zeros(7)),
        lambda folder: replace_tensor(folder / "reward.safetensors", "means", np.full(3, np.nan)),
        lambda folder: replace_tensor(folder / "reward.safetensors", "deviations", np.zeros(3)),
        lambda folder: replace_tensor(
            folder / "reward.safetensors", "deviations", np.full(3, np.inf)
        ),
        lambda folder: replace_tensor(
            folder / "reward.safetensors", "dense.0.bias", np.zeros((3, 1, 9), np.float32)
        ),
    ],
)
@pytest.mark.parametrize("command", [["replay"], ["evaluate", "--episodes", "1"]])
def test_damaged_checkpoints_are_named(run, refused, damage, command):
    damage(run.checkpoint("last"))
    assert "run/checkpoints/last" in refused(command)


def test_a_reward_of_another_version_is_named(run, refused):
    record = run.checkpoint("last") / "reward.json"
    old = json.loads(record.read_text())
    del old["format"]
    record.write_text(json.dumps(old))
    said = refused(["evaluate", "--episodes", "1"])
    assert "another version of prefrl saved it" in said


def replace_tensor(path: Path, name: str, value: np.ndarray) -> None:
    tensors = safetensors.numpy.load(path.read_bytes())
    assert name in tensors
    path.write_bytes(safetensors.numpy.save(tensors | {name: value}))


@pytest.mark.parametrize("network", ["build_model", "predictor_of"])
def test_networks_that_the_memory_does_not_hold_are_one_line(run, refused, network, monkeypatch):
    def fail(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory:\n  4000000000000 bytes")

    monkeypatch.setattr(f"prefrl.runs.trained.{network}", fail)
    assert "can't allocate memory: 4000000000000 bytes" in refused(["replay"])


def test_damaged_labels_are_named(run, refused):
    run.labels.write_bytes(b"SQLite format 3\0" + pickle.dumps(["labels"]) * 100)
    assert "run/labels.sqlite3" in refused(["replay", "--clips"])


def test_a_truncated_video_is_left_alone(run, capsys):
    run.videos.mkdir()
    video = run.videos / "evaluation.mp4"
    video.write_bytes(b"\0\0\0\x20ftypisom")
    assert main(["replay", "run"]) == 0
    assert video.read_bytes() == b"\0\0\0\x20ftypisom"


def test_a_file_where_a_folder_should_be_is_named(run, refused):
    run.videos.write_text("")
    assert "run/videos" in refused(["replay"])
